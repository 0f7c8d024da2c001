package inkernel

import (
	"runtime"

	"sysprof/syscalltab"
)

// How calls are numbered in the programs' tables; see there.
const (
	kernelABICount = 3
	numbers        = 576
	ordinary       = 512 // behind these are subcalls
)

// kernelABIs are the ABIs by the programs' numbers.
func kernelABIs() [kernelABICount]syscalltab.ABI {
	switch runtime.GOARCH {
	case "amd64":
		return [...]syscalltab.ABI{syscalltab.AMD64, syscalltab.I386, syscalltab.X32}
	case "arm64":
		return [...]syscalltab.ABI{syscalltab.ARM64, syscalltab.ARM, syscalltab.Unknown}
	}
	return [...]syscalltab.ABI{syscalltab.Native()[0], syscalltab.Unknown, syscalltab.Unknown}
}

// numberAt is the number of the call that has that index in the part of an ABI.
func numberAt(abi syscalltab.ABI, index uint32) uint64 {
	const socketcall, ipc, ofIPC = 102, 117, 24
	const x32Bit = 0x40000000
	switch {
	case index < ordinary && abi == syscalltab.X32:
		return x32Bit | uint64(index)
	case index < ordinary:
		return uint64(index)
	case index < ordinary+ofIPC:
		return 1<<32 | socketcall<<8 | uint64(index-ordinary)
	}
	return 1<<32 | ipc<<8 | uint64(index-ordinary-ofIPC)
}

// indexOf is the inverse of numberAt, with the number of the ABI. It reports false for a number that has no index.
func indexOf(abi uint32, nr uint64) (index uint32, ok bool) {
	const socketcall, ofIPC = 102, 24
	const x32Bit = 0x40000000
	n := nr
	switch {
	case nr>>32 == 1:
		n = ordinary + nr&0xff
		if nr>>8&0xff != socketcall {
			n += ofIPC
		}
	case nr >= x32Bit && nr < x32Bit+ordinary:
		n -= x32Bit
	case nr >= ordinary:
		return 0, false
	}
	return abi*numbers + uint32(n), n < numbers && abi < kernelABICount
}

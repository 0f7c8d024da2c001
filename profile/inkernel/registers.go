package inkernel

import (
	"runtime"

	"sysprof/syscalltab"
)

// stackPointer is its number in Drawn.Registers.
func stackPointer() int {
	if runtime.GOARCH == "amd64" {
		return 7
	}
	return 31
}

// NarrowRegisters are those of 32-bit code on amd64, by i386's numbers.
func (d *Drawn) NarrowRegisters() (narrow [33]uint64) {
	for i, register := range [...]int{0, 2, 1, 3, 7, 6, 4, 5} { // eax, ecx, edx, ebx, esp, ebp, esi, edi
		narrow[i] = d.Registers[register]
	}
	return narrow
}

// IsNarrow reports whether the thread executed 32-bit code on amd64: 64-bit code can make the same calls.
func (d *Drawn) IsNarrow() bool {
	return d.ABI == syscalltab.I386 && d.IP>>32 == 0 && d.StackPointer()>>32 == 0
}

// argumentsOf are the registers that a call's arguments are in (syscall(2)). On arm64 the first is overwritten by the result.
func argumentsOf(abi syscalltab.ABI) [6]int {
	switch abi {
	case syscalltab.AMD64, syscalltab.X32:
		return [6]int{5, 4, 1, 10, 8, 9} // rdi, rsi, rdx, r10, r8, r9
	case syscalltab.I386:
		return [6]int{3, 2, 1, 4, 5, 6} // ebx, ecx, edx, esi, edi, ebp, as they are numbered on amd64
	}
	return [6]int{0, 1, 2, 3, 4, 5}
}

package syscalltab

import (
	"iter"
	"strconv"
)

// tables has each ABI's names by index (see index); "" is a gap.
var tables = [abiCount][]string{
	AMD64:       amd64Names[:],
	I386:        i386Names[:],
	X32:         x32Names[:],
	ARM64:       arm64Names[:],
	ARM:         armNames[:],
	RISCV64:     riscv64Names[:],
	LoongArch64: loong64Names[:],
}

// Arm's calls beyond the ordinary table (arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE): they
// stand in the table from armPrivateIndex on, at their distance from the base, and cmpxchg behind
// them. The generator has the same constants.
const (
	armPrivateBase  = 0xf0000
	armPrivateLen   = 7
	armPrivateIndex = 512
	armCmpxchg      = 0xffff0 // gone since Linux 4.4
	armCmpxchgIndex = armPrivateIndex + armPrivateLen
)

// index turns a call's number into its place in the ABI's table. ok is false when it has none,
// which is so for a gap as for a number out of range.
func (a ABI) index(nr uint64) (i int, ok bool) {
	if int(a) >= abiCount {
		return 0, false
	}
	switch a {
	case X32:
		nr ^= x32Bit
	case I386:
		if nr >= subcallIndex {
			if nr, ok = subcallIndexOf(nr); !ok {
				return 0, false
			}
		}
	case ARM:
		switch {
		case nr < armPrivateIndex:
		case nr-armPrivateBase < armPrivateLen:
			nr = nr - armPrivateBase + armPrivateIndex
		case nr == armCmpxchg:
			nr = armCmpxchgIndex
		default:
			return 0, false
		}
	}
	t := tables[a]
	if nr >= uint64(len(t)) || t[nr] == "" {
		return 0, false
	}
	return int(nr), true
}

// number is the inverse of index.
func (a ABI) number(i int) uint64 {
	switch {
	case a == X32:
		return uint64(i) | x32Bit
	case a == I386 && i >= subcallIndex:
		return subcallNumber(uint64(i))
	case a == ARM && i == armCmpxchgIndex:
		return armCmpxchg
	case a == ARM && i >= armPrivateIndex:
		return uint64(i) - armPrivateIndex + armPrivateBase
	}
	return uint64(i)
}

// Name is strace's name of a call. A number without a name, be it in a gap, out of range or of an
// unknown ABI, is called syscall_0x1f4, as strace does; only that allocates. Calls that exist for
// 64-bit programs only and are made through x32 have #64 behind their names.
func (a ABI) Name(nr uint64) string {
	if i, ok := a.index(nr); ok {
		return tables[a][i]
	}
	return "syscall_0x" + strconv.FormatUint(nr, 16)
}

// Known says whether the call has a name of its own.
func (a ABI) Known(nr uint64) bool {
	_, ok := a.index(nr)
	return ok
}

// Number finds a call by its exact name. Made-up names (syscall_0x1f4) are not found. Of a call and a subcall with the
// same name it is the call.
func (a ABI) Number(name string) (nr uint64, ok bool) {
	for nr, is := range a.Each() {
		if is == name {
			return nr, true
		}
	}
	return 0, false
}

// Each walks the ABI's known calls in the order of their numbers.
func (a ABI) Each() iter.Seq2[uint64, string] {
	return func(yield func(uint64, string) bool) {
		if int(a) >= abiCount {
			return
		}
		for i, name := range tables[a] {
			if name != "" && !yield(a.number(i), name) {
				return
			}
		}
	}
}

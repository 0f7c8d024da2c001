package raw

import (
	"math/bits"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CPUMask is a set of CPUs as the kernel has it. On a machine with more CPUs than it has bits,
// sched_getaffinity(2) answers EINVAL.
type CPUMask [CPUMaskWords]uint64

// CPUMaskWords is how many words a CPUMask has.
const CPUMaskWords = 1024 / 64

// Add puts a CPU into the set.
func (m *CPUMask) Add(cpu int) { m[cpu/64] |= 1 << (cpu % 64) }

// Has reports whether a CPU is in the set.
func (m *CPUMask) Has(cpu int) bool {
	return cpu >= 0 && cpu < len(m)*64 && m[cpu/64]&(1<<(cpu%64)) != 0
}

// Count returns how many CPUs are in the set.
func (m *CPUMask) Count() int {
	n := 0
	for _, word := range m {
		n += bits.OnesCount64(word)
	}
	return n
}

// Affinity reads where thread tid, or the caller if that is 0, may run (sched_getaffinity(2)). m must not be on a
// stack that can move.
func Affinity(tid int32, m *CPUMask) error {
	*m = CPUMask{}
	_, _, errno := syscall.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(tid), unsafe.Sizeof(*m), uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		return errno
	}
	return nil
}

// SetAffinity says where thread tid, or the caller if that is 0, may run (sched_setaffinity(2)). m must not be on
// a stack that can move.
func SetAffinity(tid int32, m *CPUMask) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m), uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		return errno
	}
	return nil
}

// CurrentCPU is where the calling thread runs, −1 if that is not known (getcpu(2)).
func CurrentCPU() int {
	var cpu uint32
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

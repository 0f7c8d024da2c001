package ptrace

import (
	"math/bits"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cpuMask is a set of CPUs, as the kernel has it. (Machines with more CPUs than this has bits are not
// placed on: sched_getaffinity(2) answers EINVAL there.)
type cpuMask [maskWords]uint64

const maskWords = 1024 / 64

func (m *cpuMask) add(cpu int) { m[cpu/64] |= 1 << (cpu % 64) }
func (m *cpuMask) has(cpu int) bool {
	return cpu >= 0 && cpu < len(m)*64 && m[cpu/64]&(1<<(cpu%64)) != 0
}

func (m *cpuMask) count() int {
	n := 0
	for _, word := range m {
		n += bits.OnesCount64(word)
	}
	return n
}

// affinityOf reads where thread tid, or the caller if that is 0, may run (sched_getaffinity(2)). m must not
// be on a stack that can move.
func affinityOf(tid int32, m *cpuMask) error {
	*m = cpuMask{}
	_, _, errno := syscall.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(tid), unsafe.Sizeof(*m), uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		return errno
	}
	return nil
}

// setAffinity says where thread tid, or the caller if that is 0, may run (sched_setaffinity(2)). m must not
// be on a stack that can move.
func setAffinity(tid int32, m *cpuMask) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m), uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		return errno
	}
	return nil
}

// currentCPU is where the calling thread runs, −1 if that is not known.
func currentCPU() int {
	var cpu uint32
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return -1
	}
	return int(cpu)
}

package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// IsRealTime reports whether thread tid has a real-time policy: SCHED_FIFO, SCHED_RR or SCHED_DEADLINE
// (sched_getscheduler(2)). It is false for a thread that there is not.
func IsRealTime(tid int32) bool {
	policy, _, errno := syscall.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, uintptr(tid), 0, 0)
	if errno != 0 {
		return false
	}
	switch policy &^ unix.SCHED_RESET_ON_FORK {
	case unix.SCHED_FIFO, unix.SCHED_RR, unix.SCHED_DEADLINE:
		return true
	}
	return false
}

// Attributes reads how thread tid is scheduled (sched_getattr(2)), 0 for the caller, without allocating.
func Attributes(tid int, into *unix.SchedAttr) error {
	const flags = 0
	_, _, errno := syscall.RawSyscall6(unix.SYS_SCHED_GETATTR, uintptr(tid), uintptr(unsafe.Pointer(into)), unix.SizeofSchedAttr, flags, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

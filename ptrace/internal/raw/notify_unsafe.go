package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetOwner has thread tid get the signals that fd sends (fcntl(2), F_SETOWN_EX).
func SetOwner(fd int, tid int32) error {
	const ownerTID = 0 // F_OWNER_TID
	owner := struct{ kind, id int32 }{ownerTID, tid}
	_, _, errno := syscall.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	if errno != 0 {
		return errno
	}
	return nil
}

// WaitSignal waits for a signal of a set, of which bit n−1 is signal n, that is blocked, and takes it
// (rt_sigtimedwait(2)). It blocks as any system call of a goroutine does.
func WaitSignal(set uint64, info *SignalInfo) (syscall.Signal, error) {
	sig, _, errno := syscall.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)),
		uintptr(unsafe.Pointer(info)), 0, SigsetSize, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return syscall.Signal(sig), nil
}

// Descriptor returns si_fd of a signal that a descriptor has sent.
func (i *SignalInfo) Descriptor() int {
	// si_band, a long, comes first in the union (see Sender).
	const fdAt = 24
	return int(*(*int32)(unsafe.Pointer(&i[fdAt])))
}

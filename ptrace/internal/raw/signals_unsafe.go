package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LastSignal is the highest signal number.
const LastSignal = 64

// SigsetSize is sizeof(sigset_t) for the kernel.
const SigsetSize = 8

// Flags of a signal's action.
const (
	SANoCldStop = 0x1        // SA_NOCLDSTOP
	SARestart   = 0x10000000 // SA_RESTART
)

// ChangeAction sets and clears flags of the handler that sig has (rt_sigaction(2)).
func ChangeAction(sig syscall.Signal, set, clear uint64) error {
	// struct sigaction of the kernel: handler, flags (unsigned long), then restorer and mask, or
	// mask alone. It is written back as it was read, so only the flags' place matters.
	var action [4]uint64
	if err := sigaction(sig, nil, &action); err != nil {
		return err
	}
	const flags = 1
	action[flags] = action[flags]&^clear | set
	return sigaction(sig, &action, nil)
}

// SetDefaultAction gives sig its default action (rt_sigaction(2)).
func SetDefaultAction(sig syscall.Signal) error { return sigaction(sig, new([4]uint64), nil) }

func sigaction(sig syscall.Signal, action, old *[4]uint64) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), SigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Unblock unblocks a signal for the calling thread (rt_sigprocmask(2)).
func Unblock(sig syscall.Signal) error {
	set := uint64(1) << (sig - 1)
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_UNBLOCK,
		uintptr(unsafe.Pointer(&set)), 0, SigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

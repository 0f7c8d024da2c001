package raw

import (
	"syscall"
	"time"
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
	// It is written back as it was read, so only the flags' place matters.
	var action Action
	if err := sigaction(sig, nil, &action); err != nil {
		return err
	}
	const flags = 1
	action[flags] = action[flags]&^clear | set
	return sigaction(sig, &action, nil)
}

// Action is the kernel's struct sigaction: handler, flags (unsigned long), then restorer and mask, or mask alone.
type Action [4]uint64

// SetAction gives sig an action, and returns the one that it had. The zero Action is the default one.
func SetAction(sig syscall.Signal, action Action) (former Action, err error) {
	err = sigaction(sig, &action, &former)
	return former, err
}

// sigaction is rt_sigaction(2).
func sigaction(sig syscall.Signal, action, old *Action) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), SigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Block blocks a signal for the calling thread.
func Block(sig syscall.Signal) error { return changeMask(unix.SIG_BLOCK, sig) }

// Unblock unblocks a signal for the calling thread.
func Unblock(sig syscall.Signal) error { return changeMask(unix.SIG_UNBLOCK, sig) }

// changeMask is rt_sigprocmask(2) with one signal.
func changeMask(how uintptr, sig syscall.Signal) error {
	set := uint64(1) << (sig - 1)
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, how,
		uintptr(unsafe.Pointer(&set)), 0, SigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// TakePending takes one pending signal of a set (rt_sigtimedwait(2)), of which bit n−1 is signal n. It reports
// false if none is pending.
func TakePending(set uint64) bool { return TakeWithin(set, 0) }

// TakeWithin is TakePending for a signal that may take so long to come.
func TakeWithin(set uint64, patience time.Duration) bool {
	for end := time.Now().Add(patience); ; {
		left := unix.NsecToTimespec(max(int64(time.Until(end)), 0))
		_, _, errno := syscall.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0,
			uintptr(unsafe.Pointer(&left)), SigsetSize, 0, 0)
		if errno != unix.EINTR {
			return errno == 0
		}
	}
}

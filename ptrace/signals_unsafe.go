package ptrace

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wakeSignal interrupts the tracer thread's wait4. It is the last real-time signal, which nobody
// else sends.
const wakeSignal = 64

const (
	saNoCldStop = 0x1        // SA_NOCLDSTOP
	saRestart   = 0x10000000 // SA_RESTART
)

// prepareSignals changes how two signals reach this process, and is the same however often it is
// called.
//
// Precondition: the caller is the tracer thread.
func prepareSignals() error {
	// The kernel tells a tracer of every stop by SIGCHLD, too, unless SA_NOCLDSTOP is set
	// (kernel/signal.c, do_notify_parent_cldstop). The runtime's handler for it would run at each.
	if err := changeAction(unix.SIGCHLD, saNoCldStop, 0); err != nil {
		return fmt.Errorf("set SA_NOCLDSTOP: %w", err)
	}
	// The runtime installs every handler with SA_RESTART; wait4 has to return for this one.
	if err := changeAction(wakeSignal, 0, saRestart); err != nil {
		return fmt.Errorf("clear SA_RESTART: %w", err)
	}
	set := uint64(1) << (wakeSignal - 1)
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_UNBLOCK,
		uintptr(unsafe.Pointer(&set)), 0, setSize, 0, 0); errno != 0 {
		return fmt.Errorf("unblock signal %d: %w", wakeSignal, errno)
	}
	return nil
}

// wake makes a wait4 of thread tid return EINTR.
func wake(tid int32) { unix.Tgkill(unix.Getpid(), int(tid), wakeSignal) }

// changeAction sets and clears flags of the handler that sig has.
func changeAction(sig syscall.Signal, set, clear uint64) error {
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

func sigaction(sig syscall.Signal, action, old *[4]uint64) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), setSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// DropPending takes the signals of a set that wait for this process, or for the calling thread, while
// they are blocked. Bit n−1 is signal n.
func DropPending(set uint64) {
	for left := set; left != 0; left &= left - 1 {
		sig := left & -left
		var now unix.Timespec
		for {
			// rt_sigtimedwait(2) takes one that is queued at a time.
			_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&sig)), 0,
				uintptr(unsafe.Pointer(&now)), setSize, 0, 0)
			if errno != 0 {
				break
			}
		}
	}
}

// DieOf ends this process by sig, as if it had never been handled, and without a core dump. It
// returns only if sig does not end processes.
func DieOf(sig syscall.Signal) {
	// A limit of 0 does not stop a core_pattern that is a pipe (core(5)); this stops both.
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	var standard [4]uint64
	sigaction(sig, &standard, nil)
	set := uint64(1) << (sig - 1)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_UNBLOCK, uintptr(unsafe.Pointer(&set)), 0, setSize, 0, 0)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
}

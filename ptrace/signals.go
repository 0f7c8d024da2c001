package ptrace

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// wakeSignal interrupts the wait4 of a tracer thread. It is the last real-time signal, which nobody else sends.
const wakeSignal = raw.LastSignal

// prepareSignals changes how two signals reach this process. It may be called several times.
//
// Precondition: the caller is the tracer thread.
func prepareSignals() error {
	// The kernel tells a tracer of every stop by SIGCHLD, too, unless SA_NOCLDSTOP is set
	// (kernel/signal.c, do_notify_parent_cldstop). The runtime's handler for it would run at each stop, which
	// takes 2 of 7.5 µs a call (Linux 6.18, one CPU).
	if err := raw.ChangeAction(unix.SIGCHLD, raw.SANoCldStop, 0); err != nil {
		return fmt.Errorf("set SA_NOCLDSTOP: %w", err)
	}
	// The runtime installs every handler with SA_RESTART; wait4 has to return for this one.
	if err := raw.ChangeAction(wakeSignal, 0, raw.SARestart); err != nil {
		return fmt.Errorf("clear SA_RESTART: %w", err)
	}
	if err := raw.Unblock(wakeSignal); err != nil {
		return fmt.Errorf("unblock signal %d: %w", wakeSignal, err)
	}
	return nil
}

// wake makes a wait4 of thread tid return EINTR.
func wake(tid int32) { unix.Tgkill(unix.Getpid(), int(tid), wakeSignal) }

// DieOf ends this process by sig, as if it had never been handled, and without a core dump. It
// returns only if sig does not end processes.
func DieOf(sig syscall.Signal) {
	// A limit of 0 does not stop a core_pattern that is a pipe (core(5)); this stops both.
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	SetDefault(sig)
	raw.Unblock(sig)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
}

// SetDefault gives sig its default action. (signal.Reset does not: the Go runtime keeps its handler, and ignores what is
// not asked for.)
func SetDefault(sig syscall.Signal) { raw.SetAction(sig, raw.Action{}) }

// StopBy stops this process by a job-control signal, as if it had never been handled, if still says that it is to be when
// the signal is on its way. It returns when the process goes on, or at once if the signal does not stop it (setpgid(2),
// "orphaned").
//
// A SIGCONT is not lost that comes after still has been asked: the kernel takes stop signals back that wait when it is sent
// (kernel/signal.c, prepare_signal).
func StopBy(sig syscall.Signal, still func() bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if raw.Block(sig) != nil {
		return
	}
	former, err := raw.SetAction(sig, raw.Action{})
	unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
	if !still() {
		raw.TakePending(1 << (sig - 1))
	}
	raw.Unblock(sig)
	if err == nil {
		raw.SetAction(sig, former)
	}
}

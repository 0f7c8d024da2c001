package ptrace

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// RunsOn returns a traced process that does not stand still, the launched command if that is one; 0 if there is none. A
// process stands still when job control has stopped it. If none runs on, this process may be stopped, too, without holding
// up anybody.
//
// Precondition: Start has returned.
func (t *Tracer) RunsOn() (pid int) { return t.runsOn(nil) }

// StopBy stops this process as the function StopBy does, if nothing runs on and still says so. It is done by a tracer
// thread, so that when all are continued, the signal is handled again before any of its tracees makes a call.
//
// Precondition: Start has returned.
func (t *Tracer) StopBy(sig syscall.Signal, still func() bool) {
	w := t.workers[0]
	done := make(chan struct{})
	w.thread.post(func() {
		defer close(done)
		StopBy(sig, func() bool { return w.runsOn() == 0 && t.runsOn(w) == 0 && still() })
	})
	select {
	case <-done:
	case <-w.thread.gone:
		StopBy(sig, func() bool { return t.runsOn(w) == 0 && still() })
	}
}

// runsOn is RunsOn for all workers but one, which may be nil.
func (t *Tracer) runsOn(but *worker) (pid int) {
	for _, w := range t.workers {
		if w == but {
			continue
		}
		found := make(chan int32, 1)
		w.thread.post(func() { found <- w.runsOn() })
		select {
		case runs := <-found:
			if runs != 0 && (pid == 0 || t.command.is(runs)) {
				pid = int(runs)
			}
		case <-w.thread.gone: // its tracees are not traced any more
		}
	}
	return pid
}

// runsOn is RunsOn for the tracees of one worker.
func (w *worker) runsOn() (pid int32) {
	for _, tr := range w.table.tracees {
		isCommand := w.t.command.is(tr.call.PID)
		if (pid == 0 || isCommand) && !tr.standsStill() {
			pid = tr.call.PID
			if isCommand {
				break
			}
		}
	}
	return pid
}

// standsStill reports whether a tracee is stopped by job control, or is a process's first thread that has ended before
// the others, of which the kernel tells its tracer later. If there is news of it, it is about to go on, or has ended.
//
// SIGCONT wakes who is stopped (kernel/signal.c, ptrace_trap_notify), so that it stops once more, to be resumed.
func (tr *tracee) standsStill() bool {
	switch state := statusField(tr.call.TID, "State"); {
	case strings.HasPrefix(state, "t"), strings.HasPrefix(state, "T"):
		if !tr.stopped {
			return false
		}
	case strings.HasPrefix(state, "Z"):
	default:
		return false
	}
	var info unix.Siginfo
	const look = unix.WEXITED | unix.WSTOPPED | unix.WALL | unix.WNOHANG | unix.WNOWAIT
	err := unix.Waitid(unix.P_PID, int(tr.call.TID), &info, look, nil)
	return err == nil && info.Signo == 0
}

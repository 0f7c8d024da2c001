package ptrace

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// settleAtMost bounds how long tracees are waited for at the end that owe a stop.
const settleAtMost = 2 * time.Second

// settle has all tracees run, or be where a detach is not noticed, before the thread exits and the kernel detaches them.
//
// A tracee that is detached at the entry-stop of a call, or before it has answered an interrupt, is woken as by a
// signal (kernel/ptrace.c, __ptrace_unlink): its call returns EINTR. One that is detached at an exit-stop, in its
// call or in user mode notices nothing. So
//
//  1. tracees are resumed with PTRACE_CONT from now on, after which they stop at no call;
//  2. those that run outside of a call, and would stop at their next one, are interrupted once;
//  3. stops are dealt with until nobody owes one.
//
// Who is in a call meets its exit-stop next. Who has stopped by job control stays as it is. The parent of a vfork, or a
// thread that is frozen, does not answer an interrupt, and is not waited for.
func (w *worker) settle() {
	w.settling = true
	for _, tr := range w.table.tracees {
		switch {
		case tr.waitingFor != 0: // it stands at the entry-stop of a ptrace call
			w.handover.remove(tr)
			w.resume(tr, 0)
		case tr.inCall, tr.interruptPending, tr.stopped:
		default:
			w.interrupt(tr)
		}
	}
	const nap = 50 * time.Microsecond
	for begin := time.Now(); ; {
		var status unix.WaitStatus
		tid, errno := raw.Poll(&status)
		switch {
		case tid > 0:
			w.act(classify(tid, status))
		case errno == unix.ECHILD, time.Since(begin) > settleAtMost, !w.owesStops():
			return
		default:
			time.Sleep(nap)
		}
	}
}

// owesStops reports whether there is a tracee that is going to answer an interrupt.
func (w *worker) owesStops() bool {
	for tid, tr := range w.table.tracees {
		if tr.interruptPending && strings.ContainsAny(statusField(tid, "State")+" ", "RSt") {
			return true
		}
	}
	return false
}

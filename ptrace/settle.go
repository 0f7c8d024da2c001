package ptrace

import (
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

const (
	// settleAtMost bounds how long tracees are waited for at the end that owe a stop.
	settleAtMost = 2 * time.Second
	// holdAtMost bounds how long others, which owe none, stand still meanwhile.
	holdAtMost = 50 * time.Millisecond
	settleNap  = 50 * time.Microsecond
)

// settling is the part of a worker that brings tracing to its end.
type settling struct {
	on      bool    // tracees stop at no call any more
	holding bool    // who stops is resumed at the end
	held    []int32 // the tids of those
}

// settle has all tracees run, or be where a detach is not noticed, before the thread exits and the kernel detaches them.
//
// A tracee that is detached at the entry-stop of a call, or before it has answered an interrupt, is woken as by a
// signal (kernel/ptrace.c, __ptrace_unlink): its call returns EINTR. One that is detached at an exit-stop, in its
// call or in user mode notices nothing. So
//
//  1. tracees are resumed with PTRACE_CONT from now on, after which they stop at no call;
//  2. those that run outside of a call, and would stop at their next one, are interrupted once, and those whose call an
//     interrupt has broken off, so that they are waited for;
//  3. stops are dealt with until nobody owes one, be it for an interrupt or for a signal.
//
// Who is in a call, and runs, comes to its exit-stop soon. Who has been left asleep since the attach sleeps on. Who has
// stopped by job control stays as it is. The parent of a vfork, or a thread that is frozen, does not answer an interrupt,
// and is not waited for.
//
// Tracees that run free compete for CPUs with the tracer and with those that still have to come to their stop, which
// stand still, or are traced, for the longer. So who stops is held until all have, and all workers are as far: that
// takes less than a millisecond for each CPU's hundred, and no longer than holdAtMost.
//
// All of it takes no longer than atMost: a thread that gets no CPU answers no interrupt, either.
func (w *worker) settle(atMost time.Duration) {
	begin := time.Now()
	w.home.End() // who is resumed with a signal is not held, and may make any call
	w.settling.on, w.settling.holding = true, true
	for time.Since(begin) < atMost && w.pollStop() == nil { // who has stopped already needs no interrupt
	}
	held := make(map[int32]bool, len(w.settling.held))
	for _, tid := range w.settling.held {
		held[tid] = true
	}
	for tid, tr := range w.table.tracees {
		switch {
		case tr.waitingFor != 0: // it stands at the entry-stop of a ptrace call
			w.handover.remove(tr)
			w.resume(tr, 0)
		case tr.spoilt && !tr.interruptPending: // it returns soon, and that has to be hidden, if others are not waited for either
			w.interrupt(tr)
		case tr.inCall, tr.interruptPending, tr.stopped, held[tid], tr.sleep.fd != 0:
		default:
			w.interrupt(tr)
		}
	}
	for time.Since(begin) < atMost {
		err := w.pollStop()
		if err == unix.ECHILD || err != nil && !w.owesStops() {
			return
		}
		if w.settling.holding && time.Since(begin) > holdAtMost {
			w.release()
		}
		if err != nil {
			nap(settleNap)
		}
	}
}

// pollStop deals with a stop that has come already. The error is EAGAIN if there is none, or ECHILD.
func (w *worker) pollStop() error {
	var status unix.WaitStatus
	switch tid, errno := raw.Poll(&status); {
	case tid > 0:
		w.act(classify(tid, status))
		return nil
	case errno == unix.ECHILD:
		return errno
	}
	return unix.EAGAIN
}

// holds reports whether a tracee that would be resumed is held instead. One whose call has to be made again is about
// to stop again.
func (s *settling) holds(tr *tracee) bool {
	if s.holding && !tr.spoilt {
		s.held = append(s.held, tr.call.TID)
		return true
	}
	return false
}

// release resumes those that are held, and has nobody held any more. (One may have died meanwhile.)
func (w *worker) release() {
	w.settling.holding = false
	for _, tid := range w.settling.held {
		raw.ResumeToEvent(tid, 0)
	}
	w.settling.held = nil
}

// awaitOthers waits until the other workers have settled, too, so that those who are released do not take the CPUs from
// them.
func (t *Tracer) awaitOthers() {
	for begin := time.Now(); t.unsettled.Load() > 0 && time.Since(begin) < holdAtMost; {
		nap(settleNap)
	}
}

// owesStops reports whether there is a tracee that is going to answer an interrupt, whose call a signal has broken off just
// now (brokenoff.go), or that is to come to the exit-stop of its call soon: it would stand there until the thread has
// exited. That is waited for no longer than others are held.
func (w *worker) owesStops() bool {
	for tid, tr := range w.table.tracees {
		inCall := tr.inCall || tr.broken.state != unbroken
		if !tr.interruptPending && !inCall {
			continue
		}
		runs, sleeps := false, false
		switch state := statusField(tid, "State") + " "; state[0] {
		case 'R', 't':
			runs = true
		case 'S':
			sleeps = true
		}
		switch {
		case tr.interruptPending && (runs || sleeps),
			w.settling.holding && tr.inCall && runs,
			inCall && runs && (statusSet(tid, "SigPnd") != 0 || statusSet(tid, "ShdPnd") != 0):
			return true
		}
	}
	return false
}

package ptrace

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// handover is the part of a worker that detaches tracees for tracers of their own.
//
// A thread has at most one tracer, so a debugger that is traced itself could not trace anything
// that is traced, too: strace says "PTRACE_TRACEME: Operation not permitted" there. sysprof detaches the thread that a
// tracee wants to trace. The tracee stands at the entry-stop of its ptrace call until that has happened.
type handover struct {
	waiting []*tracee // for the thread of waitingFor to be detached
}

// wait has tr wait for target.
func (h *handover) wait(tr *tracee, target int32) {
	tr.waitingFor = target
	h.waiting = append(h.waiting, tr)
}

// remove is told that tr has died.
func (h *handover) remove(tr *tracee) {
	if tr.waitingFor != 0 {
		tr.waitingFor = 0
		h.waiting = slices.DeleteFunc(h.waiting, func(waiting *tracee) bool { return waiting == tr })
	}
}

// take removes and returns the tracees that wait for target.
func (h *handover) take(target int32) (ready []*tracee) {
	for i := 0; i < len(h.waiting); {
		tr := h.waiting[i]
		if tr.waitingFor != target {
			i++
			continue
		}
		tr.waitingFor = 0
		h.waiting = slices.Delete(h.waiting, i, i+1)
		ready = append(ready, tr)
	}
	return ready
}

// makesTracer deals with the entry-stop of a ptrace call. It reports whether tr is not to be
// resumed.
func (w *worker) makesTracer(tr *tracee) bool {
	switch c := &tr.call; c.Args[0] {
	case unix.PTRACE_TRACEME:
		if parentOf(c.TID) == int32(os.Getpid()) {
			// The tracer that it asks for is this process. The call fails, as under strace.
			w.t.warn(profile.Warning{Kind: profile.TraceMeFailed, ID: int(c.PID)})
			return false
		}
		w.detach(tr, 0)
		return true
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		target := int32(c.Args[1])
		owner := w.ownerOf(target)
		if owner == nil || target <= 0 || target == c.TID {
			return false
		}
		if owner == w && !w.requestDetach(target) {
			return false
		}
		w.handover.wait(tr, target)
		if owner != w {
			owner.thread.post(func() {
				if !owner.requestDetach(target) {
					w.thread.post(func() { w.resumeWaiting(target) })
				}
			})
		}
		return true
	}
	return false
}

// ownerOf returns the worker that traces tid, nil if none does.
func (w *worker) ownerOf(tid int32) *worker {
	if w.table.has(tid) {
		return w
	}
	return w.t.workerOf(tracerOf(tid))
}

// requestDetach makes sure that tid is detached at its next stop, and that those who wait for that are resumed. It
// reports false if there is nothing to wait for.
func (w *worker) requestDetach(tid int32) bool {
	target := w.table.tracees[tid]
	switch {
	case target == nil && tracerOf(tid) == w.thread.tid.Load():
		// It was created just now, and its first stop, by itself, is yet to be seen.
		w.add(tid, groupOf(tid)).detachRequested = true
		return true
	case target == nil || target.waitingFor != 0:
		return false
	case target.detachRequested:
		return true
	}
	target.detachRequested = true
	return target.interruptPending || w.interrupt(target) == nil // else it has died; its status is on the way
}

// interrupt makes a tracee stop once.
func (w *worker) interrupt(tr *tracee) error {
	tr.interruptPending = true
	tr.before = beforeInterrupt(tr.call.TID)
	err := raw.Interrupt(tr.call.TID)
	w.isAwake(tr) // last, since it takes time
	return err
}

// detach detaches tr, at a stop of its own, for a tracer of its own.
func (w *worker) detach(tr *tracee, sig int) {
	w.t.warn(profile.Warning{Kind: profile.LeftToItsTracer, ID: int(tr.call.TID)})
	w.endCall(tr, profile.LeftToTracer)
	w.home.Restore(&tr.place)
	raw.Detach(tr.call.TID, sig)
	w.remove(tr)
}

// resumeAllWaiting resumes, in all workers, the tracees whose ptrace call waits for target to be detached.
func (w *worker) resumeAllWaiting(target int32) {
	for _, other := range w.t.workers {
		if other != w {
			other.thread.post(func() { other.resumeWaiting(target) })
		}
	}
	w.resumeWaiting(target)
}

// resumeWaiting resumes the tracees whose ptrace call waits for target to be detached.
func (w *worker) resumeWaiting(target int32) {
	if len(w.handover.waiting) == 0 {
		return
	}
	for _, tr := range w.handover.take(target) {
		tr.seenAll, tr.call.EntryResumedNs = w.dealtWith, w.t.now()
		w.resume(tr, 0)
	}
}

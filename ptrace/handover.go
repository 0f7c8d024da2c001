package ptrace

import (
	"os"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// A thread has at most one tracer, so a debugger that is traced itself could not trace anything
// that is traced, too: strace says "PTRACE_TRACEME: Operation not permitted" there. sysprof gives
// way instead: whoever is to be traced by a tracee is detached first.

// makesTracer deals with the entry-stop of a ptrace call. It reports whether tr is not to be
// resumed.
func (w *worker) makesTracer(tr *tracee) bool {
	switch c := &tr.call; c.Args[0] {
	case unix.PTRACE_TRACEME:
		if parentOf(c.TID) == int32(os.Getpid()) {
			// There is no other tracer to give way to. The call fails, as under strace.
			w.warn(profile.Warning{Kind: profile.TraceMeFailed, ID: int(c.PID)})
			return false
		}
		w.giveUp(tr, 0)
		return true
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		tid := int32(c.Args[1])
		owner := w.ownerOf(tid)
		if owner == nil || tid <= 0 || tid == c.TID {
			return false
		}
		if owner == w && !w.handOn(tid) {
			return false
		}
		tr.waitingFor = tid
		w.holders++
		if owner != w {
			owner.post(func() {
				if !owner.handOn(tid) {
					w.post(func() { w.releaseHolders(tid) })
				}
			})
		}
		return true
	}
	return false
}

// ownerOf returns the worker that traces tid, nil if none does.
func (w *worker) ownerOf(tid int32) *worker {
	if w.tracees[tid] != nil {
		return w
	}
	tracer := tracerOf(tid)
	for _, other := range w.workers {
		if other.tid.Load() == tracer {
			return other
		}
	}
	return nil
}

// handOn makes sure that tid is detached at its next stop, and the holders are told. It reports false if
// there is nothing to wait for.
func (w *worker) handOn(tid int32) bool {
	target := w.tracees[tid]
	if target == nil && tracerOf(tid) == w.tid.Load() {
		// It was created just now, and its first stop, by itself, is yet to be seen.
		target = w.add(tid, groupOf(tid))
		target.handedOn = true
		return true
	}
	if target == nil || target.waitingFor != 0 {
		return false
	}
	if target.handedOn {
		return true
	}
	target.handedOn = true
	if !target.firstStop {
		target.firstStop = true
		target.before = beforeInterrupt(tid)
		if interrupt(tid) != nil {
			return false // it has died; its status is on the way
		}
	}
	return true
}

// giveUp detaches tr, at a stop of its own, for a tracer of its own.
func (w *worker) giveUp(tr *tracee, sig int) {
	w.warn(profile.Warning{Kind: profile.LeftToItsTracer, ID: int(tr.call.TID)})
	w.unfinished(tr, profile.LeftToTracer)
	w.release(tr)
	detach(tr.call.TID, sig)
	w.forget(tr)
}

// releaseAll lets whoever waits for target to be detached go on, in all workers.
func (w *worker) releaseAll(target int32) {
	for _, other := range w.workers {
		if other != w {
			other.post(func() { other.releaseHolders(target) })
		}
	}
	w.releaseHolders(target)
}

// releaseHolders resumes the tracees whose ptrace call waited for target to be detached.
func (w *worker) releaseHolders(target int32) {
	if w.holders == 0 {
		return
	}
	for _, tr := range w.tracees {
		if tr.waitingFor == target {
			tr.waitingFor = 0
			w.holders--
			tr.call.EntryResumedNs = w.now()
			w.resume(tr, 0)
		}
	}
}

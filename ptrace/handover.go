package ptrace

import (
	"os"

	"golang.org/x/sys/unix"
)

// A thread has at most one tracer, so a debugger that is traced itself could not trace anything
// that is traced, too: strace says "PTRACE_TRACEME: Operation not permitted" there. sysprof gives
// way instead: whoever is to be traced by a tracee is detached first.

// makesTracer deals with the entry-stop of a ptrace call. It reports whether tr is not to be
// resumed.
func (t *Tracer) makesTracer(tr *tracee) bool {
	switch c := &tr.call; c.Args[0] {
	case unix.PTRACE_TRACEME:
		if parentOf(c.TID) == int32(os.Getpid()) {
			// There is no other tracer to give way to. The call fails, as under strace.
			t.warn("process %d asked its parent to trace it, which is sysprof: that failed, because sysprof does so already", c.PID)
			return false
		}
		t.giveUp(tr, 0)
		return true
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		tid := int32(c.Args[1])
		target := t.tracees[tid]
		if target == nil && tid > 0 && tracerOf(tid) == t.tid.Load() {
			// It was created just now, and its first stop, by itself, is yet to be seen.
			target = t.add(tid, groupOf(tid))
			target.handedOn = true
		}
		if target == nil || target == tr || target.waitingFor != 0 {
			return false
		}
		if !target.handedOn {
			target.handedOn = true
			if !target.firstStop {
				target.firstStop = true
				target.before = beforeInterrupt(target.call.TID)
				if interrupt(target.call.TID) != nil {
					return false // it has died; its status is on the way
				}
			}
		}
		tr.waitingFor = target.call.TID
		t.holders++
		return true
	}
	return false
}

// giveUp detaches tr, at a stop of its own, for a tracer of its own.
func (t *Tracer) giveUp(tr *tracee, sig int) {
	t.warn("process %d was left to a tracer of its own: its calls from then on are not counted, nor are those of its children", tr.call.TID)
	t.unfinished(tr, GivenUp)
	detach(tr.call.TID, sig)
	t.forget(tr)
}

// releaseHolders resumes the tracees whose ptrace call waited for target to be detached.
func (t *Tracer) releaseHolders(target int32) {
	if t.holders == 0 {
		return
	}
	for _, tr := range t.tracees {
		if tr.waitingFor == target {
			tr.waitingFor = 0
			t.holders--
			tr.call.EntryResumedNs = t.now()
			t.resume(tr, 0)
		}
	}
}

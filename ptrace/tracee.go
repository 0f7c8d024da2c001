package ptrace

import (
	"sysprof/profile"
	"sysprof/ptrace/internal/place"
)

// tracee is one traced thread.
type tracee struct {
	call profile.Call // the call it is in, or was in last

	inCall           bool  // between an entry-stop and its exit-stop
	launching        bool  // our own child, before its execve
	interruptPending bool  // a PTRACE_INTERRUPT has not been answered yet
	spoilt           bool  // the call that it is in was entered at a stop that answered an interrupt
	control          bool  // it was interrupted at an exit-stop, and has not stopped since
	controlHeldNs    int64 // how long it stood still for that before it was resumed
	stopped          bool  // by job control: it was resumed with PTRACE_LISTEN
	detachRequested  bool  // to be detached at its next stop, for a tracer of its own

	// seenAll is how many stops the worker had dealt with when this was resumed in its call, and its own since then.
	seenAll uint64

	waits traceeWaits
	place place.Thread
	cpu   cpuClock

	sleep  sleep  // what it has been left asleep in since it was seized
	roused bool   // it was left asleep until the stop that is dealt with, for which its call has been broken off
	before asleep // what it slept in when it was interrupted
	broken brokenOff
	expiry expiry

	handlers handlers // of signals that it has got

	restart restart
	resumed bool // the call in progress is the continuation of one entered before the attach

	waitingFor int32 // the tid whose detaching this thread's entry-stop waits for, or 0
}

// restart is a call that was interrupted, and that restart_syscall(2) goes on with. It is the call that the thread
// really sleeps in.
type restart struct {
	known   bool
	nr      uint64
	sinceNs int64 // when the thread entered the call, or was seen in it
}

// table has the tracees of one worker. A thread that is not in it is not traced by the worker.
type table struct {
	tracees map[int32]*tracee // by tid
	last    *tracee           // that was looked up
	spare   []*tracee
}

// lookup finds the thread tid, which is most often the one that was looked up last.
func (t *table) lookup(tid int32) *tracee {
	if t.last != nil && t.last.call.TID == tid {
		return t.last
	}
	tr := t.tracees[tid]
	t.last = tr
	return tr
}

func (t *table) has(tid int32) bool { return t.tracees[tid] != nil }

// fresh returns a tracee that is not in the table yet.
func (t *table) fresh() *tracee {
	n := len(t.spare)
	if n == 0 {
		return new(tracee)
	}
	tr := t.spare[n-1]
	t.spare = t.spare[:n-1]
	*tr = tracee{}
	return tr
}

// remove takes a tracee out of the table. Its memory is used for another one later.
func (t *table) remove(tr *tracee) {
	delete(t.tracees, tr.call.TID)
	if t.last == tr {
		t.last = nil
	}
	const spares = 1024 // enough for a storm of threads; the rest goes back to the heap
	if len(t.spare) < spares {
		t.spare = append(t.spare, tr)
	}
}

// add puts a thread into the table.
func (w *worker) add(tid, pid int32) *tracee {
	tr := w.table.fresh()
	tr.call.TID, tr.call.PID = tid, pid
	tr.call.CPUNs = -1
	if w.t.options.CPUTime {
		tr.cpu.open(tid, &w.t.quotas.cpu)
	}
	w.home.Added(&tr.place, tid, pid)
	if !w.table.has(tid) {
		w.t.threads.Add(1)
		if w.t.run.is() > calibrating {
			w.t.seen.Add(1)
			w.t.ends.added(pid)
		}
		if tid == pid {
			w.t.processes.Add(1)
		}
	}
	w.table.tracees[tid] = tr
	return tr
}

// remove takes a thread that is traced no more out of the table, and tells the sink that it has ended.
func (w *worker) remove(tr *tracee) {
	if w.drop(tr) && w.t.options.Sink != nil && w.t.run.is() > calibrating { // else it is the calibration child
		w.t.options.Sink.Ended(tr.call.PID, tr.call.TID)
	}
}

// drop takes a thread out of the table. It reports whether it was there.
func (w *worker) drop(tr *tracee) bool {
	if tr == nil || w.table.tracees[tr.call.TID] != tr {
		return false
	}
	w.t.threads.Add(-1)
	w.t.ends.dropped(tr.call.PID)
	if tr.call.TID == tr.call.PID {
		w.t.processes.Add(-1)
	}
	w.home.Removed(&tr.place)
	w.closeFilesOf(tr)
	w.table.remove(tr)
	w.handover.remove(tr)
	if tr.detachRequested {
		w.resumeAllWaiting(tr.call.TID)
	} else {
		w.resumeWaiting(tr.call.TID)
	}
	return true
}

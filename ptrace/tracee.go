package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// tracee is one traced thread.
type tracee struct {
	call profile.Call // the call it is in, or was in last

	inCall    bool // between an entry-stop and its exit-stop
	launching bool // our own child, before its execve
	firstStop bool // our PTRACE_INTERRUPT has not been answered yet
	handedOn  bool // to be detached at its next stop, for a tracer of its own

	place placeable

	schedstat  int // descriptor of /proc/TID/schedstat, where CPU time is measured; 0 if there is none
	entryCPUNs int64

	before asleep // what it slept in when it was interrupted

	// A call that was broken off and that restart_syscall(2) goes on with. It is the call that the
	// thread really sleeps in.
	broken     bool
	brokenNr   uint64
	resumed    bool // the call in progress is the continuation of one entered before the attach
	sinceNs    int64
	waitingFor int32 // the tid whose detaching this thread's entry-stop waits for, or 0
}

// add puts a thread into the table.
func (w *worker) add(tid, pid int32) *tracee {
	var tr *tracee
	if n := len(w.spare); n > 0 {
		tr, w.spare = w.spare[n-1], w.spare[:n-1]
		*tr = tracee{}
	} else {
		tr = new(tracee)
	}
	tr.call.TID, tr.call.PID = tid, pid
	tr.call.CPUNs = -1
	if w.cpuTime {
		tr.openCPU()
	}
	w.welcome(tr)
	if w.tracees[tid] == nil {
		w.count.Add(1)
		if tid == pid {
			w.leaders.Add(1)
		}
	}
	w.tracees[tid] = tr
	return tr
}

// forget takes a thread out of the table.
func (w *worker) forget(tr *tracee) {
	if tr == nil || w.tracees[tr.call.TID] != tr {
		return
	}
	delete(w.tracees, tr.call.TID)
	if tr.call.TID == tr.call.PID {
		w.leaders.Add(-1)
	}
	w.abandon(tr)
	if tr.schedstat != 0 {
		unix.Close(tr.schedstat)
	}
	w.count.Add(-1)
	if w.options.Sink != nil && w.beganNs.Load() != 0 { // else it is a calibration's child
		w.options.Sink.Ended(tr.call.PID, tr.call.TID)
	}
	if w.last == tr {
		w.last = nil
	}
	const spares = 1024 // enough for a storm of threads; the rest goes back to the heap
	if len(w.spare) < spares {
		w.spare = append(w.spare, tr)
	}
	if tr.waitingFor != 0 { // it died while it was held
		w.holders--
	}
	if tr.handedOn {
		w.releaseAll(tr.call.TID)
	} else {
		w.releaseHolders(tr.call.TID)
	}
}

// lookup finds the thread tid, which is most often the one that stopped last.
func (w *worker) lookup(tid int32) *tracee {
	if w.last != nil && w.last.call.TID == tid {
		return w.last
	}
	tr := w.tracees[tid]
	w.last = tr
	return tr
}

// restartOf names the call that tr's restart_syscall(2) goes on with, and since when that is known.
func (w *worker) restartOf(tr *tracee, soFarNs int64) (nr uint64, sinceNs int64) {
	nr = tr.call.Nr
	if tr.broken && tr.brokenNr != nr {
		return tr.brokenNr, w.now() - tr.sinceNs
	}
	// It was broken off before the attach.
	if broken, ok := brokenCall(tr.call.TID); ok {
		nr = broken
	}
	return nr, soFarNs
}

// unfinished hands on the call that tr is in, if any, as one that did not return.
func (w *worker) unfinished(tr *tracee, why profile.Ending) {
	if w.options.Sink == nil || tr.launching || w.beganNs.Load() == 0 {
		return
	}
	f := profile.InFlight{PID: tr.call.PID, TID: tr.call.TID, ABI: tr.call.ABI, Nr: tr.call.Nr, Why: why, Resumed: tr.resumed}
	switch {
	case tr.inCall:
		f.SoFarNs = w.now() - tr.call.EntrySeenNs
		if w.isRestart(&tr.call) {
			f.Nr, f.SoFarNs = w.restartOf(tr, f.SoFarNs)
		}
	case tr.firstStop && why == profile.Detached:
		// It could not be interrupted (the parent of a vfork cannot), but what it sleeps in can
		// be told.
		call, ok := sleepingCall(tr.call.TID)
		if !ok {
			return
		}
		f.ABI, f.Nr, f.Resumed = w.native, call.nr, true
		f.SoFarNs = w.now() - tr.sinceNs
	default:
		return
	}
	if why == profile.Killed && w.endsThread(f.ABI, f.Nr) {
		f.Why = profile.Exited
	}
	tr.inCall = false
	w.mu.Lock()
	defer w.mu.Unlock()
	w.options.Sink.InFlight(&f)
}

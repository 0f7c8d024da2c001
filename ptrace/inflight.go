package ptrace

import "sysprof/profile"

// flushInFlight hands the calls that are in flight at the end to the sink. Why is Replaced if the tracees are gone
// without a report of their deaths: they were leaders of their processes when another thread made an execve.
func (w *worker) flushInFlight(why profile.Ending) {
	for _, tr := range w.table.tracees {
		w.endCall(tr, why)
		switch {
		case why != profile.Replaced:
		case w.t.isOurs(tracerOf(tr.call.TID)):
			w.drop(tr) // the id is that of another worker's tracee now
		default:
			w.remove(tr)
		}
	}
}

// endCall hands the call that tr is in, if any, to the sink as one that did not return.
func (w *worker) endCall(tr *tracee, why profile.Ending) {
	if w.t.options.Sink == nil || tr.launching || w.t.run.is() == calibrating {
		return
	}
	if tr.broken.state == goesOn { // for the sink it is in the call
		tr.inCall, tr.broken.state = true, anew
	}
	w.handOn(tr)
	f := profile.InFlight{PID: tr.call.PID, TID: tr.call.TID, ABI: tr.call.ABI, Nr: tr.call.Nr, Args: tr.call.Args, Why: why,
		Resumed: tr.resumed, Stack: tr.call.Stack}
	switch {
	case tr.inCall:
		f.SoFarNs = w.t.now() - tr.call.EntrySeenNs // a standstill of ours in it, too: the thread was in the call meanwhile
		if w.t.isRestart(&tr.call) {
			f.Nr, f.SoFarNs = w.restartedCall(tr, f.SoFarNs)
		}
	case tr.sleeps():
		f.ABI, f.Nr, f.Args, f.Resumed = tr.sleep.abi, tr.sleep.nr, tr.sleep.args, true
		f.NotStopped, f.Stack = true, 0
		f.SoFarNs = w.t.now() - tr.restart.sinceNs
	case tr.interruptPending && !tr.control && why == profile.Detached:
		// It could not be interrupted (the parent of a vfork cannot), but what it sleeps in can
		// be told.
		call, ok := sleepingCall(tr.call.TID)
		if !ok {
			return
		}
		f.ABI, f.Nr, f.Args, f.Resumed = w.t.native, call.nr, call.args, true
		f.NotStopped, f.Stack = true, 0
		f.SoFarNs = w.t.now() - tr.restart.sinceNs
	default:
		return
	}
	if why == profile.Killed && w.t.endsThread(f.ABI, f.Nr) {
		f.Why = profile.Exited
	}
	tr.inCall = false
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	w.t.options.Sink.InFlight(&f)
}

// restartedCall names the call that tr's restart_syscall(2) goes on with, and for how long tr is known to be in it.
func (w *worker) restartedCall(tr *tracee, soFarNs int64) (nr uint64, ns int64) {
	nr = tr.call.Nr
	if tr.restart.known && tr.restart.nr != nr {
		return tr.restart.nr, w.t.now() - tr.restart.sinceNs
	}
	// It was interrupted before the attach.
	if interrupted, ok := interruptedCall(tr.call.TID); ok {
		nr = interrupted
	}
	return nr, soFarNs
}

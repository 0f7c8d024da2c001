package ptrace

import (
	"sync"

	"sysprof/profile"
)

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
	f, ok := w.flight(tr, why)
	if !ok {
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

// flight is the call that tr is in. It reports false if it is in none.
func (w *worker) flight(tr *tracee, why profile.Ending) (f profile.InFlight, ok bool) {
	f = profile.InFlight{PID: tr.call.PID, TID: tr.call.TID, ABI: tr.call.ABI, Nr: tr.call.Nr, Args: tr.call.Args, Why: why,
		Resumed: tr.resumed, Stack: tr.call.Stack, Unwanted: tr.call.Unwanted}
	if !tr.inCall && tr.broken.state != goesOn {
		return f, w.foundAsleep(tr, &f)
	}
	f.SoFarNs = w.t.now() - tr.call.EntrySeenNs // a standstill of ours in it, too: the thread was in the call meanwhile
	if w.t.isRestart(&tr.call) {
		f.Nr, f.SoFarNs = w.restartedCall(tr, f.SoFarNs)
	}
	return f, true
}

// foundAsleep fills in the call that tr has been in since before it was attached to, without having stopped. It reports false if
// it is in none.
func (w *worker) foundAsleep(tr *tracee, f *profile.InFlight) bool {
	switch {
	case tr.sleeps():
		f.ABI, f.Nr, f.Args = tr.sleep.abi, tr.sleep.nr, tr.sleep.args
	case tr.interruptPending && !tr.control && f.Why == profile.Detached:
		// It could not be interrupted (the parent of a vfork cannot), but what it sleeps in can
		// be told.
		call, ok := sleepingCall(tr.call.TID)
		if !ok {
			return false
		}
		f.ABI, f.Nr, f.Args = w.t.native, call.nr, call.args
	default:
		return false
	}
	f.Resumed, f.NotStopped, f.Stack, f.Unwanted = true, true, 0, false
	f.SoFarNs = w.t.now() - tr.restart.sinceNs
	return true
}

// Asleep tells of the calls that threads have been in since before they were attached to, and in which none has stopped since.
// What tells of all others is not asked: OnEntry and the sink have been told of them. f is called on tracer threads; Asleep
// does not wait for that.
func (t *Tracer) Asleep(f func(*profile.InFlight)) {
	for _, w := range t.workers {
		w.thread.post(func() {
			for _, tr := range w.table.tracees {
				call := profile.InFlight{PID: tr.call.PID, TID: tr.call.TID, Why: profile.Detached}
				if !tr.inCall && !tr.launching && w.foundAsleep(tr, &call) {
					f(&call)
				}
			}
		})
	}
}

// InFlight tells of the calls that threads are in now: each as it would be handed to the sink if tracing ended. f is called on
// tracer threads, and on each in the order in which the sink is told of its calls. InFlight returns when all have told, which may
// take as long as OnEntry and the sink do.
func (t *Tracer) InFlight(f func(*profile.InFlight)) {
	var all sync.WaitGroup
	for _, w := range t.workers {
		all.Go(func() {
			w.thread.ask(func() {
				if is := t.run.is(); is == calibrating || is >= countingOver {
					return
				}
				for _, tr := range w.table.tracees {
					if tr.launching {
						continue
					}
					if call, ok := w.flight(tr, profile.Detached); ok {
						f(&call)
					}
				}
			})
		})
	}
	all.Wait()
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

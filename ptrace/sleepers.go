package ptrace

import "sysprof/syscalltab"

// An interrupt makes a call that sleeps begin again (see hideInterrupt), and one that waits with a timeout but has no
// restart block (epoll_wait, recv with SO_RCVTIMEO, sigtimedwait, semtimedop: signal(7)) then waits for all of it
// again. A program that is attached to often enough would never time out. Others return what they have done so far (a
// write of much, recv with MSG_WAITALL, io_uring_enter), which cannot be hidden at all.
//
// So a thread that sleeps in such a call is seized and left asleep. An alarm (alarm.go) tells the lookout when its call
// returns, without any effect on the thread, and only then is the thread interrupted. What it calls until that
// arrives is not seen, nor what one calls that wakes while others are still being attached to: it would have to stand
// still until all are. Whatever else becomes of a sleeper (a signal for it, its death) is a stop, or
// an end, as that of any other tracee. At the end of a run sleepers sleep on (see settle).
//
// There may be no alarm: the kernel, or whoever guards a container, can refuse perf_event_open; debuggers may have
// taken all breakpoints; or there are not enough descriptors. Then the thread is interrupted at once, as all others are,
// and its timeout begins again.

// sleep is the call that a thread sleeps in which has been seized without an interrupt.
type sleep struct {
	fd   int // of its alarm; 0: it is not left asleep
	kind alarmKind
	abi  syscalltab.ABI
	nr   uint64
	args [6]uint64
	pc   uint64 // where the call returns to

	before asleep // the call, if a signal breaks it off

	isUnknown bool // it has run and been interrupted: whether its call has returned is known at its next stop
}

// watch sets an alarm for a thread that is about to be seized, if it sleeps in a call that does not go on from
// where it was when it is interrupted. It does so before the seize, since the first alarm of a machine waits for
// all CPUs (kernel/events/core.c, account_event: synchronize_rcu), and who has been seized may stand still already.
func (w *worker) watch(tid, pid int32) (s sleep) {
	call, ok := sleepingCall(tid)
	if !ok {
		return sleep{}
	}
	s.pc, s.before = call.pc, asleepAt(&call)
	s.abi, s.nr, s.args = abiOf(tid, &call), call.nr, call.args
	if s.abi != syscalltab.Unknown {
		s.nr = s.abi.Demultiplex(call.nr, &call.args)
	}
	switch stateOf(tid) {
	case 'S':
		if isUnharmed(tid, pid, s.abi, s.nr, &call.args) {
			return sleep{}
		}
	case 'D':
		// A wait that can be interrupted is frozen (the freezer of cgroups, version 1). An interrupt would not stop the
		// thread before it thaws, and break off its call then, with nobody there to hide that if it is left before.
		if !canGoOn(s.abi, s.nr) {
			return sleep{}
		}
	default: // it runs, or has been interrupted already: T
		return sleep{}
	}
	if s.abi == syscalltab.Unknown {
		s.abi = w.t.native
	}
	var err error
	if s.fd, s.kind, err = w.t.lookout.open(w, tid, s.pc); err != nil {
		return sleep{}
	}
	return s
}

// letSleep has tr, which has just been seized, sleep on until its call returns. It reports false if tr has to be
// interrupted at once: there is no alarm, or tr was awake before there was.
func (w *worker) letSleep(tr *tracee, s sleep) bool {
	if s.fd == 0 {
		return false
	}
	call, asleep := sleepingCall(tr.call.TID)
	if !asleep || call.pc != s.pc || call.nr != s.abi.KernelNumber(s.nr) || hasFired(s.fd) {
		w.t.lookout.close(s.fd)
		return false
	}
	tr.sleep = s
	return true
}

// woke is told that the call of a sleeper has returned.
func (w *worker) woke(tid int32, fd int) {
	tr := w.table.tracees[tid]
	if tr == nil || tr.sleep.fd != fd || !hasFired(fd) {
		return // the signal was on its way when the sleeper had stopped, or another thread got the descriptor
	}
	if w.t.run.is() < counting {
		return // it would stand still until all have been attached to: then wakeFirst asks again
	}
	tr.restart.sinceNs = w.t.now()
	w.rouse(tr)
}

// rouse interrupts a sleeper whose alarm has fired.
func (w *worker) rouse(tr *tracee) {
	tr.sleep.isUnknown = tr.sleep.kind == atRun
	w.interrupt(tr)
}

// wakeAll is woke for all sleepers whose calls have returned.
func (w *worker) wakeAll() {
	for tid, tr := range w.table.tracees {
		if tr.sleep.fd != 0 {
			w.woke(tid, tr.sleep.fd)
		}
	}
}

// wakeFirst is wakeAll for those who have woken up while others were attached to, some of them long ago: who is in such
// a call again is left asleep again. (Later that would not do: one that never runs for long would never be traced.)
func (w *worker) wakeFirst() {
	if w.t.run.is() != counting {
		return
	}
	for tid, tr := range w.table.tracees {
		if tr.sleep.fd == 0 || !hasFired(tr.sleep.fd) {
			continue
		}
		tr.restart.sinceNs = w.t.now()
		again := w.watch(tid, tr.call.PID)
		w.isAwake(tr)
		if !w.letSleep(tr, again) {
			w.rouse(tr)
		}
	}
}

// isAwake is told that tr is not left asleep any more, if it was.
func (w *worker) isAwake(tr *tracee) {
	if tr.sleep.fd != 0 {
		w.t.lookout.close(tr.sleep.fd)
		tr.sleep.fd = 0
	}
}

// sleeps reports whether tr is still in the call in which it was found asleep, as far as that is known without a stop of it:
// if all that is known is that it has run, a signal may have come for it, or its end.
func (tr *tracee) sleeps() bool {
	return tr.sleep.isUnknown || tr.sleep.fd != 0 && (tr.sleep.kind == atRun || !hasFired(tr.sleep.fd))
}

// isRoused reports at a stop of tr whether it has been in the call in which it was found asleep until this stop.
func (tr *tracee) isRoused() bool {
	s := &tr.sleep
	if !tr.sleeps() || s.kind == atReturn {
		return tr.sleeps()
	}
	call, ok := sleepingCall(tr.call.TID)
	return ok && call.pc == s.pc && call.nr == s.abi.KernelNumber(s.nr)
}

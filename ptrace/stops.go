package ptrace

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/place"
	"sysprof/ptrace/internal/raw"
	"sysprof/syscalltab"
)

// act deals with a stop: one function a kind.
func (w *worker) act(s stop) {
	tr := w.table.lookup(s.tid)
	switch {
	case s.isEnd():
		w.died(tr, s)
		return
	case tr == nil:
		tr = w.addBorn(s.tid)
	}
	if s.kind == execStop {
		w.replaceLeader(tr) // first: what follows is about the thread that has stopped
	}
	w.dealtWith++
	tr.seenAll++
	tr.roused = tr.isRoused()
	w.isAwake(tr)
	tr.sleep.isUnknown = false
	interrupted := tr.interruptPending
	tr.interruptPending = false // any stop answers an interrupt (kernel/signal.c, ptrace_stop)
	stopped := tr.stopped
	tr.stopped = false
	if tr.control {
		tr.control = false
		if s.kind == eventStop {
			w.controlled(tr)
			return
		}
		interrupted = false // it hit no call
	}
	switch s.kind {
	case syscallStop:
		w.syscallStop(tr, interrupted)
	case filterStop:
		w.filterStop(tr, interrupted)
	case signalStop:
		w.signalStop(tr, s.sig)
	case groupStop, eventStop:
		w.eventStop(tr, s.kind, interrupted, stopped)
	case execStop:
		w.execStop(tr)
	default: // cloneStop, otherStop
		w.resume(tr, 0) // a new tracee reports itself, before or after this
	}
}

// addBorn puts a thread into the table that a tracee has just created.
func (w *worker) addBorn(tid int32) *tracee {
	tr := w.add(tid, groupOf(tid))
	w.home.Born(&tr.place, tr.call.PID)
	return tr
}

// syscallStop is the entry to or the exit from a call.
//
// interrupted says that it has answered a PTRACE_INTERRUPT. That leaves the thread as if a signal were pending
// (kernel/signal.c, ptrace_stop, sets TIF_SIGPENDING and never clears it), so that a call which sleeps returns at once,
// some with EINTR.
func (w *worker) syscallStop(tr *tracee, interrupted bool) {
	if w.t.run.is() >= countingOver {
		w.passSpoilt(tr, interrupted)
		w.resume(tr, 0)
		return
	}
	seenNs := w.t.now()
	w.waker.stops++
	w.line.queued = w.line.queued || seenNs-w.resumedNs < w.t.queuedBelowNs
	w.home.CountStop(seenNs, w.line.queued)
	switch err := raw.ReadSyscallInfo(tr.call.TID, &w.at.info); {
	case err == nil:
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL):
		w.resume(tr, 0)
		w.t.fail(ErrKernel)
		return
	default:
		return // it has died
	}
	switch w.at.info.Op {
	case raw.OpEntry:
		tr.spoilt = interrupted
		w.waits.stopped(tr)
		again := tr.spoilt && w.settling.on
		if again { // there is no exit-stop: this hides what the call returns, which it may do as soon as it is resumed
			w.interrupt(tr)
		}
		w.entered(tr, seenNs)
		if again {
			tr.before = asleepIn(&tr.call, w.at.info.IP)
		}
	case raw.OpExit:
		tr.expiry.answer(tr, &w.at.info)
		if (tr.spoilt || interrupted) && tr.inCall && w.hideSpoilt(tr) {
			w.resume(tr, 0)
			return
		}
		w.waits.stopped(tr)
		w.returned(tr, seenNs)
	default:
		w.resume(tr, 0)
	}
}

// entered is an entry-stop.
func (w *worker) entered(tr *tracee, seenNs int64) {
	if tr.broken.state != unbroken && w.enteredAgain(tr, seenNs) {
		return
	}
	w.readEntry(tr, seenNs)
	special := &w.t.special[tr.call.ABI]
	if tr.launching && tr.call.Nr != special.execve {
		w.resume(tr, 0)
		return
	}
	tr.inCall = true
	first := tr.call.ExitResumedNs == 0 && w.looksFromFirst()
	if tr.waits.mixed = w.line.queued && !first; first || !tr.waits.mixed && w.isLong(tr.call.GapNs) {
		w.waits.since(tr, seenNs) // what the program's own work waited is not the call's
	}
	tr.continues(special)
	if w.detachAtEntry(tr, special) {
		return
	}
	w.placeAtEntry(tr, special)
	w.captureAtEntry(tr)
	if w.t.options.CPUTime {
		tr.cpu.enter()
	}
	tr.seenAll, tr.call.EntryResumedNs = w.dealtWith, w.t.now()
	w.shortenEntryHold(&tr.call)
	w.resumedNs = tr.call.EntryResumedNs
	w.waker.resumed(&tr.call)
	w.lookIfHeld(tr, tr.call.EntryResumedNs-tr.call.EntrySeenNs, tr.call.EntryResumedNs)
	w.waits.resumed(tr)
	w.resume(tr, 0)
}

// readEntry takes over from the kernel's information which call it is, and when.
func (w *worker) readEntry(tr *tracee, seenNs int64) {
	c, info := &tr.call, &w.at.info
	c.GapNs = -1
	if c.ExitResumedNs != 0 {
		c.GapNs = seenNs - c.ExitResumedNs
		if c.GapNs >= longNs {
			c.GapNs -= w.t.heart.waited(w.number, c.ExitResumedNs, seenNs)
		}
	}
	c.ABI = syscalltab.FromAudit(info.Arch, info.Nr)
	c.Nr = c.ABI.Demultiplex(info.Nr, &info.Args)
	c.Args = info.Args
	c.EntrySeenNs = seenNs
}

// continues takes note of whether the call that tr enters is still the one that it was in before the attach.
func (tr *tracee) continues(special *specialCalls) {
	if tr.resumed {
		tr.resumed = tr.restart.known && (tr.call.ABI.KernelNumber(tr.call.Nr) == tr.restart.nr || tr.call.Nr == special.restart)
	}
}

// detachAtEntry detaches a tracee for a tracer of its own, or deals with a filter that tr makes. It reports whether tr
// is not to be resumed.
func (w *worker) detachAtEntry(tr *tracee, special *specialCalls) bool {
	switch {
	case tr.detachRequested:
		w.detach(tr, 0)
		return true
	case w.filter.installed:
		if w.filter.entered(&tr.call, special, &w.table) {
			w.interruptOthers(tr)
		}
	case tr.call.Nr == special.ptrace:
		return w.makesTracer(tr)
	}
	return false
}

// placeAtEntry decides where tr runs in its call.
func (w *worker) placeAtEntry(tr *tracee, special *specialCalls) {
	c := &tr.call
	if tr.launching {
		w.home.Pin(&tr.place) // what it executes begins with nothing but calls
	}
	crossedCPU := c.CrossCPU
	c.CrossCPU = !w.home.Entered(&tr.place, c.GapNs)
	if c.CrossCPU != crossedCPU {
		c.GapNs = -1 // it was of the other kind
	}
	if kind := special.visible(c.Nr); kind != place.Nothing {
		w.home.Reveal(&tr.place, kind, int32(c.Args[0]))
	}
}

// captureAtEntry has the caller look at where tr stands.
func (w *worker) captureAtEntry(tr *tracee) {
	c := &tr.call
	c.Stack = 0
	c.Unwanted = tr.launching // nobody has looked at it
	if w.t.options.OnEntry != nil && !tr.launching && w.t.run.is() != calibrating {
		w.at.entry = EntryStop{IP: w.at.info.IP, SP: w.at.info.SP, w: w, tid: c.TID}
		c.Stack = w.t.options.OnEntry(c, &w.at.entry)
	}
}

// returned is an exit-stop.
func (w *worker) returned(tr *tracee, seenNs int64) {
	if !tr.inCall { // entered before it was traced
		w.resume(tr, 0)
		return
	}
	tr.inCall = false
	w.readExit(tr, seenNs)
	tr.call.Waits = profile.Waits{}
	tr.call.Woken = w.waker.woke(&tr.call)
	overtaken := !tr.call.Woken && w.wasOvertaken(tr)
	switch {
	case tr.call.Queued:
	case w.isLong(seenNs - tr.call.EntryResumedNs):
		tr.call.Waits = w.waits.since(tr, seenNs)
		tr.call.Waits.Overtaken = overtaken
		tr.call.Queued = tr.waits.mixed || overtaken && !tr.call.Waits.Known
	default:
		tr.call.Queued = overtaken
	}
	w.home.Returned(&tr.place)
	heldBack := w.holdBack(tr)
	if !heldBack {
		w.tellSlow(tr)
		w.beginControl(tr)
	}
	tr.call.ExitResumedNs = w.t.now()
	if tr.control {
		w.countFirst(tr)
	}
	w.resumedNs = tr.call.ExitResumedNs
	w.lookIfHeld(tr, tr.call.ExitResumedNs-tr.call.ExitSeenNs, tr.call.ExitResumedNs)
	w.waits.resumed(tr)
	w.shortenExitHold(&tr.call)
	if tr.detachRequested {
		w.detach(tr, 0)
	} else {
		w.resume(tr, 0)
	}
	if !tr.launching && !heldBack && !tr.control {
		w.feed.Call(&tr.call)
	}
	tr.resumed = false
	if !heldBack && tr.expiry.number != 0 {
		tr.expiry = expiry{}
	}
}

// wasOvertaken reports whether tr waited for the CPU that it shares with the tracer, for others and for what the tracer did
// for them, since it was resumed: until it could go on, or until its stop was seen. (What it did itself takes no longer for
// that. Of eight threads on one CPU that make calls all the time, a call in two that nobody stood before was overtaken once or more, at
// 4.5 µs each. A control that is overtaken counts all the same: calls wait for others, too, where no stop tells, and without such
// controls getppid took 1.0 µs among the threads of a python, in truth 0.2.)
func (w *worker) wasOvertaken(tr *tracee) bool {
	return !tr.call.CrossCPU && tr.seenAll != w.dealtWith
}

// tellSlow tells of a call that took long.
func (w *worker) tellSlow(tr *tracee) {
	o := &w.t.options
	if o.OnSlow == nil || tr.call.RawLatency() < o.Slow || tr.launching || w.t.run.is() == calibrating {
		return
	}
	o.OnSlow(&tr.call)
}

// passSpoilt has what an interrupt does to a call be hidden of which nobody is told any more: the call that tr enters at this
// stop, or comes back from. It makes tr stop once more, behind the call.
func (w *worker) passSpoilt(tr *tracee, interrupted bool) {
	if !interrupted && !tr.spoilt || raw.ReadSyscallInfo(tr.call.TID, &w.at.info) != nil {
		return
	}
	tr.spoilt = false
	info := &w.at.info
	w.interrupt(tr)
	if info.Op == raw.OpExit {
		tr.before = asleepIn(&tr.call, info.IP)
	} else {
		tr.before = asleepAt(&blockedCall{nr: info.Nr, args: info.Args, pc: info.IP})
	}
}

// hideSpoilt has a call be made again that returns EINTR only because of an interrupt. It reports whether it is.
func (w *worker) hideSpoilt(tr *tracee) bool {
	tr.spoilt = false
	if unix.Errno(-w.at.info.Ret()) != unix.EINTR || !w.at.info.Failed() || tr.detachRequested {
		return false
	}
	h, asleep := hideInterrupt(tr.call.TID, asleepIn(&tr.call, w.at.info.IP))
	if !asleep {
		return false
	}
	tr.broken = brokenOff{state: anew, pc: h.pc}
	tr.inCall = false
	return true
}

// readExit takes over from the kernel's information how the call ended, and when.
func (w *worker) readExit(tr *tracee, seenNs int64) {
	c, info := &tr.call, &w.at.info
	if seenNs-c.EntryResumedNs >= longNs {
		moveEntry(c, w.t.heart.waited(w.number, c.EntryResumedNs, seenNs))
	}
	c.ExitSeenNs = seenNs
	c.Queued = w.line.queued
	if w.t.options.CPUTime {
		c.CPUNs = tr.cpu.sinceEntry()
	}
	c.Ret = info.Ret()
	c.Errno = 0
	if info.Failed() {
		c.Errno = int32(-c.Ret)
		if c.Errno == errRestartBlock && !w.t.isRestart(c) {
			tr.restart = restart{known: true, nr: c.Nr, sinceNs: c.EntrySeenNs}
		}
	}
}

// signalStop is a signal-delivery-stop: the tracee gets the same signal, with the same siginfo, if it does anything.
func (w *worker) signalStop(tr *tracee, sig unix.Signal) {
	if w.t.command.is(tr.call.PID) {
		if err := raw.ReadSignalInfo(tr.call.TID, &w.at.siginfo); err == nil && w.at.siginfo.Sender() != int32(os.Getpid()) {
			w.t.command.delivered[sig].Store(max(w.t.now(), 1))
		}
	}
	sig = w.signalled(tr, sig)
	if tr.detachRequested {
		w.detach(tr, int(sig))
		return
	}
	w.resume(tr, int(sig))
}

// eventStop is a group-stop, the end of one (stopped), the first stop of a new tracee, the answer to a PTRACE_INTERRUPT,
// or what comes of a SIGCONT to a process that has not stopped.
func (w *worker) eventStop(tr *tracee, kind stopKind, interrupted, stopped bool) {
	switch {
	case interrupted:
		tr.spoilt = false
		w.hideAtEvent(tr)
	case kind == groupStop:
		if tr.broken.state == heldBack { // it returns EINTR for that (signal(7))
			w.handOn(tr)
		}
	case !stopped:
		w.hideNotice(tr)
	}
	switch {
	case tr.detachRequested:
		w.detach(tr, 0) // the kernel keeps the group-stop
	case kind == groupStop:
		// ptrace(2), "Group-stop": PTRACE_LISTEN leaves it stopped, as it would be without us,
		// until SIGCONT ends the stop, which is reported by another PTRACE_EVENT_STOP.
		tr.stopped = true
		raw.Listen(tr.call.TID)
	default:
		w.resume(tr, 0)
	}
}

// execStop comes when an execve has succeeded, between its entry-stop and its exit-stop.
func (w *worker) execStop(tr *tracee) {
	w.t.ends.executed(tr.call.PID)
	if tr.launching {
		w.executed(tr)
		if w.t.options.OnBegin != nil {
			w.t.options.OnBegin()
		}
	}
	if tr.detachRequested {
		w.detach(tr, 0)
		return
	}
	w.resume(tr, 0)
}

// replaceLeader deals with what an execve does to the thread group of tr, which has stopped for it. ptrace(2),
// "execve(2) under ptrace": whichever thread called it now has the thread group's id, and all
// others are gone; those but the leader report their deaths by themselves.
func (w *worker) replaceLeader(tr *tracee) {
	former, err := raw.EventMessage(tr.call.TID)
	if err != nil {
		return
	}
	if caller := w.table.tracees[int32(former)]; caller != nil && caller != tr {
		w.endCall(tr, profile.Replaced)
		w.takeOver(tr, caller)
	}
	if int32(former) != tr.call.TID {
		w.dropReplacedElsewhere(tr.call.TID)
	}
}

// takeOver has the leader's entry in the table go on with the thread that has got its id. That thread's former id
// is none any more.
func (w *worker) takeOver(leader, caller *tracee) {
	w.handover.remove(leader)
	w.home.Removed(&leader.place)
	w.isAwake(leader)
	w.isAwake(caller)
	former := *leader
	*leader = *caller
	leader.call.TID, leader.call.PID = former.call.TID, former.call.PID
	leader.place = former.place
	w.home.Renamed(&caller.place, &leader.place)
	caller.cpu, caller.waits = former.cpu, former.waits
	w.remove(caller)
}

// dropReplacedElsewhere tells the other workers that the leader with this tid, whose death the kernel does not report
// (fs/exec.c, de_thread), is none of their tracees any more. The sink is not told: the id is this worker's now.
func (w *worker) dropReplacedElsewhere(tid int32) {
	for _, other := range w.t.workers {
		if other == w {
			continue
		}
		other.thread.post(func() {
			if former := other.table.tracees[tid]; former != nil {
				other.endCall(former, profile.Replaced)
				other.drop(former)
			}
		})
	}
}

// died is the end of a thread. tr is nil if that is the command whose leader was not traced any more.
func (w *worker) died(tr *tracee, s stop) {
	if tr != nil {
		w.endCall(tr, profile.Killed)
		w.t.ends.died(tr.call.PID, tr.call.TID, s.status)
		w.remove(tr)
	}
	if w.t.command.is(s.tid) {
		w.t.command.end(s.status)
	}
}

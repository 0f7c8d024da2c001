package ptrace

import (
	"errors"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// stopped deals with whatever wait4 reported of tr: one function a kind of stop.
func (w *worker) stopped(tr *tracee, status unix.WaitStatus) {
	if !status.Stopped() {
		w.died(tr, status)
		return
	}
	firstStop := tr.firstStop
	tr.firstStop = false                    // any stop answers an interrupt (kernel/signal.c, ptrace_stop)
	const syscallStop = unix.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD
	sig := status.StopSignal()
	switch event := uint32(status) >> 16; {
	case sig == syscallStop:
		w.syscallStop(tr)
	case event == 0:
		w.signalStop(tr, sig)
	case event == unix.PTRACE_EVENT_STOP:
		w.eventStop(tr, sig, firstStop)
	case event == unix.PTRACE_EVENT_EXEC:
		w.execStop(tr)
	case event == unix.PTRACE_EVENT_SECCOMP:
		w.filterStop(tr)
	default:
		// PTRACE_EVENT_CLONE, FORK, VFORK: the new tracee reports itself, before or after this.
		w.resume(tr, 0)
	}
}

// strangerStopped deals with a stop of a thread that is not in the table: one that a tracee has
// just created, or the remains of one.
func (w *worker) strangerStopped(tid int32, status unix.WaitStatus) {
	if !status.Stopped() {
		w.keepStatus(tid, status) // the command itself, when its leader was not traced any more
		return
	}
	tr := w.add(tid, groupOf(tid))
	w.settleChild(tr)
	w.stopped(tr, status)
}

// syscallStop is the entry to or the exit from a call.
func (w *worker) syscallStop(tr *tracee) {
	if w.silent {
		w.resume(tr, 0)
		return
	}
	seen := w.now()
	w.stops++
	switch err := readSyscallInfo(tr.call.TID, &w.info); {
	case err == nil:
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL):
		w.resume(tr, 0)
		w.fail(ErrKernel)
		return
	default:
		return // it has died
	}
	switch w.info.op {
	case opEntry:
		w.entered(tr, seen)
	case opExit:
		w.returned(tr, seen)
	default:
		w.resume(tr, 0)
	}
}

func (w *worker) entered(tr *tracee, seen int64) {
	c := &tr.call
	c.GapNs = -1
	if c.ExitResumedNs != 0 {
		c.GapNs = seen - c.ExitResumedNs
	}
	c.ABI = syscalltab.FromAudit(w.info.arch, w.info.nr)
	c.Nr = w.info.nr
	c.Args = w.info.args
	c.EntrySeenNs = seen
	special := &w.special[c.ABI]
	if tr.launching && c.Nr != special.execve {
		w.resume(tr, 0)
		return
	}
	tr.inCall = true
	if tr.resumed {
		tr.resumed = tr.broken && (c.Nr == tr.brokenNr || c.Nr == special.restart)
	}
	if tr.handedOn {
		w.giveUp(tr, 0)
		return
	}
	if w.filtered {
		w.meetsFilter(tr)
	} else if c.Nr == special.ptrace && w.makesTracer(tr) {
		return
	}
	if tr.launching {
		w.settle(tr) // what it executes begins with nothing but calls
	}
	apart := c.CrossCPU
	c.CrossCPU = !w.placeBy(tr, c.GapNs)
	if c.CrossCPU != apart {
		c.GapNs = -1 // it was of the other kind
	}
	if w.placement != nil {
		w.reveal(tr)
	}
	c.Stack = 0
	if w.options.OnEntry != nil && c.ABI == w.native && !tr.launching {
		w.entry = EntryStop{IP: w.info.ip, SP: w.info.sp, w: w, tid: c.TID}
		c.Stack = w.options.OnEntry(c, &w.entry)
	}
	if w.cpuTime {
		tr.entryCPUNs = tr.readCPU()
	}
	c.EntryResumedNs = w.now()
	w.resumedNs = c.EntryResumedNs
	w.resume(tr, 0)
}

func (w *worker) returned(tr *tracee, seen int64) {
	c := &tr.call
	if !tr.inCall { // entered before it was traced
		w.resume(tr, 0)
		return
	}
	tr.inCall = false
	c.ExitSeenNs = seen
	c.Queued = w.inLine || seen-w.resumedNs < w.queuedBelowNs
	if w.cpuTime {
		c.CPUNs = tr.cpuSinceEntry()
	}
	c.Ret = w.info.ret()
	c.Errno = 0
	if w.info.failed() {
		c.Errno = int32(-c.Ret)
		if c.Errno == errRestartBlock && !w.isRestart(c) {
			tr.broken, tr.brokenNr, tr.sinceNs = true, c.Nr, c.EntrySeenNs
		}
	}
	w.answered(tr)
	if tr.place.again {
		tr.place.again = false
		w.settle(tr)
	}
	tr.place.stops = w.stops
	c.ExitResumedNs = w.now()
	w.resumedNs = c.ExitResumedNs
	if tr.handedOn {
		w.giveUp(tr, 0)
	} else {
		w.resume(tr, 0)
	}
	if !tr.launching {
		w.onCall(c)
	}
	tr.resumed = false
}

// signalStop is a signal-delivery-stop: the tracee gets the same signal, with the same siginfo.
func (w *worker) signalStop(tr *tracee, sig unix.Signal) {
	if tr.call.PID == w.command.Load() {
		if sender, err := signalSender(tr.call.TID, &w.siginfo); err == nil && sender != int32(unix.Getpid()) {
			w.delivered[sig].Store(max(w.now(), 1))
		}
	}
	if tr.handedOn {
		w.giveUp(tr, int(sig))
		return
	}
	w.resume(tr, int(sig))
}

// eventStop is PTRACE_EVENT_STOP: a group-stop, the end of one, the first stop of a new tracee, or
// the answer to our PTRACE_INTERRUPT.
func (w *worker) eventStop(tr *tracee, sig unix.Signal, interrupted bool) {
	if interrupted {
		nr, asleep := hideInterrupt(tr.call.TID, tr.before)
		if asleep && !tr.launching && !tr.handedOn {
			tr.broken, tr.brokenNr, tr.resumed = true, nr, true
		}
	}
	if tr.handedOn {
		w.giveUp(tr, 0) // the kernel keeps the group-stop
		return
	}
	switch sig {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		// ptrace(2), "Group-stop": PTRACE_LISTEN leaves it stopped, as it would be without us,
		// until SIGCONT ends the stop, which is reported by another PTRACE_EVENT_STOP.
		listen(tr.call.TID)
	default:
		w.resume(tr, 0)
	}
}

// execStop comes when an execve has succeeded, between its entry-stop and its exit-stop. ptrace(2),
// "execve(2) under ptrace": whichever thread called it now has the thread group's id, and all
// others are gone; those but the leader report their deaths by themselves.
func (w *worker) execStop(tr *tracee) {
	former, err := eventMessage(tr.call.TID)
	if caller := w.tracees[int32(former)]; err == nil && caller != nil && caller != tr {
		w.unfinished(tr, profile.Replaced)
		tid, pid := tr.call.TID, tr.call.PID
		tr.schedstat, caller.schedstat = caller.schedstat, tr.schedstat
		w.abandon(tr)
		schedstat := tr.schedstat
		*tr = *caller
		tr.schedstat = schedstat
		tr.call.TID, tr.call.PID = tid, pid
		w.rename(caller, tr)
		w.forget(caller)
	}
	if err == nil && int32(former) != tr.call.TID {
		w.replaced(tr.call.TID)
	}
	tr.launching = false
	if tr.handedOn {
		w.giveUp(tr, 0)
		return
	}
	w.resume(tr, 0)
}

// replaced tells the other workers that thread tid, whose death the kernel does not report (fs/exec.c,
// de_thread), is none of theirs any more.
func (w *worker) replaced(tid int32) {
	for _, other := range w.workers {
		if other == w {
			continue
		}
		other.post(func() {
			if former := other.tracees[tid]; former != nil {
				other.unfinished(former, profile.Replaced)
				other.forget(former)
			}
		})
	}
}

// died is the end of a thread.
func (w *worker) died(tr *tracee, status unix.WaitStatus) {
	tid := tr.call.TID
	w.unfinished(tr, profile.Killed)
	w.forget(tr)
	w.keepStatus(tid, status)
}

// keepStatus keeps the status of the command.
func (w *worker) keepStatus(tid int32, status unix.WaitStatus) {
	if tid != w.command.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.result.CommandEnded {
		w.result.Command, w.result.CommandEnded = status, true
		close(w.ended)
	}
}

// resume is the one place where it is decided how a tracee goes on.
func (w *worker) resume(tr *tracee, sig int) {
	if w.runsFreely(tr) {
		resumeToEvent(tr.call.TID, sig)
		return
	}
	resumeToSyscall(tr.call.TID, sig)
}

package ptrace

import (
	"errors"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// stopped deals with whatever wait4 reported of tr: one function a kind of stop.
func (t *Tracer) stopped(tr *tracee, status unix.WaitStatus) {
	if !status.Stopped() {
		t.died(tr, status)
		return
	}
	firstStop := tr.firstStop
	tr.firstStop = false                    // any stop answers an interrupt (kernel/signal.c, ptrace_stop)
	const syscallStop = unix.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD
	sig := status.StopSignal()
	switch event := uint32(status) >> 16; {
	case sig == syscallStop:
		t.syscallStop(tr)
	case event == 0:
		t.signalStop(tr, sig)
	case event == unix.PTRACE_EVENT_STOP:
		t.eventStop(tr, sig, firstStop)
	case event == unix.PTRACE_EVENT_EXEC:
		t.execStop(tr)
	default:
		// PTRACE_EVENT_CLONE, FORK, VFORK: the new tracee reports itself, before or after this.
		t.resume(tr, 0)
	}
}

// strangerStopped deals with a stop of a thread that is not in the table: one that a tracee has
// just created, or the remains of one.
func (t *Tracer) strangerStopped(tid int32, status unix.WaitStatus) {
	if !status.Stopped() {
		t.keepStatus(tid, status) // the command itself, when its leader was not traced any more
		return
	}
	t.stopped(t.add(tid, groupOf(tid)), status)
}

// syscallStop is the entry to or the exit from a call.
func (t *Tracer) syscallStop(tr *tracee) {
	seen := t.now()
	switch err := readSyscallInfo(tr.call.TID, &t.info); {
	case err == nil:
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EINVAL):
		t.failure = ErrKernel
		t.resume(tr, 0)
		return
	default:
		return // it has died
	}
	switch t.info.op {
	case opEntry:
		t.entered(tr, seen)
	case opExit:
		t.returned(tr, seen)
	default:
		t.resume(tr, 0)
	}
}

func (t *Tracer) entered(tr *tracee, seen int64) {
	c := &tr.call
	c.GapNs = -1
	if c.ExitResumedNs != 0 {
		c.GapNs = seen - c.ExitResumedNs
	}
	c.ABI = syscalltab.FromAudit(t.info.arch, t.info.nr)
	c.Nr = t.info.nr
	c.Args = t.info.args
	c.EntrySeenNs = seen
	special := &t.special[c.ABI]
	if tr.launching && c.Nr != special.execve {
		t.resume(tr, 0)
		return
	}
	tr.inCall = true
	if tr.resumed {
		tr.resumed = tr.broken && (c.Nr == tr.brokenNr || c.Nr == special.restart)
	}
	if tr.handedOn {
		t.giveUp(tr, 0)
		return
	}
	if c.Nr == special.ptrace && t.makesTracer(tr) {
		return
	}
	c.Stack = 0
	if t.options.OnEntry != nil && c.ABI == t.native && !tr.launching {
		t.entry = EntryStop{IP: t.info.ip, SP: t.info.sp, t: t, tid: c.TID}
		c.Stack = t.options.OnEntry(c, &t.entry)
	}
	if t.cpuTime {
		tr.entryCPUNs = tr.readCPU()
	}
	c.EntryResumedNs = t.now()
	t.resumedNs = c.EntryResumedNs
	t.resume(tr, 0)
}

func (t *Tracer) returned(tr *tracee, seen int64) {
	c := &tr.call
	if !tr.inCall { // entered before it was traced
		t.resume(tr, 0)
		return
	}
	tr.inCall = false
	c.ExitSeenNs = seen
	c.Queued = seen-t.resumedNs < t.queuedBelowNs
	if t.cpuTime {
		c.CPUNs = tr.cpuSinceEntry()
	}
	c.Ret = t.info.ret()
	c.Errno = 0
	if t.info.failed() {
		c.Errno = int32(-c.Ret)
		if c.Errno == errRestartBlock && !t.isRestart(c) {
			tr.broken, tr.brokenNr, tr.sinceNs = true, c.Nr, c.EntrySeenNs
		}
	}
	c.ExitResumedNs = t.now()
	t.resumedNs = c.ExitResumedNs
	if tr.handedOn {
		t.giveUp(tr, 0)
	} else {
		t.resume(tr, 0)
	}
	if !tr.launching {
		t.onCall(c)
	}
	tr.resumed = false
}

// signalStop is a signal-delivery-stop: the tracee gets the same signal, with the same siginfo.
func (t *Tracer) signalStop(tr *tracee, sig unix.Signal) {
	if tr.call.PID == t.command && t.command != 0 {
		if sender, err := signalSender(tr.call.TID, &t.siginfo); err == nil && sender != int32(unix.Getpid()) {
			t.delivered[sig].Store(max(t.now(), 1))
		}
	}
	if tr.handedOn {
		t.giveUp(tr, int(sig))
		return
	}
	t.resume(tr, int(sig))
}

// eventStop is PTRACE_EVENT_STOP: a group-stop, the end of one, the first stop of a new tracee, or
// the answer to our PTRACE_INTERRUPT.
func (t *Tracer) eventStop(tr *tracee, sig unix.Signal, interrupted bool) {
	if interrupted {
		nr, asleep := hideInterrupt(tr.call.TID, tr.before)
		if asleep && !tr.launching && !tr.handedOn {
			tr.broken, tr.brokenNr, tr.resumed = true, nr, true
		}
	}
	if tr.handedOn {
		t.giveUp(tr, 0) // the kernel keeps the group-stop
		return
	}
	switch sig {
	case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		// ptrace(2), "Group-stop": PTRACE_LISTEN leaves it stopped, as it would be without us,
		// until SIGCONT ends the stop, which is reported by another PTRACE_EVENT_STOP.
		listen(tr.call.TID)
	default:
		t.resume(tr, 0)
	}
}

// execStop comes when an execve has succeeded, between its entry-stop and its exit-stop. ptrace(2),
// "execve(2) under ptrace": whichever thread called it now has the thread group's id, and all
// others are gone; those but the leader report their deaths by themselves.
func (t *Tracer) execStop(tr *tracee) {
	former, err := eventMessage(tr.call.TID)
	if caller := t.tracees[int32(former)]; err == nil && caller != nil && caller != tr {
		t.unfinished(tr, Replaced)
		tid, pid := tr.call.TID, tr.call.PID
		tr.schedstat, caller.schedstat = caller.schedstat, tr.schedstat
		schedstat := tr.schedstat
		*tr = *caller
		tr.schedstat = schedstat
		tr.call.TID, tr.call.PID = tid, pid
		t.forget(caller)
	}
	tr.launching = false
	if tr.handedOn {
		t.giveUp(tr, 0)
		return
	}
	t.resume(tr, 0)
}

// died is the end of a thread.
func (t *Tracer) died(tr *tracee, status unix.WaitStatus) {
	tid := tr.call.TID
	t.unfinished(tr, Killed)
	t.forget(tr)
	t.keepStatus(tid, status)
}

// keepStatus keeps the status of the command.
func (t *Tracer) keepStatus(tid int32, status unix.WaitStatus) {
	if tid == t.command && !t.result.CommandEnded {
		t.result.Command, t.result.CommandEnded = status, true
		close(t.ended)
	}
}

// resume is the one place where it is decided how a tracee goes on.
func (t *Tracer) resume(tr *tracee, sig int) {
	resumeToSyscall(tr.call.TID, sig)
}

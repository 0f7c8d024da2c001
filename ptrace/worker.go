package ptrace

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/place"
	"sysprof/ptrace/internal/raw"
)

// worker is one tracer thread, with the tracees that it has seized and those that they create. The kernel
// accepts a ptrace request only from the thread that attached, so nothing of a worker but its thread's mailbox
// is touched by any other thread once it waits for stops.
type worker struct {
	t      *Tracer
	number int // among all workers
	thread thread
	table  table
	waiter waiter
	line   line

	home     *place.Home // where it and its tracees run
	filter   filtering   // tracees that the kernel stops at some calls only
	handover handover    // tracees that are tracers themselves

	feed     profile.Feeder // takes finished calls
	controls controls
	waits    waits
	waker    waker

	settling  settling
	at        scratch
	resumedNs int64  // when any of its tracees was resumed last
	expiries  uint64 // so many there have been
	dealtWith uint64 // so many stops
}

// scratch is what is read at a stop. The kernel writes there, so it must not be on a stack that can move.
type scratch struct {
	info    raw.SyscallInfo
	siginfo raw.SignalInfo
	regs    raw.Registers
	entry   EntryStop
}

// nobody takes calls and keeps none.
type nobody struct{}

func (nobody) Call(*profile.Call)       {}
func (nobody) Control(*profile.Control) {}

// newWorker starts a thread that does as it is told until it is told to wait for stops.
func (t *Tracer) newWorker() *worker {
	w := &worker{t: t, feed: nobody{}}
	w.table.tracees = make(map[int32]*tracee)
	w.filter.warn = t.warn
	w.controls.mode = t.options.Controls
	w.waits.files = &t.quotas.waits
	w.home = place.NewHome(t.machine, func() { w.waiter.keepTime() })
	if t.options.Sink != nil {
		w.feed = t.options.Sink.Feed()
	}
	t.workers = append(t.workers, w)
	w.thread.start(func() {
		if err := prepareSignals(); err != nil {
			t.fail(err)
		}
		w.waiter.open()
		if w.controls.mode != ControlsOff {
			w.waits.own = openSchedstat(w.thread.tid.Load())
		}
	}, func() {
		w.loop()
		w.exit()
	})
	return w
}

// loop deals with stops, one after the other, until there are none to come.
func (w *worker) loop() {
	w.wakeFirst()
	for w.goesOn() && w.step() {
	}
	// A stop that has been reported has to be dealt with, or a signal that it brings is lost.
	for !w.line.isEmpty() {
		w.act(w.line.next())
	}
	if len(w.table.tracees) > 0 && !w.filter.installed {
		beUrgent() // until the thread exits: it is what detaches them
		w.settle(settleAtMost)
	}
	w.t.unsettled.Add(-1)
}

// goesOn reports whether there may be stops to deal with. Once tracing is to end, tracees that have a filter are
// resumed until they end, but nothing is handed to the sink.
func (w *worker) goesOn() bool {
	switch is := w.t.run.is(); {
	case is < stopping:
		return true
	case !w.filter.installed:
		return false
	case is < countingOver:
		w.endCounting()
	}
	return true
}

// step waits for one stop and deals with it. It reports whether there may be more.
func (w *worker) step() bool {
	if !w.line.isEmpty() {
		w.act(w.line.next())
		return true
	}
	if w.thread.mail.Load() { // between two stops a signal would get lost
		w.thread.readMail()
		return true
	}
	var status unix.WaitStatus
	tid, errno := w.waiter.wait(&status, w.t)
	switch errno {
	case 0:
	case unix.EINTR:
		w.thread.readMail()
		w.interrupted()
		return true
	case unix.ECHILD:
		return w.awaitMore()
	default:
		w.t.fail(fmt.Errorf("wait for a stop: %w", errno))
		return false
	}
	s := classify(tid, status)
	if w.line.isDue() && len(w.table.tracees) > 1 {
		w.line.form(s)
		return true
	}
	w.act(s)
	return true
}

// endCounting hands the calls in flight to the sink, which is told of nothing any more, while tracees with a filter
// go on.
func (w *worker) endCounting() {
	nowNs := w.t.now()
	w.home.End() // calls that would show that a thread is pinned are not seen any more
	w.flushInFlight(profile.Detached)
	for _, tr := range w.table.tracees {
		tr.inCall = false
	}
	w.t.run.enter(countingOver, nowNs)
}

// exit hands the calls in flight to the sink. The thread exits next, and that detaches all.
func (w *worker) exit() {
	w.waiter.close()
	w.waits.own.close()
	w.home.End()
	switch is := w.t.run.is(); {
	case is >= countingOver:
		return
	case is == stopping:
		w.t.run.leave(w.t.now())
		w.flushInFlight(profile.Detached)
	default:
		w.t.run.leave(w.t.now())
		w.flushInFlight(profile.Replaced) // no tracee is left: the deaths of those in the table were not reported
	}
	if len(w.settling.held) > 0 {
		w.t.awaitOthers()
	}
	w.release() // last: from now on they compete for the CPU
}

// closeFiles closes what is held for those tracees that are left.
//
// Precondition: the thread is gone.
func (w *worker) closeFiles() {
	for _, tr := range w.table.tracees {
		w.closeFilesOf(tr)
	}
}

func (w *worker) closeFilesOf(tr *tracee) {
	w.isAwake(tr)
	tr.cpu.close(&w.t.quotas.cpu)
	w.waits.close(tr)
}

// resume is the one place where it is decided how a tracee goes on.
func (w *worker) resume(tr *tracee, sig int) {
	if w.settling.on && sig == 0 && w.settling.holds(tr) {
		return
	}
	if w.settling.on || w.filter.installed && w.filter.runsToFilter(tr, w.t.run.is()) {
		raw.ResumeToEvent(tr.call.TID, sig)
		return
	}
	raw.ResumeToSyscall(tr.call.TID, sig)
}

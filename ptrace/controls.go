package ptrace

import (
	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// Controls says how often tracees make controls (profile.Control).
type Controls uint8

const (
	ControlsOff   Controls = iota
	controlsHalf           // after every other call: to compare them with its calls
	ControlsAuto           // now and then: some 1 % of what tracing costs
	ControlsEvery          // after every call: to find out whether a program notices
)

// controls decides when a tracee makes a control: it is interrupted at the exit-stop of a call and resumed, and stops
// again before it comes back to its program (kernel/entry/common.c, exit_to_user_mode_loop, runs get_signal, which
// makes the stop that PTRACE_INTERRUPT asks for). How long that takes is what a stop costs in this thread, on its CPU,
// at this moment.
//
// Nothing of the thread is changed for it, and no call is in progress that could be broken off. If the tracer dies
// meanwhile, the kernel forgets the interrupt (kernel/ptrace.c, __ptrace_unlink). No filter, BPF program or audit
// rule sees it.
type controls struct {
	mode    Controls
	random  uint32
	made    [profile.Conditions]int
	sinceNs int64           // when the last one was made
	calls   int             // since the last one
	after   int             // the next one comes after so many
	old     bool            // that was drawn anew because the last one is old
	usualNs int64           // how long the last one took that stood in no line, within bounds
	paidNs  int64           // what all of them took that have to be paid for …
	costNs  int64           // … by at least so much that tracing has cost, of which paidNs may be one part in paidBy
	exempt  bool            // the one that was begun last has not to be paid for
	last    profile.Control // scratch
}

const (
	// controlEveryNs is how long after one another controls are made on average, at most. One takes 6 to 20 µs.
	//
	// When the next one is made is decided in calls, and beforehand. If it were the first call after so much time, it
	// would mostly be the first one after the thread, or the tracer, has waited for a CPU: the stops around that find the
	// caches cold. With all CPUs busy half of the controls of find were among the four stops after such a wait and took
	// 7.0 µs, the others 5.1 to 5.6, so that what most calls take came out as nothing.
	controlEveryNs = 2_000_000

	// The first controls of each condition come sooner, so that short runs have some, too; but a control does not
	// follow another one, whose traces it would find in the caches.
	firstControls = 8
	callsToNext   = 4

	// oldNs is how old a control may become, while calls are made, until the next one is drawn anew among the next
	// soonCalls: a program that has called often and now calls once a second would come to the one that was drawn minutes
	// later. It is drawn, too, since the first call after such a time finds the caches cold.
	oldNs     = 100_000_000
	soonCalls = 8

	// Controls are a hundredth of what tracing costs where a program calls all the time. Where it computes, or waits, or starts
	// others, they would be more: 4.4 % for gcc, 1.8 % for a shell that runs true. So they take at most one part in paidBy of
	// it, but for the first ones, and one in oldNs. Those that cannot be paid for are drawn anew among waitCalls calls.
	paidBy    = 80
	waitCalls = 32

	mostCostNs = 50_000 // of a transit or a hold: what is more was waited for a CPU
)

// due reports whether a control is to be made at the exit-stop of a call that was seen at nowNs.
func (c *controls) due(condition profile.Condition, nowNs int64) bool {
	c.calls++
	if !c.old && nowNs-c.sinceNs > oldNs {
		c.old = true
		c.after = min(c.after, c.calls+1+int(c.draw()%soonCalls))
	}
	switch {
	case c.mode == ControlsEvery:
		return true
	case c.mode == controlsHalf:
		return c.calls >= 2
	case c.mode == ControlsOff || c.calls < callsToNext:
		return false
	}
	if c.made[condition] >= firstControls && c.calls < c.after {
		return false
	}
	c.exempt = c.made[condition] < firstControls || c.old
	if !c.exempt && c.paidNs*paidBy > c.costNs {
		c.after = c.calls + 1 + int(c.draw()%waitCalls)
		return false
	}
	return true
}

// paid takes note of a call: by what it costs to trace it, later controls are paid for. Its transits and switches are taken to be
// two controls' transits; more is not known yet.
func (c *controls) paid(call *profile.Call) {
	c.costNs += 2 * (c.usualNs + min(call.EntryResumedNs-call.EntrySeenNs, mostCostNs))
}

// took takes note of how long a control took. What it has waited for a CPU is not its cost.
func (c *controls) took(transitNs, holdNs int64, queued bool) {
	ns := min(transitNs, mostCostNs)
	if !queued {
		c.usualNs = ns
	}
	if !c.exempt {
		c.paidNs += ns + min(holdNs, mostCostNs)
	}
}

// take takes note that a control is made, and draws when the next one is.
func (c *controls) take(condition profile.Condition, nowNs int64) {
	callNs := max(nowNs-c.sinceNs, 1) / int64(max(c.calls, 1))
	c.calls, c.old = 0, false
	c.made[condition]++
	c.sinceNs = nowNs
	afterNs := controlEveryNs/2 + int64(c.draw()%controlEveryNs)
	c.after = max(int(afterNs/max(callNs, 1)), callsToNext+int(c.draw()%soonCalls))
}

// draw returns a random number, so that what a program does in step with time does not meet controls always or never
// (xorshift32, Marsaglia, 2003).
func (c *controls) draw() uint32 {
	c.random = max(c.random, 1)
	c.random ^= c.random << 13
	c.random ^= c.random >> 17
	c.random ^= c.random << 5
	return c.random
}

// beginControl has tr, at the exit-stop of its call, make a control, if one is due.
func (w *worker) beginControl(tr *tracee) {
	c := &tr.call
	w.controls.paid(c)
	if !w.controls.due(c.Condition(), c.ExitSeenNs) || !w.mayControl(tr) || raw.Interrupt(c.TID) != nil {
		return
	}
	tr.control, tr.interruptPending = true, true
	w.controls.take(c.Condition(), c.ExitSeenNs)
}

// countFirst hands over the call of tr before it is resumed for a control. What is done behind the resumption of a tracee
// makes the tracer late at its next stop, where both are on one CPU. There is no such work behind that of an entry-stop,
// so that the transit of calls would be less than that of controls: by 0.4 µs of 2.7, and by 0.9 of 4.9 in another minute.
func (w *worker) countFirst(tr *tracee) {
	w.shortenExitHold(&tr.call)
	w.feed.Call(&tr.call)
	tr.controlHeldNs = w.t.now() - tr.call.ExitResumedNs
	tr.call.ExitResumedNs += tr.controlHeldNs
}

// mayControl reports whether a control of tr would show what a stop costs, and harm nothing.
func (w *worker) mayControl(tr *tracee) bool {
	c := &tr.call
	switch {
	case tr.launching, tr.detachRequested, w.settling.on, w.filter.installed && w.t.run.is() >= stopping:
		return false
	case c.Errno >= errRestartSys && c.Errno <= errRestartBlock:
		return false // the kernel makes such a call again, after the signal that is on its way
	case w.controls.mode == ControlsEvery:
		return true
	}
	return !c.Queued && w.line.isEmpty() // else it would stand in line itself
}

// controlled is the stop that a control ends with.
func (w *worker) controlled(tr *tracee) {
	seenNs := w.t.now()
	queued := w.line.queued || seenNs-w.resumedNs < w.t.queuedBelowNs
	if tr.detachRequested {
		w.detach(tr, 0)
		return
	}
	w.waits.stopped(tr)
	waits := w.waits.since(tr, seenNs)
	begunNs := tr.call.ExitResumedNs
	tr.call.ExitResumedNs = w.t.now()
	w.resumedNs = tr.call.ExitResumedNs
	w.waits.resumed(tr)
	w.resume(tr, 0)
	if w.t.run.is() >= countingOver {
		return
	}
	c := &w.controls.last
	*c = profile.Control{PID: tr.call.PID, TID: tr.call.TID, AtNs: begunNs, RawNs: seenNs - begunNs,
		HoldNs: tr.controlHeldNs + tr.call.ExitResumedNs - seenNs, CrossCPU: tr.call.CrossCPU, Queued: queued, Waits: waits}
	w.controls.took(c.RawNs, c.HoldNs, c.Queued)
	w.feed.Control(c)
}

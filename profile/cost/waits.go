package cost

import (
	"slices"

	"sysprof/profile"
)

// usual is the median of the last values of something that is measured at controls. The zero value has none.
type usual struct {
	last  [nearest]int64
	known int
	next  int
	ns    int64
}

func (u *usual) add(ns int64) {
	u.last[u.next] = ns
	u.next = (u.next + 1) % nearest
	u.known = min(u.known+1, nearest)
	var sorted [nearest]int64
	s := sorted[:copy(sorted[:], u.last[:u.known])]
	slices.Sort(s)
	u.ns = s[len(s)/2]
}

// learn takes from a control how long stops make threads wait: each stop is a switch, and with both on one CPU each
// waits until the other one has left it.
func (l *local) learn(w *profile.Waits) {
	if w.TracerStops > 0 {
		l.tracer.add(w.TracerNs / int64(w.TracerStops))
	}
	if w.Known && w.Stops > 0 {
		l.wait.add(w.WaitedNs / int64(w.Stops))
		l.off.add((w.SinceNs - w.RanNs - w.WaitedNs) / int64(w.Stops))
	}
}

// waited is how long, in an interval that was longerNs longer than a transit, the thread and its tracer waited for a
// CPU, besides what they do at every stop; 0 if that is not most of it. A thread that slept in its call may wait for a CPU when it wakes up,
// traced or not: that is the call's, if calls says that there is one.
func (l *local) waited(w *profile.Waits, longerNs int64, calls bool) int64 {
	const tooShort = 15_000 // what is less has not been looked at everywhere
	if longerNs < tooShort {
		return 0
	}
	ns := l.tracerWaited(w)
	if w.Known && !(calls && l.slept(w, ns)) {
		ns += max(w.WaitedNs-int64(w.Stops)*l.wait.ns, 0)
	}
	if ns < longerNs-longerNs/4 {
		return 0 // it really took long
	}
	return min(ns, longerNs)
}

// tracerWaited is how long the tracer waited for a CPU, besides what it does at every stop.
func (l *local) tracerWaited(w *profile.Waits) int64 {
	return max(w.TracerNs-int64(w.TracerStops)*l.tracer.ns, 0)
}

// asleepIn is for how long the thread slept in a call, -1 if it is not known whether that is most of it.
func (l *local) asleepIn(c *profile.Call) int64 {
	if !c.Waits.Known {
		return -1
	}
	// What is done for labels and stacks at the entry-stop takes longer than other stops; if it took very long, the engine
	// has left it out. The thread stood still as well if the tracer waited for a CPU behind its exit-stop, or it slept on.
	const leftOut = 15_000
	stoodNs := c.EntryResumedNs - c.EntrySeenNs
	if stoodNs > leftOut {
		stoodNs = 0
	}
	atLeast, atMost := l.asleep(&c.Waits, stoodNs+l.tracerWaited(&c.Waits)), l.asleep(&c.Waits, stoodNs)
	half := c.NetNs() / 2
	if (atLeast > half) != (atMost > half) || c.Queued && atLeast <= inLineNs {
		return -1
	}
	return min(atMost, int64(c.RawLatency()))
}

// inLineNs is longer than stops stand in line, which looks as if the thread had slept.
const inLineNs = 200_000

// slept reports whether the thread slept since it was looked at last, but for its stops.
func (l *local) slept(w *profile.Waits, tracerNs int64) bool { return l.asleep(w, tracerNs) > 0 }

// asleep is for how long the thread slept since it was looked at last, but for its stops; 0 if that is too little to be
// told from what stops are longer than usual.
func (l *local) asleep(w *profile.Waits, tracerNs int64) int64 {
	const shortest, aStop = 15_000, 500
	offNs := w.SinceNs - w.RanNs - w.WaitedNs - int64(w.Stops)*l.off.ns - tracerNs
	if offNs <= shortest+aStop*int64(w.Stops) {
		return 0
	}
	return offNs
}

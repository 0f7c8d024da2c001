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
		l.ran.add(w.RanNs / int64(w.Stops))
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
	if w.Known {
		slept := calls && l.sleptRatherThanWaited(w, ns)
		ranNs, asleepNs := max(w.RanNs-int64(w.Stops)*l.ran.ns, 0), l.asleepFor(w, ns)
		if w.Overtaken {
			asleepNs = 0 // it stood at its stop while others were dealt with
		}
		if !slept {
			ns += max(w.WaitedNs-int64(w.Stops)*l.wait.ns, 0)
		}
		// While the thread ran it waited for nobody: with eight threads on one CPU the tracer waits there until a long call of
		// one of them is over, in order to deal with the stop of another.
		ns = min(ns, max(w.SinceNs-w.RanNs, 0))
		if calls && !slept {
			ns = max(ns, longerNs-ranNs-asleepNs) // what else it can have been
		}
	}
	if ns < longerNs-longerNs/4 {
		return 0 // it really took long
	}
	return min(ns, longerNs)
}

// sleptRatherThanWaited reports whether a thread that waited for a CPU had slept before, as far as its stops can be told from
// that. With all CPUs busy, calls that never sleep waited for 0.5 to 4 ms, and were off their CPU for 16 to 215 µs more than at
// usual stops: 26 of 3,200 that were looked at in 18 recorded runs, which had most of what their rows' means were off.
func (l *local) sleptRatherThanWaited(w *profile.Waits, tracerNs int64) bool {
	const partOfWait = 20
	return l.asleepFor(w, tracerNs) > shortestSleep(w)+w.WaitedNs/partOfWait
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
	offNs := l.asleepFor(w, tracerNs)
	if offNs <= shortestSleep(w) {
		return 0
	}
	return offNs
}

// asleepFor is asleep, however little that is.
func (l *local) asleepFor(w *profile.Waits, tracerNs int64) int64 {
	return max(w.SinceNs-w.RanNs-w.WaitedNs-int64(w.Stops)*l.off.ns-tracerNs, 0)
}

// shortestSleep is what can be told from so many stops.
func shortestSleep(w *profile.Waits) int64 {
	const shortest, aStop = 15_000, 500
	return shortest + aStop*int64(w.Stops)
}

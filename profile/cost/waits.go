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
	ns := max(w.TracerNs-int64(w.TracerStops)*l.tracer.ns, 0)
	if w.Known && !(calls && l.slept(w, ns)) {
		ns += max(w.WaitedNs-int64(w.Stops)*l.wait.ns, 0)
	}
	if ns < longerNs-longerNs/4 {
		return 0 // it really took long
	}
	return min(ns, longerNs)
}

// slept reports whether the thread slept since it was looked at last, but for its stops.
func (l *local) slept(w *profile.Waits, tracerNs int64) bool {
	const shortest, aStop = 15_000, 500
	offNs := w.SinceNs - w.RanNs - w.WaitedNs - int64(w.Stops)*l.off.ns - tracerNs
	return offNs > shortest+aStop*int64(w.Stops)
}

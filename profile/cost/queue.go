package cost

import (
	"time"

	"sysprof/profile"
)

// enoughUnqueued is how many calls of an outcome show what the queued ones are like.
const enoughUnqueued = 20

// sleep is from when on a call is said to have slept rather than run.
const sleep = 50 * time.Microsecond

// withQueued adds the calls of an outcome that stood in line to its latencies h. They are taken to be
// like the others, if there are enough of those to know what they are like; otherwise the time in the line is part
// of the latency. h is taken over.
//
// They are not like the others if they are seen to be much shorter, though the line has made them longer: of futex(2), those
// that wake somebody stand in line, and the others sleep.
func (k *correction) withQueued(h, queued *profile.Histogram) *profile.Histogram {
	switch {
	case queued.Count() == 0:
	case h.Count() >= enoughUnqueued && !k.raw && !k.areShorter(queued, h):
		return resized(h, h.Count()+queued.Count())
	default:
		h.Merge(k.atLeast(queued))
	}
	return h
}

// areShorter reports whether calls that stood in line are seen to be shorter than others. Where all CPUs are busy they may have
// lost more than they took to what they waited for a CPU: those that are left with next to nothing say nothing.
func (k *correction) areShorter(queued, others *profile.Histogram) bool {
	const times = 2
	return int64(queued.Quantile(0.5)) > times*k.CallNs &&
		times*sum(queued)*float64(others.Count()) < sum(others)*float64(queued.Count())
}

// queued accounts for how long exit-stops stood in line: by how much most of the queued calls took longer than most of
// the others did.
func (k *correction) queued(others, queued *profile.Histogram) {
	if others.Count() < enoughUnqueued {
		k.line.unlined += queued.Count()
		k.line.unlinedNs += shortenedSum(queued)
	}
	if others.Count() < enoughUnqueued || queued.Count() < enoughUnqueued || others.Quantile(0.5) >= sleep {
		return // of calls that sleep, those that were woken at the same time are queued: they differ
	}
	longer := min(queued.Quantile(0.5)-others.Quantile(0.5), sleep)
	k.line.inLineNs += float64(max(longer, 0)) * float64(queued.Count())
	k.line.lined += queued.Count()
}

// resized is h with n calls instead of the ones it has, distributed alike.
func resized(h *profile.Histogram, n uint64) *profile.Histogram {
	if h.Count() == 0 || h.Count() == n {
		return h
	}
	out := new(profile.Histogram)
	var before, given uint64
	for b := range h.Buckets() {
		before += b.Count
		upTo := uint64(float64(n) * (float64(before) / float64(h.Count())))
		if before == h.Count() {
			upTo = n
		}
		out.RecordN(h.Middle(b), upTo-given)
		given = upTo
	}
	out.ShiftSum(int64(sum(h)*float64(n)/float64(h.Count()) - sum(out)))
	return out
}

// isUpperBound reports whether the time of a row's calls is that of sleeping until another traced thread came so far. It goes by those
// that stood in no line, as whether the others slept is not known.
func isUpperBound(r *profile.RawRow) bool {
	const most, ofAll = 0.8, 0.5
	netNs := r.OK.NetNs
	for _, failed := range r.Failed {
		netNs += failed.NetNs
	}
	return float64(r.WokenNs) > most*float64(r.SleptNs) && float64(r.SleptNs) > ofAll*float64(netNs)
}

// leastOf is what short calls took at least: three of four are not below the first quartile.
func leastOf(h *profile.Histogram) float64 {
	const quartile = 0.25
	if ns := h.Quantile(quartile); ns < sleep {
		return float64(ns) * (1 - quartile) * float64(h.Count())
	}
	return 0
}

// runningSum adds up the calls in which the thread ran rather than slept, as far as their length tells.
func runningSum(h *profile.Histogram) float64 {
	ns := 0.0
	for b := range h.Buckets() {
		if b.LowNs >= int64(sleep) {
			break
		}
		ns += float64(h.Middle(b)) * float64(b.Count)
	}
	return ns
}

// shortenedSum adds up calls as far as the thread ran or stood in line in them, rather than slept.
func shortenedSum(h *profile.Histogram) float64 {
	ns := 0.0
	for b := range h.Buckets() {
		ns += float64(min(h.Middle(b), int64(sleep))) * float64(b.Count)
	}
	return ns
}

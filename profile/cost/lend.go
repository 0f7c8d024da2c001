package cost

import (
	"slices"

	"sysprof/profile"
)

// mostLonger is by what factor a transit can be longer in one condition than in the other: waking an idle CPU
// takes up to 40 µs, and a context switch 2.5 (measured on a virtual machine with two CPUs, Linux 6.18).
const mostLonger = 16

// lend fits the transit to calls of the other condition than the one that it was calibrated in. own are the calls of
// its own condition.
func (t *Transit) lend(own, calls *observed) *fitted {
	times, off := t.longer(own, calls)
	if times == 0 {
		f := t.fit(calls)
		f.lent = true
		// It may be this or anything up to the longest there is; only that gaps have to have room for it.
		const enough = 50
		most := float64(mostLonger)
		if calls.Gaps.Count() >= enough {
			most = min(most, max(float64(calls.Gaps.Quantile(0.25))/max(float64(t.gap.Quantile(0.5)), 1), 1))
		}
		f.doubtNs = max(f.doubtNs, (most-1)*(f.middleNs+f.gapNs)*float64(calls.traced.Calls))
		return f
	}
	f := t.stretched(times).fit(calls)
	f.lent = true
	f.middleOff += off
	f.gapOff += off
	return f
}

// longer finds how many times as long as t the transit of calls in the other condition is, from those that
// show it: calls that do nothing, and short ones that were made in both conditions, however long they
// take. off is how wrong that may be, as a share of it. times is 0 if nothing shows it.
func (t *Transit) longer(own, calls *observed) (times, off float64) {
	const enough = 20
	ownNs := float64(t.raw.Quantile(0.5)) - float64(t.callNs)
	if ownNs <= 0 {
		return 0, 0
	}
	var found []float64
	for _, r := range calls.sorted {
		h := &r.OK.Latency
		if h.Count() < enough {
			continue
		}
		rawNs := float64(h.Quantile(0.5))
		both := own.Rows[r.Key]
		switch {
		case cheapCalls[r.ABI.Name(r.Nr)]:
			found = append(found, (rawNs-float64(t.callNs))/ownNs)
		case both != nil && both.OK.Latency.Count() >= enough && both.OK.Latency.Quantile(0.5) < sleep:
			found = append(found, (rawNs-float64(both.OK.Latency.Quantile(0.5))+ownNs)/ownNs)
		}
	}
	if len(found) == 0 {
		return 0, 0
	}
	slices.Sort(found)
	middle := found[len(found)/2]
	times = min(max(middle, 1.0/mostLonger), mostLonger)
	// The two kinds of calls come from different parts of the run, where the same call may do something
	// else: by more than a quarter, if other calls say so.
	const least = 0.25
	between := found[len(found)*3/4] - found[len(found)/4]
	return times, max(between/2/times, least)
}

// stretched is t with transits and switches so many times as long.
func (t *Transit) stretched(times float64) *Transit {
	s := *t
	s.coldLent = true
	s.raw, s.gap = new(profile.Histogram), new(profile.Histogram)
	for b := range t.raw.Buckets() {
		transitNs := float64(t.raw.Middle(b) - t.callNs)
		s.raw.RecordN(t.callNs+int64(transitNs*times), b.Count)
	}
	for b := range t.gap.Buckets() {
		s.gap.RecordN(int64(float64(t.gap.Middle(b))*times), b.Count)
	}
	return &s
}

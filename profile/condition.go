package profile

import "slices"

// condition is how tracer and tracee stood to each other while a call was traced. Each has a transit of its
// own: a stop on the tracer's own CPU is a switch of contexts, and one on another CPU has to wake the tracer's.
type condition int

const (
	placed condition = iota // they were held on one CPU
	apart                   // they were not: the scheduler put them where it liked

	conditions
)

// condition is the one that c was made in.
func (c *Call) condition() condition {
	if c.CrossCPU {
		return apart
	}
	return placed
}

// mostLonger is by what factor a transit can be longer in one condition than in the other: waking an idle CPU
// takes up to 40 µs, DESIGN.md section 4, and a switch of contexts 2.5.
const mostLonger = 16

// complete takes over from the transit of the other condition what t was not told. A call that does nothing
// takes the same time untraced. What others lose by being cold may differ: they lose it to the tracer's use of
// the same caches, or to the sleep of their own CPU.
func (t *Transit) complete(other *Transit) {
	if t.source != Calibrated || other.source != Calibrated {
		return
	}
	if len(t.untracedNs) == 0 {
		t.untracedNs, t.callNs = other.untracedNs, other.callNs
	}
	if len(t.colder) == 0 && len(other.colder) > 0 {
		t.colder, t.coldLent = other.colder, true
	}
}

// fitAll fits to the calls of each condition its own transit, or else that of the other one. All are nil if
// neither is usable, and that of calls made apart if there are none.
func fitAll(seen *[conditions]*observed, transits [conditions]*Transit) (fits [conditions]*fitted) {
	usable := func(c condition) bool { return transits[c] != nil && transits[c].Usable() }
	for c := range conditions {
		other := conditions - 1 - c
		switch {
		case c == apart && seen[c].calls() == 0:
		case usable(c):
			fits[c] = transits[c].fit(seen[c].rows, &seen[c].gaps)
		case !usable(other):
		case transits[other].source == ByHand:
			fits[c] = transits[other].fit(seen[c].rows, &seen[c].gaps)
		default:
			fits[c] = transits[other].lend(seen[other], seen[c])
		}
	}
	return fits
}

// lend fits the transit to calls of the other condition than the one that it was calibrated in. here are the
// calls of its own condition.
func (t *Transit) lend(here, there *observed) *fitted {
	times, off := t.longer(here, there)
	if times == 0 {
		f := t.fit(there.rows, &there.gaps)
		f.lent = true
		// It may be this or anything up to the longest there is; only that gaps have to have room for it.
		const enough = 50
		most := float64(mostLonger)
		if there.gaps.Count() >= enough {
			most = min(most, max(float64(there.gaps.Quantile(0.25))/max(float64(t.gap.Quantile(0.5)), 1), 1))
		}
		f.doubtNs = max(f.doubtNs, (most-1)*(f.middleNs+f.gapNs)*float64(there.calls()))
		return f
	}
	f := t.stretched(times).fit(there.rows, &there.gaps)
	f.lent = true
	f.middleOff += off
	f.gapOff += off
	return f
}

// longer finds how many times as long as t the transit of calls in the other condition is, from those that
// show it: calls that do nothing, and short ones that were made in both conditions, however long they
// take. off is how wrong that may be, as a share of it. times is 0 if nothing shows it.
func (t *Transit) longer(here, there *observed) (times, off float64) {
	const enough = 20
	ownNs := float64(t.raw.Quantile(0.5)) - float64(t.callNs)
	if ownNs <= 0 {
		return 0, 0
	}
	var found []float64
	for k, r := range there.rows {
		if r.OK.Count() < enough {
			continue
		}
		rawNs := float64(r.OK.Quantile(0.5))
		both := here.rows[k]
		switch {
		case cheapCalls[k.ABI.Name(k.Nr)]:
			found = append(found, (rawNs-float64(t.callNs))/ownNs)
		case both != nil && both.OK.Count() >= enough && both.OK.Quantile(0.5) < sleep:
			found = append(found, (rawNs-float64(both.OK.Quantile(0.5))+ownNs)/ownNs)
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
	s := &Transit{callNs: t.callNs, untracedNs: t.untracedNs, source: t.source, colder: t.colder, coldLent: true}
	for b := range t.raw.Buckets() {
		transitNs := float64(t.raw.middle(b) - t.callNs)
		s.raw.RecordN(t.callNs+int64(transitNs*times), b.Count)
	}
	for b := range t.gap.Buckets() {
		s.gap.RecordN(int64(float64(t.gap.middle(b))*times), b.Count)
	}
	s.cpu.Merge(&t.cpu)
	return s
}

// conditionWarnings are those about calls that were made apart, and on a condition that was not
// calibrated.
func (o *Overhead) conditionWarnings(fits [conditions]*fitted) []Warning {
	var w []Warning
	share := func(calls uint64) float64 { return float64(calls) / float64(max(o.Calls, 1)) }
	byCondition := [conditions]uint64{placed: o.Calls - o.CrossCPU, apart: o.CrossCPU}
	for c, f := range fits {
		if f == nil || !f.lent || byCondition[c] == 0 {
			continue
		}
		kind := SameCPUInferred
		if condition(c) == apart {
			kind = CrossCPUInferred
		}
		w = append(w, Warning{Kind: kind, Share: share(byCondition[c])})
	}
	// Half of the spread is how far off a call may be. Less than a quarter of a transit is what calls differ
	// by in a calibration, too; and few calls do not change the picture.
	const manyApart, wide = 0.2, 0.5
	if f := fits[apart]; f != nil && share(o.CrossCPU) >= manyApart && f.middleNs > 0 && f.spread() > wide*f.middleNs {
		w = append(w, Warning{Kind: CrossCPUVaries, Share: share(o.CrossCPU), LowNs: int64(f.at(0.1)), HighNs: int64(f.at(0.9))})
	}
	return w
}

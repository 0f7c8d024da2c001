package profile

import (
	"math"
	"math/bits"
	"runtime"
	"time"
)

// correct turns raw latencies into latencies, in place, and says what tracing cost and what the reader has
// to know. asleep says that threads may sleep in gaps (see Profile.GapsHaveCalls). This is the only place where that happens. Without a usable transit latencies remain raw.
func correct(seen *[conditions]*observed, transits [conditions]*Transit, asleep bool, wall time.Duration) (*Overhead, []Warning) {
	fits := fitAll(seen, transits)
	o := &Overhead{WallNs: int64(wall)}
	var gapsNs, shortGapsNs, leastNs, runningNs, turnsNs float64
	var tooShort, mixed uint64 // for what was given by hand; with standing in line
	var all cost
	for c, calls := range seen {
		a := calls.correct(fits[c])
		o.Calls += a.calls
		o.Queued += a.queued
		o.HoldNs = addClamped(o.HoldNs, a.holdNs)
		if condition(c) == apart {
			o.CrossCPU = a.calls
		}
		gapsNs += calls.gaps.sum()
		shortGapsNs += shortSum(&calls.gaps)
		leastNs += a.leastNs
		runningNs += a.runningNs
		tooShort += a.tooShort
		mixed += a.mixed
		if fits[c] != nil {
			o.Source = fits[c].transit.source
			all.add(fits[c].cost(&a, &calls.gaps))
			turnsNs += fits[c].turnsNs * float64(a.calls)
		}
	}
	warnings := o.warnings(fits, tooShort, mixed)
	if o.Source == Uncorrected || o.Calls == 0 || wall <= 0 {
		return o, warnings
	}

	calls := float64(o.Calls)
	o.TransitNs = estimate(all.transitNs/calls, all.transitOff/calls)
	o.SwitchesNs = estimate(all.switchesNs/calls, all.switchesOff/calls)
	o.InLineNs = estimate(all.inLineNs, all.inLineOff)
	o.InLineNs.HighNs = nanoseconds(float64(o.InLineNs.HighNs) + all.inLineDoubtNs)
	all.doubtNs += all.inLineDoubtNs
	total := all.transitNs + all.switchesNs + all.inLineNs + float64(o.HoldNs)
	o.TotalNs = estimate(total, math.Hypot(math.Hypot(all.transitOff, all.switchesOff), all.inLineOff))
	o.TotalNs.LowNs = max(o.TotalNs.LowNs, o.HoldNs)
	o.TotalNs.HighNs = nanoseconds(float64(o.TotalNs.HighNs) + all.doubtNs)

	// What several threads lose at the same time is lost only once. As many run at once, on average,
	// as the times in which they ran add up to the time that passed; no more than there are CPUs, but for those
	// that stand in line, which takes none.
	inAll := func(gapsNs float64) float64 {
		ran := runningNs + gapsNs + float64(o.HoldNs) + all.transitNs + all.inLineNs/2 // the gaps have the other half
		return max(ran/float64(wall), 1)
	}
	if !asleep { // otherwise a long gap may be either: the program computed, or slept in a call that is not traced
		shortGapsNs = gapsNs
	}
	atOnce := min(inAll(gapsNs), float64(runtime.NumCPU()))
	untraced := func(lost, gapsNs float64) int64 {
		inAll := inAll(gapsNs)
		atOnce := min(inAll, float64(runtime.NumCPU()))
		lost = (lost-all.inLineNs)/atOnce + all.inLineNs/inAll
		return nanoseconds(min(max(float64(wall)-lost, leastNs/atOnce, 1), float64(wall)))
	}
	o.UntracedNs = Estimate{
		Ns:     untraced(total, (shortGapsNs+gapsNs)/2),
		LowNs:  untraced(float64(o.TotalNs.HighNs), shortGapsNs),
		HighNs: untraced(float64(o.TotalNs.LowNs), gapsNs),
	}
	const ninety = 1.64 // standard deviations, between which nine of ten values lie
	turnsOff := ninety * math.Sqrt(turnsNs/calls*float64(wall))
	o.UntracedNs.LowNs = nanoseconds(max(float64(o.UntracedNs.LowNs)-turnsOff, 1))
	o.UntracedNs.HighNs = min(nanoseconds(float64(o.UntracedNs.HighNs)+turnsOff), int64(wall))
	o.UntracedNs.LowNs = min(o.UntracedNs.LowNs, o.UntracedNs.Ns) // which rounding may have swapped
	o.UntracedNs.HighNs = max(o.UntracedNs.HighNs, o.UntracedNs.Ns)
	if o.Source == Calibrated {
		warnings = append(o.uncertain(all.doubtNs/atOnce, turnsOff), warnings...)
	}
	return o, warnings
}

// uncertain is the warning of an estimate of the run without tracing whose range is wide. doubtNs of that are
// for what may have been lost to tracing, and turnsOff for other programs' turns.
func (o *Overhead) uncertain(doubtNs, turnsOff float64) []Warning {
	const silently = 0.1 // of it: how far off it may be without a word
	e := &o.UntracedNs
	off := float64(max(e.HighNs-e.Ns, e.Ns-e.LowNs))
	if off <= silently*float64(e.Ns) {
		return nil
	}
	why := UntracedByTracing
	switch {
	case turnsOff > off/2:
		why = UntracedByOthers
	case doubtNs > off/2:
		why = UntracedByDoubt
	}
	return []Warning{{Kind: why}}
}

// cost is what calls lost to tracing besides being held, in all, and how wrong each may be.
type cost struct {
	transitNs, transitOff   float64
	switchesNs, switchesOff float64
	inLineNs, inLineOff     float64
	inLineDoubtNs           float64 // that may be standing in line, or may not
	doubtNs                 float64 // that may be lost, or may not
}

// add adds the cost of other calls, which was found independently.
func (c *cost) add(d cost) {
	c.transitNs += d.transitNs
	c.switchesNs += d.switchesNs
	c.inLineNs += d.inLineNs
	c.inLineOff += d.inLineOff
	c.inLineDoubtNs += d.inLineDoubtNs
	c.transitOff = math.Hypot(c.transitOff, d.transitOff)
	c.switchesOff = math.Hypot(c.switchesOff, d.switchesOff)
	c.doubtNs += d.doubtNs
}

// cost is that of the calls of an account.
func (f *fitted) cost(a *account, gaps *Histogram) cost {
	if a.calls == 0 {
		return cost{}
	}
	// Calls that are in no row, or stood in line, have a transit, too.
	calls := float64(a.calls)
	transitNs, coldNs := f.at(0.5)*calls, 0.0
	if a.corrected > 0 {
		transitNs = a.takenNs * calls / float64(a.corrected)
		coldNs = a.coldNs * calls / float64(a.corrected)
	}
	// Exit-stops show how long they stood in line. Entry-stops are taken to do so as often and as long; but it
	// can't be told from the program's own work before them, of which as large a share may be that. So may be
	// latencies of which there are no others to compare with.
	c := cost{transitNs: transitNs}
	if a.queued > 0 {
		c.inLineNs = 2 * a.inLineNs * float64(a.queued) / float64(max(a.lined, 1))
		c.inLineOff = c.inLineNs / 2
		workNs := max(gaps.sum()-f.gapNs*float64(gaps.Count()), 0)
		c.inLineDoubtNs = workNs*float64(a.queued)/calls + a.mixedNs
	}
	if f.transit.source == ByHand {
		return c
	}
	// What disturbs calls now and then does so as long as they take: without tracing, less often. What
	// of that is in the transit already is not counted twice.
	disturbedNs := (f.noise*f.middleNs + f.gapNoise*f.gapNs) * calls
	noiseNs := max(disturbedNs-max(transitNs-f.middleNs*calls-coldNs, 0), 0)
	coldGapsNs := f.coldGaps(gaps)
	c.transitOff = math.Hypot(f.middleOff*f.middleNs*calls, f.coldOff*coldNs)
	c.switchesNs = f.gapNs*calls + coldGapsNs + noiseNs
	c.switchesOff = math.Hypot(math.Hypot(f.gapOff*f.gapNs*calls, coldGapsNs), f.noiseOff*disturbedNs)
	c.doubtNs = f.doubtNs + f.doubt*(f.middleNs+f.gapNs)*calls
	return c
}

// sum is the sum of all values.
func (h *Histogram) sum() float64 { return float64(h.sumHi)*(1<<64) + float64(h.sumLo) }

// shiftSum changes the sum of all values by as much as it is known to differ from that of the buckets'
// middles. It remains one that the count and the extremes allow.
func (h *Histogram) shiftSum(ns float64) {
	least, low := bits.Mul64(h.count, uint64(h.Min()))
	most, high := bits.Mul64(h.count, uint64(h.Max()))
	if least != 0 || most != 0 || h.sumHi != 0 {
		return // of 500 years the nanoseconds do not matter
	}
	if ns < 0 {
		h.sumLo -= min(uint64(-ns), h.sumLo-low)
	} else {
		h.sumLo += min(uint64(ns), high-h.sumLo)
	}
}

// estimate is ns, give or take off.
func estimate(ns, off float64) Estimate {
	return Estimate{Ns: nanoseconds(ns), LowNs: nanoseconds(max(ns-off, 0)), HighNs: nanoseconds(ns + off)}
}

// nanoseconds is ns as an integer. What does not fit is given as the largest there is.
func nanoseconds(ns float64) int64 {
	if !(ns < math.MaxInt64) {
		return math.MaxInt64
	}
	return int64(max(ns, 0))
}

// warnings are those about latencies.
func (o *Overhead) warnings(fits [conditions]*fitted, tooShort, mixed uint64) []Warning {
	var w []Warning
	const many = 0.05
	if o.Calls > 0 && float64(o.Queued) > many*float64(o.Calls) {
		kind := QueuedCorrected
		switch {
		case o.Source == Uncorrected:
			kind = QueuedRaw
		case float64(mixed) > many*float64(o.Calls):
			kind = QueuedInLatency
		}
		w = append(w, Warning{Kind: kind, Share: float64(o.Queued) / float64(o.Calls)})
	}
	if o.Calls > 0 && float64(tooShort) > many*float64(o.Calls) {
		w = append(w, Warning{Kind: ShorterThanByHand, Share: float64(tooShort) / float64(o.Calls)})
	}
	return append(w, o.conditionWarnings(fits)...)
}

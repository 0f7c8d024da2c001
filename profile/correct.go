package profile

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"time"
)

// correct turns raw latencies into latencies, in place, and says what tracing cost. This is the only
// place where that happens. Without a transit latencies remain raw.
func (b *builder) correct(t *Transit, wall time.Duration) *Overhead {
	o := &Overhead{WallNs: int64(wall)}
	var fit *fitted
	if t != nil && t.Usable() {
		fit = t.fit(b.rows, &b.gaps)
		o.Source = t.source
	}
	var leastNs, runningNs float64
	var takenNs, coldNs float64 // taken off the latencies of …
	var corrected uint64        // … that many calls
	correct := func(k Key, errno int32, h *Histogram) *Histogram {
		queued := b.queue(k, errno)
		raw := h.sum() + queued.sum()
		b.rows[k].RawNs = addClamped(b.rows[k].RawNs, int64(raw))
		o.Queued += queued.Count()
		o.Calls += h.Count() + queued.Count()
		b.rows[k].Queued += queued.Count()
		if fit != nil {
			before, cold := h.sum(), 0.0
			h, cold = fit.latency(h)
			coldNs += cold
			takenNs += before - h.sum()
			corrected += h.Count()
		}
		h = withQueued(h, queued, fit)
		runningNs += shortSum(h)
		leastNs += leastOf(h)
		return h
	}
	for k, r := range b.rows {
		r.OK = correct(k, 0, r.OK)
		for i := range r.Failed {
			r.Failed[i].Latency = correct(k, r.Failed[i].Errno, r.Failed[i].Latency)
		}
		if fit != nil {
			r.CPU = fit.cpu(r.CPU)
		}
		o.HoldNs = addClamped(o.HoldNs, r.HoldNs)
	}
	o.HoldNs = addClamped(o.HoldNs, b.left.holdNs)
	o.Queued += b.left.queued
	o.Calls += b.left.calls
	if fit == nil || o.Calls == 0 || wall <= 0 {
		return o
	}

	// Calls that are in no row, or stood in line, have a transit, too.
	calls := float64(o.Calls)
	transitNs := fit.at(0.5) * calls
	if corrected > 0 {
		transitNs = takenNs * calls / float64(corrected)
		coldNs *= calls / float64(corrected)
	}
	// What disturbs calls now and then does so as long as they take: without tracing, less often. What
	// of that is in the transit already is not counted twice.
	disturbedNs := (fit.noise*fit.middleNs + fit.gapNoise*fit.gapNs) * calls
	noiseNs := max(disturbedNs-max(transitNs-fit.middleNs*calls-coldNs, 0), 0)
	if fit.byHandNs > 0 {
		transitNs, noiseNs = float64(fit.byHandNs)*calls, 0
	}
	coldGapsNs := fit.coldGaps(&b.gaps)
	switchesNs := fit.gapNs*calls + coldGapsNs + noiseNs
	transitOff := math.Hypot(fit.middleOff*fit.middleNs*calls, fit.coldOff*coldNs)
	switchesOff := math.Hypot(math.Hypot(fit.gapOff*fit.gapNs*calls, coldGapsNs), fit.noiseOff*disturbedNs)
	o.TransitNs = estimate(transitNs/calls, transitOff/calls)
	o.SwitchesNs = estimate(switchesNs/calls, switchesOff/calls)
	total := transitNs + switchesNs + float64(o.HoldNs)
	o.TotalNs = estimate(total, math.Hypot(transitOff, switchesOff))
	o.TotalNs.LowNs = max(o.TotalNs.LowNs, o.HoldNs)
	o.TotalNs.HighNs = nanoseconds(float64(o.TotalNs.HighNs) + fit.doubtNs)

	// What several threads lose at the same time is lost only once. As many run at once, on average,
	// as the times in which they ran add up to the time that passed.
	atOnce := func(gapsNs float64) float64 {
		ran := runningNs + gapsNs + float64(o.HoldNs) + transitNs
		return min(max(ran/float64(wall), 1), float64(runtime.NumCPU()))
	}
	most := atOnce(b.gaps.sum())
	least := most
	if b.asleep { // a long gap may be either: the program computed, or slept in a call that is not traced
		least = atOnce(shortSum(&b.gaps))
	}
	untraced := func(lost, atOnce float64) int64 {
		return nanoseconds(min(max(float64(wall)-lost/atOnce, leastNs/atOnce, 1), float64(wall)))
	}
	o.UntracedNs = Estimate{
		Ns:     untraced(total, (least+most)/2),
		LowNs:  untraced(float64(o.TotalNs.HighNs), least),
		HighNs: untraced(float64(o.TotalNs.LowNs), most),
	}
	o.UntracedNs.LowNs = min(o.UntracedNs.LowNs, o.UntracedNs.Ns) // which rounding may have swapped
	o.UntracedNs.HighNs = max(o.UntracedNs.HighNs, o.UntracedNs.Ns)
	return o
}

// leastOf is what short calls took at least: three of four are not below the first quartile.
func leastOf(h *Histogram) float64 {
	const quartile = 0.25
	if ns := h.Quantile(quartile); ns < sleep {
		return float64(ns) * (1 - quartile) * float64(h.Count())
	}
	return 0
}

// sleep is from when on a call is said to have slept rather than run.
const sleep = 50 * time.Microsecond

// withQueued adds the calls of an outcome whose exit-stops stood in line. They are taken to be like the
// others, if there are enough of those to know what they are like; otherwise the time in the line is
// part of the latency.
func withQueued(h, queued *Histogram, fit *fitted) *Histogram {
	const enough = 20
	switch {
	case queued.Count() == 0:
		return h
	case fit != nil && h.Count() >= enough:
		return resized(h, h.Count()+queued.Count())
	case fit != nil:
		queued, _ = fit.latency(queued)
	}
	both := h.Clone()
	both.Merge(queued)
	return both
}

// shortSum adds up the calls in which the thread ran rather than slept, as far as their length tells.
func shortSum(h *Histogram) float64 {
	sum := 0.0
	for b := range h.Buckets() {
		if b.LowNs >= int64(sleep) {
			break
		}
		sum += float64(h.middle(b)) * float64(b.Count)
	}
	return sum
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

// warnings are the sentences that a reader of corrected latencies has to know.
func (o *Overhead) warnings() []string {
	var w []string
	if o.Source == Calibrated && o.UntracedNs.Ns > 0 {
		e := &o.UntracedNs
		const promised = 0.1
		if float64(max(e.HighNs-e.Ns, e.Ns-e.LowNs)) > promised*float64(e.Ns) {
			w = append(w, "the run's time without tracing is uncertain: tracing took so much longer than the program that a few per cent of it make a difference")
		}
	}
	const manyQueued = 0.05
	if o.Calls > 0 && float64(o.Queued) > manyQueued*float64(o.Calls) {
		w = append(w, fmt.Sprintf("%.0f %% of the calls ended while the tracer was busy with another thread; how long these took is taken from the others",
			100*float64(o.Queued)/float64(o.Calls)))
	}
	return w
}

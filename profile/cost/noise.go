package cost

import (
	"math"

	"sysprof/profile"
)

// fitNoise learns how far transits spread, how much time goes to what disturbs them (interrupts, the tracer's other
// threads, other programs), and how uneven that is.
func (f *fitted) fitNoise(calls *observed, cheap *profile.Histogram, rawNs float64) {
	t := f.transit
	rows := alike(calls, rawNs)
	f.fitSpread(rows, cheap)
	f.preemptionVarianceNs = preemptionVariance(t.raw, t.gap)
	if cheap.Count() >= manyCheap {
		f.preemptionVarianceNs = preemptionVariance(cheap) // what the run itself shows
	}

	var lostNs, quietNs float64
	disturbed := func(h *profile.Histogram) {
		middle := float64(h.Quantile(0.5))
		lostNs += lostIn(h, middle, 10)
		quietNs += middle * float64(h.Count())
	}
	for _, h := range rows {
		disturbed(h)
	}
	most := 0.15 // more is not noise
	if quietNs == 0 {
		// Much happens in the milliseconds of a calibration that does not go on: other threads of the
		// tracer come to rest.
		disturbed(t.raw)
		f.noiseOff, most = 1, 0.05
		f.doubt = max(t.contention()-most, 0)
	}
	f.noise = min(max(lostNs/max(quietNs, 1), 0), most)
	// Gaps have their part of it, and more: the tracer does what can wait while the tracee is about to run.
	f.gapNoise = max(f.gapNoise, f.noise)
}

// enoughAlike is how many calls of a row show how transits differ.
const enoughAlike = 100

// alike returns the raw latencies of rows in which most calls take the same time, and not much longer than nothing,
// so that it is their transits that differ.
func alike(calls *observed, rawNs float64) (rows []*profile.Histogram) {
	const narrow, longer = 0.35, 2
	for _, r := range calls.sorted {
		h := &r.OK.Latency
		if h.Count() >= enoughAlike && float64(h.Quantile(0.5)) < longer*rawNs && spreadOf(h) < narrow {
			rows = append(rows, h)
		}
	}
	return rows
}

// fitSpread learns how far transits spread: as far as is common to the calibration, to the run's cheap calls and to
// all rows whose calls are alike.
func (f *fitted) fitSpread(rows []*profile.Histogram, cheap *profile.Histogram) {
	if cheap.Count() >= enoughAlike {
		rows = append([]*profile.Histogram{cheap}, rows...)
	}
	f.excess = excessOf(f.transit.raw)
	for _, h := range rows {
		for i, ns := range excessOf(h) {
			if ns >= 0 {
				f.excess[i] = min(max(f.excess[i], 0), ns)
			} else {
				f.excess[i] = max(min(f.excess[i], 0), ns)
			}
		}
	}
}

// contention is by what share the calibration took longer than most of its calls and switches did. None of
// that was work: other programs had the CPU. They may have gone on having it during the run, and what tracing
// cost that took as much longer.
func (t *Transit) contention() float64 {
	const most = 1 // another program that computes all the time gets half of a CPU
	var lostNs, quietNs float64
	for _, h := range []*profile.Histogram{t.raw, t.gap} {
		middle := float64(h.Quantile(0.5))
		lostNs += lostIn(h, middle, math.Inf(1))
		quietNs += middle * float64(h.Count())
	}
	return min(max(lostNs/max(quietNs, 1), 0), most)
}

// preemptionVariance is the variance, for each nanosecond of time, of how long other programs had the CPU. None of the
// values was work or sleep, so that what is much longer than most was preempted. Preemptions come at random, and
// so what they take of a run has the variance of their squares: in a short run there may have been one more, or
// one less.
func preemptionVariance(histograms ...*profile.Histogram) float64 {
	const longer = 10 // times as long as most
	var squares, total float64
	for _, h := range histograms {
		middle := float64(h.Quantile(0.5))
		for b := range h.Buckets() {
			if ns := float64(h.Middle(b)); ns > longer*middle {
				squares += (ns - middle) * (ns - middle) * float64(b.Count)
			}
		}
		total += sum(h)
	}
	return squares / max(total, 1)
}

// lostIn is by how much all values together exceed what most of them are. What takes more than wide times
// as long may have blocked, or worked, and counts as if it took that long.
func lostIn(h *profile.Histogram, usualNs, wide float64) float64 {
	ns := 0.0
	for b := range h.Buckets() {
		ns += (min(float64(h.Middle(b)), wide*usualNs) - usualNs) * float64(b.Count)
	}
	return ns
}

// excessOf is by how much quantiles differ from the middle one.
func excessOf(h *profile.Histogram) (excess [points + 1]float64) {
	middle := h.Quantile(0.5)
	for i := range excess {
		excess[i] = float64(h.Quantile(float64(i)/points) - middle)
	}
	return excess
}

// spreadOf is how far apart the slow and the fast tenth are, as a share of the middle.
func spreadOf(h *profile.Histogram) float64 {
	return float64(h.Quantile(0.9)-h.Quantile(0.1)) / max(float64(h.Quantile(0.5)), 1)
}

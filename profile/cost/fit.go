package cost

import (
	"math"

	"sysprof/profile"
)

// fitted is a transit fitted to the calls that one run made in one condition. Machines drift, and a program with a
// large working set makes the tracer's caches colder than the calibration did: so what the run itself shows
// comes first.
type fitted struct {
	transit  *Transit
	lent     bool    // by a calibration of the other condition
	middleNs float64 // the transit of most calls that do nothing
	gapNs    float64 // most switches around the stops of one call, without what disturbs some

	excess   [points + 1]float64 // by how much the transit at a quantile differs from middleNs
	noise    float64             // what disturbs calls now and then, as a share of the time that they take
	gapNoise float64             // the same for gaps

	// preemptionVarianceNs is the variance, for each nanosecond of the run, of the time in which other programs
	// had the CPU.
	preemptionVarianceNs float64

	doubt   float64 // a share of transits and switches that may have come on top of them
	doubtNs float64 // time that may be the program's own or not, as in a few gaps that are much longer than the others

	// How wrong these may be, about nine times in ten, as a share of each.
	middleOff, gapOff, coldOff, noiseOff float64
}

// points is how fine quantiles are looked up, in a table because that is done for every bucket.
const points = 1000

// observed is what was seen of the calls of one condition.
type observed struct {
	*profile.RawCalls
	sorted []*profile.RawRow // so that sums of floating-point numbers are the same each time
	traced profile.Traced
}

func observe(calls *profile.RawCalls) *observed {
	return &observed{calls, calls.Sorted(), calls.Traced()}
}

// fit looks in a run's calls for what shows the transit there.
func (t *Transit) fit(calls *observed) *fitted {
	f := &fitted{transit: t, middleOff: 0.03, gapOff: 0.04, coldOff: 0.5, noiseOff: 0.5}
	if t.source == profile.ByHand {
		f.middleNs = float64(t.byHand)
		return f
	}
	if t.coldLent {
		f.coldOff = 1
	}
	cheap := cheapCallsOf(calls)
	rawNs := f.fitCheap(cheap)
	rawNs = f.notFaster(calls, rawNs)
	shorter := f.fitGap(&calls.Gaps)
	// Nor is a gap shorter than its switches: where all gaps are, as on one CPU after a calibration across
	// two, transits are, too.
	if shorter < fasterRun && cheap.Count() < manyCheap {
		rawNs = min(rawNs, float64(t.raw.Quantile(0.5))*shorter)
		f.middleOff += (1 - shorter) / 4
	}
	f.middleNs = max(rawNs-float64(t.callNs), 0)
	f.doubtPlacement(calls, shorter)
	f.fitNoise(calls, cheap, rawNs)

	// Where the calibration itself met two kinds of transits, as when the tracee moves between CPUs, the
	// run may have met them in another proportion.
	const usual = 0.25
	if spread := spreadOf(t.raw); spread > usual {
		f.middleOff += (spread - usual) / 2
		f.gapOff += (spread - usual) / 2
	}
	return f
}

// manyCheap is with how many calls that do nothing, made by the program itself, there is no need of the
// calibration's any more.
const manyCheap = 300

// fitCheap returns the raw latency of calls that do nothing: by those of the run, if it has made any.
func (f *fitted) fitCheap(cheap *profile.Histogram) (rawNs float64) {
	const few = 20
	switch n := cheap.Count(); {
	case n >= manyCheap:
		f.middleOff = 0.015
		return float64(cheap.Quantile(0.5))
	case n >= few:
		// A few are made here and there, where caches are colder than in most calls: but not for all.
		return float64(cheap.Quantile(0.25))
	}
	return float64(f.transit.raw.Quantile(0.5))
}

// notFaster returns rawNs, or less: no call is faster than its transit. The middle of a row is a steadier measure than
// its fast end: for a while, a machine may be faster than it is most of the time.
func (f *fitted) notFaster(calls *observed, rawNs float64) float64 {
	const enough, fastest = 50, 0.5
	least := rawNs
	for _, r := range calls.sorted {
		if r.OK.Latency.Count() >= enough {
			least = min(least, float64(r.OK.Latency.Quantile(fastest)))
		}
	}
	if rawNs > 0 {
		f.middleOff += 0.5 * (rawNs - least) / rawNs
	}
	return least
}

// fitGap finds what switches take in this run. The shorter gaps have no work of the program's in them:
// if they are near the calibration's they are of that kind.
//
// It returns how long the shorter gaps are, as a share of those of the calibration.
func (f *fitted) fitGap(gaps *profile.Histogram) float64 {
	const (
		enough  = 50
		shorter = 0.25
		// Programs add some per cent to what the calibration's child shows, which has no
		// restartable sequences (rseq(2)) to look after and finds its few instructions in the caches.
		more = 1.1
	)
	calibratedNs := float64(f.transit.gap.Quantile(0.5))
	f.gapNs = calibratedNs
	if gaps.Count() < enough {
		return 1
	}
	const narrow = 0.12
	if q1, q3 := float64(gaps.Quantile(shorter)), float64(gaps.Quantile(1-shorter)); q3-q1 < narrow*q1 {
		const wide = 40
		lostNs := lostIn(gaps, q1, wide)
		f.doubtNs = max(lostIn(gaps, q1, math.Inf(1))-lostNs, 0)
		f.gapNoise = max(lostNs/(q1*float64(gaps.Count())), 0)
	}
	r := float64(gaps.Quantile(shorter)) / max(calibratedNs, 1)
	switch {
	case r > more:
		// With work in all gaps, or slower. Nothing can tell these apart, but that the others are so, too.
		f.gapNs *= (1 + more) / 2
		f.gapOff += (more - 1) / 2
	default:
		f.gapNs *= r
		f.gapOff += max(fasterRun-r, 0)
	}
	return r
}

// fasterRun is how short gaps are, as a share of those of the calibration, below which the machine is not
// in the state that it was calibrated in.
const fasterRun = 0.85

// doubtPlacement widens the range where all calls and all gaps are much longer than the calibration's. The
// program may be so; or its stops wake another CPU and did not when it was calibrated, and most of that
// is overhead. shorter is what fitGap returned.
func (f *fitted) doubtPlacement(calls *observed, shorter float64) {
	const (
		enough = 20
		longer = 2
	)
	shortestNs, n := math.Inf(1), 0.0
	for _, r := range calls.sorted {
		if h := &r.OK.Latency; h.Count() >= enough {
			shortestNs = min(shortestNs, float64(h.Quantile(0.5)))
			n += float64(h.Count())
		}
	}
	both := min(shorter, shortestNs/max(float64(f.transit.raw.Quantile(0.5)), 1))
	if n > 0 && both > longer {
		f.doubtNs += (min(both, mostLonger) - 1) * (f.middleNs + f.gapNs) * n
	}
}

// at is the transit of a call that does nothing, at the q-quantile of transits.
func (f *fitted) at(q float64) float64 {
	return max(f.middleNs+f.excess[int(min(max(q, 0), 1)*points)], 0)
}

// spread is how far apart the slow and the fast tenth of transits are.
func (f *fitted) spread() float64 { return f.at(0.9) - f.at(0.1) }

// cheapCalls are the calls whose time untraced is, within some nanoseconds, that of the calibration's
// getppid: they read a word of the caller's own state and take no argument. (Those that look up a
// descriptor or copy from and to the caller's memory are up to 0.2 µs slower, for being cold.)
var cheapCalls = map[string]bool{
	"getpid": true, "getppid": true, "gettid": true, "getuid": true, "geteuid": true, "getgid": true,
	"getegid": true, "getpgrp": true,
}

// cheapCallsOf adds the run's own cheap calls up.
func cheapCallsOf(calls *observed) *profile.Histogram {
	cheap := new(profile.Histogram)
	for _, r := range calls.sorted {
		if cheapCalls[r.ABI.Name(r.Nr)] {
			cheap.Merge(&r.OK.Latency)
		}
	}
	return cheap
}

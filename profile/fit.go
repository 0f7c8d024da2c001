package profile

import "math"

// fitted is a transit fitted to one run. Machines drift, and a program with a large working set makes
// the tracer's caches colder than the calibration did: so what the run itself shows comes first.
type fitted struct {
	transit  *Transit
	middleNs float64             // the transit of most calls that do nothing
	lent     bool                // by a calibration of the other condition
	gapNs    float64             // most switches around the stops of one call, without what disturbs some
	noise    float64             // what disturbs calls now and then, as a share of the time that they take
	gapNoise float64             // and gaps
	doubt    float64             // a share of transits and switches that may have come on top of them
	turnsNs  float64             // the variance, a nanosecond of the run, of the time that other programs took in turns
	doubtNs  float64             // time that may be the program's own or not: few gaps much longer than all others, …
	excess   [points + 1]float64 // by how much the transit at a quantile differs from middleNs

	// How wrong these may be, about nine times in ten, as a share of each.
	middleOff, gapOff, coldOff, noiseOff float64
}

// points is how fine quantiles are looked up, in a table because that is done for every bucket.
const points = 1000

// fit looks in a run's raw rows for what shows the transit there.
func (t *Transit) fit(rows map[Key]*Row, gaps *Histogram) *fitted {
	f := &fitted{transit: t, middleOff: 0.03, gapOff: 0.04, coldOff: 0.5, noiseOff: 0.5}
	if t.source == ByHand {
		f.middleNs = float64(t.byHandNs)
		return f
	}
	if t.coldLent {
		f.coldOff = 1
	}
	rawNs := float64(t.raw.Quantile(0.5))

	// Calls that do nothing, made by the program itself. With some hundreds of them there is no need
	// of the calibration's any more.
	const many, few = 300, 20
	cheap := new(Histogram)
	for k, r := range rows {
		if cheapCalls[k.ABI.Name(k.Nr)] && r.OK != nil {
			cheap.Merge(r.OK)
		}
	}
	switch n := cheap.Count(); {
	case n >= many:
		rawNs = float64(cheap.Quantile(0.5))
		f.middleOff = 0.015
	case n >= few:
		// A few are made here and there, where caches are colder than in most calls: but not for all.
		rawNs = float64(cheap.Quantile(0.25))
	}

	// No call is faster than its transit. The middle of a row is a steadier measure than its fast end:
	// for a while, a machine may be faster than it is most of the time.
	const enough, fastest = 50, 0.5
	for _, r := range rows {
		if r.OK != nil && r.OK.Count() >= enough {
			if ns := float64(r.OK.Quantile(fastest)); ns < rawNs {
				f.middleOff += 0.5 * (rawNs - ns) / rawNs
				rawNs = ns
			}
		}
	}
	// Nor is a gap shorter than its switches: where all gaps are, as on one CPU after a calibration across
	// two, transits are, too.
	r := f.fitGap(gaps)
	if r < fasterRun && cheap.Count() < many {
		rawNs = min(rawNs, float64(t.raw.Quantile(0.5))*r)
		f.middleOff += (1 - r) / 4
	}
	f.middleNs = max(rawNs-float64(t.callNs), 0)
	f.doubtPlacement(rows, r)
	f.fitNoise(rows, cheap, rawNs)

	// Where the calibration itself met two kinds of transits, as when the tracee moves between CPUs, the
	// run may have met them in another proportion.
	const usual = 0.25
	if spread := spreadOf(&t.raw); spread > usual {
		f.middleOff += (spread - usual) / 2
		f.gapOff += (spread - usual) / 2
	}
	return f
}

// fitGap finds what switches take in this run. The shorter gaps have no work of the program's in them:
// if they are near the calibration's they are of that kind.
//
// It returns how long the shorter gaps are, with 1 for those of the calibration.
func (f *fitted) fitGap(gaps *Histogram) float64 {
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

// fasterRun is how short gaps are, with 1 for those of the calibration, below which the machine is not
// in the state that it was calibrated in.
const fasterRun = 0.85

// doubtPlacement widens the range where all calls and all gaps are much longer than the calibration's. The
// program may be so; or its stops wake another CPU and did not when it was calibrated, and most of that
// is overhead. r is what fitGap returned.
func (f *fitted) doubtPlacement(rows map[Key]*Row, r float64) {
	const (
		enough = 20
		longer = 2
		most   = 16 // waking an idle CPU takes no longer than that, DESIGN.md section 4
	)
	shortestNs, calls := math.Inf(1), 0.0
	for _, row := range rows {
		if n := row.OK.Count(); n >= enough {
			shortestNs = min(shortestNs, float64(row.OK.Quantile(0.5)))
			calls += float64(n)
		}
	}
	both := min(r, shortestNs/max(float64(f.transit.raw.Quantile(0.5)), 1))
	if calls > 0 && both > longer {
		f.doubtNs += (min(both, most) - 1) * (f.middleNs + f.gapNs) * calls
	}
}

// fitNoise learns from rows in which most calls take the same time how far transits spread, and how
// much time goes to what disturbs them: interrupts, the tracer's other threads, other programs.
func (f *fitted) fitNoise(rows map[Key]*Row, cheap *Histogram, rawNs float64) {
	const enough, narrow = 100, 0.35
	t := f.transit
	// Spread that is common to all of them is that of the transit.
	f.excess = excessOf(&t.raw)
	if f.turnsNs = turns(&t.raw, &t.gap); cheap.Count() >= 3*enough {
		f.turnsNs = turns(cheap) // what the run itself shows
	}
	common := func(h *Histogram) {
		for i, ns := range excessOf(h) {
			if ns >= 0 {
				f.excess[i] = min(max(f.excess[i], 0), ns)
			} else {
				f.excess[i] = max(min(f.excess[i], 0), ns)
			}
		}
	}
	var lostNs, quietNs float64
	disturbed := func(h *Histogram) {
		middle := float64(h.Quantile(0.5))
		lostNs += lostIn(h, middle, 10)
		quietNs += middle * float64(h.Count())
	}
	if cheap.Count() >= enough {
		common(cheap)
	}
	for _, r := range rows {
		if h := r.OK; h != nil && h.Count() >= enough && float64(h.Quantile(0.5)) < 2*rawNs && spreadOf(h) < narrow {
			common(h)
			disturbed(h)
		}
	}
	most := 0.15 // more is not noise
	if quietNs == 0 {
		// Much happens in the milliseconds of a calibration that does not go on: other threads of the
		// tracer come to rest.
		disturbed(&t.raw)
		f.noiseOff, most = 1, 0.05
		f.doubt = max(t.contention()-most, 0)
	}
	f.noise = min(max(lostNs/max(quietNs, 1), 0), most)
	// Gaps have their part of it, and more: the tracer does what can wait while the tracee is about to run.
	f.gapNoise = max(f.gapNoise, f.noise)
}

// contention is by what share the calibration took longer than most of its calls and switches did. None of
// that was work: other programs had the CPU. They may have gone on having it during the run, and what tracing
// cost that took as much longer.
func (t *Transit) contention() float64 {
	const most = 1 // another program that computes all the time gets half of a CPU
	var lostNs, quietNs float64
	for _, h := range []*Histogram{&t.raw, &t.gap} {
		middle := float64(h.Quantile(0.5))
		lostNs += lostIn(h, middle, math.Inf(1))
		quietNs += middle * float64(h.Count())
	}
	return min(max(lostNs/max(quietNs, 1), 0), most)
}

// turns is the variance, a nanosecond of time, of what others took of it now and then. None of the values was
// work or sleep, so what is much longer than most was interrupted. Such turns come at random, and so what they
// take of a run has the variance of their squares: in a short run there may have been one more, or less.
func turns(histograms ...*Histogram) float64 {
	const longer = 10 // times as long as most
	var squares, sum float64
	for _, h := range histograms {
		middle := float64(h.Quantile(0.5))
		for b := range h.Buckets() {
			if ns := float64(h.middle(b)); ns > longer*middle {
				squares += (ns - middle) * (ns - middle) * float64(b.Count)
			}
		}
		sum += h.sum()
	}
	return squares / max(sum, 1)
}

// lostIn is by how much all values together exceed what most of them are. What takes more than wide times
// as long may have blocked, or worked, and counts as if it took that long.
func lostIn(h *Histogram, usualNs, wide float64) float64 {
	ns := 0.0
	for b := range h.Buckets() {
		ns += (min(float64(h.middle(b)), wide*usualNs) - usualNs) * float64(b.Count)
	}
	return ns
}

// coldGaps is how much longer the program's own work between its calls took for being interrupted by
// the tracer: caches are as cold for it as for a call that takes as long.
func (f *fitted) coldGaps(gaps *Histogram) float64 {
	ns := 0.0
	for b := range gaps.Buckets() {
		ns += f.transit.cold(float64(gaps.middle(b))-f.gapNs) * float64(b.Count)
	}
	return ns
}

// excessOf is by how much quantiles differ from the middle one.
func excessOf(h *Histogram) (excess [points + 1]float64) {
	middle := h.Quantile(0.5)
	for i := range excess {
		excess[i] = float64(h.Quantile(float64(i)/points) - middle)
	}
	return excess
}

// spreadOf is how far apart the slow and the fast tenth are, as a share of the middle.
func spreadOf(h *Histogram) float64 {
	return float64(h.Quantile(0.9)-h.Quantile(0.1)) / max(float64(h.Quantile(0.5)), 1)
}

// at is the transit of a call that does nothing, at the q-quantile of transits.
func (f *fitted) at(q float64) float64 {
	return max(f.middleNs+f.excess[int(min(max(q, 0), 1)*points)], 0)
}

// cheapCalls are the calls whose time untraced is, within some nanoseconds, that of the calibration's
// getppid: they read a word of the caller's own state and take no argument. (Those that look up a
// descriptor or copy from and to the caller's memory are up to 0.2 µs slower, for being cold.)
var cheapCalls = map[string]bool{
	"getpid": true, "getppid": true, "gettid": true, "getuid": true, "geteuid": true, "getgid": true,
	"getegid": true, "getpgrp": true,
}

// spread is how far apart the slow and the fast tenth of transits are.
func (f *fitted) spread() float64 { return f.at(0.9) - f.at(0.1) }

// latency takes the transit off a distribution of raw latencies. It returns what it has taken for
// cold caches, too.
//
// Where all calls take the same time, the distribution is that of the transit, moved: the q-quantile
// of the transit has to come off the q-quantile. Where the calls themselves differ much more than
// transits do, the two have nothing to do with each other, and the middle one has to come off all.
// Between these the spread tells how much of each. Where calls differ less than transits are thought to,
// their own transits have differed less: by as much as the calls do.
//
// The order of calls is kept. It is the middle one that is known best, so that what comes out of order is
// moved towards it. No call takes less than one that does nothing.
func (f *fitted) latency(raw *Histogram) (corrected *Histogram, coldNs float64) {
	if raw.Count() == 0 {
		return raw, 0
	}
	middle, least := f.at(0.5), float64(f.transit.callNs)
	same := 0.0
	if spread, own := float64(raw.Quantile(0.9)-raw.Quantile(0.1)), f.spread(); spread > 0 && own > 0 {
		same = min(own/spread, spread/own)
	}
	type part struct {
		ns    float64
		calls uint64
	}
	var parts []part
	var before uint64
	middlemost, rounded := 0, 0.0
	for b := range raw.Buckets() {
		q := (float64(before) + float64(b.Count)/2) / float64(raw.Count())
		if before < (raw.Count()+1)/2 {
			middlemost = len(parts)
		}
		before += b.Count
		rawNs := float64(raw.middle(b))
		ns := rawNs - middle - same*(f.at(q)-middle)
		cold := f.transit.cold(ns - least)
		coldNs += cold * float64(b.Count)
		parts = append(parts, part{max(ns-cold, min(least, rawNs)), b.Count})
		rounded += rawNs * float64(b.Count)
	}
	for i := middlemost + 1; i < len(parts); i++ {
		parts[i].ns = max(parts[i].ns, parts[i-1].ns)
	}
	for i := middlemost - 1; i >= 0; i-- {
		parts[i].ns = min(parts[i].ns, parts[i+1].ns)
	}
	corrected = new(Histogram)
	for _, p := range parts {
		corrected.RecordN(int64(p.ns), p.calls)
	}
	// The sum of the raw latencies is exact, and what was taken off them is known: for a call that
	// sleeps for seconds, the width of a bucket is more than all of it.
	corrected.shiftSum(raw.sum() - rounded)
	return corrected, coldNs
}

// cpu takes off what the stops themselves add to the CPU time of a call, and the cold caches.
func (f *fitted) cpu(raw *Histogram) *Histogram {
	if raw == nil || f.transit.cpu.Count() == 0 {
		return raw
	}
	stops := max(int64(f.transit.cpu.Quantile(0.5))-f.transit.callNs, 0)
	corrected := new(Histogram)
	for b := range raw.Buckets() {
		ns := float64(max(raw.middle(b)-stops, 0))
		cold := f.transit.cold(ns - float64(f.transit.callNs))
		corrected.RecordN(int64(max(ns-cold, 0)), b.Count)
	}
	return corrected
}

// resized is h with n calls instead of the ones it has, distributed alike.
func resized(h *Histogram, n uint64) *Histogram {
	if h.Count() == 0 || h.Count() == n {
		return h
	}
	out := new(Histogram)
	var before, placed uint64
	for b := range h.Buckets() {
		before += b.Count
		upTo := uint64(float64(n) * (float64(before) / float64(h.Count())))
		if before == h.Count() {
			upTo = n
		}
		out.RecordN(h.middle(b), upTo-placed)
		placed = upTo
	}
	return out
}

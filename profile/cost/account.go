package cost

import (
	"math"

	"sysprof/profile"
)

// account is what correcting the calls of one condition found out on its way.
type account struct {
	traced    profile.Traced
	leastNs   float64 // what the calls took at least, corrected
	runningNs float64 // what they took as far as the thread ran in them, corrected

	inLineNs  float64 // how long exit-stops stood in line, of those of which that is known
	lined     uint64  // how many these are
	unlined   uint64  // of how many calls the time in the line is part of the latency
	unlinedNs float64 // what that is at most

	correctedCalls  uint64
	takenNs, coldNs float64 // what was taken off their latencies in all, and for cold caches
	tooShort        uint64  // how many of them had less than the transit given by hand
}

// correct returns the rows of calls with their latencies. It changes nothing of calls.
func (f *fitted) correct(calls *observed) (rows []*profile.Row, a account) {
	a.traced = calls.traced
	for _, from := range calls.sorted {
		n, queued := from.Counts()
		if n == 0 {
			continue
		}
		r := &profile.Row{Key: from.Key, RawNs: from.RawNs(), CPU: f.cpu(from.CPU)}
		r.Queued, r.HoldNs = queued, from.HoldNs
		r.OK = f.correctOutcome(&from.OK, &a)
		for _, failed := range from.Failed {
			r.Failed = append(r.Failed, profile.Outcome{Errno: failed.Errno, Latency: f.correctOutcome(failed.RawOutcome, &a)})
		}
		rows = append(rows, r)
	}
	return rows, a
}

// correctOutcome returns the latencies of all calls of an outcome.
func (f *fitted) correctOutcome(o *profile.RawOutcome, a *account) *profile.Histogram {
	raw, queued := &o.Latency, o.Queued
	if queued == nil {
		queued = new(profile.Histogram)
	}
	h, coldNs := f.latency(raw)
	a.coldNs += coldNs
	a.takenNs += sum(raw) - sum(h)
	a.correctedCalls += h.Count()
	if f.transit.source == profile.ByHand {
		a.tooShort += below(raw, f.transit.byHand)
	}
	inLineNs, lined := inLine(raw, queued)
	a.inLineNs += inLineNs
	a.lined += lined
	if raw.Count() < enoughUnqueued {
		a.unlined += queued.Count()
		a.unlinedNs += shortenedSum(queued)
	}
	h = f.withQueued(h, queued)
	a.runningNs += runningSum(h)
	a.leastNs += leastOf(h)
	return h
}

// loss is what calls lost to tracing besides hold, in all, and how wrong each part may be.
type loss struct {
	transitNs, transitOff   float64
	switchesNs, switchesOff float64
	inLineNs, inLineOff     float64
	inLineDoubtNs           float64 // that may be standing in line, or may not
	doubtNs                 float64 // that may be lost, or may not
}

// add adds the loss of other calls, which was found independently.
func (l *loss) add(m loss) {
	l.transitNs += m.transitNs
	l.switchesNs += m.switchesNs
	l.inLineNs += m.inLineNs
	l.inLineOff += m.inLineOff
	l.inLineDoubtNs += m.inLineDoubtNs
	l.transitOff = math.Hypot(l.transitOff, m.transitOff)
	l.switchesOff = math.Hypot(l.switchesOff, m.switchesOff)
	l.doubtNs += m.doubtNs
}

// loss is that of the calls of an account.
func (f *fitted) loss(a *account, gaps *profile.Histogram) loss {
	if a.traced.Calls == 0 {
		return loss{}
	}
	// Calls that are in no row, or stood in line, have a transit, too.
	calls, queued := float64(a.traced.Calls), float64(a.traced.Queued)
	transitNs, coldNs := f.at(0.5)*calls, 0.0
	if a.correctedCalls > 0 {
		transitNs = a.takenNs * calls / float64(a.correctedCalls)
		coldNs = a.coldNs * calls / float64(a.correctedCalls)
	}
	l := loss{transitNs: transitNs}
	// Exit-stops show how long they stood in line. Entry-stops are taken to do so as often and as long; but it
	// can't be told from the program's own work before them, of which as large a share may be that. So may be
	// latencies of which there are no others to compare with.
	if queued > 0 {
		l.inLineNs = 2 * a.inLineNs * queued / float64(max(a.lined, 1))
		l.inLineOff = l.inLineNs / 2
		workNs := max(sum(gaps)-f.gapNs*float64(gaps.Count()), 0)
		l.inLineDoubtNs = workNs*queued/calls + a.unlinedNs
	}
	if f.transit.source == profile.ByHand {
		return l
	}
	// What disturbs calls now and then does so as long as they take: without tracing, less often. What
	// of that is in the transit already is not counted twice.
	disturbedNs := (f.noise*f.middleNs + f.gapNoise*f.gapNs) * calls
	noiseNs := max(disturbedNs-max(transitNs-f.middleNs*calls-coldNs, 0), 0)
	coldGapsNs := f.coldGaps(gaps)
	l.transitOff = math.Hypot(f.middleOff*f.middleNs*calls, f.coldOff*coldNs)
	l.switchesNs = f.gapNs*calls + coldGapsNs + noiseNs
	l.switchesOff = math.Hypot(math.Hypot(f.gapOff*f.gapNs*calls, coldGapsNs), f.noiseOff*disturbedNs)
	l.doubtNs = f.doubtNs + f.doubt*(f.middleNs+f.gapNs)*calls
	return l
}

// coldGaps is how much longer the program's own work between its calls took for being interrupted by
// the tracer: caches are as cold for it as for a call that takes as long.
func (f *fitted) coldGaps(gaps *profile.Histogram) float64 {
	ns := 0.0
	for b := range gaps.Buckets() {
		ns += f.transit.cold(float64(gaps.Middle(b))-f.gapNs) * float64(b.Count)
	}
	return ns
}

func addClamped(a, b int64) int64 {
	if s := a + b; s >= 0 {
		return s
	}
	return math.MaxInt64
}

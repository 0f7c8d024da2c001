package cost

import (
	"math"

	"sysprof/profile"
)

// losses is what the calls of all conditions lost to tracing, and what is known of the time around it. Times are in
// nanoseconds, of all calls together.
type losses struct {
	model *Model
	account
	traced       profile.Traced
	crossCPU     uint64 // calls
	controls     uint64
	disturbed    uint64  // calls
	weighed      float64 // calls that controls stand for
	busyControls float64 // of these, those of controls at which somebody waited for a CPU
	transitNs    float64
	transitOff   float64 // how wrong it may be
	waitedNs     float64 // of transits, for a CPU
	switchesNs   float64
	switchesLow  float64
	switchesHigh float64
	undisturbed  float64 // transits and switches, if nobody had waited for a CPU
	standingNs   float64 // in line, at entry and exit
	standingOff  float64
	doubtNs      float64 // that may be standing in line, or may not
	controlsNs   float64
	gapsNs       float64 // between calls
	runningGapNs float64 // between calls, as far as gaps are too short to be slept in
}

// How wrong it may be what a call is said to lose, besides what controls show of that. Measured as the estimate of the
// untraced time of getppid, dd, find, tar, git status and python against the time itself, in 60 recorded runs: what
// a call was said to take was off by 0.03 to 0.5 µs in three of four, and by 1 µs in runs with bursts of noise.
const (
	transitUnsureNs  = 200
	switchesUnsureNs = 300

	// coldest is how many times as much work that is done once may lose to cold caches as is said (cold.go).
	coldest = 3

	// ninety is how many standard deviations a mean of controls may be off: 1.64 if they were normally distributed,
	// but a few of them are a hundred times as long as the others.
	ninety = 3

	// aroundNs is what a run may have lost at its beginning and its end, where there is no call to tell: python's 20 ms
	// came out as 21.3 to 22.1.
	aroundNs = 2_000_000
)

// add adds the calls of one condition.
func (l *losses) add(k *correction, calls *profile.RawCalls) {
	t := calls.Traced()
	l.traced = plus(l.traced, t)
	if k.crossed {
		l.crossCPU += t.Calls
	}
	l.controls += calls.Controls.Made
	waitedNs := 0.0
	for _, r := range calls.Rows {
		l.disturbed += r.Disturbed
		waitedNs += float64(r.WaitedNs)
	}
	l.weighed += calls.Controls.Weight
	l.busyControls += calls.Controls.Weight - calls.Controls.Quiet
	l.controlsNs += float64(calls.Controls.LostNs)
	l.gapsNs += sum(&calls.Gaps)
	l.runningGapNs += runningSum(&calls.Gaps)
	l.leastNs += k.line.leastNs
	l.runningNs += k.line.runningNs
	l.tooShort += k.line.tooShort
	l.unlined += k.line.unlined
	if t.Calls == 0 || k.raw {
		return
	}
	l.standing(k, t, calls)
	n := float64(t.Calls)
	l.transitNs += float64(t.TransitNs)
	if k.byHand {
		return
	}
	l.transitNs += k.excessNs * n
	off := k.meanOff(&calls.Controls)
	transit := max(k.meanTransitNs(&calls.Controls), 1)
	// A thread that slept waits for a CPU when it wakes up, traced or not; but then its tracer waits for one, too. If it
	// is as at controls, stops cost so much more.
	l.doubtNs += max(transit*n-float64(t.TransitNs)-k.excessNs*n, 0)
	l.transitOff += (off + transitUnsureNs) * n
	ratio, coldNs := k.switchRatio(), k.coldGaps(&calls.Gaps)
	// Waits for a CPU are rare and long: a few controls have none of them, but what calls waited is known, and a thread
	// stops as often in its calls as between them. Untraced it would wait, too, if less often; nobody knows for how long.
	ns, unsure := ratio*(transit*n+waitedNs)+coldNs, (off*ratio+switchesUnsureNs)*n+coldNs/2
	l.waitedNs += waitedNs
	least, likely, most := k.switchesInGaps(&calls.Gaps)
	l.undisturbed += float64(k.TransitNs+k.GapNs) * n
	// What the work done once lost is counted with the switches, as it comes of them.
	inGapsNs, inCallsNs := k.coldWork(&calls.Gaps, k.GapNs, math.MaxInt64), k.line.coldNs
	l.switchesNs += min(ns+inGapsNs, likely) + inCallsNs
	l.switchesLow += min(max(ns-unsure-ratio*waitedNs, least), likely)
	l.switchesHigh += min(ns+unsure+coldest*inGapsNs, most) + coldest*inCallsNs
}

// switchesInGaps bounds what the switches took in all by the gaps that they are part of. Controls are few, and where a CPU
// is fought for, a few of them that had to wait for one speak for all: under a load of redis, with the other CPU busy,
// they had switches take 11 to 32 µs a call, and gaps took 5 to 6 on average.
//
// likely leaves to the program's own work what the median gap has beyond an undisturbed switch.
func (k *correction) switchesInGaps(gaps *profile.Histogram) (least, likely, most float64) {
	most = sum(gaps)
	n, undisturbed := float64(gaps.Count()), float64(k.GapNs)
	own := max(float64(gaps.Quantile(0.5))-undisturbed, 0)
	return min(undisturbed*n/2, most), max(most-own*n, 0), most
}

// standing adds how long calls stood in line. Exit-stops show it. Entry-stops are taken to do so as often and as long;
// but it can't be told from the program's own work before them, of which as large a share may be that. So may be
// latencies of which there are no others to compare with.
func (l *losses) standing(k *correction, t profile.Traced, calls *profile.RawCalls) {
	if t.Queued == 0 {
		return
	}
	queued, a := float64(t.Queued), &k.line
	ns := 2 * a.inLineNs * queued / float64(max(a.lined, 1))
	l.standingNs += ns
	l.standingOff += ns / 2
	workNs := max(sum(&calls.Gaps)-float64(k.GapNs)*float64(calls.Gaps.Count()), 0)
	l.doubtNs += workNs*queued/float64(t.Calls) + a.unlinedNs
}

// meanTransitNs is the mean transit of a call that does nothing.
func (k *correction) meanTransitNs(c *profile.ControlSum) float64 {
	if c.Weight > 0 {
		return c.RawNs / c.Weight
	}
	return float64(k.TransitNs)
}

// meanOff is how far off that mean may be: controls are a sample of transits. Without any, it may be that of another
// time.
func (k *correction) meanOff(c *profile.ControlSum) float64 {
	if c.Weight <= 0 || c.Weights2 <= 0 {
		const another = 0.2 // the share by which transits of one machine differ from one minute to the next
		return another * float64(k.TransitNs)
	}
	mean := c.RawNs / c.Weight
	variance := max(c.Raw2/c.Weight-mean*mean, 0)
	independent := c.Weight * c.Weight / c.Weights2 // as many controls of equal weight (Kish, Survey Sampling, 1965)
	return ninety * math.Sqrt(variance/independent)
}

// switchRatio is how many times a transit the switches before an entry-stop and after an exit-stop take.
func (k *correction) switchRatio() float64 {
	if k.TransitNs <= 0 {
		return 1
	}
	return float64(k.GapNs) / float64(k.TransitNs)
}

// coldGaps is how much longer the program's own work between its calls took for being interrupted by the tracer:
// caches are as cold for it as for a call that takes as long.
func (k *correction) coldGaps(gaps *profile.Histogram) (ns float64) {
	for b := range gaps.Buckets() {
		ns += cold(k.stopNs, float64(gaps.Middle(b)-k.GapNs)) * float64(b.Count)
	}
	return ns
}

// coldWork is what is lost to cold caches by all that took longer than emptyNs and less than beforeNs, besides what
// coldGaps and Stream say of it.
func (k *correction) coldWork(of *profile.Histogram, emptyNs, beforeNs int64) (ns float64) {
	for b := range of.Buckets() {
		if b.LowNs >= beforeNs {
			break
		}
		ns += coldWork(k.stopNs, float64(of.Middle(b)-emptyNs)) * float64(b.Count)
	}
	return ns
}

// overhead is the account of what tracing cost.
func (l *losses) overhead(run Run) *profile.Overhead {
	o := &profile.Overhead{
		Calls: l.traced.Calls, CrossCPU: l.crossCPU, Queued: l.traced.Queued, Controls: l.controls,
		HoldNs: l.traced.HoldNs, ControlsNs: int64(l.controlsNs), WallNs: int64(run.Wall),
	}
	switch {
	case l.model.ByHand != nil:
		o.Source = profile.ByHand
	case l.model.Counting != nil:
		o.Source = profile.InKernel
		of := &l.model.Counting.Counted
		each := func(ns int64) int64 { return nanoseconds(float64(ns) * float64(o.Calls)) }
		o.TotalNs = profile.Estimate{Ns: each(of.Ns), LowNs: each(of.LowNs), HighNs: each(of.HighNs)}
		o.OthersNs = l.model.Counting.Others
		return o
	case l.model.IsRaw() || l.traced.Calls == 0:
		return o
	default:
		o.Source = profile.Calibrated
	}
	n := float64(o.Calls)
	o.TransitNs = estimate(l.transitNs/n, l.transitOff/n)
	o.SwitchesNs = profile.Estimate{Ns: nanoseconds(l.switchesNs / n), LowNs: nanoseconds(l.switchesLow / n), HighNs: nanoseconds(l.switchesHigh / n)}
	o.InLineNs = estimate(l.standingNs, l.standingOff)
	o.InLineNs.HighNs = nanoseconds(float64(o.InLineNs.HighNs) + l.doubtNs)
	totalNs := l.transitNs + l.switchesNs + l.standingNs + l.controlsNs + float64(o.HoldNs)
	off := l.transitOff + l.standingOff
	o.TotalNs = profile.Estimate{
		Ns:     nanoseconds(totalNs),
		LowNs:  max(nanoseconds(totalNs-off-l.waitedNs-(l.switchesNs-l.switchesLow)), o.HoldNs),
		HighNs: nanoseconds(totalNs + off + (l.switchesHigh - l.switchesNs) + l.doubtNs),
	}
	if !run.Open {
		o.UntracedNs = l.untraced(o, run)
	}
	o.Lost = l.lost(o)
	return o
}

// untraced estimates how long the run would have taken without tracing.
//
// What several threads lose at the same time is lost only once, and what one of them loses while others go on may be
// lost by none. So the most that the run can have lost is all of it, as if only one thread ran at a time, and the
// least is the share of one of those that ran at once.
func (l *losses) untraced(o *profile.Overhead, run Run) profile.Estimate {
	wall := float64(run.Wall)
	atOnce := func(gapsNs float64) float64 {
		// The gaps have the other half of the standing. A thread that stands at a stop needs no CPU, so that there may be
		// more of them at once than CPUs.
		ran := l.runningNs + gapsNs + l.transitNs + float64(o.HoldNs) + l.standingNs/2
		return max(ran/wall, 1)
	}
	without := func(lostNs, atOnce float64) int64 {
		return nanoseconds(min(max(wall-lostNs/atOnce, l.leastNs/atOnce, 1), wall))
	}
	// A long gap may be either, if it can have calls: the program computed, or slept in a call that is not traced.
	runningGapsNs := l.gapsNs
	if run.GapsHaveCalls {
		runningGapsNs = l.runningGapNs
	}
	least, most := atOnce(runningGapsNs), atOnce(l.gapsNs)
	u := profile.Estimate{
		Ns:     without(float64(o.TotalNs.Ns), (least+most)/2),
		LowNs:  without(float64(o.TotalNs.HighNs)+aroundNs, 1+(least-1)/2),
		HighNs: without(float64(o.TotalNs.LowNs), most),
	}
	u.LowNs = min(u.LowNs, u.Ns)
	u.HighNs = max(u.HighNs, u.Ns)
	return u
}

// lost is the share of the time for which threads ran, or wanted to, that went to tracing.
//
// Where a CPU is fought for, what a stop waited for one the thread might have waited untraced, too, for its own work: of a
// load of redis it waited as long as it ran. And that work takes longer between stops, with cold caches and less of it
// done at a time: a quarter, with redis on an idle machine.
func (l *losses) lost(o *profile.Overhead) (s profile.Share) {
	const colder = 1.25
	ownNs := l.runningNs + max(l.runningGapNs-l.switchesNs, 0)
	of := func(lostNs, ownNs float64) float64 { return lostNs / max(lostNs+ownNs, 1) }
	least := min(float64(o.TotalNs.LowNs), l.undisturbed+float64(o.HoldNs))
	if l.undisturbed == 0 {
		least = float64(o.TotalNs.LowNs) // by hand
	}
	return profile.Share{Share: of(float64(o.TotalNs.Ns), ownNs), Low: of(least, ownNs), High: of(float64(o.TotalNs.HighNs), ownNs/colder)}
}

// estimate is ns, give or take off.
func estimate(ns, off float64) profile.Estimate {
	return profile.Estimate{Ns: nanoseconds(ns), LowNs: nanoseconds(max(ns-off, 0)), HighNs: nanoseconds(ns + off)}
}

// nanoseconds is ns as an integer. What does not fit is given as the largest there is.
func nanoseconds(ns float64) int64 {
	if !(ns < math.MaxInt64) {
		return math.MaxInt64
	}
	return int64(max(ns, 0))
}

func plus(a, b profile.Traced) profile.Traced {
	return profile.Traced{Calls: a.Calls + b.Calls, Queued: a.Queued + b.Queued,
		HoldNs: clamped(a.HoldNs, b.HoldNs), TransitNs: clamped(a.TransitNs, b.TransitNs)}
}

func clamped(a, b int64) int64 {
	if s := a + b; s >= 0 || b < 0 {
		return s
	}
	return math.MaxInt64
}

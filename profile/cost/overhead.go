package cost

import (
	"math"

	"sysprof/profile"
)

// losses is what the calls of all conditions lost to tracing, and what is known of the time around it.
type losses struct {
	loss
	gapsNs        float64 // between calls
	runningGapsNs float64 // between calls, as far as gaps are too short to be slept in
	leastNs       float64 // see account
	runningNs     float64
	tooShort      uint64
	unlined       uint64

	preemptionVarianceNs float64 // see fitted; times the number of calls
}

// add adds the calls of one condition.
func (l *losses) add(f *fitted, a *account, gaps *profile.Histogram) {
	l.gapsNs += sum(gaps)
	l.runningGapsNs += runningSum(gaps)
	l.leastNs += a.leastNs
	l.runningNs += a.runningNs
	l.tooShort += a.tooShort
	l.unlined += a.unlined
	l.loss.add(f.loss(a, gaps))
	l.preemptionVarianceNs += f.preemptionVarianceNs * float64(a.traced.Calls)
}

// estimate completes the account of what tracing cost. It returns the warning that the estimate of the run without
// tracing is uncertain, if it is.
func (l *losses) estimate(o *profile.Overhead, run Run) []profile.Warning {
	calls := float64(o.Calls)
	o.TransitNs = estimate(l.transitNs/calls, l.transitOff/calls)
	o.SwitchesNs = estimate(l.switchesNs/calls, l.switchesOff/calls)
	o.InLineNs = estimate(l.inLineNs, l.inLineOff)
	o.InLineNs.HighNs = nanoseconds(float64(o.InLineNs.HighNs) + l.inLineDoubtNs)
	doubtNs := l.doubtNs + l.inLineDoubtNs
	totalNs := l.transitNs + l.switchesNs + l.inLineNs + float64(o.HoldNs)
	o.TotalNs = estimate(totalNs, math.Hypot(math.Hypot(l.transitOff, l.switchesOff), l.inLineOff))
	o.TotalNs.LowNs = max(o.TotalNs.LowNs, o.HoldNs)
	o.TotalNs.HighNs = nanoseconds(float64(o.TotalNs.HighNs) + doubtNs)

	const ninety = 1.64 // standard deviations, between which nine of ten values lie
	preemptionOff := ninety * math.Sqrt(l.preemptionVarianceNs/calls*float64(run.Wall))
	o.UntracedNs = l.untraced(o, run, totalNs, preemptionOff)
	if o.Source != profile.Calibrated {
		return nil
	}
	_, atOnce := l.atOnce(o, run, l.gapsNs)
	return uncertain(o, doubtNs/atOnce, preemptionOff)
}

// untraced estimates how long the run would have taken without tracing, which cost totalNs. preemptionOff is by how
// much more or less other programs may have had the CPU.
func (l *losses) untraced(o *profile.Overhead, run Run, totalNs, preemptionOff float64) profile.Estimate {
	wall := float64(run.Wall)
	without := func(lostNs, gapsNs float64) int64 {
		inAll, atOnce := l.atOnce(o, run, gapsNs)
		lostNs = (lostNs-l.inLineNs)/atOnce + l.inLineNs/inAll
		return nanoseconds(min(max(wall-lostNs, l.leastNs/atOnce, 1), wall))
	}
	// A long gap may be either, if it can have calls: the program computed, or slept in a call that is not traced.
	runningGapsNs := l.gapsNs
	if run.GapsHaveCalls {
		runningGapsNs = l.runningGapsNs
	}
	u := profile.Estimate{
		Ns:     without(totalNs, (runningGapsNs+l.gapsNs)/2),
		LowNs:  without(float64(o.TotalNs.HighNs), runningGapsNs),
		HighNs: without(float64(o.TotalNs.LowNs), l.gapsNs),
	}
	u.LowNs = nanoseconds(max(float64(u.LowNs)-preemptionOff, 1))
	u.HighNs = min(nanoseconds(float64(u.HighNs)+preemptionOff), int64(run.Wall))
	u.LowNs = min(u.LowNs, u.Ns) // which rounding may have swapped
	u.HighNs = max(u.HighNs, u.Ns)
	return u
}

// atOnce is how many threads ran at the same time on average, if they ran for gapsNs of the gaps. What several threads
// lose at the same time is lost only once. inAll is as many as the times in which they ran add up to the time that
// passed; atOnce is no more than there are CPUs, which those that stand in line do not need.
func (l *losses) atOnce(o *profile.Overhead, run Run, gapsNs float64) (inAll, atOnce float64) {
	ran := l.runningNs + gapsNs + float64(o.HoldNs) + l.transitNs + l.inLineNs/2 // the gaps have the other half
	inAll = max(ran/float64(run.Wall), 1)
	return inAll, min(inAll, float64(run.CPUs))
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

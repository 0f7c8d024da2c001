package cost

import (
	"time"

	"sysprof/profile"
)

// Transit is what is known of the part of raw latencies that exists only because of tracing: waking the tracee, the
// switch back, waking the tracer, and that the call itself finds caches and branch predictors cold. It is a
// distribution, not a number: most transits are within some 10 % of each other, and a few are much longer.
//
// A Transit is immutable. A Calibrator finds it out, or ByHand makes it.
type Transit struct {
	raw    *profile.Histogram // raw latencies of calls that take callNs
	gap    *profile.Histogram // between an exit-stop and the next entry-stop, with no work between them
	cpu    *profile.Histogram // CPU time seen in calls that take callNs
	callNs int64              // what such a call takes untraced, if untraced
	byHand int64              // > 0: what the user says it is, in ns, instead of all that
	source profile.CorrectionSource

	untraced bool       // callNs was measured
	colder   []coldness // in ascending order of longerNs
	coldLent bool       // it was measured in the other condition
}

// ByHand is a transit that is the same for every call, as the user says.
func ByHand(d time.Duration) *Transit {
	t := newTransit(profile.ByHand)
	t.byHand = int64(d)
	return t
}

func newTransit(source profile.CorrectionSource) *Transit {
	return &Transit{source: source, raw: new(profile.Histogram), gap: new(profile.Histogram), cpu: new(profile.Histogram)}
}

// usable reports whether enough was learnt to correct anything. It is not for no transit.
func (t *Transit) usable() bool {
	const enough = 100 // calls
	return t != nil && (t.source == profile.ByHand || t.raw.Count() >= enough && t.gap.Count() >= enough)
}

// completed is t with what it was not told taken from the transit of the other condition. A call that does nothing
// takes the same time untraced. What others lose by being cold may differ: they lose it to the tracer's use of
// the same caches, or to the sleep of their own CPU. Either may be nil.
func (t *Transit) completed(other *Transit) *Transit {
	if t == nil || other == nil || t.source != profile.Calibrated || other.source != profile.Calibrated {
		return t
	}
	c := *t // the histograms are not changed any more
	if !c.untraced {
		c.untraced, c.callNs = other.untraced, other.callNs
	}
	if len(c.colder) == 0 && len(other.colder) > 0 {
		c.colder, c.coldLent = other.colder, true
	}
	return &c
}

package cost

import (
	"time"

	"sysprof/profile"
)

// Model is what is known of tracing on this machine: the transit of calls that were traced while tracer and tracee
// were pinned to one CPU, and that of the others. What one of them was not told, or did not see often enough, is
// taken from the other one and from what the run shows. A transit given by hand alone is that of all calls.
// Latencies stay raw if both are nil.
type Model struct {
	SameCPU, CrossCPU *Transit
}

// Run is what is known of the run that was traced, besides its calls.
type Run struct {
	Wall time.Duration // how long tracing has lasted; 0: not known, so that there is no account of what it cost
	CPUs int           // how many CPUs the traced programs could run on; less than 1 counts as 1

	// GapsHaveCalls says that only some calls are traced, so that in the gaps between them a thread may sleep
	// in others.
	GapsHaveCalls bool
}

// Correct takes off the latencies what tracing added to them, and says what tracing cost and what the reader has
// to know. It depends on nothing but what it is given and changes nothing of it: the same measurements, model
// and run give equal snapshots at any time, on any machine. It is safe for concurrent use.
func Correct(raw *profile.Raw, m Model, run Run) *profile.Snapshot {
	run.CPUs = max(run.CPUs, 1)
	var seen [profile.Conditions]*observed
	for c := range seen {
		seen[c] = observe(&raw.Calls[c])
	}
	o := newOverhead(&seen, run)
	fits := m.fit(&seen)
	if fits == (perCondition{}) {
		return uncorrected(raw, o)
	}
	var rows []*profile.Row
	var l losses
	for c, fit := range fits {
		if fit == nil { // there are no calls
			continue
		}
		corrected, a := fit.correct(seen[c])
		rows = append(rows, corrected...)
		o.Source = fit.transit.source
		l.add(fit, &a, &seen[c].Gaps)
	}
	s := profile.NewSnapshot(rows, raw.InFlight)
	if run.Wall <= 0 {
		return s
	}
	s.Overhead = o
	if o.Calls > 0 {
		s.Warnings = l.estimate(o, run)
	}
	s.Warnings = append(s.Warnings, queueWarnings(o, &l)...)
	s.Warnings = append(s.Warnings, conditionWarnings(o, fits)...)
	return s
}

// uncorrected returns a snapshot whose latencies are raw.
func uncorrected(raw *profile.Raw, o *profile.Overhead) *profile.Snapshot {
	s := raw.Snapshot()
	if o.WallNs > 0 {
		s.Overhead = o
		s.Warnings = queueWarnings(o, &losses{})
	}
	return s
}

// newOverhead returns an account that has what was measured.
func newOverhead(seen *[profile.Conditions]*observed, run Run) *profile.Overhead {
	same, cross := seen[profile.SameCPU].traced, seen[profile.CrossCPU].traced
	return &profile.Overhead{
		Calls:    same.Calls + cross.Calls,
		CrossCPU: cross.Calls,
		Queued:   same.Queued + cross.Queued,
		HoldNs:   addClamped(same.HoldNs, cross.HoldNs),
		WallNs:   int64(run.Wall),
	}
}

// perCondition is the transit of each condition, as this run shows it. All are nil if nothing is known, and that
// of calls across CPUs is if there are none.
type perCondition [profile.Conditions]*fitted

// fit fits to the calls of each condition its own transit, or else that of the other one.
func (m Model) fit(seen *[profile.Conditions]*observed) (fits perCondition) {
	transits := [profile.Conditions]*Transit{
		profile.SameCPU:  m.SameCPU.completed(m.CrossCPU),
		profile.CrossCPU: m.CrossCPU.completed(m.SameCPU),
	}
	for c := range profile.Conditions {
		other := profile.Conditions - 1 - c
		own, lender := transits[c], transits[other]
		switch {
		case c == profile.CrossCPU && seen[c].traced.Calls == 0:
		case own.usable():
			fits[c] = own.fit(seen[c])
		case !lender.usable():
		case lender.source == profile.ByHand:
			fits[c] = lender.fit(seen[c])
		default:
			fits[c] = lender.lend(seen[other], seen[c])
		}
	}
	return fits
}

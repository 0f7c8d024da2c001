package cost

import (
	"time"

	"sysprof/profile"
)

// Run is what is known of the run that was traced, besides its calls.
type Run struct {
	Wall time.Duration // how long tracing has lasted; 0: not known, so that there is no account of what it cost
	CPUs int           // how many CPUs the traced programs could run on; less than 1 counts as 1

	// Known are the controls of all of the run so far, where what is corrected is a part of it; nil: its own. They tell
	// more than those of the part alone.
	Known *[profile.Conditions]profile.ControlSum

	// Open says that the traced programs began before the tracing, or went on after it: their time without it is
	// no question then.
	Open bool

	// Stolen is the share of the CPUs' time that the host gave to others, from 0 to 1.
	Stolen float64

	// GapsHaveCalls says that only some calls are traced, so that in the gaps between them a thread may sleep
	// in others.
	GapsHaveCalls bool
}

// Correct makes a snapshot of calls that a Stream of the same model has seen: it mends the means, and says what tracing
// cost and what the reader has to know. It depends on nothing but what it is given and changes nothing of it: the
// same measurements, model and run give equal snapshots at any time, on any machine. It is safe for concurrent use.
func Correct(raw *profile.Raw, m Model, run Run) *profile.Snapshot {
	run.CPUs = max(run.CPUs, 1)
	var rows []*profile.Row
	l := losses{model: &m}
	for c := range raw.Calls {
		controls := &raw.Calls[c].Controls
		if run.Known != nil {
			controls = &run.Known[c]
		}
		k := newCorrection(&m, profile.Condition(c), controls)
		for _, from := range raw.Calls[c].Sorted() {
			if calls, _ := from.Counts(); calls > 0 {
				rows = append(rows, k.row(from))
			}
		}
		l.add(&k, &raw.Calls[c])
	}
	s := profile.NewSnapshot(rows, raw.InFlight)
	if run.Wall <= 0 {
		return s
	}
	s.Overhead = l.overhead(run)
	s.Warnings = l.warnings(s.Overhead, s, &run)
	return s
}

// correction is how the calls of one condition are mended once all is known.
type correction struct {
	raw, byHand bool
	crossed     bool // the condition is CrossCPU
	Calibration
	stopNs   int64
	excessNs float64 // the mean by which transits exceed what has been taken off

	line account
}

// account is what correcting the calls of one condition found out on its way.
type account struct {
	leastNs   float64 // what the calls took at least, corrected
	runningNs float64 // what they took as far as the thread ran in them, corrected
	coldNs    float64 // what they lost to cold caches that is not taken off them
	inLineNs  float64 // how long exit-stops stood in line, of those of which that is known
	lined     uint64  // how many these are
	unlined   uint64  // of how many calls the time in the line is part of the latency
	unlinedNs float64 // what that is at most
	tooShort  uint64  // calls with less than the transit given by hand
}

func newCorrection(m *Model, c profile.Condition, controls *profile.ControlSum) correction {
	k := correction{raw: m.IsRaw(), byHand: m.ByHand != nil, crossed: c == profile.CrossCPU}
	if k.raw || k.byHand {
		return k
	}
	k.Calibration, k.stopNs = m.completed(int(c)), m.stopNs()
	if controls.Quiet > 0 {
		k.excessNs = controls.ExcessNs / controls.Quiet
	}
	return k
}

// row returns a row with its latencies. It changes nothing of from.
func (k *correction) row(from *profile.RawRow) *profile.Row {
	_, queued := from.Counts()
	r := &profile.Row{Key: from.Key, RawNs: from.RawNs}
	r.Queued, r.HoldNs = queued, from.HoldNs
	r.CPU = k.cpu(from.CPU)
	r.UpperBound = !k.raw && isUpperBound(from)
	r.OK = k.outcome(&from.OK)
	for _, failed := range from.Failed {
		r.Failed = append(r.Failed, profile.Outcome{Errno: failed.Errno, Latency: k.outcome(failed.RawOutcome)})
	}
	return r
}

// outcome returns the latencies of all calls of an outcome.
func (k *correction) outcome(o *profile.RawOutcome) *profile.Histogram {
	h := k.atLeast(&o.Latency)
	n := float64(o.Latency.Count())
	if !k.raw {
		// Single latencies below that of a call that does nothing are raised to it, but only the sum of all has
		// no bias for it. The mean excess is part of a few latencies, and no one knows of which.
		h.ShiftSum(int64(float64(o.NetNs) - k.excessNs*n - sum(h)))
	}
	if k.byHand {
		k.line.tooShort += below(&o.Latency)
	}
	queued := o.Queued
	if queued == nil {
		queued = new(profile.Histogram)
	}
	k.queued(h, queued)
	h = k.withQueued(h, queued)
	k.line.runningNs += runningSum(h)
	k.line.leastNs += leastOf(h)
	k.line.coldNs += k.coldWork(h, k.CallNs, int64(sleep)) / 2 // as far as it is known, half as much as between calls
	return h
}

// atLeast is a copy of h in which no call takes less than one that does nothing.
func (k *correction) atLeast(h *profile.Histogram) *profile.Histogram {
	if k.CallNs <= 0 || h.Count() == 0 || int64(h.Min()) >= k.CallNs {
		return h.Clone()
	}
	raised := new(profile.Histogram)
	for b := range h.Buckets() {
		raised.RecordN(max(h.Middle(b), k.CallNs), b.Count)
	}
	return raised
}

// cpu takes off what the stops themselves add to the CPU time of a call, and the cold caches. raw may be nil.
func (k *correction) cpu(raw *profile.Histogram) *profile.Histogram {
	if raw == nil {
		return nil
	}
	if k.CPUNs == 0 {
		return raw.Clone()
	}
	corrected := new(profile.Histogram)
	for b := range raw.Buckets() {
		ns := float64(max(raw.Middle(b)-k.CPUNs, 0))
		corrected.RecordN(int64(max(ns-cold(k.stopNs, ns-float64(k.CallNs)), 0)), b.Count)
	}
	return corrected
}

// below is how many latencies are none at all.
func below(h *profile.Histogram) uint64 {
	for b := range h.Buckets() {
		if b.LowNs == 0 && b.HighNs <= 1 {
			return b.Count
		}
		break
	}
	return 0
}

// sum is the sum of all values.
func sum(h *profile.Histogram) float64 {
	hi, lo := h.Sum128()
	return float64(hi)*(1<<64) + float64(lo)
}

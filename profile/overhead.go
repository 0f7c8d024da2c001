package profile

import "time"

// Estimate is a quantity that was estimated from samples, in nanoseconds, with the range in which it
// is believed to lie (about nine times in ten).
type Estimate struct {
	Ns, LowNs, HighNs int64
}

// Overhead is what tracing cost the traced programs, and what is left without it.
type Overhead struct {
	Source CorrectionSource

	Calls    uint64 // all traced calls, counted in rows or not
	CrossCPU uint64 // of them, those made while tracer and tracee were not pinned to one CPU
	Queued   uint64 // of all, those whose exit-stop stood in line: left out of the estimates

	TransitNs  Estimate // a call: the part of its raw latency that exists only because of tracing
	SwitchesNs Estimate // a call: the switches before its entry-stop and after its exit-stop
	InLineNs   Estimate // in all: how long entry- and exit-stops stood in line behind other threads' stops
	HoldNs     int64    // in all: how long tracees stood stopped while the tracer worked (measured)
	TotalNs    Estimate // in all: transit, switches, standing in line and hold of all calls

	WallNs     int64    // how long tracing lasted
	UntracedNs Estimate // how long the traced programs would have needed without it
}

// CorrectionSource says where the transit that latencies are corrected by comes from.
type CorrectionSource uint8

// The sources of a correction.
const (
	Uncorrected CorrectionSource = iota // latencies are raw
	Calibrated                          // measured on this machine, before and during the run
	ByHand                              // the user said it
)

func (s CorrectionSource) String() string {
	switch s {
	case Calibrated:
		return "calibrated"
	case ByHand:
		return "by hand"
	}
	return "uncorrected"
}

// PerCall is the whole overhead of one call on average.
func (o *Overhead) PerCall() time.Duration {
	if o.Calls == 0 {
		return 0
	}
	return time.Duration(o.TotalNs.Ns / int64(o.Calls))
}

// Slowdown is traced wall time ÷ untraced wall time, as estimated; 0 if it is not known.
func (o *Overhead) Slowdown() (estimate, low, high float64) {
	over := func(ns int64) float64 {
		if ns <= 0 {
			return 0
		}
		return float64(o.WallNs) / float64(ns)
	}
	return over(o.UntracedNs.Ns), over(o.UntracedNs.HighNs), over(o.UntracedNs.LowNs)
}

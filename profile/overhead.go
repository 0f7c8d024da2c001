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
	Queued   uint64 // of all, those that stood in line: left out of the estimates

	TransitNs  Estimate // a call: the part of its raw latency that exists only because of tracing
	SwitchesNs Estimate // a call: the switches before its entry-stop and after its exit-stop
	InLineNs   Estimate // in all: how long entry- and exit-stops stood in line behind other threads' stops
	Controls   uint64   // how many were made
	ControlsNs int64    // in all: what they cost the program (measured)
	HoldNs     int64    // in all: how long tracees stood stopped while the tracer worked (measured)
	TotalNs    Estimate // in all: transit, switches, standing in line and hold of all calls

	WallNs int64 // how long tracing lasted
	// UntracedNs is how long the traced programs would have needed without it. It is zero if they did not begin and
	// end with the tracing: a program that was attached to goes on.
	UntracedNs Estimate

	// OthersNs is what a call of everybody who was not traced paid meanwhile, if calls were counted in the kernel.
	OthersNs Estimate

	// Lost is the share of the time for which the traced threads ran, or wanted to, that went to tracing. It is
	// zero if that was not measured.
	Lost Share
}

// Share is a share of something, from 0 to 1, that was estimated, with the range in which it is believed to lie (about
// nine times in ten).
type Share struct {
	Share, Low, High float64
}

// CorrectionSource says where the transit that latencies are corrected by comes from.
type CorrectionSource uint8

// The sources of a correction.
const (
	Uncorrected CorrectionSource = iota // latencies are raw
	Calibrated                          // measured on this machine, before and during the run
	ByHand                              // the user said it
	InKernel                            // there is none, as calls were counted in the kernel: latencies are raw
)

func (s CorrectionSource) String() string {
	switch s {
	case Calibrated:
		return "calibrated"
	case ByHand:
		return "by hand"
	case InKernel:
		return "in kernel"
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

// Known says how much is known of how long the run would have taken without tracing.
type Known uint8

const (
	Unknown Known = iota // nothing
	AtLeast              // by how many times tracing slowed it down at least
	About                // that, and the range is of some use
)

func (k Known) String() string { return [...]string{"unknown", "at least", "about"}[k] }

// Known says what is known of UntracedNs.
func (o *Overhead) Known() Known {
	const useful, some = 4, 1.05
	slowdown, low, high := o.Slowdown()
	switch {
	case slowdown > 0 && o.UntracedNs.LowNs == 0 && o.UntracedNs.HighNs == 0:
		return About // it is no estimate
	case low == 0:
		return Unknown
	case high <= useful*low:
		return About
	case low > some:
		return AtLeast
	}
	return Unknown
}

// Faster is how many times faster calls could have come without tracing, if nothing else had kept them; 0 if that is
// not known.
func (s Share) Faster() (estimate, low, high float64) {
	of := func(share float64) float64 { return 1 / max(1-share, 1e-6) }
	if s.Share <= 0 {
		return 0, 0, 0
	}
	return of(s.Share), of(s.Low), of(s.High)
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

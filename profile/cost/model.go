package cost

import (
	"time"

	"sysprof/profile"
)

// Model is what is known of tracing before a run. The zero value takes nothing off: latencies stay raw.
type Model struct {
	// Conditions is what calibrations showed, by profile.Condition. What one of them does not know is taken from
	// the other one.
	Conditions [2]Calibration

	// ByHand, if not nil, is taken off each call instead of all that.
	ByHand *time.Duration

	// Counting, if not nil, says that no thread was stopped, and what counting in the kernel costs. Nothing is taken off.
	Counting *Counting
}

// Counting is what counting in the kernel adds to a call of a thread that is counted, and to one of everybody else.
type Counting struct{ Counted, Others profile.Estimate }

// Calibration is what a child that makes calls which do nothing showed in one condition. Times are in nanoseconds.
type Calibration struct {
	Calls     int   // traced ones that do nothing; 0: there was no calibration
	CallNs    int64 // what such a call takes untraced
	TransitNs int64 // the median of their transit
	GapNs     int64 // the median from an exit-stop to the next entry-stop, with no work between
	OverNs    int64 // by how much a control takes longer than a transit
	CPUNs     int64 // what stops add to the CPU time of a call; 0: not measured
}

// IsRaw reports whether the model takes nothing off.
func (m *Model) IsRaw() bool { return m.ByHand == nil && !m.calibrated() }

func (m *Model) calibrated() bool { return m.Conditions[0].Calls > 0 || m.Conditions[1].Calls > 0 }

// completed is the calibration of a condition, with what it was not told taken from the other one: a call that does
// nothing takes the same time untraced.
func (m *Model) completed(condition int) Calibration {
	c, other := m.Conditions[condition], &m.Conditions[1-condition]
	if c.Calls == 0 {
		return *other
	}
	if c.CallNs == 0 || other.CallNs != 0 && other.CallNs < c.CallNs {
		c.CallNs = other.CallNs
	}
	// Where a stop has to wake another CPU it may run for several times as long, and does not a moment later. What it
	// adds to CPU time at least is sure to be none of the call's.
	if other.CPUNs != 0 && other.CPUNs < c.CPUNs {
		c.CPUNs = other.CPUNs
	}
	return c
}

// stopNs is the least that a stop takes: what the condition takes that is not waiting.
func (m *Model) stopNs() int64 {
	a, b := &m.Conditions[0], &m.Conditions[1]
	switch {
	case a.Calls == 0:
		return b.TransitNs
	case b.Calls == 0:
		return a.TransitNs
	}
	return min(a.TransitNs, b.TransitNs)
}

package cost

import (
	"slices"

	"sysprof/profile"
)

// Calibrator makes a Model of calibrations: traced runs of a program that makes nothing but a call that does nothing,
// again and again. Other calls are not looked at. The program is told apart by condition alone, so that there may be one
// run in each.
//
// It takes plain calls and numbers, and neither runs nor traces anything. It is not safe for concurrent use.
type Calibrator struct {
	cheapNr uint64
	traced  [profile.Conditions]tracedCalls
}

// tracedCalls is what one calibration showed so far. Times are in nanoseconds.
type tracedCalls struct {
	seen int // calls, those for warming up included
	raws []int64
	gaps []int64
	cpus []int64
}

// Untraced is how long batches of the call that does nothing took that a calibration's program made before it was
// traced.
type Untraced struct {
	CrossCPU bool // which of the calibrations: see profile.Call
	Calls    int  // a batch
	BatchNs  []int64
}

// NewCalibrator returns a Calibrator for programs that make the call cheapNr, which does nothing.
func NewCalibrator(cheapNr uint64) *Calibrator { return &Calibrator{cheapNr: cheapNr} }

// warmUp is how many calls of each calibration are not looked at: the first ones find everything cold.
const warmUp = 8

// Call takes a traced call of a calibration's program; call is not kept.
func (c *Calibrator) Call(call *profile.Call) {
	t := &c.traced[call.Condition()]
	if t.seen++; t.seen <= warmUp || call.Nr != c.cheapNr {
		return
	}
	rawNs := int64(call.RawLatency())
	t.raws = append(t.raws, rawNs)
	if call.GapNs >= 0 {
		t.gaps = append(t.gaps, call.GapNs)
	}
	if call.CPUNs >= 0 {
		t.cpus = append(t.cpus, call.CPUNs)
	}
}

// Finish returns what was found out, given what calls take untraced. The Calibrator must not be used afterwards.
func (c *Calibrator) Finish(untraced []Untraced) (m Model) {
	for i := range untraced {
		if u := &untraced[i]; len(u.BatchNs) > 0 {
			condition := profile.SameCPU
			if u.CrossCPU {
				condition = profile.CrossCPU
			}
			m.Conditions[condition] = c.traced[condition].calibration(slices.Min(u.BatchNs) / int64(max(u.Calls, 1)))
		}
	}
	return m
}

// calibration is what the calls showed, of which one takes callNs untraced.
func (t *tracedCalls) calibration(callNs int64) Calibration {
	return Calibration{
		Calls:     len(t.raws),
		CallNs:    callNs,
		TransitNs: max(median(t.raws)-callNs, 0),
		GapNs:     median(t.gaps),
		CPUNs:     max(median(t.cpus)-callNs, 0),
	}
}

// median is the middle one of values, 0 if there are none. It sorts them.
func median(ns []int64) int64 {
	if len(ns) == 0 {
		return 0
	}
	slices.Sort(ns)
	return ns[len(ns)/2]
}

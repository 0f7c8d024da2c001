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

	lastNs    int64   // the raw latency of the last call; 0: it is not to be compared with
	controlNs int64   // the control since then; 0: none
	overs     []int64 // by how much controls took longer than the calls before and after them
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

// Control takes a control of a calibration's program; control is not kept.
func (c *Calibrator) Control(control *profile.Control) {
	c.traced[control.Condition()].controlNs = control.RawNs
}

// Call takes a traced call of a calibration's program; call is not kept.
func (c *Calibrator) Call(call *profile.Call) {
	t := &c.traced[call.Condition()]
	controlNs, lastNs := t.controlNs, t.lastNs
	t.controlNs, t.lastNs = 0, 0
	if t.seen++; t.seen <= warmUp || call.Nr != c.cheapNr {
		return
	}
	rawNs := int64(call.RawLatency())
	t.lastNs = rawNs
	t.raws = append(t.raws, rawNs)
	if controlNs != 0 && lastNs != 0 {
		t.overs = append(t.overs, controlNs-(lastNs+rawNs)/2)
	}
	if call.GapNs >= 0 && controlNs == 0 {
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
		OverNs:    t.overNs(callNs),
		CPUNs:     max(median(t.cpus)-callNs, 0),
	}
}

// overNs is by how much controls took longer than the transit of calls, of which one takes callNs untraced: between nothing and
// a sixth of it, which is more than has been seen.
func (t *tracedCalls) overNs(callNs int64) int64 {
	if len(t.overs) == 0 {
		return 0
	}
	return min(max(median(t.overs)+callNs, 0), median(t.raws)/6)
}

// median is the middle one of values, 0 if there are none. It sorts them.
func median(ns []int64) int64 {
	if len(ns) == 0 {
		return 0
	}
	slices.Sort(ns)
	return ns[len(ns)/2]
}

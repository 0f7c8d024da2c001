package cost

import (
	"cmp"
	"slices"

	"sysprof/profile"
)

// Calibrator makes a Model of calibrations: traced runs of a program that makes nothing but a call that does nothing,
// again and again, and now and then some reference calls that do more. The program is told apart by condition alone,
// so that there may be one run in each.
//
// It takes plain calls and numbers, and neither runs nor traces anything. It is not safe for concurrent use.
type Calibrator struct {
	cheapNr uint64
	traced  [profile.Conditions]tracedCalls
}

// tracedCalls is what one calibration showed so far. Times are in nanoseconds.
type tracedCalls struct {
	seen      int // calls, those for warming up included
	raws      []int64
	gaps      []int64
	cpus      []int64
	controls  []int64
	overs     []int64            // by how much each control took longer than the call before
	reference map[uint64][]int64 // raw latencies of the reference calls, by number
	before    profile.Call       // the last call
}

// Untraced is how long batches of calls took that a calibration's program made before it was traced.
type Untraced struct {
	CrossCPU bool     // which of the calibrations: see profile.Call
	Nrs      []uint64 // what a batch consists of: calls of these numbers in turn
	Calls    int      // a batch, of all Nrs together
	BatchNs  []int64
}

// NewCalibrator returns a Calibrator for programs that make the call cheapNr, which does nothing.
func NewCalibrator(cheapNr uint64) *Calibrator {
	c := &Calibrator{cheapNr: cheapNr}
	for i := range c.traced {
		c.traced[i].reference = make(map[uint64][]int64)
	}
	return c
}

// warmUp is how many calls of each calibration are not looked at: the first ones find everything cold.
const warmUp = 8

// Call takes a traced call of a calibration's program; call is not kept.
func (c *Calibrator) Call(call *profile.Call) {
	t := &c.traced[call.Condition()]
	t.before = *call
	if t.seen++; t.seen <= warmUp {
		return
	}
	rawNs := int64(call.RawLatency())
	if call.Nr != c.cheapNr {
		t.reference[call.Nr] = append(t.reference[call.Nr], rawNs)
		return
	}
	t.raws = append(t.raws, rawNs)
	if call.GapNs >= 0 {
		t.gaps = append(t.gaps, call.GapNs)
	}
	if call.CPUNs >= 0 {
		t.cpus = append(t.cpus, call.CPUNs)
	}
}

// Control takes a control of a calibration's program.
func (c *Calibrator) Control(control *profile.Control) {
	t := &c.traced[control.Condition()]
	if t.seen > warmUp && t.before.Nr == c.cheapNr {
		t.controls = append(t.controls, control.RawNs)
		t.overs = append(t.overs, control.RawNs-int64(t.before.RawLatency()))
	}
}

// Finish returns what was found out, given what calls take untraced. What is given of the call that does nothing
// alone may come at any place in the list. The Calibrator must not be used afterwards.
func (c *Calibrator) Finish(untraced []Untraced) Model {
	cheap := func(u *Untraced) bool { return len(u.Nrs) == 1 && u.Nrs[0] == c.cheapNr }
	var m Model
	for i := range untraced {
		if u := &untraced[i]; cheap(u) && len(u.BatchNs) > 0 {
			condition := conditionOf(u)
			m.Conditions[condition] = c.traced[condition].calibration(slices.Min(u.BatchNs) / int64(max(u.Calls, 1)))
		}
	}
	for i := range untraced {
		if u := &untraced[i]; !cheap(u) {
			condition := conditionOf(u)
			c.traced[condition].addReference(&m.Conditions[condition], u)
		}
	}
	return m
}

func conditionOf(u *Untraced) profile.Condition {
	if u.CrossCPU {
		return profile.CrossCPU
	}
	return profile.SameCPU
}

// calibration is what the calls showed, of which one takes callNs untraced.
func (t *tracedCalls) calibration(callNs int64) Calibration {
	return Calibration{
		Calls:     len(t.raws),
		CallNs:    callNs,
		TransitNs: max(median(t.raws)-callNs, 0),
		GapNs:     median(t.gaps),
		CPUNs:     max(median(t.cpus)-callNs, 0),
		Controls:  len(t.controls),
		ControlNs: median(t.controls),
		OverNs:    median(t.overs) + callNs,
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

// addReference compares reference calls with how long they take untraced.
func (t *tracedCalls) addReference(to *Calibration, u *Untraced) {
	const enough = 10
	rawNs := 0.0
	for _, nr := range u.Nrs {
		if len(t.reference[nr]) < enough {
			return
		}
		rawNs += float64(median(t.reference[nr])) / float64(len(u.Nrs))
	}
	if len(u.BatchNs) == 0 || u.Calls < 1 {
		return
	}
	untracedNs := float64(slices.Min(u.BatchNs)) / float64(u.Calls)
	longerNs := rawNs - float64(to.TransitNs+to.CallNs)
	c := Coldness{longerNs, longerNs - (untracedNs - float64(to.CallNs))}
	at, _ := slices.BinarySearchFunc(to.Colder, c, func(a, b Coldness) int { return cmp.Compare(a.LongerNs, b.LongerNs) })
	to.Colder = slices.Insert(to.Colder, at, c)
}

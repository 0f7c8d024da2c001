package cost

import (
	"cmp"
	"slices"

	"sysprof/profile"
)

// Calibrator finds out what tracing adds from calibrations: traced runs of a program that makes nothing but a call
// that does nothing, again and again, and now and then some reference calls that do more. The program is
// told apart by condition alone, so that there may be one run in each.
//
// It takes plain calls and numbers, and neither runs nor traces anything. It is not safe for concurrent use.
type Calibrator struct {
	cheapNr uint64
	traced  [profile.Conditions]tracedCalls
}

// tracedCalls is what one calibration showed so far.
type tracedCalls struct {
	seen      int // calls, those for warming up included
	cheap     *Transit
	reference map[uint64]*profile.Histogram // raw latencies of the reference calls, by number
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
		c.traced[i] = tracedCalls{cheap: newTransit(profile.Calibrated), reference: make(map[uint64]*profile.Histogram)}
	}
	return c
}

// Add takes a traced call of a calibration's program; call is not kept. The first ones of each condition are for
// warming up.
func (c *Calibrator) Add(call *profile.Call) {
	const warmUp = 64 // calls
	t := &c.traced[call.Condition()]
	if t.seen++; t.seen <= warmUp {
		return
	}
	if call.Nr == c.cheapNr {
		t.cheap.add(call)
		return
	}
	h := t.reference[call.Nr]
	if h == nil {
		h = new(profile.Histogram)
		t.reference[call.Nr] = h
	}
	h.Record(int64(call.RawLatency()))
}

// Finish returns what was found out, given what calls take untraced. What is given of the call that does nothing
// alone may come at any place in the list. The Calibrator must not be used afterwards.
func (c *Calibrator) Finish(untraced []Untraced) Model {
	cheap := func(u *Untraced) bool { return len(u.Nrs) == 1 && u.Nrs[0] == c.cheapNr }
	for i := range untraced {
		if u := &untraced[i]; cheap(u) {
			c.of(u).cheap.measuredUntraced(u.BatchNs, u.Calls)
		}
	}
	for i := range untraced {
		if u := &untraced[i]; !cheap(u) {
			c.of(u).addReference(u)
		}
	}
	return Model{SameCPU: c.traced[profile.SameCPU].cheap, CrossCPU: c.traced[profile.CrossCPU].cheap}
}

func (c *Calibrator) of(u *Untraced) *tracedCalls {
	if u.CrossCPU {
		return &c.traced[profile.CrossCPU]
	}
	return &c.traced[profile.SameCPU]
}

// add takes a traced call that does nothing.
func (t *Transit) add(c *profile.Call) {
	t.raw.Record(int64(c.RawLatency()))
	if c.GapNs >= 0 {
		t.gap.Record(c.GapNs)
	}
	if c.CPUNs >= 0 {
		t.cpu.Record(c.CPUNs)
	}
}

// measuredUntraced takes how long batches of so many calls that do nothing took untraced.
func (t *Transit) measuredUntraced(batchNs []int64, calls int) {
	if len(batchNs) > 0 {
		t.untraced = true
		t.callNs = undisturbed(batchNs) / int64(max(calls, 1))
	}
}

// undisturbed is what most values are near, in measurements of how long one thing takes: the end of their
// fastest quarter, since what is slower was disturbed.
func undisturbed(ns []int64) int64 { return slices.Sorted(slices.Values(ns))[len(ns)/4] }

// addReference compares reference calls with how long they take untraced. It comes after measuredUntraced.
func (t *tracedCalls) addReference(u *Untraced) {
	const enough = 15
	rawNs := 0.0
	for _, nr := range u.Nrs {
		h := t.reference[nr]
		if h == nil || h.Count() < enough {
			return
		}
		rawNs += float64(h.Quantile(0.5)) / float64(len(u.Nrs))
	}
	if len(u.BatchNs) == 0 || u.Calls < 1 {
		return
	}
	untracedNs := float64(undisturbed(u.BatchNs)) / float64(u.Calls)
	longerNs := rawNs - float64(t.cheap.raw.Quantile(0.5))
	cold := coldness{longerNs, longerNs - (untracedNs - float64(t.cheap.callNs))}
	at, _ := slices.BinarySearchFunc(t.cheap.colder, cold, func(a, b coldness) int { return cmp.Compare(a.longerNs, b.longerNs) })
	t.cheap.colder = slices.Insert(t.cheap.colder, at, cold)
}

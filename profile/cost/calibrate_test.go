package cost

import (
	"testing"

	"sysprof/profile"
)

const fstatNr, mmapNr, munmapNr, rareNr = 5, 9, 11, 12

// calibrated is what a Calibrator finds from 1,000 calls of each condition, after some for warming up. Reference calls
// are longer by what their numbers say.
func calibrated(untraced []Untraced) Model {
	c := NewCalibrator(getppidNr)
	for _, m := range []*machine{newMachine(50), far(50, 0.04)} {
		child := m.thread(7)
		for range 64 {
			c.Add(child.call(getppidNr, 0, 1_000_000))
		}
		for i := range 1_000 {
			c.Add(child.call(getppidNr, 0, cheapNs))
			if nr := []uint64{fstatNr, mmapNr, munmapNr}[i%3]; i < 90 {
				c.Add(child.call(nr, 0, cheapNs+100*int64(nr)))
			}
			if i < 14 {
				c.Add(child.call(rareNr, 0, cheapNs+700))
			}
		}
	}
	return c.Finish(untraced)
}

func TestCalibratorTellsConditionsAndCallsApart(t *testing.T) {
	m := calibrated([]Untraced{
		{Nrs: []uint64{mmapNr, munmapNr}, Calls: 20, BatchNs: []int64{20 * (cheapNs + 600)}}, // in turn, 1,000 ns more each, traced
		{Nrs: []uint64{fstatNr}, Calls: 10, BatchNs: []int64{10 * (cheapNs + 300), 1 << 40, 10 * (cheapNs + 300), 1 << 40}},
		{Nrs: []uint64{getppidNr}, Calls: 48, BatchNs: []int64{1 << 40, 48 * cheapNs, 48 * (cheapNs - 1), 48 * (cheapNs + 7)}},
	})
	equal(t, "a call that does nothing", m.SameCPU.callNs, cheapNs)
	equal(t, "calls without those for warming up", m.SameCPU.raw.Count(), 1_000)
	about(t, "the longest of them", m.SameCPU.raw.Max(), 3_000, 1.5, 0)
	about(t, "a raw latency", m.SameCPU.raw.Quantile(0.5), 3_000+cheapNs, 0.02, 0)
	about(t, "one across CPUs", m.CrossCPU.raw.Quantile(0.5), 14_000+cheapNs, 0.02, 0)
	equal(t, "kinds of reference calls", len(m.SameCPU.colder), 2)
	for i, want := range []coldness{{500, 200}, {1_000, 400}} {
		got := m.SameCPU.colder[i]
		if got.longerNs < want.longerNs-150 || got.longerNs > want.longerNs+150 || got.coldNs < want.coldNs-150 || got.coldNs > want.coldNs+150 {
			t.Errorf("a reference call: %+v, want about %+v", got, want)
		}
	}
	if !m.SameCPU.usable() || !m.CrossCPU.usable() {
		t.Error("1,000 calls are not enough")
	}

	both := calibrated([]Untraced{
		{Nrs: []uint64{getppidNr}, Calls: 1, BatchNs: []int64{cheapNs}},
		{CrossCPU: true, Nrs: []uint64{fstatNr}, Calls: 1, BatchNs: []int64{500}},
		{CrossCPU: true, Nrs: []uint64{getppidNr}, Calls: 1, BatchNs: []int64{cheapNs + 5}},
	})
	equal(t, "that call, across CPUs", both.CrossCPU.callNs, cheapNs+5)
	equal(t, "that call on one CPU", both.SameCPU.callNs, cheapNs)
	equal(t, "kinds of reference calls across CPUs", len(both.CrossCPU.colder), 1)
	equal(t, "kinds of reference calls on one CPU", len(both.SameCPU.colder), 0)

	// What was measured in one condition alone goes over to the other one, and a model stays what it is.
	equal(t, "measured across CPUs", m.CrossCPU.untraced, false)
	equal(t, "a call that does nothing, across CPUs", m.CrossCPU.completed(m.SameCPU).callNs, cheapNs)
	equal(t, "measured across CPUs, still", m.CrossCPU.untraced, false)
}

// TestCalibratorOfTooLittle: reference calls that were seen too rarely, or not timed, say nothing.
func TestCalibratorOfTooLittle(t *testing.T) {
	m := calibrated([]Untraced{
		{Nrs: []uint64{getppidNr}, Calls: 48},
		{Nrs: []uint64{fstatNr}, Calls: 10},
		{Nrs: []uint64{fstatNr}, Calls: 0, BatchNs: []int64{5}},
		{Nrs: []uint64{fstatNr, 77}, Calls: 10, BatchNs: []int64{5}},
		{Nrs: []uint64{rareNr}, Calls: 10, BatchNs: []int64{5}},
	})
	equal(t, "measured", m.SameCPU.untraced, false)
	equal(t, "kinds of reference calls", len(m.SameCPU.colder), 0)

	never := NewCalibrator(getppidNr).Finish(nil)
	p := record()
	p.Add(call(readNr, 0, 5_000))
	p.model = never
	s := p.after(1_000_000)
	equal(t, "latency", s.Total.SumNs, 5_000)
	equal(t, "source", s.Overhead.Source, profile.Uncorrected)
}

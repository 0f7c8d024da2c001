package cost

import (
	"slices"
	"testing"

	"sysprof/profile"
)

// TestCalibrator finds what a calibration's program lost.
func TestCalibrator(t *testing.T) {
	const cheap, dear, dearToo = 39, 9, 11
	k := NewCalibrator(cheap)
	call := func(nr uint64, rawNs int64) {
		k.Call(&profile.Call{Nr: nr, ExitSeenNs: rawNs, GapNs: 5_800, CPUNs: 900})
	}
	for range warmUp {
		call(cheap, 40_000)
	}
	for i := range 60 {
		call(cheap, 5_400+int64(i%3)*10)
		if i%4 == 0 {
			k.Control(&profile.Control{RawNs: 5_460 + int64(i%3)*10})
		}
	}
	for range 20 {
		call(dear, 7_000)
		call(dearToo, 8_000)
	}
	k.Control(&profile.Control{RawNs: 9_999}) // not after a cheap call
	m := k.Finish([]Untraced{
		{Nrs: []uint64{dear, dearToo}, Calls: 20, BatchNs: []int64{36_000, 34_000, 90_000}},
		{Nrs: []uint64{cheap}, Calls: 24, BatchNs: []int64{5_000, 2_400, 2_600}},
	})
	c := &m.Conditions[profile.SameCPU]
	want := Calibration{Calls: 60, CallNs: 100, TransitNs: 5_310, GapNs: 5_800, CPUNs: 800, Controls: 15, ControlNs: 5_470, OverNs: 160}
	want.Colder = c.Colder
	if !slices.Equal(c.Colder, want.Colder) || len(c.Colder) != 1 {
		t.Fatalf("colder: %v", c.Colder)
	}
	got := *c
	got.Colder, want.Colder = nil, nil
	if got.Calls != want.Calls || got.CallNs != want.CallNs || got.TransitNs != want.TransitNs || got.GapNs != want.GapNs ||
		got.CPUNs != want.CPUNs || got.Controls != want.Controls || got.ControlNs != want.ControlNs || got.OverNs != want.OverNs {
		t.Errorf("%+v, want %+v", got, want)
	}
	// (7000 + 8000) / 2 − 5410 = 2090 longer than one that does nothing; untraced 1700 − 100.
	if cold := c.Colder[0]; cold.LongerNs != 2_090 || cold.ColdNs != 490 {
		t.Errorf("cold: %+v", cold)
	}
	if m.Conditions[profile.CrossCPU].Calls != 0 || m.IsRaw() {
		t.Errorf("%+v", m.Conditions[profile.CrossCPU])
	}
}

// TestOtherConditionIsLent: a condition that was not calibrated goes by the other one.
func TestOtherConditionIsLent(t *testing.T) {
	m := calibrated()
	if got := m.completed(int(profile.CrossCPU)); got.TransitNs != 5_300 || got.OverNs != overNs {
		t.Errorf("%+v", got)
	}
	m.Conditions[profile.CrossCPU] = Calibration{Calls: 20, CallNs: 120, TransitNs: 30_000, GapNs: 31_000, Controls: 4, OverNs: 7_000}
	if got := m.completed(int(profile.CrossCPU)); got.CallNs != nullNs || got.OverNs != overNs || got.TransitNs != 30_000 || got.ControlNs != 30_000+overNs {
		t.Errorf("few controls: %+v", got)
	}
}

// TestCold is in proportion between the calls that were tried, never less for a longer call, and flat beyond.
func TestCold(t *testing.T) {
	colder := []Coldness{{400, 100}, {1_000, 80}, {2_000, 500}}
	for longerNs, want := range map[float64]float64{-5: 0, 0: 0, 200: 50, 400: 100, 1_000: 100, 1_500: 300, 2_000: 500, 50_000: 500} {
		if got := cold(colder, longerNs); got != want {
			t.Errorf("of %v: %v, want %v", longerNs, got, want)
		}
	}
	if got := cold(nil, 1_000); got != 0 {
		t.Errorf("without references: %v", got)
	}
}

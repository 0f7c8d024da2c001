package cost

import (
	"testing"

	"sysprof/profile"
)

// TestCalibrator finds what a calibration's program lost.
func TestCalibrator(t *testing.T) {
	const cheap, dear = 39, 9
	k := NewCalibrator(cheap)
	call := func(nr uint64, rawNs int64) {
		k.Call(&profile.Call{Nr: nr, ExitSeenNs: rawNs, GapNs: 5_800, CPUNs: 900})
	}
	for range warmUp {
		call(cheap, 40_000)
	}
	for i := range 60 {
		call(cheap, 5_400+int64(i%3)*10)
	}
	for range 200 {
		call(dear, 7_000)
	}
	m := k.Finish([]Untraced{{Calls: 24, BatchNs: []int64{5_000, 2_400, 2_600}}})
	want := Calibration{Calls: 60, CallNs: 100, TransitNs: 5_310, GapNs: 5_800, CPUNs: 800}
	if got := m.Conditions[profile.SameCPU]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if m.Conditions[profile.CrossCPU].Calls != 0 || m.IsRaw() {
		t.Errorf("%+v", m.Conditions[profile.CrossCPU])
	}
}

// TestCalibratorComparesControls with the calls before and after each, whatever stops cost at that time. What comes after a
// control says nothing of the switches.
func TestCalibratorComparesControls(t *testing.T) {
	const cheap = 39
	k := NewCalibrator(cheap)
	for i := range int64(80) {
		transitNs := 3_000 + 20*i // it becomes dearer all the time
		k.Call(&profile.Call{Nr: cheap, ExitSeenNs: transitNs + 100, GapNs: 3_500 + (i+1)%2*900, CPUNs: -1})
		if i%2 == 1 {
			k.Control(&profile.Control{RawNs: transitNs + 10 + 400})
		}
	}
	m := k.Finish([]Untraced{{Calls: 24, BatchNs: []int64{2_400}}})
	if got := m.Conditions[profile.SameCPU]; got.OverNs != 400 || got.GapNs != 3_500 {
		t.Errorf("controls take %d ns longer, and gaps %d; want 400 and 3500", got.OverNs, got.GapNs)
	}
}

// TestOtherConditionIsLent: a condition that was not calibrated goes by the other one.
func TestOtherConditionIsLent(t *testing.T) {
	m := calibrated()
	if got := m.completed(int(profile.CrossCPU)); got.TransitNs != 5_300 || m.stopNs() != 5_300 {
		t.Errorf("%+v", got)
	}
	m.Conditions[profile.SameCPU].CPUNs = 2_000
	m.Conditions[profile.CrossCPU] = Calibration{CPUNs: 9_000, Calls: 20, CallNs: 120, TransitNs: 30_000, GapNs: 31_000}
	if got := m.completed(int(profile.CrossCPU)); got.CallNs != nullNs || got.CPUNs != 2_000 || got.TransitNs != 30_000 || m.stopNs() != 5_300 {
		t.Errorf("%+v", got)
	}
}

// TestCold is in proportion to what a call does, and flat beyond what a stop can make cold.
func TestCold(t *testing.T) {
	for longerNs, want := range map[float64]float64{-5: 0, 0: 0, 200: 70, 1_000: 7_200.0 / 30, 5_000: 1_060, 50_000: 7_200.0 / 3} {
		if got := cold(7_200, longerNs); got != want {
			t.Errorf("of %v: %v, want %v", longerNs, got, want)
		}
	}
}

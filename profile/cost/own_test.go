package cost

import (
	"testing"

	"sysprof/profile"
)

// TestOwnCallsBoundTheTransit: where controls take longer than the calibration has seen, the calls of the program that hardly
// do anything tell, and those that do more come out as long as they are.
func TestOwnCallsBoundTheTransit(t *testing.T) {
	m := calibrated()
	m.Conditions[profile.SameCPU].OverNs = 0
	for name, callNs := range map[string]int64{"nothing": nullNs, "little": nullNs + 100} {
		t.Run(name, func(t *testing.T) {
			s := simulate(m)
			s.overNs = 900
			for range 3_000 {
				s.call(1, 800, 500)
				s.call(2, callNs, 200)
				s.call(3, 700, 100)
			}
			s.within(t)
		})
	}
}

// TestOwnCallsAreNotBelievedForLong: when stops become shorter, controls follow after a while, and what calls took less
// than the last of them is no property of controls.
func TestOwnCallsAreNotBelievedForLong(t *testing.T) {
	s := simulate(calibrated())
	stopNs := int64(9_000)
	s.transitNs = func(int64) int64 { return stopNs }
	for range 2_000 {
		s.call(1, 800, 500)
		s.call(2, nullNs, 200)
	}
	stopNs = 5_300
	for range 20_000 {
		s.call(1, 800, 500)
		s.call(2, nullNs, 200)
	}
	s.within(t)
}

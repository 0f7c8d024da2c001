package profile

import "testing"

func TestStates(t *testing.T) {
	for _, one := range []struct {
		what               string
		rawNs, asleep, cpu int64
		waits              bool
		want               State
	}{
		{"a short one", 2_000, -1, -1, false, Computing},
		{"a short one of those that wait", 2_000, 0, -1, true, Computing},
		{"one that waits, too short to be looked at", 5_000, -1, -1, true, Waiting},
		{"another call as short", 5_000, -1, -1, false, Computing},
		{"one that was not looked at", 50_000, -1, -1, false, StateUnknown},
		{"one that waits, and was not looked at", 50_000, -1, -1, true, Waiting},
		{"one that slept", 50_000, 30_000, -1, false, Waiting},
		{"one that slept a little", 50_000, 20_000, -1, false, Computing},
		{"one that did not sleep", 50_000, 0, -1, false, Computing},
		{"one that took less than was slept before it", 9_000, 30_000, -1, false, Computing},
		{"one with CPU time", 50_000, -1, 40_000, false, Computing},
		{"one without", 50_000, -1, 2_000, false, Waiting},
		{"one that slept more than CPU time says", 50_000, 30_000, 40_000, false, Waiting},
		{"one that took nothing", 0, -1, -1, true, Computing},
	} {
		c := call(readNr, 0, one.rawNs)
		c.AsleepNs, c.CPUNs = one.asleep, one.cpu
		equal(t, one.what, c.State(one.waits), one.want)
	}
	c := call(readNr, 0, 20_000)
	c.AsleepNs, c.TransitNs = 15_000, 19_000
	equal(t, "what tracing added", c.State(false), Computing)
}

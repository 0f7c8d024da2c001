package session

import "testing"

func TestStolen(t *testing.T) {
	before := parseCPUTime("cpu  100 0 50 800 10 0 0 40 5 0\ncpu0 1 2 3\n")
	if before != (cpuTime{all: 1000, stolen: 40}) {
		t.Fatalf("%+v", before)
	}
	after := parseCPUTime("cpu  200 0 50 1500 10 0 0 240 5 0\n")
	if share := after.stolenSince(before); share != 0.2 {
		t.Errorf("a share of %v was stolen, want 0.2", share)
	}
	for _, odd := range []string{"", "cpu", "cpu 1 2 3", "cpu  1 2 3 4 5 6 7 x", "intr 1 2 3 4 5 6 7 8"} {
		if got := parseCPUTime(odd); got != (cpuTime{}) || got.stolenSince(before) != 0 || after.stolenSince(got) != 0 {
			t.Errorf("%q: %+v", odd, got)
		}
	}
}

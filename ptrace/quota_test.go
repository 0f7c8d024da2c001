package ptrace

import "testing"

func TestQuota(t *testing.T) {
	q := quota{most: 2}
	for i, want := range []bool{true, true, false, false} {
		if got := q.take(); got != want {
			t.Errorf("number %d: %v", i+1, got)
		}
	}
	q.give()
	if !q.take() || q.take() {
		t.Error("what was given back cannot be taken once")
	}
	if (&quota{}).take() {
		t.Error("nothing has granted anything")
	}
}

// TestQuotasLeaveDescriptors: what all of them grant is less than the limit.
func TestQuotasLeaveDescriptors(t *testing.T) {
	var q quotas
	for _, limit := range []int64{0, 100, 1024, 1 << 20} {
		q.divide(limit)
		if held := q.waits.most + q.cpu.most + q.breakpoints.most; held > limit*7/8 {
			t.Errorf("%d of %d may be held", held, limit)
		}
	}
}

package cost

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sysprof/profile"
)

// latencies are the values of the latency label of a run whose calls take from 100 ns to 100 ms, all of them
// longer by a transit.
func latencies(t *testing.T, transitNs int64) []int64 {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	p := profile.New()
	var samples profile.Samples
	for range 20_000 {
		ns := int64(100 * float64(uint64(1)<<(random.Uint64()%20)) * (1 + random.Float64()))
		c := &profile.Call{ExitSeenNs: ns + transitNs, CPUNs: -1, GapNs: -1}
		p.Add(c)
		samples.Add(c, profile.SampleKey{Values: profile.Values{0, profile.RawLatencyBucket(c)}})
	}
	p.Correct(profile.ByHandTransit(time.Duration(transitNs)), nil)
	all, _ := samples.All()
	values := make(map[int64]bool)
	calls := uint64(0)
	for _, s := range Samples(p.SnapshotAfter(time.Second), all, 1) {
		values[profile.LatencyBucketNs(s.Values[1])] = true
		calls += s.Calls
	}
	if calls != 20_000 {
		t.Errorf("%d calls", calls)
	}
	return slices.Sorted(maps.Keys(values))
}

// TestLatencyLabelsAreTheSameInEveryRun, however long its transits are: two in an octave.
func TestLatencyLabelsAreTheSameInEveryRun(t *testing.T) {
	for _, transitNs := range []int64{0, 2_000, 5_170, 14_333} {
		values := latencies(t, transitNs)
		for _, ns := range values {
			for ; ns >= 512 && ns%2 == 0; ns /= 2 {
			}
			if ns%64 != 0 {
				t.Errorf("with a transit of %d ns: %d is no bound of half an octave", transitNs, ns)
			}
		}
		if len(values) < 30 || len(values) > 2*20+4 {
			t.Errorf("with a transit of %d ns: %d values of the latency label: %v", transitNs, len(values), values)
		}
	}
}

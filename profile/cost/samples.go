package cost

import (
	"cmp"
	"slices"

	"sysprof/profile"
)

// Sample is the calls of one key of a profile with stacks, corrected.
type Sample struct {
	profile.SampleKey
	Calls, Errors uint64
	OverheadNs    int64 // what tracing them cost: transit, switches and hold
	LatencyNs     int64
	CPUNs         int64 // of the calls of which it was measured
	CPUCalls      uint64
}

// Samples corrects samples by what the snapshot of the same run has taken off the latencies of each row, so that
// they add up to the rows. latencyAt is which of the values is a raw latency's bucket, -1 if none is: that becomes
// the bucket of half an octave that the corrected latency lies in, whose bounds are the same in every run.
// Samples that have become alike are added up. The result is in a fixed order; samples remain as they are.
func Samples(s *profile.Snapshot, samples []profile.Sample, latencyAt int) []Sample {
	transits := transitsOf(s, samples)
	switchesNs := 0.0 // a call: overhead that is in no latency
	if s.Overhead != nil {
		switchesNs = float64(s.Overhead.SwitchesNs.Ns)
	}
	byKey := make(map[profile.SampleKey]*Sample, len(samples))
	for i := range samples {
		from := &samples[i]
		transitNs := min(int64(transits[from.Key]*float64(from.Calls)), from.RawNs)
		key := from.SampleKey
		if latencyAt >= 0 {
			key.Values[latencyAt] = correctedBucket(key.Values[latencyAt], transits[from.Key])
		}
		to := byKey[key]
		if to == nil {
			to = &Sample{SampleKey: key}
			byKey[key] = to
		}
		to.Calls += from.Calls
		to.Errors += from.Errors
		to.LatencyNs += from.RawNs - transitNs
		to.OverheadNs += max(transitNs, 0) + from.HoldNs + int64(switchesNs*float64(from.Calls))
		to.CPUCalls += from.CPUCalls
		to.CPUNs += from.CPUNs
	}
	corrected := make([]Sample, 0, len(byKey))
	for _, sample := range byKey {
		corrected = append(corrected, *sample)
	}
	slices.SortFunc(corrected, func(x, y Sample) int {
		return cmp.Or(cmp.Compare(x.ABI, y.ABI), cmp.Compare(x.Nr, y.Nr), cmp.Compare(x.Stack, y.Stack),
			slices.Compare(x.Values[:], y.Values[:]))
	})
	return corrected
}

// correctedBucket is the bucket that the latencies of a bucket of raw ones lie in: of two in an octave.
func correctedBucket(raw uint32, transitNs float64) uint32 {
	low := profile.LatencyBucketNs(raw)
	next := profile.LatencyBucketNs(raw + profile.RawLatencyBuckets)
	latencyNs := float64(low)/2 + float64(next)/2 - transitNs
	return uint32(profile.BucketIndex(int64(max(latencyNs, 0))) &^ (profile.BucketsAnOctave/2 - 1))
}

// transitsOf finds out how much of a call's raw latency is transit, by the rows of the snapshot.
func transitsOf(s *profile.Snapshot, samples []profile.Sample) map[profile.Key]float64 {
	byRow := make(map[profile.Key][]*profile.Sample)
	for i := range samples {
		byRow[samples[i].Key] = append(byRow[samples[i].Key], &samples[i])
	}
	transits := make(map[profile.Key]float64)
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Calls > 0 {
			transits[r.Key] = transitOf(r, byRow[r.Key])
		}
	}
	return transits
}

// transitOf returns what has to be taken off each call of a row's samples, as far as that is there, so that
// what is left adds up to the row's latency. That may be negative: of calls that stood in line, the table has
// what the others took instead, which may be more. It reorders the samples.
func transitOf(r *profile.Row, samples []*profile.Sample) float64 {
	mean := func(s *profile.Sample) float64 { return float64(s.RawNs) / float64(s.Calls) }
	slices.SortFunc(samples, func(x, y *profile.Sample) int { return cmp.Compare(mean(x), mean(y)) })
	var calls, rawNs, transitNs float64
	for _, s := range samples {
		calls += float64(s.Calls)
		rawNs += float64(s.RawNs)
	}
	latencyNs := float64(r.SumNs) / float64(r.Calls) * calls
	for _, s := range samples {
		transitNs = (rawNs - latencyNs) / calls
		if mean(s) >= transitNs {
			break
		}
		// Nothing is left of these, so the others have to give more.
		calls -= float64(s.Calls)
		rawNs -= float64(s.RawNs)
	}
	return transitNs
}

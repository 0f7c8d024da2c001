package cost

import (
	"cmp"
	"slices"

	"sysprof/profile"
)

// Sample is the calls of one key of a profile with stacks, corrected.
type Sample struct {
	profile.Sample
	LatencyNs  int64 // sum of the latencies
	OverheadNs int64 // what tracing cost these calls in all
}

// latencyBuckets is how many buckets of a histogram are one range of corrected latencies: half an octave.
const latencyBuckets = profile.BucketsAnOctave / 2

// CorrectSamples takes off the samples what tracing added to them: as much that the samples of a call add up to its
// row in the snapshot.
//
// latencyAt is which of the values of a key is a profile.RawLatencyBucket, -1 if samples are not told apart by
// latency. There the corrected samples have the bucket (profile.LatencyBucketNs) that a half octave of latencies
// begins with: the same ones in any run, 2^k and 1.5·2^k ns. Samples that have become equal are merged. They come in
// no order.
func CorrectSamples(s *profile.Snapshot, samples []profile.Sample, latencyAt int) []Sample {
	byCall := make(map[profile.Key][]*profile.Sample)
	for i := range samples {
		byCall[samples[i].Key] = append(byCall[samples[i].Key], &samples[i])
	}
	switchesNs := 0.0 // a call: overhead that is in none of the sums
	if s.Overhead != nil {
		switchesNs = float64(s.Overhead.SwitchesNs.Ns)
	}
	rows := make(map[profile.Key]*profile.Row)
	for i := range s.Rows {
		rows[s.Rows[i].Key] = &s.Rows[i]
	}
	var corrected []Sample
	for k, of := range byCall {
		transitNs := 0.0
		if r := rows[k]; r != nil && r.Calls > 0 {
			transitNs = sampleTransit(r, of)
		}
		c := sampleCorrection{transitNs, switchesNs, latencyAt, make(map[profile.SampleKey]int)}
		corrected = c.correct(corrected, of)
	}
	return corrected
}

// sampleTransit returns what has to be taken off each call of a row's samples, as far as that is there, so that what
// is left adds up to the row's latency. That may be negative: of calls that stood in line, the table has what the
// others took instead, which may be more. It reorders the samples.
func sampleTransit(r *profile.Row, samples []*profile.Sample) float64 {
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

// sampleCorrection corrects the samples of one call.
type sampleCorrection struct {
	transitNs, switchesNs float64 // a call
	latencyAt             int
	at                    map[profile.SampleKey]int // where the sample of a key is
}

// correct appends the corrected samples.
func (c *sampleCorrection) correct(to []Sample, samples []*profile.Sample) []Sample {
	for _, s := range samples {
		one := c.one(s)
		at, known := c.at[one.SampleKey]
		if !known {
			c.at[one.SampleKey] = len(to)
			to = append(to, one)
			continue
		}
		to[at].add(&one)
	}
	return to
}

func (c *sampleCorrection) one(from *profile.Sample) Sample {
	s := Sample{Sample: *from}
	transitNs := min(int64(c.transitNs*float64(s.Calls)), s.RawNs)
	s.LatencyNs = s.RawNs - transitNs
	s.OverheadNs = max(transitNs, 0) + s.HoldNs + int64(c.switchesNs*float64(s.Calls))
	if c.latencyAt >= 0 {
		bucket := &s.Values[c.latencyAt]
		*bucket = c.halfOctave(*bucket)
	}
	return s
}

// halfOctave is the first bucket of the half octave that calls of a RawLatencyBucket belong to: their latency is taken
// to be the middle of the bucket, less the transit.
func (c *sampleCorrection) halfOctave(raw uint32) uint32 {
	lowNs, _ := profile.BucketBounds(int(raw))
	_, highNs := profile.BucketBounds(int(raw) + profile.RawLatencyBuckets - 1)
	ns := lowNs + (highNs-lowNs)/2 - max(int64(c.transitNs), 0)
	return uint32(profile.BucketIndex(ns) &^ (latencyBuckets - 1)) // no time at all if ns is negative
}

func (s *Sample) add(other *Sample) {
	s.Calls += other.Calls
	s.Errors += other.Errors
	s.RawNs = addClamped(s.RawNs, other.RawNs)
	s.HoldNs = addClamped(s.HoldNs, other.HoldNs)
	s.CPUNs = addClamped(s.CPUNs, other.CPUNs)
	s.CPUCalls += other.CPUCalls
	s.LatencyNs = addClamped(s.LatencyNs, other.LatencyNs)
	s.OverheadNs = addClamped(s.OverheadNs, other.OverheadNs)
}

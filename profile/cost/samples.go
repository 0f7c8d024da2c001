package cost

import (
	"cmp"
	"slices"

	"sysprof/profile"
)

// Sample is the calls of one key of a profile with stacks, corrected.
type Sample struct {
	profile.Sample
	LatencyNs  int64 // sum of the latencies, and of how long unfinished calls have been under way
	OverheadNs int64 // what tracing cost these calls in all
}

// CorrectSamples takes off the samples what tracing added to them: as much that the samples of a call add up to its
// row in the snapshot. They come in no order.
func CorrectSamples(s *profile.Snapshot, samples []profile.Sample) []Sample {
	byCall := make(map[profile.Key][]*profile.Sample)
	corrected := make([]Sample, 0, len(samples))
	for i := range samples {
		if s := &samples[i]; s.Calls > 0 {
			byCall[s.Key] = append(byCall[s.Key], s)
		} else {
			corrected = append(corrected, corrects(s, 0, 0))
		}
	}
	switchesNs := 0.0 // a call: overhead that is in none of the sums
	if s.Overhead != nil {
		switchesNs = float64(s.Overhead.SwitchesNs.Ns)
	}
	for i := range s.Rows {
		r := &s.Rows[i]
		of := byCall[r.Key]
		delete(byCall, r.Key)
		excessNs := excess(r, of)
		for _, from := range of {
			ns := max(float64(from.NetNs)-excessNs*float64(from.Calls), 0)
			corrected = append(corrected, corrects(from, int64(ns), switchesNs))
		}
	}
	for _, of := range byCall { // the snapshot has no row of these yet
		for _, from := range of {
			corrected = append(corrected, corrects(from, max(from.NetNs, 0), switchesNs))
		}
	}
	return corrected
}

func corrects(from *profile.Sample, latencyNs int64, switchesNs float64) Sample {
	return Sample{Sample: *from,
		LatencyNs:  max(latencyNs, latencyNs+from.UnfinishedNs), // if that fits
		OverheadNs: max(from.RawNs-latencyNs, 0) + from.HoldNs + int64(switchesNs*float64(from.Calls))}
}

// excess returns what has to come off each call of a row's samples besides its transit, as far as that is there, so that
// what is left adds up to the row's latency. That may be negative: of calls that stood in line, the table has what
// the others took instead, which may be more. It reorders the samples.
func excess(r *profile.Row, samples []*profile.Sample) (ns float64) {
	mean := func(s *profile.Sample) float64 { return float64(s.NetNs) / float64(s.Calls) }
	slices.SortFunc(samples, func(x, y *profile.Sample) int { return cmp.Compare(mean(x), mean(y)) })
	var calls, netNs float64
	for _, s := range samples {
		calls += float64(s.Calls)
		netNs += float64(s.NetNs)
	}
	latencyNs := float64(r.SumNs) / float64(max(r.Calls, 1)) * calls
	for _, s := range samples {
		ns = (netNs - latencyNs) / calls
		if mean(s) >= ns {
			break
		}
		// Nothing is left of these, so the others have to give more.
		calls -= float64(s.Calls)
		netNs -= float64(s.NetNs)
	}
	return ns
}

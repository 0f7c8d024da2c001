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
		excessNs := excess(r, netOf(of), 0)
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

// net is what calls took net, in all.
type net struct{ calls, ns float64 }

func (n net) mean() float64 { return n.ns / n.calls }

func netOf(samples []*profile.Sample) []net {
	nets := make([]net, len(samples))
	for i, s := range samples {
		nets[i] = net{float64(s.Calls), float64(s.NetNs)}
	}
	return nets
}

// excess returns what has to come off each call of the parts of a row besides its transit, as far as that is there, so that
// what is left adds up to the row's latency, and is leastNs a call at least. That may be negative: of calls that stood in line, the
// table has what the others took instead, which may be more. It reorders the parts.
func excess(r *profile.Row, parts []net, leastNs float64) (ns float64) {
	slices.SortFunc(parts, func(x, y net) int { return cmp.Compare(x.mean(), y.mean()) })
	var calls, netNs float64
	for _, p := range parts {
		calls += p.calls
		netNs += p.ns
	}
	latencyNs := float64(r.SumNs) / float64(max(r.Calls, 1)) * calls
	for _, p := range parts {
		ns = (netNs - latencyNs) / calls
		if p.mean()-leastNs >= ns {
			break
		}
		// Nothing more is left of these, so the others have to give it.
		calls -= p.calls
		netNs -= p.ns
		latencyNs -= leastNs * p.calls
	}
	return ns
}

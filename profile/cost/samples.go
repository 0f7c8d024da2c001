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
//
// relabel, if not nil, tells the values of calls from what they were and from how long each took. Samples that have the same
// then become one.
func CorrectSamples(s *profile.Snapshot, samples []profile.Sample, relabel func(profile.Values, int64) profile.Values) []Sample {
	corrected := correctSamples(s, samples)
	if relabel == nil {
		return corrected
	}
	at := make(map[profile.SampleKey]int, len(corrected))
	relabelled := corrected[:0]
	for _, sample := range corrected {
		sample.Values = relabel(sample.Values, sample.LatencyNs/int64(max(sample.Calls+sample.Unfinished, 1)))
		if i, ok := at[sample.SampleKey]; ok {
			relabelled[i].add(&sample)
			continue
		}
		at[sample.SampleKey] = len(relabelled)
		relabelled = append(relabelled, sample)
	}
	return relabelled
}

// add adds the calls of another sample.
func (s *Sample) add(from *Sample) {
	s.Sample.Add(&from.Sample)
	s.LatencyNs += from.LatencyNs
	s.OverheadNs += from.OverheadNs
}

func correctSamples(s *profile.Snapshot, samples []profile.Sample) []Sample {
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
		toRow := mendFor(r, netOf(of), leastNs(r))
		for _, from := range of {
			corrected = append(corrected, corrects(from, int64(toRow.mended(net{float64(from.Calls), float64(from.NetNs)})), switchesNs))
		}
	}
	for _, of := range byCall { // the snapshot has no row of these yet
		for _, from := range of {
			corrected = append(corrected, corrects(from, max(from.NetNs, 0), switchesNs))
		}
	}
	return corrected
}

// leastNs is what a call of a row takes at least, as far as its latencies say. Viewers leave out what took no time at all.
func leastNs(r *profile.Row) float64 {
	return min(float64(r.MinNs), float64(r.SumNs)/float64(max(r.Calls, 1)))
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

// mend is what is done to parts of a row, so that they add up to its latency.
type mend struct {
	times    float64 // as long as they were
	excessNs float64 // comes off each call
	leastNs  float64 // is left of each
}

func (m mend) mended(n net) (ns float64) {
	return max(n.ns*m.times-m.excessNs*n.calls, m.leastNs*n.calls)
}

// mendFor returns how the parts of a row are mended. As much comes off each call besides its transit, as far as that is there.
//
// The parts may also be too short: of calls that stood in line, the table has what the others took instead, which may be more,
// as of futex(2), where those that wake somebody stand in line, and the others sleep. Then all become longer in
// proportion. With as much more for each call, nearly all time in which somebody was woken would be that of others who slept.
//
// It reorders the parts.
func mendFor(r *profile.Row, parts []net, leastNs float64) mend {
	slices.SortFunc(parts, func(x, y net) int { return cmp.Compare(x.mean(), y.mean()) })
	var calls, netNs float64
	for _, p := range parts {
		calls += p.calls
		netNs += p.ns
	}
	latencyNs := float64(r.SumNs) / float64(max(r.Calls, 1)) * calls
	m := mend{times: 1, leastNs: leastNs}
	for _, p := range parts {
		m.excessNs = (netNs - latencyNs) / calls
		grow := m.excessNs < 0 && r.Queued > 0
		if grow && p.mean() >= max(leastNs, 1) {
			return mend{times: latencyNs / netNs, leastNs: leastNs}
		}
		if !grow && p.mean()-leastNs >= m.excessNs {
			return m
		}
		// Nothing more is left of these, so the others have to give it, or get it.
		calls -= p.calls
		netNs -= p.ns
		latencyNs -= leastNs * p.calls
	}
	if m.excessNs < 0 { // nothing is known of how long any took
		return mend{excessNs: -float64(r.SumNs) / float64(max(r.Calls, 1)), leastNs: leastNs}
	}
	return m
}

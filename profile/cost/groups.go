package cost

import (
	"slices"

	"sysprof/profile"
)

// CorrectGroups takes off groups what tracing added to them: as much that the groups of a call add up to its row in the snapshot.
// They come in the order in which they are given, without anything that says who they are, and are to be put into
// profile.NewGroups. The rows that are given are gone, since there may be many.
func CorrectGroups(s *profile.Snapshot, raw []profile.RawGroup) []profile.Group {
	unlined, cpuNs := make(map[profile.Key]uint64), make(map[profile.Key]float64) // calls that did not stand in line, and CPU time of all
	for i := range raw {
		for j := range raw[i].Rows {
			r := &raw[i].Rows[j]
			unlined[r.Key] += countOf(r.Latency)
			cpuNs[r.Key] += float64(r.CPUNs)
		}
	}
	raws := s.Overhead != nil && s.Overhead.Source == profile.Uncorrected
	off := make(map[profile.Key]*takeOff)
	for i := range s.Rows {
		r := &s.Rows[i]
		off[r.Key] = &takeOff{leastNs: r.MinNs, meanNs: float64(r.SumNs) / float64(max(r.Calls, 1)), asTheyAre: raws || unlined[r.Key] < enoughUnqueued,
			ofCPU: float64(r.CPUNs) / max(cpuNs[r.Key], 1)}
	}
	byCall := make(map[profile.Key][]net)
	for i := range raw {
		for j := range raw[i].Rows {
			r := &raw[i].Rows[j]
			if off[r.Key] == nil { // the snapshot has no row of these yet
				off[r.Key] = &takeOff{asTheyAre: true, ofCPU: 1}
			}
			byCall[r.Key] = append(byCall[r.Key], net{float64(r.Calls), off[r.Key].estimate(r)})
		}
	}
	for i := range s.Rows {
		if r := &s.Rows[i]; len(byCall[r.Key]) > 0 {
			off[r.Key].excessNs = excess(r, byCall[r.Key], float64(r.MinNs))
		}
	}
	groups := make([]profile.Group, len(raw))
	for i := range raw {
		from, to := &raw[i], &groups[i]
		to.Others, to.InFlight = from.Others, from.InFlight
		to.Rows = slices.Grow(to.Rows, len(from.Rows)) // which leaves nil of none
		for j := range from.Rows {
			to.Rows = append(to.Rows, off[from.Rows[j].Key].from(&from.Rows[j]))
		}
		from.Rows = nil
	}
	return groups
}

// takeOff is what is taken off calls of one key: so much off each, so that leastNs are left at least.
type takeOff struct {
	excessNs float64
	leastNs  int64
	meanNs   float64 // of all calls of the key
	ofCPU    float64 // which part of the CPU time is left

	// asTheyAre says that the time in the line is part of the latency, because it is to be, or because too few calls did not stand in it.
	asTheyAre bool
}

// estimate is how long the calls of a row took, but for the excess. Those that stood in line are taken to be like the others, as in
// a row of the snapshot (see correction.withQueued): like those of the group, if there are enough, or like those of all.
func (o *takeOff) estimate(r *profile.RawGroupRow) float64 {
	lined := float64(countOf(r.InLine))
	calls := float64(r.Calls)
	switch {
	case lined == 0 || o.asTheyAre:
		return float64(r.NetNs) + float64(r.LinedNs)
	case calls-lined >= enoughUnqueued:
		return float64(r.NetNs) * (calls / (calls - lined))
	}
	return float64(r.NetNs) + lined*o.meanNs
}

// from returns the row that is left of what was measured, which has at least one call.
func (o *takeOff) from(from *profile.RawGroupRow) profile.GroupRow {
	calls := float64(from.Calls)
	ns := max(o.estimate(from)-o.excessNs*calls, float64(o.leastNs)*calls)
	r := profile.GroupRow{Key: from.Key, Buckets: likeOthers(from), Totals: profile.Totals{
		Calls: from.Calls, Errors: from.Errors, Queued: from.Queued, HoldNs: from.HoldNs,
		CPUCalls: from.CPUCalls, CPUNs: int64(float64(from.CPUNs) * o.ofCPU), SumNs: int64(ns),
	}}
	r.Buckets = atLeast(r.Buckets, o.leastNs)
	first, last := r.Buckets[0], r.Buckets[len(r.Buckets)-1]
	r.MinNs, r.MaxNs = max(first.LowNs, o.leastNs), max(min(max(from.LongestNs, last.LowNs), last.HighNs), o.leastNs)
	return r
}

// atLeast raises latencies to what a call takes at least.
func atLeast(buckets []profile.Bucket, leastNs int64) []profile.Bucket {
	if buckets[0].LowNs >= leastNs {
		return buckets
	}
	raised := []profile.Bucket{{LowNs: leastNs, HighNs: leastNs}}
	for _, b := range buckets {
		b.LowNs = max(b.LowNs, leastNs)
		if b.LowNs == leastNs {
			raised[0].HighNs = max(raised[0].HighNs, b.HighNs)
			raised[0].Count += b.Count
			continue
		}
		raised = append(raised, b)
	}
	return raised
}

// likeOthers are the latencies of all calls of a row: of those that stood in line the latencies of the others, if there are enough of
// these, as in a row of the snapshot (see correction.withQueued).
func likeOthers(r *profile.RawGroupRow) []profile.Bucket {
	queued := countOf(r.InLine)
	switch others := countOf(r.Latency); {
	case queued == 0:
		return r.Latency
	case others >= enoughUnqueued:
		resized := make([]profile.Bucket, 0, len(r.Latency))
		before, given := uint64(0), uint64(0)
		for _, b := range r.Latency {
			before += b.Count
			upTo := uint64(float64(others+queued) * (float64(before) / float64(others)))
			if before == others {
				upTo = others + queued
			}
			b.Count = upTo - given
			given = upTo
			resized = append(resized, b)
		}
		return resized
	}
	all := slices.Concat(r.Latency, r.InLine)
	slices.SortFunc(all, func(a, b profile.Bucket) int { return int(a.LowNs - b.LowNs) })
	merged := all[:0]
	for _, b := range all {
		if last := len(merged) - 1; last >= 0 && merged[last].LowNs == b.LowNs {
			merged[last].Count += b.Count
			continue
		}
		merged = append(merged, b)
	}
	return merged
}

func countOf(buckets []profile.Bucket) (n uint64) {
	for _, b := range buckets {
		n += b.Count
	}
	return n
}

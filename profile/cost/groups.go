package cost

import (
	"iter"
	"slices"

	"sysprof/profile"
)

// CorrectGroups takes off groups what tracing added to them: as much that the groups of a call add up to its row in the snapshot.
// They come in the order in which they are given, without anything that says who they are, and are to be put into
// profile.NewGroups. The rows that are given are gone, since there may be many.
func CorrectGroups(s *profile.Snapshot, raw []profile.RawGroup) []profile.Group {
	c := NewGroupCorrection(s, func(yield func(*profile.RawGroup) bool) {
		for i := range raw {
			if !yield(&raw[i]) {
				return
			}
		}
	})
	groups := make([]profile.Group, len(raw))
	for i := range raw {
		c.Group(&raw[i], &groups[i])
		raw[i].Rows = nil
	}
	return groups
}

// GroupCorrection takes off groups, one after the other, what tracing added to them.
type GroupCorrection struct {
	off map[profile.Key]*takeOff
}

// NewGroupCorrection prepares to correct all groups of a snapshot, which are gone through twice.
func NewGroupCorrection(s *profile.Snapshot, all iter.Seq[*profile.RawGroup]) *GroupCorrection {
	unlined, cpuNs := make(map[profile.Key]uint64), make(map[profile.Key]float64) // calls that did not stand in line, and CPU time of all
	rows := make(map[profile.Key]int)
	for g := range all {
		for i := range g.Rows {
			r := &g.Rows[i]
			unlined[r.Key] += countOf(r.Latency)
			cpuNs[r.Key] += float64(r.CPUNs)
			rows[r.Key]++
		}
	}
	raws := s.Overhead != nil && s.Overhead.Source == profile.Uncorrected
	off := make(map[profile.Key]*takeOff)
	for i := range s.Rows {
		r := &s.Rows[i]
		off[r.Key] = &takeOff{toRow: mend{times: 1, leastNs: float64(r.MinNs)}, leastNs: r.MinNs, meanNs: float64(r.SumNs) / float64(max(r.Calls, 1)), asTheyAre: raws || unlined[r.Key] < enoughUnqueued,
			ofCPU: float64(r.CPUNs) / max(cpuNs[r.Key], 1)}
	}
	byCall := make(map[profile.Key][]net)
	for key, n := range rows {
		byCall[key] = make([]net, 0, n) // to grow would take as much again
	}
	for g := range all {
		for i := range g.Rows {
			r := &g.Rows[i]
			if off[r.Key] == nil { // the snapshot has no row of these yet
				off[r.Key] = &takeOff{toRow: mend{times: 1}, asTheyAre: true, ofCPU: 1}
			}
			byCall[r.Key] = append(byCall[r.Key], net{float64(r.Calls), off[r.Key].estimate(&r.RawGroupCalls)})
		}
	}
	for i := range s.Rows {
		if r := &s.Rows[i]; len(byCall[r.Key]) > 0 {
			off[r.Key].toRow = mendFor(r, byCall[r.Key], float64(r.MinNs))
		}
	}
	return &GroupCorrection{off}
}

// SumNs is how much time the calls of a group took.
func (c *GroupCorrection) SumNs(from *profile.RawGroup) (ns int64) {
	for i := range from.Rows {
		r := &from.Rows[i]
		ns += c.off[r.Key].sumNs(&r.RawGroupCalls)
	}
	return ns
}

// Group makes a corrected group, into the memory of one that is not needed any more. It may share what from has.
func (c *GroupCorrection) Group(from *profile.RawGroup, to *profile.Group) {
	to.Others, to.InFlight = from.Others, from.InFlight
	to.Rows = slices.Grow(to.Rows[:0], len(from.Rows)) // which leaves nil of none
	for i := range from.Rows {
		to.Rows = append(to.Rows, c.off[from.Rows[i].Key].from(&from.Rows[i]))
	}
}

// takeOff is what is taken off calls of one key, so that leastNs are left at least of each.
type takeOff struct {
	toRow   mend
	leastNs int64
	meanNs  float64 // of all calls of the key
	ofCPU   float64 // which part of the CPU time is left

	// asTheyAre says that the time in the line is part of the latency, because it is to be, or because too few calls did not stand in it.
	asTheyAre bool
}

// estimate is how long the calls of a row took, but for the excess. Those that stood in line are taken to be like the others, as in
// a row of the snapshot (see correction.withQueued): like those of the group, if there are enough, or like those of all; but not
// to have taken longer than was seen.
func (o *takeOff) estimate(r *profile.RawGroupCalls) float64 {
	lined := float64(countOf(r.InLine))
	calls, seenNs := float64(r.Calls), max(float64(r.LinedNs), 0)
	switch {
	case lined == 0 || o.asTheyAre:
		return float64(r.NetNs) + float64(r.LinedNs)
	case calls-lined >= enoughUnqueued:
		return float64(r.NetNs) + min(float64(r.NetNs)*(lined/(calls-lined)), seenNs)
	}
	return float64(r.NetNs) + min(lined*o.meanNs, seenNs)
}

// sumNs is what is left of them.
func (o *takeOff) sumNs(r *profile.RawGroupCalls) int64 {
	return int64(o.toRow.mended(net{float64(r.Calls), o.estimate(r)}))
}

// from returns the row that is left of what was measured, which has at least one call.
func (o *takeOff) from(from *profile.RawGroupRow) profile.GroupRow {
	r := profile.GroupRow{Key: from.Key, Totals: profile.Totals{
		Calls: from.Calls, Errors: from.Errors, Queued: from.Queued, HoldNs: from.HoldNs,
		CPUCalls: from.CPUCalls, CPUNs: int64(float64(from.CPUNs) * o.ofCPU), SumNs: o.sumNs(&from.RawGroupCalls),
	}}
	r.Buckets, r.MinNs, r.MaxNs = o.latencies(&from.RawGroupCalls)
	restNs := r.SumNs
	for i := range from.Failed {
		f := &from.Failed[i]
		failure := profile.GroupFailure{Errno: f.Errno, Calls: f.Calls, SumNs: min(o.sumNs(&f.RawGroupCalls), restNs)}
		if len(from.Failed) == 1 && f.Calls == from.Calls {
			failure.SumNs = restNs
		}
		restNs -= failure.SumNs
		failure.Buckets, _, failure.MaxNs = o.latencies(&f.RawGroupCalls)
		failure.MaxNs = min(failure.MaxNs, r.MaxNs)
		r.Failed = append(r.Failed, failure)
	}
	return r
}

// latencies are those that are left, the least, and the longest.
func (o *takeOff) latencies(of *profile.RawGroupCalls) (left []profile.Bucket, minNs, maxNs int64) {
	left = atLeast(likeOthers(of), o.leastNs)
	first, last := left[0], left[len(left)-1]
	return left, max(first.LowNs, o.leastNs), max(min(max(of.LongestNs, last.LowNs), last.HighNs), o.leastNs)
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
func likeOthers(r *profile.RawGroupCalls) []profile.Bucket {
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

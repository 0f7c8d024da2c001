package profile

import (
	"cmp"
	"slices"
)

// groupSum adds groups up, one by one, of which it keeps nothing.
type groupSum struct {
	others   uint64 // how many there are
	rows     []rowSum
	byKey    map[Key]int // places among the rows
	inFlight []Flight
}

// rowSum is a row of a sum. Its buckets, and those of the calls that failed, are apart.
type rowSum struct {
	GroupRow
	latency bucketSum
	failed  []bucketSum // in the places of Failed
}

func (s *groupSum) add(g *Group) {
	if s.byKey == nil {
		s.byKey = make(map[Key]int)
	}
	s.others += max(g.Others, 1)
	for i := range g.Rows {
		from := &g.Rows[i]
		at, ok := s.byKey[from.Key]
		if !ok {
			at = len(s.rows)
			s.byKey[from.Key] = at
			s.rows = append(s.rows, rowSum{GroupRow: GroupRow{Key: from.Key}})
		}
		s.rows[at].add(from)
	}
	for i := range g.InFlight {
		s.inFlight = addFlight(s.inFlight, &g.InFlight[i])
	}
}

// group is the others that all of them are together.
func (s *groupSum) group() Group {
	g := Group{Others: s.others, InFlight: s.inFlight}
	for i := range s.rows {
		g.Rows = append(g.Rows, s.rows[i].row())
	}
	g.finish()
	return g
}

func (r *rowSum) add(from *GroupRow) {
	known := (r.Errors == 0 || r.Failed != nil) && (from.Errors == 0 || from.Failed != nil)
	r.Totals.add(&from.Totals)
	r.latency.add(from.Buckets)
	if !known {
		r.Failed, r.failed = nil, nil
		return
	}
	for i := range from.Failed {
		f := &from.Failed[i]
		at, found := slices.BinarySearchFunc(r.Failed, f.Errno, func(f GroupFailure, errno int32) int { return cmp.Compare(f.Errno, errno) })
		if !found {
			r.Failed = slices.Insert(r.Failed, at, GroupFailure{Errno: f.Errno})
			r.failed = slices.Insert(r.failed, at, bucketSum{})
		}
		to := &r.Failed[at]
		to.Calls = addSaturating(to.Calls, f.Calls)
		to.SumNs = addClamped(to.SumNs, f.SumNs)
		to.MaxNs = max(to.MaxNs, f.MaxNs)
		r.failed[at].add(f.Buckets)
	}
}

func (r *rowSum) row() GroupRow {
	row := r.GroupRow
	row.Buckets = r.latency.all()
	for i := range row.Failed {
		row.Failed[i].Buckets = r.failed[i].all()
	}
	return row
}

// bucketSum adds up lists of buckets. Where some are wider than others, these stay beside those that they overlap with, so that there
// may be many: what is new waits until it is as much as there is already, as adding each list to all would take the square of the time.
type bucketSum struct{ sum, waiting []Bucket }

// add adds buckets, of which nothing is kept.
func (s *bucketSum) add(buckets []Bucket) {
	const few = 256
	s.waiting = append(s.waiting, buckets...)
	if len(s.waiting) >= max(len(s.sum), few) {
		s.settle()
	}
}

// all returns all of them in ascending order.
func (s *bucketSum) all() []Bucket {
	s.settle()
	return s.sum
}

func (s *bucketSum) settle() {
	if len(s.waiting) == 0 {
		return
	}
	all := slices.Concat(s.sum, s.waiting)
	s.waiting = s.waiting[:0]
	slices.SortFunc(all, func(a, b Bucket) int { return cmp.Or(cmp.Compare(a.LowNs, b.LowNs), cmp.Compare(a.HighNs, b.HighNs)) })
	s.sum = all[:0]
	for _, b := range all {
		if last := len(s.sum) - 1; last >= 0 && s.sum[last].LowNs == b.LowNs && s.sum[last].HighNs == b.HighNs {
			s.sum[last].Count = addSaturating(s.sum[last].Count, b.Count)
			continue
		}
		s.sum = append(s.sum, b)
	}
}

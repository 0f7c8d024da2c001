package screen

import (
	"maps"
	"math"
	"time"

	"sysprof/report/live"
)

// minute is how far back is remembered.
const minute = time.Minute

// history is the updates of the last minute, and the sum of all.
type history struct {
	updates []*live.Update // the last one is the newest; nobody changes one
	all     sum
	sums    map[time.Duration]*sum // what since has returned since the newest one came
}

// add takes an update.
func (h *history) add(u *live.Update) {
	h.sums = nil
	h.all.add(u)
	h.updates = append(h.updates, u)
	old := 0
	for h.updates[old].Elapsed <= u.Elapsed-minute {
		old++
	}
	if old > 0 { // into an array of its own, so that what is over is let go of
		h.updates = append([]*live.Update(nil), h.updates[old:]...)
	}
}

// clone is what stays when the view is paused.
func (h *history) clone() *history {
	return &history{updates: append([]*live.Update(nil), h.updates...), all: h.all.clone()}
}

// newest is the last update, nil if there is none yet.
func (h *history) newest() *live.Update {
	if len(h.updates) == 0 {
		return nil
	}
	return h.updates[len(h.updates)-1]
}

// since adds up the newest updates that have lasted so long together, at least one; 0: all that there ever were.
func (h *history) since(window time.Duration) *sum {
	if window == 0 {
		return &h.all
	}
	if s := h.sums[window]; s != nil {
		return s
	}
	s := new(sum)
	for i := len(h.updates) - 1; i >= 0; i-- {
		if length := h.updates[i].Length; s.length > 0 && s.length+length > window+length/2 {
			break
		}
		s.add(h.updates[i])
	}
	if h.sums == nil {
		h.sums = make(map[time.Duration]*sum)
	}
	h.sums[window] = s
	return s
}

// sum is updates added up.
type sum struct {
	length time.Duration
	by     []string          // the fields that calls are told apart by
	rows   map[string]*row   // by call
	groups []map[string]*row // by each of the fields
	whole  *row              // all rows, as long as nothing is added; nil: not known
}

func (s *sum) add(u *live.Update) {
	if s.rows == nil {
		s.rows = make(map[string]*row)
	}
	s.length += u.Length
	s.whole = nil
	s.by = u.By
	for i := range u.Rows {
		addRow(s.rows, u.Rows[i].Name, &u.Rows[i], u.Elapsed)
	}
	for field := range u.By {
		if field == len(s.groups) {
			s.groups = append(s.groups, make(map[string]*row))
		}
		for i := range u.Groups {
			if g := &u.Groups[i]; field < len(g.Values) {
				addRow(s.groups[field], g.Values[field], g, u.Elapsed)
			}
		}
	}
}

func (s *sum) clone() sum {
	c := sum{length: s.length, by: s.by, rows: cloneRows(s.rows)}
	for _, g := range s.groups {
		c.groups = append(c.groups, cloneRows(g))
	}
	return c
}

func cloneRows(rows map[string]*row) map[string]*row {
	c := make(map[string]*row, len(rows))
	for name, r := range rows {
		c[name] = r.clone()
	}
	return c
}

// of are the rows by call, or by one of the fields, whose number that is, from 1 on.
func (s *sum) of(grouping int) map[string]*row {
	switch {
	case grouping == 0:
		return s.rows
	case grouping <= len(s.groups):
		return s.groups[grouping-1]
	}
	return nil
}

// total adds all rows up, which have all calls.
func (s *sum) total() *row {
	if s.whole == nil {
		s.whole = newRow("total")
		for _, r := range s.rows {
			s.whole.merge(r)
		}
	}
	return s.whole
}

// row is what is known of the calls of one name, or one group.
type row struct {
	name          string
	calls, errors uint64
	sum, max      time.Duration
	spread        live.Spread
	upperBound    bool
	errnos        map[string]uint64
	slowest       []single
	parts         map[string]live.Part
	buckets       []live.Bucket // of spread, as long as nothing is added; nil: not known
}

// single is one call, and when the interval ended in which it did.
type single struct {
	live.Single
	at time.Duration // since the run began
}

// mostSingles is how many of the slowest calls are remembered.
const mostSingles = 8

func newRow(name string) *row {
	return &row{name: name, spread: make(live.Spread), errnos: make(map[string]uint64), parts: make(map[string]live.Part)}
}

func (r *row) clone() *row {
	c := newRow(r.name)
	c.merge(r)
	return c
}

// mostRows is how many rows are told apart: a run may see any number of threads and files.
const mostRows = 2000

func addRow(to map[string]*row, name string, r *live.Row, elapsed time.Duration) {
	const others = "others"
	if to[name] == nil && len(to) >= mostRows {
		name = others
	}
	if to[name] == nil {
		to[name] = newRow(name)
	}
	to[name].add(r, elapsed)
}

func (r *row) add(other *live.Row, elapsed time.Duration) {
	r.buckets = nil
	r.calls += other.Calls
	r.errors += other.Errors
	r.sum += other.Sum
	r.max = max(r.max, other.Max)
	r.upperBound = r.upperBound || other.UpperBound
	for bucket, n := range other.Spread {
		r.spread[bucket] += n
	}
	for _, e := range other.Errnos {
		r.errnos[e.Name] += e.Count
	}
	for _, one := range other.Slowest {
		r.addSingle(single{one, elapsed})
	}
	for _, p := range other.Parts {
		r.addPart(p)
	}
}

func (r *row) merge(other *row) {
	r.buckets = nil
	r.calls += other.calls
	r.errors += other.errors
	r.sum += other.sum
	r.max = max(r.max, other.max)
	r.upperBound = r.upperBound || other.upperBound
	for bucket, n := range other.spread {
		r.spread[bucket] += n
	}
	for name, n := range other.errnos {
		r.errnos[name] += n
	}
	for _, one := range other.slowest {
		r.addSingle(one)
	}
	for p := range maps.Values(other.parts) {
		r.addPart(p)
	}
}

// addSingle keeps the slowest calls, the slowest first.
func (r *row) addSingle(one single) {
	i := len(r.slowest)
	for i > 0 && r.slowest[i-1].Took < one.Took {
		i--
	}
	if i >= mostSingles {
		return
	}
	r.slowest = append(r.slowest, single{})
	copy(r.slowest[i+1:], r.slowest[i:])
	r.slowest[i] = one
	r.slowest = r.slowest[:min(len(r.slowest), mostSingles)]
}

func (r *row) addPart(p live.Part) {
	sum := r.parts[p.Name]
	sum.Name = p.Name
	sum.Calls += p.Calls
	sum.Errors += p.Errors
	sum.Sum += p.Sum
	r.parts[p.Name] = sum
}

// mean is the mean latency.
func (r *row) mean() time.Duration {
	if r.calls == 0 {
		return 0
	}
	return time.Duration(float64(r.sum) / float64(r.calls))
}

// sorted is the distribution, the least times first.
func (r *row) sorted() []live.Bucket {
	if r.buckets == nil {
		r.buckets = r.spread.Sorted()
	}
	return r.buckets
}

// quantile is the latency that the share q of the calls does not exceed, 0 if there are none.
func (r *row) quantile(q float64) time.Duration {
	rank, seen := max(uint64(math.Ceil(q*float64(r.calls))), 1), uint64(0)
	for _, b := range r.sorted() {
		if seen += b.Count; seen >= rank {
			return min(b.Low+(b.High-b.Low)/2, r.max)
		}
	}
	return 0
}

package profile

import (
	"cmp"
	"maps"
	"slices"
)

// Raw is what was measured: calls as they were counted, each less the transit that was known for it, if any, and what
// controls showed on average. The zero value is empty and ready.
//
// A Raw is a value of its own: it can be kept, cloned, added to another one, and an earlier one of the same run
// can be subtracted from it, which leaves what was measured in between. Package cost makes a Snapshot of it as
// often as one likes.
//
// A Raw is safe for concurrent use as long as nothing changes it.
type Raw struct {
	Calls    [Conditions]RawCalls // the finished calls, by the condition that they were traced in
	InFlight []Flight             // sorted as in a Snapshot; at most one of each key, reason and Resumed
}

// RawCalls is what was measured of the calls that were traced in one condition.
type RawCalls struct {
	Rows      map[Key]*RawRow // see Row
	Gaps      Histogram       // from letting a thread go on from one call to seeing the entry-stop of its next
	Uncounted Traced          // what tracing cost the calls that are in no row
	Controls  ControlSum      // what controls showed
}

// Traced is what tracing did to calls, in all.
type Traced struct {
	Calls, Queued uint64 // Queued of these Calls stood in line (Call.Queued)
	HoldNs        int64
	TransitNs     int64
}

// RawRow is what was measured of the calls of one key.
type RawRow struct {
	Key
	HoldNs    int64
	RawNs     int64        // the sum of the raw latencies
	TransitNs int64        // what has been taken off them, in all
	SleptNs   int64        // of the calls that slept, the sum of the latencies
	WokenNs   int64        // of these, those that another traced thread ended
	Disturbed uint64       // calls that stood in no line, but waited for a CPU: they are among the Queued of the outcomes
	WaitedNs  int64        // for how long these waited, which is part of TransitNs
	OK        RawOutcome   // the calls that succeeded
	Failed    []RawFailure // in the order of their first occurrence
	CPU       *Histogram   // CPU time of the calls of which it was measured, tracing included; nil if of none
}

// RawOutcome is the raw latencies of the calls of a row that ended in the same way.
type RawOutcome struct {
	Latency Histogram  // of the calls whose exit-stop was seen at once
	NetNs   int64      // the sum of Call.NetNs of these
	Queued  *Histogram // of those that stood in line, which is part of it, or that were disturbed; nil if there are none
}

// RawFailure is the calls of a row that failed with the same errno.
type RawFailure struct {
	Errno int32
	*RawOutcome
}

// Clone returns an independent copy.
func (r *Raw) Clone() *Raw {
	c := new(Raw)
	c.Merge(r)
	return c
}

// Merge adds everything that other holds. It keeps nothing of other.
func (r *Raw) Merge(other *Raw) {
	for c := range r.Calls {
		r.Calls[c].merge(&other.Calls[c])
	}
	for i := range other.InFlight {
		r.InFlight = addFlight(r.InFlight, &other.InFlight[i])
	}
}

// Subtract takes off what was measured until an earlier moment of the same run. Counts, sums and buckets of what is
// left are exact. Minima and maxima are those of Histogram.Subtract, and the longest call in flight is that of
// the whole run. Rows without calls are removed.
//
// The intervals of a run, merged, are the run again.
func (r *Raw) Subtract(earlier *Raw) {
	for c := range r.Calls {
		r.Calls[c].subtract(&earlier.Calls[c])
	}
	for i := range earlier.InFlight {
		r.InFlight = subtractFlight(r.InFlight, &earlier.InFlight[i])
	}
}

// Row finds or makes the row of k.
func (c *RawCalls) Row(k Key) *RawRow {
	r := c.Rows[k]
	if r == nil {
		r = &RawRow{Key: k}
		if c.Rows == nil {
			c.Rows = make(map[Key]*RawRow)
		}
		c.Rows[k] = r
	}
	return r
}

// Sorted returns the rows sorted by ABI, then number.
func (c *RawCalls) Sorted() []*RawRow {
	return slices.SortedFunc(maps.Values(c.Rows), func(a, b *RawRow) int { return compareKeys(a.Key, b.Key) })
}

// Traced is what tracing did to all calls, those that are in no row included.
func (c *RawCalls) Traced() Traced {
	t := c.Uncounted
	for _, r := range c.Rows {
		calls, queued := r.Counts()
		t.add(&Traced{calls, queued, r.HoldNs, r.TransitNs})
	}
	return t
}

func (c *RawCalls) merge(from *RawCalls) {
	for k, r := range from.Rows {
		c.Row(k).merge(r)
	}
	c.Gaps.Merge(&from.Gaps)
	c.Uncounted.add(&from.Uncounted)
	c.Controls.add(&from.Controls)
}

func (c *RawCalls) subtract(earlier *RawCalls) {
	for k, r := range earlier.Rows {
		left := c.Rows[k]
		if left == nil {
			continue
		}
		left.subtract(r)
		if calls, _ := left.Counts(); calls == 0 {
			delete(c.Rows, k)
		}
	}
	c.Gaps.Subtract(&earlier.Gaps)
	c.Uncounted.subtract(&earlier.Uncounted)
	c.Controls.subtract(&earlier.Controls)
}

// Outcome finds or makes the outcome of the calls that failed with errno, or that succeeded if it is 0.
func (r *RawRow) Outcome(errno int32) *RawOutcome {
	if errno == 0 {
		return &r.OK
	}
	return r.failed(errno)
}

func (r *RawRow) failed(errno int32) *RawOutcome {
	for i := range r.Failed { // there are few
		if r.Failed[i].Errno == errno {
			return r.Failed[i].RawOutcome
		}
	}
	o := new(RawOutcome)
	r.Failed = append(r.Failed, RawFailure{errno, o})
	return o
}

// Counts returns how many calls the row has, and how many of them stood in line.
func (r *RawRow) Counts() (calls, queued uint64) {
	for o := range r.outcomes {
		n := o.Queued.countOrZero()
		queued = addSaturating(queued, n)
		calls = addSaturating(addSaturating(calls, n), o.Latency.Count())
	}
	return calls, subtractSaturating(queued, r.Disturbed)
}

// outcomes yields all outcomes of the row.
func (r *RawRow) outcomes(yield func(*RawOutcome) bool) {
	if !yield(&r.OK) {
		return
	}
	for _, f := range r.Failed {
		if !yield(f.RawOutcome) {
			return
		}
	}
}

func (r *RawRow) merge(from *RawRow) {
	r.HoldNs = addClamped(r.HoldNs, from.HoldNs)
	r.RawNs = addClamped(r.RawNs, from.RawNs)
	r.TransitNs = addClamped(r.TransitNs, from.TransitNs)
	r.SleptNs = addClamped(r.SleptNs, from.SleptNs)
	r.WokenNs = addClamped(r.WokenNs, from.WokenNs)
	r.Disturbed = addSaturating(r.Disturbed, from.Disturbed)
	r.WaitedNs = addClamped(r.WaitedNs, from.WaitedNs)
	r.OK.merge(&from.OK)
	for _, f := range from.Failed {
		r.failed(f.Errno).merge(f.RawOutcome)
	}
	r.CPU = merged(r.CPU, from.CPU)
}

func (r *RawRow) subtract(earlier *RawRow) {
	r.HoldNs = max(r.HoldNs-earlier.HoldNs, 0)
	r.RawNs = max(r.RawNs-earlier.RawNs, 0)
	r.TransitNs = max(r.TransitNs-earlier.TransitNs, 0)
	r.SleptNs = max(r.SleptNs-earlier.SleptNs, 0)
	r.WokenNs = max(r.WokenNs-earlier.WokenNs, 0)
	r.Disturbed = subtractSaturating(r.Disturbed, earlier.Disturbed)
	r.WaitedNs = max(r.WaitedNs-earlier.WaitedNs, 0)
	r.OK.subtract(&earlier.OK)
	for _, f := range earlier.Failed {
		r.failed(f.Errno).subtract(f.RawOutcome)
	}
	r.Failed = slices.DeleteFunc(r.Failed, func(f RawFailure) bool { return f.Latency.Count() == 0 && f.Queued == nil })
	r.CPU = difference(r.CPU, earlier.CPU)
}

func (o *RawOutcome) merge(from *RawOutcome) {
	o.Latency.Merge(&from.Latency)
	o.NetNs = addSigned(o.NetNs, from.NetNs)
	o.Queued = merged(o.Queued, from.Queued)
}

func (o *RawOutcome) subtract(earlier *RawOutcome) {
	o.Latency.Subtract(&earlier.Latency)
	o.NetNs -= earlier.NetNs
	o.Queued = difference(o.Queued, earlier.Queued)
}

func (o *RawOutcome) recordQueued(ns int64) {
	if o.Queued == nil {
		o.Queued = new(Histogram)
	}
	o.Queued.Record(ns)
}

func (r *RawRow) recordCPU(ns int64) {
	if r.CPU == nil {
		r.CPU = new(Histogram)
	}
	r.CPU.Record(ns)
}

func (t *Traced) add(u *Traced) {
	t.Calls = addSaturating(t.Calls, u.Calls)
	t.Queued = addSaturating(t.Queued, u.Queued)
	t.HoldNs = addClamped(t.HoldNs, u.HoldNs)
	t.TransitNs = addClamped(t.TransitNs, u.TransitNs)
}

func (t *Traced) subtract(u *Traced) {
	t.Calls = subtractSaturating(t.Calls, u.Calls)
	t.Queued = subtractSaturating(t.Queued, u.Queued)
	t.HoldNs = max(t.HoldNs-u.HoldNs, 0)
	t.TransitNs = max(t.TransitNs-u.TransitNs, 0)
}

// merged adds from to h. Either may be nil, which is an empty histogram; from is not kept.
func merged(h, from *Histogram) *Histogram {
	if from.countOrZero() == 0 {
		return h
	}
	if h == nil {
		h = new(Histogram)
	}
	h.Merge(from)
	return h
}

// difference subtracts earlier from h. Either may be nil, and nil is returned for an empty difference.
func difference(h, earlier *Histogram) *Histogram {
	if h == nil || earlier == nil {
		return h
	}
	h.Subtract(earlier)
	if h.Count() == 0 {
		return nil
	}
	return h
}

// addFlight adds f to flights, which are sorted.
func addFlight(flights []Flight, f *Flight) []Flight {
	i, found := slices.BinarySearchFunc(flights, *f, compareFlights)
	if !found {
		return slices.Insert(flights, i, *f)
	}
	flights[i].add(f)
	return flights
}

// subtractFlight takes the calls of f off flights, which are sorted.
func subtractFlight(flights []Flight, f *Flight) []Flight {
	i, found := slices.BinarySearchFunc(flights, *f, compareFlights)
	if !found {
		return flights
	}
	if flights[i].Count = subtractSaturating(flights[i].Count, f.Count); flights[i].Count == 0 {
		return slices.Delete(flights, i, i+1)
	}
	return flights
}

// compareKeys orders keys by ABI, then number.
func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.ABI, b.ABI), cmp.Compare(a.Nr, b.Nr))
}

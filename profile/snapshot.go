package profile

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// Snapshot is what a profile had counted at one moment: a value that nobody changes any more, and all
// that the output formats need. It may be shared freely; its histograms must not be recorded into.
type Snapshot struct {
	Rows     []Row     // sorted by ABI, then number; no row is without calls
	Total    Totals    // of all rows
	InFlight []Flight  // sorted by ABI, number, reason, Resumed
	Overhead *Overhead // what tracing cost; nil if that was not measured
	Warnings []Warning // what the reader must know to read the numbers right

	Groups *Groups // the same calls told apart by who made them; nil if that was not asked for

	// InKernel is what was counted in the kernel of the same calls, for comparison; nil if that was not done.
	InKernel *Snapshot
}

// Totals are exact sums and extremes over calls. Times are latencies of all calls, failed ones too.
// Sums beyond 292 years are given as 292 years.
type Totals struct {
	Calls, Errors uint64 // Errors of these Calls failed
	SumNs         int64
	MinNs, MaxNs  int64
	Queued        uint64 // calls that stood in line (Call.Queued)
	HoldNs        int64  // how long tracees stood stopped in all
	CPUCalls      uint64 // calls of which the thread's own CPU time was measured
	CPUNs         int64  // the CPU time of those
}

// Row is all calls of one key.
type Row struct {
	Key
	Totals
	OK     *Histogram // latency of the calls that succeeded; never nil in a row of a Snapshot
	Failed []Outcome  // of those that failed, sorted by errno
	RawNs  int64      // the sum of the raw latencies

	// UpperBound says that the calls waited for other traced threads, and so for what tracing cost those: without
	// tracing they would have taken less than shown.
	UpperBound bool

	CPU *Histogram // CPU time of the calls of which it was measured, whatever their outcome; nil if of none
}

// Outcome is the calls of one row that failed in the same way.
type Outcome struct {
	Errno   int32
	Latency *Histogram
}

// Flight is all calls of one key that had not returned, for the same reason, when their tracing ended.
type Flight struct {
	Key
	Why       Ending // see InFlight.Why
	Resumed   bool   // see InFlight.Resumed
	Count     uint64
	LongestNs int64  // the longest time that one of them had been in the call
	PID, TID  int32  // whose call that was
	Thread    string // what that thread is called; "": not known
}

// Mean is the exact mean latency rounded to the nearest nanosecond, half up; 0 if there are no calls.
func (t *Totals) Mean() time.Duration {
	if t.Calls == 0 {
		return 0
	}
	q, r := uint64(t.SumNs)/t.Calls, uint64(t.SumNs)%t.Calls
	if r >= t.Calls-r {
		q++
	}
	return time.Duration(q)
}

// OffCPU is how long the calls whose CPU time was measured did not run: their latency less their CPU
// time, and never below 0. If only some calls were measured, these are taken to be as slow as the
// others on average. It is not known if none was.
func (t *Totals) OffCPU() (off time.Duration, known bool) {
	if t.CPUCalls == 0 || t.Calls == 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(t.SumNs), min(t.CPUCalls, t.Calls))
	latencyNs, _ := bits.Div64(hi, lo, t.Calls)
	return time.Duration(max(int64(latencyNs)-t.CPUNs, 0)), true
}

// Latency returns the distribution of all calls of the row, whatever their outcome. It must not be recorded into.
func (r *Row) Latency() *Histogram {
	if r.OK != nil && len(r.Failed) == 0 {
		return r.OK
	}
	h := new(Histogram)
	if r.OK != nil {
		h.Merge(r.OK)
	}
	for _, f := range r.Failed {
		h.Merge(f.Latency)
	}
	return h
}

// Snapshot returns the calls with their raw latencies, and without an account of what tracing cost. Calls whose
// exit-stop stood in line have the time in the line in their latency. Package cost corrects latencies.
func (r *Raw) Snapshot() *Snapshot {
	b := newBuilder()
	for c := range r.Calls {
		for _, from := range r.Calls[c].Rows {
			b.addRaw(from)
		}
	}
	return b.snapshot(slices.Clone(r.InFlight))
}

// NewSnapshot sorts rows and calls in flight, and adds rows of the same key and all totals up. Of a row, the
// histograms, Key, Queued, HoldNs and RawNs have to be there; the other totals are found in the histograms.
// It takes the rows and their histograms over.
func NewSnapshot(rows []*Row, inFlight []Flight) *Snapshot {
	b := newBuilder()
	for _, r := range rows {
		if b.rows[r.Key] == nil {
			b.rows[r.Key] = r
		} else {
			b.addRow(r)
		}
	}
	var flights []Flight
	for i := range inFlight {
		flights = addFlight(flights, &inFlight[i])
	}
	return b.snapshot(flights)
}

// Merge adds snapshots up, as if one profile had seen all their calls. Equal warnings are kept once.
func Merge(snapshots ...*Snapshot) *Snapshot {
	var all Sum
	for _, s := range snapshots {
		all.Add(s)
	}
	merged := all.Snapshot()
	merged.Groups = groupsOfAll(snapshots)
	return merged
}

// Sum adds snapshots up one by one, but for their groups. The zero value is none.
type Sum struct {
	rows     builder
	flights  []Flight
	warnings []Warning
}

// Add adds a snapshot, of which nothing is kept.
func (a *Sum) Add(s *Snapshot) {
	if a.rows.rows == nil {
		a.rows = *newBuilder()
	}
	for i := range s.Rows {
		a.rows.addRow(&s.Rows[i])
	}
	for i := range s.InFlight {
		a.flights = addFlight(a.flights, &s.InFlight[i])
	}
	for _, w := range s.Warnings {
		if !slices.Contains(a.warnings, w) {
			a.warnings = append(a.warnings, w)
		}
	}
}

// Octaves is how much memory the sum takes, in about KB: how many powers of two its histograms have values in.
func (a *Sum) Octaves() (n int) {
	for _, r := range a.rows.rows {
		n += r.OK.octaves() + r.CPU.octaves()
		for _, f := range r.Failed {
			n += f.Latency.octaves()
		}
	}
	return n
}

// Snapshot returns the sum. Nothing may be added any more.
func (a *Sum) Snapshot() *Snapshot {
	sum := a.rows.snapshot(a.flights)
	sum.Warnings = a.warnings
	return sum
}

// builder adds rows up on the way to a Snapshot. It owns their histograms.
type builder struct{ rows map[Key]*Row }

func newBuilder() *builder { return &builder{make(map[Key]*Row)} }

func (b *builder) row(k Key) *Row {
	r := b.rows[k]
	if r == nil {
		r = &Row{Key: k, OK: new(Histogram)}
		b.rows[k] = r
	}
	return r
}

func (b *builder) addRow(from *Row) {
	to := b.row(from.Key)
	if from.RawNs >= to.RawNs {
		to.UpperBound = from.UpperBound // of the larger part
	}
	to.Queued = addSaturating(to.Queued, from.Queued)
	to.HoldNs = addClamped(to.HoldNs, from.HoldNs)
	to.RawNs = addClamped(to.RawNs, from.RawNs)
	to.OK.Merge(from.OK)
	for _, f := range from.Failed {
		to.errno(f.Errno).Merge(f.Latency)
	}
	to.CPU = merged(to.CPU, from.CPU)
}

// addRaw adds a row with its raw latencies.
func (b *builder) addRaw(from *RawRow) {
	calls, queued := from.Counts()
	if calls == 0 {
		return
	}
	to := b.row(from.Key)
	to.Queued = addSaturating(to.Queued, queued)
	to.HoldNs = addClamped(to.HoldNs, from.HoldNs)
	to.RawNs = addClamped(to.RawNs, from.RawNs)
	from.OK.addTo(to.OK)
	for _, f := range from.Failed {
		f.addTo(to.errno(f.Errno))
	}
	to.CPU = merged(to.CPU, from.CPU)
}

// addTo adds all calls of the outcome to h.
func (o *RawOutcome) addTo(h *Histogram) {
	h.Merge(&o.Latency)
	if o.Queued != nil {
		h.Merge(o.Queued)
	}
}

// snapshot sorts and totals. inFlight is sorted already. The builder must not be used afterwards.
func (b *builder) snapshot(inFlight []Flight) *Snapshot {
	s := &Snapshot{InFlight: inFlight}
	for _, r := range b.rows {
		slices.SortFunc(r.Failed, func(a, b Outcome) int { return cmp.Compare(a.Errno, b.Errno) })
		r.addOutcome(r.OK, false)
		for _, f := range r.Failed {
			r.addOutcome(f.Latency, true)
		}
		if r.CPU != nil {
			r.CPUCalls, r.CPUNs = r.CPU.Count(), int64(r.CPU.Sum())
		}
		s.Total.add(&r.Totals)
		s.Rows = append(s.Rows, *r)
	}
	slices.SortFunc(s.Rows, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	return s
}

// errno finds or makes the histogram of the calls that failed with errno.
func (r *Row) errno(errno int32) *Histogram {
	for i := range r.Failed {
		if r.Failed[i].Errno == errno {
			return r.Failed[i].Latency
		}
	}
	h := new(Histogram)
	r.Failed = append(r.Failed, Outcome{errno, h})
	return h
}

func (r *Row) addOutcome(h *Histogram, failed bool) {
	if h.Count() == 0 {
		return
	}
	t := Totals{Calls: h.Count(), SumNs: int64(h.Sum()), MinNs: int64(h.Min()), MaxNs: int64(h.Max())}
	if failed {
		t.Errors = t.Calls
	}
	r.add(&t)
}

// Add adds the totals of other calls.
func (t *Totals) Add(other *Totals) { t.add(other) }

func (t *Totals) add(u *Totals) {
	if u.Calls > 0 {
		if t.Calls == 0 {
			t.MinNs = u.MinNs
		}
		t.MinNs = min(t.MinNs, u.MinNs)
		t.MaxNs = max(t.MaxNs, u.MaxNs)
	}
	t.Calls = addSaturating(t.Calls, u.Calls)
	t.Errors = addSaturating(t.Errors, u.Errors)
	t.SumNs = addClamped(t.SumNs, u.SumNs)
	t.Queued = addSaturating(t.Queued, u.Queued)
	t.HoldNs = addClamped(t.HoldNs, u.HoldNs)
	t.CPUCalls = addSaturating(t.CPUCalls, u.CPUCalls)
	t.CPUNs = addClamped(t.CPUNs, u.CPUNs)
}

func (f *Flight) add(g *Flight) {
	f.Count = addSaturating(f.Count, g.Count)
	if g.LongestNs > f.LongestNs {
		f.LongestNs, f.PID, f.TID, f.Thread = g.LongestNs, g.PID, g.TID, g.Thread
	}
}

// compareFlights orders calls in flight by key, then reason, those that were resumed first.
func compareFlights(a, b Flight) int {
	started := 0
	if a.Resumed != b.Resumed {
		started = 1
		if a.Resumed {
			started = -1
		}
	}
	return cmp.Or(compareKeys(a.Key, b.Key), cmp.Compare(a.Why, b.Why), started)
}

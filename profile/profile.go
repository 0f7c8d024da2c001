package profile

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sysprof/syscalltab"
)

const (
	// maxShards bounds how often a row exists, whatever the number of feeding threads. A feeder holds
	// its shard's mutex for about 20 ns in the 5 µs or more that a traced call takes (0.4 %), so that
	// even 32 tracer threads on 32 CPUs, eight to a shard, meet at a mutex about once in 35 calls.
	maxShards = 4

	// denseNrs is the range of numbers with a table instead of a map: the kernel's common numbering of
	// all architectures stands at 470 in Linux 6.18 and grows by about five a release.
	denseNrs = 512

	// denseABIs is how many ABIs have such tables: more than syscalltab knows.
	denseABIs = 16
)

// Key says which calls are added up in one row. (Grouping by process, thread, … will extend it.)
type Key struct {
	ABI syscalltab.ABI
	Nr  uint64
}

// Profile adds calls up. Make it with New.
type Profile struct {
	shard []Shard // fixed by New
	next  atomic.Uint32

	mu       sync.Mutex // guards what follows
	inFlight map[flightKey]*Flight
	transits [conditions]*Transit // all nil: latencies are raw
	asleep   bool                 // see GapsHaveCalls
}

// Shard takes the calls of one or a few feeding threads.
type Shard struct {
	mu    sync.Mutex
	tally [conditions]tally
	_     [64]byte // keeps the next shard's mutex off this one's cache line
}

// tally is what one shard knows of the calls that were made in one condition.
type tally struct {
	rows  []*row // append-only
	dense [denseABIs]*[denseNrs]*row
	rest  map[Key]*row
	gaps  Histogram // between the calls of a thread, tracing included
	left  uncounted
}

// uncounted is what tracing cost calls that are in no row.
type uncounted struct {
	calls, queued uint64
	holdNs        int64
}

// row is what one tally knows of one key.
type row struct {
	key    Key
	holdNs int64
	ok     outcome
	failed []failure  // in the order of first occurrence; searched from the front, there are few
	cpu    *Histogram // nil until the first call of which it was measured
}

// outcome is the calls of a row that ended in the same way.
type outcome struct {
	latency Histogram  // raw, of those whose exit-stop was seen at once
	queued  *Histogram // of those whose exit-stop stood in line, which says less of the call than of the others; nil before the first
}

type failure struct {
	errno int32
	*outcome
}

// flightKey is what in-flight calls are added up by.
type flightKey struct {
	key     Key
	why     Ending
	resumed bool
}

// New returns an empty profile. It has no more shards than there are CPUs to run feeders on.
func New() *Profile {
	return newSharded(min(maxShards, runtime.GOMAXPROCS(0)))
}

func newSharded(shards int) *Profile {
	return &Profile{shard: make([]Shard, shards), inFlight: make(map[flightKey]*Flight)}
}

// Shard returns the shard that a new feeding thread shall use for its life. Shards are dealt out in
// turn; more feeders than shards share them, which is safe and nearly free. Safe for concurrent use.
func (p *Profile) Shard() *Shard {
	return &p.shard[(p.next.Add(1)-1)%uint32(len(p.shard))]
}

// Add counts one finished call; c is not kept. Feeders with many calls keep a Shard instead.
func (p *Profile) Add(c *Call) { p.shard[0].Add(c) }

// AddInFlight notes a call that had not returned when its tracing ended. Such calls are added up by
// key, reason and Resumed, so that a million short-lived processes cost no memory. Safe for concurrent
// use.
func (p *Profile) AddInFlight(f InFlight) {
	k := flightKey{Key{f.ABI, f.Nr}, f.Why, f.Resumed}
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.inFlight[k]
	if g == nil {
		g = &Flight{Key: k.key, Why: f.Why, Resumed: f.Resumed, PID: f.PID, TID: f.TID}
		p.inFlight[k] = g
	}
	g.add(&Flight{Count: 1, LongestNs: f.SoFarNs, PID: f.PID, TID: f.TID})
}

// Add counts one finished call; c is not kept. Safe for concurrent use.
func (s *Shard) Add(c *Call) {
	rawNs := between(c.EntryResumedNs, c.ExitSeenNs)
	holdNs := int64(c.Hold())

	s.mu.Lock()
	t := &s.tally[c.condition()]
	r := t.row(Key{c.ABI, c.Nr})
	r.holdNs = addClamped(r.holdNs, holdNs)
	o := &r.ok
	if c.Errno != 0 {
		o = r.errno(c.Errno)
	}
	if c.Queued {
		o.recordQueued(rawNs)
	} else {
		o.latency.Record(rawNs)
	}
	if c.GapNs >= 0 {
		t.gaps.Record(c.GapNs)
	}
	if c.CPUNs >= 0 {
		r.recordCPU(c.CPUNs)
	}
	s.mu.Unlock()
}

// Skip takes note of what tracing cost a call that is not to be counted. Safe for concurrent use.
func (s *Shard) Skip(c *Call) {
	s.mu.Lock()
	t := &s.tally[c.condition()]
	t.left.calls++
	if c.Queued {
		t.left.queued++
	}
	t.left.holdNs = addClamped(t.left.holdNs, int64(c.Hold()))
	if c.GapNs >= 0 {
		t.gaps.Record(c.GapNs)
	}
	s.mu.Unlock()
}

// row finds or makes the row of k. Precondition: the shard's mutex is held.
func (t *tally) row(k Key) *row {
	if k.Nr < denseNrs && k.ABI < denseABIs {
		if d := t.dense[k.ABI]; d != nil && d[k.Nr] != nil {
			return d[k.Nr]
		}
	} else if r := t.rest[k]; r != nil {
		return r
	}
	return t.newRow(k)
}

// newRow makes the row of k. Precondition: the shard's mutex is held and there is none.
func (t *tally) newRow(k Key) *row {
	r := &row{key: k}
	t.rows = append(t.rows, r)
	if k.Nr >= denseNrs || k.ABI >= denseABIs {
		if t.rest == nil {
			t.rest = make(map[Key]*row)
		}
		t.rest[k] = r
		return r
	}
	d := t.dense[k.ABI]
	if d == nil {
		d = new([denseNrs]*row)
		t.dense[k.ABI] = d
	}
	d[k.Nr] = r
	return r
}

// errno finds or makes the outcome of the calls that failed with errno.
func (r *row) errno(errno int32) *outcome {
	for i := range r.failed {
		if r.failed[i].errno == errno {
			return r.failed[i].outcome
		}
	}
	o := new(outcome)
	r.failed = append(r.failed, failure{errno, o})
	return o
}

func (o *outcome) recordQueued(rawNs int64) {
	if o.queued == nil {
		o.queued = new(Histogram)
	}
	o.queued.Record(rawNs)
}

func (r *row) recordCPU(ns int64) {
	if r.cpu == nil {
		r.cpu = new(Histogram)
	}
	r.cpu.Record(ns)
}

// Correct sets what latencies are corrected by from now on, also those of calls that have been added:
// the transit of calls made while tracer and tracee were held on one CPU, and that of the others (see
// Call.CrossCPU). What one of them was not told, or did not see often enough, is taken from the other and from what
// the run shows; both nil leave latencies raw. A transit given by hand alone is that of all calls.
//
// The transits must not be added to any more.
func (p *Profile) Correct(placedBy, apartBy *Transit) {
	if placedBy != nil && apartBy != nil {
		placedBy.complete(apartBy)
		apartBy.complete(placedBy)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transits = [conditions]*Transit{placed: placedBy, apart: apartBy}
}

// GapsHaveCalls says that only some calls are traced, so that in the gaps between them a thread may sleep in
// others.
func (p *Profile) GapsHaveCalls() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep = true
}

// Snapshot returns what has been counted so far. It may be called while calls are being added: each row
// is then as it was at some moment during Snapshot. Safe for concurrent use.
func (p *Profile) Snapshot() *Snapshot { return p.snapshot(0) }

// SnapshotAfter is a Snapshot with an account of what tracing cost, given how long it has lasted.
func (p *Profile) SnapshotAfter(wall time.Duration) *Snapshot { return p.snapshot(wall) }

func (p *Profile) snapshot(wall time.Duration) *Snapshot {
	b := newBuilder()
	var seen [conditions]*observed
	for c := range seen {
		seen[c] = newObserved()
		for i := range p.shard {
			p.shard[i].addTo(seen[c], condition(c))
		}
	}
	p.mu.Lock()
	transits := p.transits
	asleep := p.asleep
	for _, f := range p.inFlight {
		b.addFlight(f)
	}
	p.mu.Unlock()
	overhead, warnings := correct(&seen, transits, asleep, wall)
	for _, o := range seen {
		for _, r := range o.rows {
			b.takeRow(r)
		}
	}
	s := b.snapshot()
	if wall > 0 {
		s.Overhead = overhead
		s.Warnings = append(s.Warnings, warnings...)
	}
	return s
}

// addTo merges the shard's rows of one condition into o. The mutex is held for one row at a time, so that
// the feeding thread, which keeps its tracee stopped, waits some ten microseconds.
func (s *Shard) addTo(o *observed, c condition) {
	t := &s.tally[c]
	s.mu.Lock()
	o.gaps.Merge(&t.gaps)
	o.left.calls += t.left.calls
	o.left.queued += t.left.queued
	o.left.holdNs = addClamped(o.left.holdNs, t.left.holdNs)
	s.mu.Unlock()
	for i := 0; ; i++ {
		s.mu.Lock()
		if i >= len(t.rows) {
			s.mu.Unlock()
			return
		}
		r := t.rows[i]
		to := o.row(r.key)
		to.HoldNs = addClamped(to.HoldNs, r.holdNs)
		to.OK.Merge(&r.ok.latency)
		o.queue(r.key, 0, r.ok.queued)
		for _, f := range r.failed {
			to.errno(f.errno).Merge(&f.latency)
			o.queue(r.key, f.errno, f.queued)
		}
		to.addCPU(r.cpu)
		s.mu.Unlock()
	}
}

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
	transit  *Transit // nil: latencies are raw
	asleep   bool     // see GapsHaveCalls
}

// Shard takes the calls of one or a few feeding threads.
type Shard struct {
	mu    sync.Mutex
	rows  []*row // append-only
	dense [denseABIs]*[denseNrs]*row
	rest  map[Key]*row
	gaps  Histogram // between the calls of a thread, tracing included
	left  uncounted
	_     [64]byte // keeps the next shard's mutex off this one's cache line
}

// uncounted is what tracing cost calls that are in no row.
type uncounted struct {
	calls, queued uint64
	holdNs, rawNs int64
}

// row is what one shard knows of one key.
type row struct {
	key    Key
	holdNs int64
	ok     outcome
	failed []failure  // in the order of first occurrence; searched from the front, there are few
	cpu    *Histogram // nil until the first call of which it was measured
}

// outcome is the calls of a row that ended in the same way.
type outcome struct {
	latency Histogram // raw, of those whose exit-stop was seen at once
	queued  Histogram // of those whose exit-stop stood in line, which says less of the call than of the others
}

type failure struct {
	errno int32
	*outcome
}

// flightKey is what in-flight calls are added up by.
type flightKey struct {
	key     Key
	why     string
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
	r := s.row(Key{c.ABI, c.Nr})
	r.holdNs = addClamped(r.holdNs, holdNs)
	o := &r.ok
	if c.Errno != 0 {
		o = r.errno(c.Errno)
	}
	if c.Queued {
		o.queued.Record(rawNs)
	} else {
		o.latency.Record(rawNs)
	}
	if c.GapNs >= 0 {
		s.gaps.Record(c.GapNs)
	}
	if c.CPUNs >= 0 {
		r.recordCPU(c.CPUNs)
	}
	s.mu.Unlock()
}

// Skip takes note of what tracing cost a call that is not to be counted. Safe for concurrent use.
func (s *Shard) Skip(c *Call) {
	s.mu.Lock()
	s.left.calls++
	if c.Queued {
		s.left.queued++
	}
	s.left.holdNs = addClamped(s.left.holdNs, int64(c.Hold()))
	s.left.rawNs = addClamped(s.left.rawNs, between(c.EntryResumedNs, c.ExitSeenNs))
	if c.GapNs >= 0 {
		s.gaps.Record(c.GapNs)
	}
	s.mu.Unlock()
}

// row finds or makes the row of k. Precondition: s.mu is held.
func (s *Shard) row(k Key) *row {
	if k.Nr < denseNrs && k.ABI < denseABIs {
		if t := s.dense[k.ABI]; t != nil && t[k.Nr] != nil {
			return t[k.Nr]
		}
	} else if r := s.rest[k]; r != nil {
		return r
	}
	return s.newRow(k)
}

// newRow makes the row of k. Precondition: s.mu is held and there is none.
func (s *Shard) newRow(k Key) *row {
	r := &row{key: k}
	s.rows = append(s.rows, r)
	if k.Nr >= denseNrs || k.ABI >= denseABIs {
		if s.rest == nil {
			s.rest = make(map[Key]*row)
		}
		s.rest[k] = r
		return r
	}
	t := s.dense[k.ABI]
	if t == nil {
		t = new([denseNrs]*row)
		s.dense[k.ABI] = t
	}
	t[k.Nr] = r
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

func (r *row) recordCPU(ns int64) {
	if r.cpu == nil {
		r.cpu = new(Histogram)
	}
	r.cpu.Record(ns)
}

// Correct sets what latencies are corrected by from now on, also those of calls that have been added.
func (p *Profile) Correct(t *Transit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transit = t
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
	for i := range p.shard {
		p.shard[i].addTo(b)
	}
	p.mu.Lock()
	transit := p.transit
	b.asleep = p.asleep
	for _, f := range p.inFlight {
		b.addFlight(f)
	}
	p.mu.Unlock()
	overhead := b.correct(transit, wall)
	s := b.snapshot()
	if wall > 0 {
		s.Overhead = overhead
		s.Warnings = append(s.Warnings, overhead.warnings()...)
	}
	return s
}

// addTo merges the shard's rows into b. The mutex is held for one row at a time, so that the feeding
// thread, which keeps its tracee stopped, waits some ten microseconds.
func (s *Shard) addTo(b *builder) {
	s.mu.Lock()
	b.gaps.Merge(&s.gaps)
	b.left.calls += s.left.calls
	b.left.queued += s.left.queued
	b.left.holdNs = addClamped(b.left.holdNs, s.left.holdNs)
	b.left.rawNs = addClamped(b.left.rawNs, s.left.rawNs)
	s.mu.Unlock()
	for i := 0; ; i++ {
		s.mu.Lock()
		if i >= len(s.rows) {
			s.mu.Unlock()
			return
		}
		r := s.rows[i]
		to := b.row(r.key)
		to.HoldNs = addClamped(to.HoldNs, r.holdNs)
		to.OK.Merge(&r.ok.latency)
		b.queue(r.key, 0).Merge(&r.ok.queued)
		for _, f := range r.failed {
			to.errno(f.errno).Merge(&f.latency)
			b.queue(r.key, f.errno).Merge(&f.queued)
		}
		to.addCPU(r.cpu)
		s.mu.Unlock()
	}
}

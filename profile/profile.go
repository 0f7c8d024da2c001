package profile

import (
	"runtime"
	"sync"
	"sync/atomic"

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
	inFlight []Flight   // sorted; since the last Cut

	cutting sync.Mutex // held while calls go from the shards to what follows, which it guards
	cut     Raw        // what was counted until the last Cut
}

// Shard takes the calls of one or a few feeding threads.
type Shard struct {
	mu    sync.Mutex
	tally [Conditions]tally
	_     [64]byte // keeps the next shard's mutex off this one's cache line
}

// tally is what one shard knows of the calls that were traced in one condition.
type tally struct {
	rows      []*RawRow // append-only
	dense     [denseABIs]*[denseNrs]*RawRow
	rest      map[Key]*RawRow
	gaps      Histogram
	uncounted Traced
	controls  ControlSum
}

// New returns an empty profile. It has no more shards than there are CPUs to run feeders on.
func New() *Profile {
	return newSharded(min(maxShards, runtime.GOMAXPROCS(0)))
}

func newSharded(shards int) *Profile {
	return &Profile{shard: make([]Shard, shards)}
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
	flight := f.flight()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight = addFlight(p.inFlight, &flight)
}

// flight is the call alone.
func (f *InFlight) flight() Flight {
	return Flight{Key: Key{f.ABI, f.Nr}, Why: f.Why, Resumed: f.Resumed,
		Count: 1, LongestNs: max(f.SoFarNs, 0), PID: f.PID, TID: f.TID, Thread: f.Thread}
}

// AddRaw counts calls that their source has added up itself; raw is not kept. Safe for concurrent use.
func (p *Profile) AddRaw(raw *Raw) {
	s := p.Shard()
	for c := range raw.Calls {
		s.addRaw(&raw.Calls[c], &s.tally[c])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range raw.InFlight {
		p.inFlight = addFlight(p.inFlight, &raw.InFlight[i])
	}
}

// addRaw merges the calls of one condition into the shard. The mutex is held for one row at a time.
func (s *Shard) addRaw(from *RawCalls, t *tally) {
	s.mu.Lock()
	t.gaps.Merge(&from.Gaps)
	t.uncounted.add(&from.Uncounted)
	t.controls.add(&from.Controls)
	s.mu.Unlock()
	for k, r := range from.Rows {
		s.mu.Lock()
		t.row(k).merge(r)
		s.mu.Unlock()
	}
}

// Add counts one finished call; c is not kept. Safe for concurrent use.
func (s *Shard) Add(c *Call) {
	latencyNs, holdNs := int64(c.Latency()), int64(c.Hold())

	s.mu.Lock()
	t := &s.tally[c.Condition()]
	r := t.row(Key{c.ABI, c.Nr})
	r.HoldNs = addClamped(r.HoldNs, holdNs)
	o := r.Outcome(c.Errno)
	if c.Disturbed {
		r.Disturbed++
		r.WaitedNs = addClamped(r.WaitedNs, c.WaitedNs)
	}
	if c.Slept {
		r.SleptNs = addClamped(r.SleptNs, latencyNs)
		if c.Woken {
			r.WokenNs = addClamped(r.WokenNs, latencyNs)
		}
	}
	if c.Queued || c.Disturbed {
		o.recordQueued(latencyNs)
	} else {
		o.Latency.Record(latencyNs)
		o.NetNs = addSigned(o.NetNs, c.NetNs())
	}
	r.RawNs = addClamped(r.RawNs, int64(c.RawLatency()))
	r.TransitNs = addClamped(r.TransitNs, c.TransitNs)
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
	t := &s.tally[c.Condition()]
	t.uncounted.Calls++
	if c.Queued {
		t.uncounted.Queued++
	}
	t.uncounted.HoldNs = addClamped(t.uncounted.HoldNs, int64(c.Hold()))
	t.uncounted.TransitNs = addClamped(t.uncounted.TransitNs, c.TransitNs)
	if c.GapNs >= 0 {
		t.gaps.Record(c.GapNs)
	}
	s.mu.Unlock()
}

// Control takes what a control showed. Safe for concurrent use.
func (s *Shard) Control(condition Condition, shown ControlSum) {
	s.mu.Lock()
	s.tally[condition].controls.add(&shown)
	s.mu.Unlock()
}

// row finds or makes the row of k. Precondition: the shard's mutex is held.
func (t *tally) row(k Key) *RawRow {
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
func (t *tally) newRow(k Key) *RawRow {
	r := &RawRow{Key: k}
	t.rows = append(t.rows, r)
	if k.Nr >= denseNrs || k.ABI >= denseABIs {
		if t.rest == nil {
			t.rest = make(map[Key]*RawRow)
		}
		t.rest[k] = r
		return r
	}
	d := t.dense[k.ABI]
	if d == nil {
		d = new([denseNrs]*RawRow)
		t.dense[k.ABI] = d
	}
	d[k.Nr] = r
	return r
}

// Raw returns what has been counted so far. It may be called while calls are being added: each row is then as it
// was at some moment during Raw. Safe for concurrent use.
func (p *Profile) Raw() *Raw {
	p.cutting.Lock()
	defer p.cutting.Unlock()
	raw := p.cut.Clone()
	for c := range raw.Calls {
		for i := range p.shard {
			s := &p.shard[i]
			s.addTo(&raw.Calls[c], &s.tally[c])
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.inFlight {
		raw.InFlight = addFlight(raw.InFlight, &p.inFlight[i])
	}
	return raw
}

// Cut returns what has been counted since the last Cut, or since the beginning. Raw goes on to return everything. A call
// that is added meanwhile is in this one or in the next. What it takes is a matter of how many rows calls were added to
// since, however many calls and rows there have been before; a feeding thread waits for less than a microsecond, and makes
// its rows anew. Safe for concurrent use.
func (p *Profile) Cut() *Raw { return p.CutWith(func() {}) }

// CutWith is Cut, and calls a function as soon as what is added belongs to the next.
func (p *Profile) CutWith(done func()) *Raw {
	p.cutting.Lock()
	defer p.cutting.Unlock()
	raw := new(Raw)
	taken := make([][Conditions]tally, len(p.shard))
	for i := range p.shard {
		s := &p.shard[i]
		s.mu.Lock()
		taken[i], s.tally = s.tally, [Conditions]tally{}
		s.mu.Unlock()
	}
	p.mu.Lock()
	raw.InFlight, p.inFlight = p.inFlight, nil
	p.mu.Unlock()
	done()
	for i := range taken {
		for c := range taken[i] {
			raw.Calls[c].take(&taken[i][c])
		}
	}
	p.cut.Merge(raw)
	return raw
}

// UntilCut returns what had been counted when Cut was called last: what all its pieces so far add up to. Safe for concurrent use.
func (p *Profile) UntilCut() *Raw {
	p.cutting.Lock()
	defer p.cutting.Unlock()
	return p.cut.Clone()
}

// take adds what a shard knew, and takes its rows over.
func (c *RawCalls) take(t *tally) {
	c.Gaps.Merge(&t.gaps)
	c.Uncounted.add(&t.uncounted)
	c.Controls.add(&t.controls)
	for _, r := range t.rows {
		if has := c.Rows[r.Key]; has != nil {
			has.merge(r)
			continue
		}
		if c.Rows == nil {
			c.Rows = make(map[Key]*RawRow)
		}
		c.Rows[r.Key] = r
	}
}

// addTo merges what the shard knows of one condition into the calls. The mutex is held for one row at a time, so
// that the feeding thread, which keeps its tracee stopped, waits some ten microseconds.
func (s *Shard) addTo(to *RawCalls, t *tally) {
	s.mu.Lock()
	to.Gaps.Merge(&t.gaps)
	to.Uncounted.add(&t.uncounted)
	to.Controls.add(&t.controls)
	s.mu.Unlock()
	for i := 0; ; i++ {
		s.mu.Lock()
		if i >= len(t.rows) {
			s.mu.Unlock()
			return
		}
		r := t.rows[i]
		to.Row(r.Key).merge(r)
		s.mu.Unlock()
	}
}

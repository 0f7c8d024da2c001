package profile

import (
	"math"
	"sync"
)

// Grouper adds calls up by group, of which there may be many, with a row for each call that the group makes. It is safe for
// concurrent use.
//
// When there are too many groups, or rows of them, the smallest of a few makes room for a new one, as with Samples: its calls go to
// the others, and if it makes more later they are a group again. None is lost.
type Grouper struct {
	mostGroups, mostRows int

	mu     sync.Mutex // guards what follows
	byKey  map[Values]uint32
	groups slab[group]
	others uint32 // the group of the others; 0 is none
	hand   uint32 // which group is looked at next
	folded uint64 // how many groups have become others, some more than once

	calls [denseABIs]*[denseNrs]uint32 // numbers of calls, and 1
	rest  map[Key]uint32               // likewise
	keys  []Key                        // by these numbers
	rows  slab[groupRow]
	byRow map[uint64]uint32 // by rowID, of groups with many
	pool  sketchPool
	cpus  slab[cpuSum]
	fails slab[groupFailure]
	total totals

	buckets int // how many a row may have
}

// group is the calls of one group.
type group struct {
	key, last Values
	calls     uint64
	netNs     int64
	row       uint32 // the first of its rows, which are a list, and 1; 0 is none
	rows      uint32 // how many these are
	inFlight  []Flight
	alive     bool
}

// groupRow is the calls of one group and one kind. There are no pointers in it: see sketch.
type groupRow struct {
	calls, errors, queued uint64
	netNs, linedNs        int64  // of the calls that did not stand in line, and of those that did
	holdNs, longNs        int64  // longNs is the longest of those that did not stand in line
	call                  uint32 // by its number
	next                  uint32 // row of the group, and 1; 0: it is the last
	cpu                   uint32 // CPU time, and 1; 0: it was of none measured
	failed                uint32 // the first of its failures, which are a list, and 1; 0: no call has failed
	sketch                sketch // of all calls
}

// cpuSum is the CPU time of calls.
type cpuSum struct {
	calls uint64
	ns    int64
}

const (
	// mostGroups is how many groups there are at most, and mostRows how many rows: some 50 of each of 10,000 processes.
	mostGroups = 50_000
	mostRows   = 520_000
	// mostBuckets is how many buckets the rows have together, roughly: a row may have its share of them.
	mostBuckets = 6_000_000
)

// NewGrouper returns an empty Grouper.
func NewGrouper() *Grouper { return newGrouper(mostGroups, mostRows) }

func newGrouper(mostGroups, mostRows int) *Grouper {
	g := &Grouper{mostGroups: mostGroups, mostRows: mostRows,
		byKey: make(map[Values]uint32), rest: make(map[Key]uint32), byRow: make(map[uint64]uint32)}
	g.others = g.groups.take()
	g.groups.at(g.others).alive = true
	return g
}

// GroupMemo remembers where the last calls were added, so that it is not looked up at each. It is of one Grouper, and is not safe for
// concurrent use: there is one for each thread that adds.
type GroupMemo struct {
	key    Values
	number uint32
	folded uint64 // what it remembers is so until a group is folded, and 1; 0: it remembers nothing
	rows   [memoRows]struct{ call, row uint32 }
}

const memoRows = 16

// find finds the group of a key, and its row of a call.
func (m *GroupMemo) find(g *Grouper, key *Values, k Key) (*group, *groupRow) {
	if m.folded != g.folded+1 || m.key != *key {
		m.number, _ = g.group(key)
		m.key, m.folded, m.rows = *key, g.folded+1, [memoRows]struct{ call, row uint32 }{}
	}
	call := g.call(k)
	known := &m.rows[call%memoRows]
	if known.row == 0 || known.call != call {
		known.call, known.row = call, g.row(m.number, call)+1
	}
	return g.groups.at(m.number), g.rows.at(known.row - 1)
}

// Add counts one finished call of the group that has the key. last is what else is to be known of the group, as of its last call.
// c is not kept. It returns how many calls the group has.
func (g *Grouper) Add(c *Call, key, last *Values, memo *GroupMemo) (calls uint64) {
	rawNs, latencyNs, netNs := int64(c.RawLatency()), int64(c.Latency()), c.NetNs()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total.calls++
	g.total.ns += float64(rawNs)
	to, r := memo.find(g, key, Key{c.ABI, c.Nr})
	to.last = *last
	to.calls++
	to.netNs = addSigned(to.netNs, netNs)
	r.calls++
	inLine := c.Queued || c.Disturbed
	if c.Errno != 0 {
		r.errors++
		if f := g.failure(memo.number, r, c.Errno); f != nil {
			f.add(&groupFailure{calls: 1, netNs: netNs, longNs: latencyNs}, inLine)
			g.pool.record(&f.sketch, latencyNs, inLine, 1, g.buckets)
		}
	}
	if c.Queued {
		r.queued++
	}
	if inLine {
		r.linedNs = addSigned(r.linedNs, netNs)
	} else {
		r.netNs = addSigned(r.netNs, netNs)
		r.longNs = max(r.longNs, latencyNs)
	}
	r.holdNs = addClamped(r.holdNs, int64(c.Hold()))
	if c.CPUNs >= 0 {
		g.addCPU(r, cpuSum{1, c.CPUNs})
	}
	g.pool.record(&r.sketch, latencyNs, inLine, 1, g.buckets)
	return to.calls
}

// AddInFlight counts a call of a group that has not returned.
func (g *Grouper) AddInFlight(f *InFlight, key, last *Values) {
	flight := f.flight()
	g.mu.Lock()
	defer g.mu.Unlock()
	number, isNew := g.group(key)
	to := g.groups.at(number)
	if isNew {
		to.last = *last
	}
	to.inFlight = addFlight(to.inFlight, &flight)
}

// group finds or makes a group.
//
// Precondition: g.mu is held, as for all that follow.
func (g *Grouper) group(key *Values) (number uint32, isNew bool) {
	if number, ok := g.byKey[*key]; ok {
		return number, false
	}
	for range lookedAt { // once, but for groups with next to no rows when there are too many of these
		if g.groups.used() < g.mostGroups && g.rows.used() < g.mostRows {
			break
		}
		g.foldOne(g.others)
	}
	number = g.groups.take()
	*g.groups.at(number) = group{key: *key, alive: true}
	g.byKey[*key] = number
	return number, true
}

// call is the number of a call.
func (g *Grouper) call(k Key) uint32 {
	if k.Nr < denseNrs && k.ABI < denseABIs {
		if d := g.calls[k.ABI]; d != nil && d[k.Nr] > 0 {
			return d[k.Nr] - 1
		}
	} else if number := g.rest[k]; number > 0 {
		return number - 1
	}
	g.keys = append(g.keys, k)
	number := uint32(len(g.keys))
	if k.Nr >= denseNrs || k.ABI >= denseABIs {
		g.rest[k] = number
		return number - 1
	}
	if g.calls[k.ABI] == nil {
		g.calls[k.ABI] = new([denseNrs]uint32)
	}
	g.calls[k.ABI][k.Nr] = number
	return number - 1
}

// row finds or makes a row of a group. Most groups have few: these are looked through, those first that were found last.
func (g *Grouper) row(number, call uint32) uint32 {
	if i, ok := g.findRow(number, call); ok {
		return i
	}
	if g.rows.used() >= g.mostRows && number != g.others {
		g.foldOne(number)
	}
	i := g.rows.take()
	r, of := g.rows.at(i), g.groups.at(number)
	r.call, r.next = call, of.row
	of.row = i + 1
	of.rows++
	switch {
	case of.rows > manyRows:
		g.byRow[rowID(number, call)] = i
	case of.rows == manyRows:
		for next := of.row; next != 0; next = g.rows.at(next - 1).next {
			g.byRow[rowID(number, g.rows.at(next-1).call)] = next - 1
		}
	}
	g.buckets = max(mostBuckets/g.rows.used(), groupBuckets)
	return i
}

func (g *Grouper) findRow(number, call uint32) (row uint32, ok bool) {
	of := g.groups.at(number)
	if of.rows >= manyRows {
		row, ok = g.byRow[rowID(number, call)]
		return row, ok
	}
	before := &of.row
	for next := of.row; next != 0; {
		r := g.rows.at(next - 1)
		if r.call == call {
			*before = r.next
			r.next, of.row = of.row, next
			return next - 1, true
		}
		before, next = &r.next, r.next
	}
	return 0, false
}

// manyRows is from how many rows on a group's are in a map.
const manyRows = 64

func rowID(group, call uint32) uint64 { return uint64(group)<<32 | uint64(call) }

// foldOne makes others of the smallest of the groups that are looked at next, but for one that is to stay.
func (g *Grouper) foldOne(but uint32) {
	least, size := uint32(0), math.Inf(1)
	for range min(lookedAt, g.groups.made()) {
		g.hand = (g.hand + 1) % uint32(g.groups.made())
		one := g.groups.at(g.hand)
		if g.hand == g.others || g.hand == but || !one.alive {
			continue
		}
		if its := one.size(&g.total); its < size {
			least, size = g.hand, its
		}
	}
	if least == g.others {
		return
	}
	g.folded++
	of := g.groups.at(least)
	delete(g.byKey, of.key)
	g.moveRows(least, g.others)
	others := g.groups.at(g.others)
	others.calls = addSaturating(others.calls, of.calls)
	for i := range of.inFlight {
		others.inFlight = addFlight(others.inFlight, &of.inFlight[i])
	}
	g.groups.give(least)
}

// moveRows adds the rows of a group to those of another one, and removes them.
func (g *Grouper) moveRows(number, to uint32) {
	of := g.groups.at(number)
	g.addRows(g, of, to)
	for next := of.row; next != 0; {
		i := next - 1
		r := g.rows.at(i)
		next = r.next
		g.pool.release(&r.sketch)
		g.giveFailures(r)
		if r.cpu > 0 {
			g.cpus.give(r.cpu - 1)
		}
		if of.rows >= manyRows {
			delete(g.byRow, rowID(number, r.call))
		}
		g.rows.give(i)
	}
	of.row, of.rows = 0, 0
}

// addRows adds the rows of a group, which may be in another Grouper, to those of the others.
func (g *Grouper) addRows(in *Grouper, of *group, to uint32) {
	for from := range in.rowsOf(of) {
		r := g.rows.at(g.row(to, g.call(in.keys[from.call])))
		r.add(from)
		g.pool.merge(&r.sketch, &in.pool, &from.sketch)
		if cpu := in.cpuOf(from); cpu.calls > 0 {
			g.addCPU(r, cpu)
		}
		for f := range in.failuresOf(from) {
			its := g.failure(to, r, f.errno)
			its.merge(f)
			g.pool.merge(&its.sketch, &in.pool, &f.sketch)
		}
	}
}

func (r *groupRow) add(from *groupRow) {
	r.calls = addSaturating(r.calls, from.calls)
	r.errors = addSaturating(r.errors, from.errors)
	r.queued = addSaturating(r.queued, from.queued)
	r.netNs = addSigned(r.netNs, from.netNs)
	r.linedNs = addSigned(r.linedNs, from.linedNs)
	r.holdNs = addClamped(r.holdNs, from.holdNs)
	r.longNs = max(r.longNs, from.longNs)
}

// addCPU adds to the CPU time of a row.
func (g *Grouper) addCPU(r *groupRow, sum cpuSum) {
	if r.cpu == 0 {
		r.cpu = g.cpus.take() + 1
	}
	to := g.cpus.at(r.cpu - 1)
	to.calls = addSaturating(to.calls, sum.calls)
	to.ns = addClamped(to.ns, sum.ns)
}

// cpuOf is the CPU time of a row.
func (g *Grouper) cpuOf(r *groupRow) cpuSum {
	if r.cpu == 0 {
		return cpuSum{}
	}
	return *g.cpus.at(r.cpu - 1)
}

// size is which part of all a group is, in calls or in time.
func (g *group) size(of *totals) float64 {
	return max(float64(g.calls)/max(of.calls, 1), float64(g.netNs)/max(of.ns, 1))
}

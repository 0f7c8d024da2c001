package profile

import (
	"cmp"
	"iter"
	"slices"
)

// RawGroup is the calls of a group as they were measured.
type RawGroup struct {
	Key, Last Values
	Others    uint64 // see Group
	Rows      []RawGroupRow
	InFlight  []Flight

	buckets []Bucket // of all rows
	failed  []RawGroupFailure
}

// RawGroupRow is the calls of one key of a group as they were measured.
type RawGroupRow struct {
	Key
	RawGroupCalls
	Errors, Queued, CPUCalls uint64
	HoldNs, CPUNs            int64
	Failed                   []RawGroupFailure // of all Errors; nil if that is not known of some
}

// RawGroupFailure is those of a row that failed with the same errno.
type RawGroupFailure struct {
	Errno int32
	RawGroupCalls
}

// RawGroupCalls are some calls of a group.
type RawGroupCalls struct {
	Calls           uint64
	NetNs, LinedNs  int64    // sums of Call.NetNs of the calls that did not stand in line, and of those that did
	LongestNs       int64    // the longest latency of the calls that did not stand in line
	Latency, InLine []Bucket // latencies of the calls that did not stand in line, and of those that did
}

// Folded says how many groups have become others so far, because there were too many, and how many of the calls these had.
func (g *Grouper) Folded() (groups, calls, of uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.folded, g.groups.at(g.others).calls, uint64(g.total.calls)
}

// All returns a copy of the largest groups so far, most of them, in no order. Behind them comes the group of all others, if there are
// any.
func (g *Grouper) All(most int) []RawGroup {
	g.mu.Lock()
	defer g.mu.Unlock()
	numbers := g.largest()
	var rest []uint32
	if len(numbers) > most {
		numbers, rest = numbers[:most], numbers[most:]
	}
	all := make([]RawGroup, len(numbers), len(numbers)+1)
	for i, number := range numbers {
		g.copy(number, &all[i])
	}
	if others, ok := g.allOthers(rest); ok {
		all = append(all, others)
	}
	return all
}

// GroupList lists the groups of a Grouper, without having them all in memory once more.
type GroupList struct {
	g       *Grouper
	numbers []uint32
}

// List lists all groups in no order, but the group of the others, if there are any, is the last.
//
// Precondition: nothing is added to the Grouper any more.
func (g *Grouper) List() *GroupList {
	l := &GroupList{g: g, numbers: g.largest()}
	if g.folded > 0 {
		l.numbers = append(l.numbers, g.others)
	}
	return l
}

// Len is how many there are.
func (l *GroupList) Len() int { return len(l.numbers) }

// At copies a group, into the memory of one that is not needed any more.
func (l *GroupList) At(i int, into *RawGroup) { l.g.copy(l.numbers[i], into) }

// All yields them in their order. Each is valid until the next.
func (l *GroupList) All() iter.Seq[*RawGroup] {
	return func(yield func(*RawGroup) bool) {
		var one RawGroup
		for i := range l.numbers {
			if l.At(i, &one); !yield(&one) {
				return
			}
		}
	}
}

// Clone returns what has been counted so far, to be listed.
func (g *Grouper) Clone() *Grouper {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := &Grouper{groups: g.groups.clone(), rows: g.rows.clone(), fails: g.fails.clone(), cpus: g.cpus.clone(), pool: g.pool.clone(),
		keys: slices.Clone(g.keys), others: g.others, folded: g.folded, total: g.total}
	for i := range uint32(c.groups.made()) {
		of := c.groups.at(i)
		of.inFlight = slices.Clone(of.inFlight)
	}
	return c
}

// largest lists the groups by their time, the largest first, without the others.
func (g *Grouper) largest() []uint32 {
	numbers := make([]uint32, 0, g.groups.used())
	for i := range uint32(g.groups.made()) {
		if i != g.others && g.groups.at(i).alive {
			numbers = append(numbers, i)
		}
	}
	slices.SortFunc(numbers, func(a, b uint32) int {
		x, y := g.groups.at(a), g.groups.at(b)
		return cmp.Or(cmp.Compare(y.netNs, x.netNs), cmp.Compare(y.calls, x.calls), slices.Compare(x.key[:], y.key[:]))
	})
	return numbers
}

// rowsOf yields the rows of a group.
func (g *Grouper) rowsOf(of *group) iter.Seq[*groupRow] {
	return func(yield func(*groupRow) bool) {
		for next := of.row; next != 0; {
			r := g.rows.at(next - 1)
			if !yield(r) {
				return
			}
			next = r.next
		}
	}
}

// failuresOf yields those of a row.
func (g *Grouper) failuresOf(r *groupRow) iter.Seq[*groupFailure] {
	return func(yield func(*groupFailure) bool) {
		for next := r.failed; next != 0; {
			f := g.fails.at(next - 1)
			if !yield(f) {
				return
			}
			next = f.next
		}
	}
}

// allOthers adds up the others and some groups besides.
func (g *Grouper) allOthers(besides []uint32) (raw RawGroup, ok bool) {
	count := g.folded + uint64(len(besides))
	if count == 0 {
		return raw, false
	}
	sum := newGrouper(g.mostGroups, g.mostRows)
	for _, number := range append(besides, g.others) {
		of := g.groups.at(number)
		sum.addRows(g, of, sum.others)
		to := sum.groups.at(sum.others)
		for i := range of.inFlight {
			to.inFlight = addFlight(to.inFlight, &of.inFlight[i])
		}
	}
	sum.folded = count
	sum.copy(sum.others, &raw)
	return raw, true
}

// copy copies a group, into the memory of one that is not needed any more.
func (g *Grouper) copy(number uint32, into *RawGroup) {
	of := g.groups.at(number)
	into.Key, into.Last, into.Others = of.key, of.last, 0
	if number == g.others {
		into.Others = g.folded
	}
	into.InFlight = slices.Clone(of.inFlight)
	buckets, failures := 0, 0
	for r := range g.rowsOf(of) {
		buckets += int(r.sketch.n)
		for f := range g.failuresOf(r) {
			buckets += int(f.sketch.n)
			failures++
		}
	}
	// What there is room for stays in its place.
	into.Rows = slices.Grow(into.Rows[:0], int(of.rows))
	into.buckets = slices.Grow(into.buckets[:0], buckets)
	into.failed = slices.Grow(into.failed[:0], failures)
	for r := range g.rowsOf(of) {
		cpu := g.cpuOf(r)
		row := RawGroupRow{Key: g.keys[r.call], Errors: r.errors, Queued: r.queued, CPUCalls: cpu.calls, HoldNs: r.holdNs, CPUNs: cpu.ns}
		row.RawGroupCalls = into.calls(g, &r.sketch, RawGroupCalls{Calls: r.calls, NetNs: r.netNs, LinedNs: r.linedNs, LongestNs: r.longNs})
		first, known := len(into.failed), uint64(0)
		for f := range g.failuresOf(r) {
			known = addSaturating(known, f.calls)
			into.failed = append(into.failed, RawGroupFailure{f.errno,
				into.calls(g, &f.sketch, RawGroupCalls{Calls: f.calls, NetNs: f.netNs, LinedNs: f.linedNs, LongestNs: f.longNs})})
		}
		if row.Failed = into.failed[first:len(into.failed):len(into.failed)]; len(row.Failed) == 0 || known < r.errors {
			row.Failed = nil
		}
		into.Rows = append(into.Rows, row)
	}
}

// calls adds to calls of a group what their sketch says.
func (into *RawGroup) calls(g *Grouper, s *sketch, calls RawGroupCalls) RawGroupCalls {
	first := len(into.buckets)
	lined := -1
	for _, w := range g.pool.words(s) {
		if lined < 0 && inLine(w) {
			lined = len(into.buckets)
		}
		into.buckets = append(into.buckets, s.bucket(w))
	}
	end := len(into.buckets)
	if lined < 0 {
		lined = end
	}
	calls.Latency, calls.InLine = into.buckets[first:lined:lined], into.buckets[lined:end:end]
	return calls
}

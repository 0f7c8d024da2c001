package inkernel

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/cilium/ebpf"

	"sysprof/profile"
)

// Fields say what groups of calls differ in.
type Fields uint32

// As enum telling in the programs.
const (
	ByPID Fields = 1 << iota
	ByTID
	ByComm
	ByThread
	ByCgroup
)

// The tables as they are in memory; see groups.h.
type (
	who struct {
		PID, TID     uint32
		Cgroup       uint64
		Comm, Thread [16]byte
	}

	group struct {
		State, PID uint32
		Number     uint64
		Who        who
	}

	share struct {
		Group, Errno      uint32
		Nr                int64
		ABI, Cell, Bucket uint32
		_                 uint32
		Calls, Sum        uint64
		Max, Below        uint64
	}

	cell struct{ Of, Calls uint32 }

	fill struct{ Used, Shares, Cells, Groups uint32 }
)

const (
	bucketBits = 11 // of what a cell is of
)

// groupSizes are how large the tables are, as powers of two.
type groupSizes struct{ groups, shares, cells uint32 }

// groupSizesFor is how large they are where there are so many CPUs, each of which has shares and cells of its own, twice.
func groupSizesFor(cpus int) groupSizes {
	const most, least, cellsAShare, budget = 14, 8, 2, 32 << 20
	s := uint32(most)
	one := binary.Size(share{}) + binary.Size(cell{})<<cellsAShare
	for s > least && 2*cpus*one<<s > budget {
		s--
	}
	return groupSizes{groups: most, shares: s, cells: s + cellsAShare}
}

// setGroups tells the programs what groups differ in, and makes their tables as large as they have to be.
func (c *Counter) setGroups(spec *ebpf.CollectionSpec, cpus int) map[string]any {
	if c.options.By == 0 {
		return nil
	}
	sizes := groupSizesFor(cpus)
	if c.options.groups != nil {
		sizes = *c.options.groups
	}
	areas := uint32(2 * cpus)
	spec.Maps[programsMapGroups].MaxEntries = 2 << sizes.groups
	spec.Maps[programsMapShares].MaxEntries = areas << sizes.shares
	spec.Maps[programsMapCells].MaxEntries = areas << sizes.cells
	spec.Maps[programsMapFills].MaxEntries = areas
	flights := cmp.Or(uint32(c.options.flights), 8192-spec.Maps[programsMapFlights].MaxEntries)
	spec.Maps[programsMapFlights].MaxEntries += flights
	c.groups = &groups{sizes: sizes, cpus: cpus}
	exits := uint32(0)
	if c.options.ByExits {
		exits = 1
	}
	return map[string]any{
		programsVarTellingExits: exits,
		programsVarTelling:      uint32(c.options.By),
		programsVarGroupBits:    sizes.groups,
		programsVarShareBits:    sizes.shares,
		programsVarCellBits:     sizes.cells,
		programsVarCpus:         uint32(cpus),
		programsVarMostFlights:  flights,
	}
}

// groups reads the tables of groups: those of one turn, when the programs fill those of the next one.
type groups struct {
	sizes  groupSizes
	cpus   int
	turn   uint32
	number *ebpf.Variable

	groups, shares, cells, fills *ebpf.Memory
	buffer                       []byte
}

func (g *groups) open(p *programsObjects) (err error) {
	g.number = p.Turn
	if err := g.number.Get(&g.turn); err != nil {
		return err
	}
	for to, m := range map[**ebpf.Memory]*ebpf.Map{&g.groups: p.Groups, &g.shares: p.Shares, &g.cells: p.Cells, &g.fills: p.Fills} {
		if *to, err = m.Memory(); err != nil {
			return fmt.Errorf("read groups: %w", err)
		}
	}
	return nil
}

// areas are those of a turn, of one CPU each.
func (g *groups) areas(turn uint32) (first, end int) {
	first = int(turn&1) * g.cpus
	return first, first + g.cpus
}

// crowded reports whether so much has come in that there will soon be no room for more.
func (g *groups) crowded() bool {
	const part = 4 // it takes a moment until the programs have turned
	first, end := g.areas(g.turn)
	taken := uint32(0)
	crowded := false
	readTable(g, g.fills, first, end-first, true, func(_ int, f *fill) {
		taken += f.Groups
		crowded = crowded || f.Shares > 1<<g.sizes.shares/part || f.Cells > 1<<g.sizes.cells/part
	})
	return crowded || taken > 1<<g.sizes.groups/part
}

// readTable reads a part of a table, and empties it unless it is to be kept. It yields the values whose first word is not 0, as the
// programs have it in all that are used.
func readTable[T any](g *groups, m *ebpf.Memory, from, n int, keep bool, yield func(at int, value *T)) {
	var value T
	size := binary.Size(value)
	g.buffer = slices.Grow(g.buffer[:0], n*size)[:n*size]
	m.ReadAt(g.buffer, int64(from*size))
	used := false
	for at := range n {
		if text := g.buffer[at*size:][:size]; binary.NativeEndian.Uint32(text) != 0 {
			used = true
			binary.Decode(text, binary.NativeEndian, &value)
			yield(at, &value)
		}
	}
	if used && !keep {
		clear(g.buffer)
		m.WriteAt(g.buffer, int64(from*size))
	}
}

// takenGroup is what has come in of a group.
type takenGroup struct {
	group
	rows map[rowKey]*takenRow
}

// take has the programs turn, and empties what they have left.
func (g *groups) take() ([]takenGroup, error) {
	left := g.turn
	g.turn++
	if err := g.number.Set(g.turn); err != nil {
		return nil, err
	}
	barrier()
	first, end := g.areas(left)
	var areas []int
	readTable(g, g.fills, first, end-first, false, func(at int, _ *fill) { areas = append(areas, first+at) })
	if len(areas) == 0 {
		return nil, nil
	}
	names := make(map[uint32]group)
	readTable(g, g.groups, int(left&1)<<g.sizes.groups, 1<<g.sizes.groups, false, func(at int, of *group) { names[uint32(at)] = *of })
	var all []takenGroup
	place := make(map[uint32]int)
	for _, area := range areas {
		g.takeArea(area, func(number uint32, key rowKey) *takenRow {
			number &= 1<<g.sizes.groups - 1
			at, ok := place[number]
			if !ok {
				at = len(all)
				place[number] = at
				all = append(all, takenGroup{names[number], make(map[rowKey]*takenRow)})
			}
			r := all[at].rows[key]
			if r == nil {
				r = new(takenRow)
				all[at].rows[key] = r
			}
			return r
		})
	}
	// A process that has got another name in between is called by that.
	slices.SortFunc(all, func(a, b takenGroup) int { return cmp.Compare(a.Number, b.Number) })
	return all, nil
}

// takeArea empties what one CPU has left. It adds to the rows that into finds.
func (g *groups) takeArea(area int, into func(group uint32, key rowKey) *takenRow) {
	buckets := make(map[uint32][]weighedBucket) // by share
	readTable(g, g.cells, area<<g.sizes.cells, 1<<g.sizes.cells, false, func(_ int, c *cell) {
		at := (c.Of - 1) >> bucketBits
		buckets[at] = append(buckets[at], weighedBucket{int((c.Of - 1) & (1<<bucketBits - 1)), uint64(c.Calls)})
	})
	readTable(g, g.shares, area<<g.sizes.shares, 1<<g.sizes.shares, false, func(at int, s *share) {
		r := takenRow{calls: s.Calls, sum: float64(s.Sum), minNs: int64(^s.Below), maxNs: int64(s.Max), buckets: buckets[uint32(at)]}
		into(s.Group-1, rowKey{Nr: s.Nr, Errno: s.Errno, ABI: s.ABI}).add(&r)
	})
}

func (w *who) whose(of uint32) profile.Whose {
	text := func(comm [16]byte) string { before, _, _ := bytes.Cut(comm[:], []byte{0}); return string(before) }
	return profile.Whose{PID: int32(w.PID), TID: int32(w.TID), Comm: text(w.Comm), Thread: text(w.Thread), CgroupID: w.Cgroup, Of: int32(of)}
}

// Crowded reports whether TakeGroups should be called soon, so that it stays known whose calls are.
func (c *Counter) Crowded() bool { return c.groups != nil && c.groups.crowded() }

// TakeGroups is Take where calls are told apart by whose they are (Options.By), and with last, TakeLast.
func (c *Counter) TakeGroups(last bool) ([]profile.CountedGroup, error) {
	taken, err := c.groups.take()
	if err != nil {
		return nil, err
	}
	rest, err := c.rows.read()
	if err != nil {
		return nil, err
	}
	var all []profile.CountedGroup
	if c.options.By&ByCgroup != 0 { // those of a command are over soon, and in the same as we are
		own := profile.CountedGroup{Whose: profile.Whose{Of: int32(os.Getpid())}}
		c.programs.OwnCgroup.Get(&own.CgroupID)
		all = append(all, own)
	}
	for i := range taken {
		all = append(all, c.countedGroup(debtor{who: taken[i].Who}, taken[i].PID, taken[i].rows))
	}
	unknown := make(map[rowKey]*takenRow)
	for _, inc := range rest {
		unknown[inc.key] = inc.taken()
	}
	if len(unknown) > 0 {
		all = append(all, c.countedGroup(debtor{unknown: true}, 0, unknown))
	}
	c.pace.keep(c.options.Timed)
	if most := 10_000; last || len(c.debts.owed) > most {
		all = append(all, c.debts.settle()...)
	}
	return all, nil
}

// countedGroup makes of what has been taken of a group what it stands for.
func (c *Counter) countedGroup(d debtor, of uint32, rows map[rowKey]*takenRow) profile.CountedGroup {
	counted := d.group(of)
	for _, key := range slices.SortedFunc(maps.Keys(rows), compareKeys) {
		r := rows[key]
		if c.options.Timed > 1 {
			c.pace.totals.add(key, r.calls, r.weight(), uint64(r.sum))
			d.key = key
			if !c.debts.fit(d, of, r) {
				continue
			}
		}
		counted.Rows = append(counted.Rows, r.counted(key))
	}
	return counted
}

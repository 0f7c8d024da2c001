package stack

import (
	"sort"
	"sync/atomic"
)

// A Space is the executable part of an address space. It does not change: when the
// process maps something, or executes another program, make a new one. It is
// safe for concurrent use.
type Space struct {
	id      uint64
	objects *Objects
	ranges  []execRange
}

type execRange struct {
	start, end uint64
	mapping    Mapping
	code       atomic.Pointer[code]
}

// code is what an executable range shows.
type code struct {
	obj  *object // nil: anonymous memory
	t    *tables // its
	bias uint64  // address − bias = address as linked
}

var lastSpace atomic.Uint64

// NewSpace makes a Space of the mappings of a process, of which it keeps the
// executable ones.
func NewSpace(objects *Objects, maps []Mapping) *Space {
	n := 0
	for i := range maps {
		if maps[i].Exec {
			n++
		}
	}
	s := &Space{id: lastSpace.Add(1), objects: objects, ranges: make([]execRange, n)}
	n = 0
	for i := range maps {
		if m := &maps[i]; m.Exec {
			r := &s.ranges[n]
			r.start, r.end, r.mapping = m.Start, m.End, *m
			n++
		}
	}
	if !sort.SliceIsSorted(s.ranges, func(i, j int) bool { return s.ranges[i].start < s.ranges[j].start }) {
		s.sort()
	}
	return s
}

// sort is for lists that the kernel did not write.
func (s *Space) sort() {
	order := make([]*execRange, len(s.ranges))
	for i := range order {
		order[i] = &s.ranges[i]
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].start < order[j].start })
	sorted := make([]execRange, len(order))
	for i, r := range order {
		sorted[i].start, sorted[i].end, sorted[i].mapping = r.start, r.end, r.mapping
	}
	s.ranges = sorted
}

// ID tells this Space from all others of this program.
func (s *Space) ID() uint64 { return s.id }

// Mapping returns the executable mapping that holds addr.
func (s *Space) Mapping(addr uint64) (*Mapping, bool) {
	r := s.find(addr)
	if r == nil {
		return nil, false
	}
	return &r.mapping, true
}

func (s *Space) find(addr uint64) *execRange {
	lo, hi := 0, len(s.ranges)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if s.ranges[mid].start <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	r := &s.ranges[lo-1]
	if addr >= r.end {
		return nil
	}
	return r
}

// resolve returns what the range shows, or nil and the file that has to be read first.
func (s *Space) resolve(r *execRange, mem Memory) (c *code, unread *object) {
	c = r.code.Load()
	if c != nil && (c.obj == nil || !c.obj.dead.Load()) {
		return c, nil
	}
	c = &code{obj: s.objects.forMapping(&r.mapping, mem)}
	if c.obj != nil {
		if c.t = c.obj.tables.Load(); c.t == nil {
			return nil, c.obj
		}
	}
	if c.obj != nil && c.t.image != nil {
		var ok bool
		if c.bias, ok = c.t.image.Bias(r.start, r.mapping.Offset); !ok {
			c.obj = nil
		}
	}
	r.code.Store(c)
	return c, nil
}

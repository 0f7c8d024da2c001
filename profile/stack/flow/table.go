package flow

import (
	"cmp"
	"slices"
)

// Jump tables. Compilers make two kinds: of addresses, and of signed distances from a base, which is mostly the table's own
// address. That a function is longer than its tables say, or a table than was looked at, only makes that less is found.
const (
	maxElements = 512 // a table of all bytes, and some
	maxSpan     = 1 << 20
	maxCases    = 8 // that are followed to an address
	fewest      = 4 // a switch with fewer cases has no table (GCC's case-values-threshold, LLVM's min-jump-table-entries)
)

// The shape of a table's elements: how many bytes each has, whether it is signed, and by how many bits it is shifted before it is
// added to what it counts from.
const (
	elementSize   = 0x0f
	elementShift  = 4
	elementSigned = 0x80
)

// lookedUp is what an instruction finds in a table.
func (s *state) lookedUp(e *effect) value {
	at := value{kind: literal}
	if e.src != noReg {
		at = s.regs[e.src]
	}
	if at.kind != literal {
		return value{}
	}
	v := value{kind: element, reg: e.size, off: at.add + e.imm}
	if e.size&elementSize < 8 {
		v.kind = offset
	}
	return v
}

// added is the sum of two values, the second of which is shifted and extended, as far as it is known. It is where a jump by a table
// goes if one is its element, and the other what its elements count from.
func added(x, y value, shape uint8) value {
	if y.kind == literal && shape == 0 {
		x, y = y, x
	}
	switch {
	case x.kind != literal:
		return value{}
	case y.kind == offset && y.add == 0:
		y.kind, y.reg = element, y.reg|shape
	case y.kind == offset, y.kind == element, shape != 0:
		return value{}
	}
	return y.plus(x.add)
}

// jumpsTo is where a jump goes: an element, if that is known to be one.
func (s *state) jumpsTo(in *insn) value {
	switch {
	case in.table:
		return s.lookedUp(&effect{src: in.reg, size: 8, imm: in.target})
	case in.reg != noReg:
		return s.regs[in.reg]
	}
	return value{}
}

// elements leaves the targets of a jump for later: if an address is looked for, those nearest before it, from where code leads to
// it in the shortest way; if a return is, as many as there is room for, the nearest to the jump first.
func (f *Follower) elements(l *level, to value) {
	if to.kind != element || l.wanted == 0 && !l.tables {
		return
	}
	size := int(to.reg & elementSize)
	var table [8 * maxElements]byte
	n := f.code.Data(table[:size*maxElements], uint64(to.off))
	all := make([]uint64, 0, maxElements)
	for b := table[:n]; len(b) >= size; b = b[size:] {
		target := uint64(to.add) + elementOf(b, to.reg)
		if target-l.at.addr+maxSpan > 2*maxSpan {
			break // behind the table
		}
		all = append(all, target)
	}
	most, stray := maxCases, l.at.stray
	if l.wanted != 0 {
		all = slices.DeleteFunc(all, func(target uint64) bool { return target > l.wanted })
	} else if most = maxWaiting - l.paths; l.at.state.regs[f.c.sp] == (value{kind: entry, reg: f.c.sp}) {
		all = all[:min(len(all), fewest)] // nothing would show that it is another function's return
	} else {
		l.at.stray = true
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if l.wanted == 0 {
		all = slices.DeleteFunc(all, l.isKnown)
		// The nearest ones are most likely the function's own.
		slices.SortFunc(all, func(a, b uint64) int { return cmp.Compare(apart(b, l.at.addr), apart(a, l.at.addr)) })
	}
	for _, target := range all[max(len(all)-most, 0):] { // the last one is followed first
		l.wait(target)
	}
	l.at.stray = stray
}

// elementOf is the first element in b.
func elementOf(b []byte, shape uint8) uint64 {
	var v uint64
	size := shape & elementSize
	for i := range size {
		v |= uint64(b[i]) << (8 * i)
	}
	if unused := 64 - 8*size; shape&elementSigned != 0 {
		v = uint64(int64(v<<unused) >> unused)
	}
	return v << (shape >> elementShift & 7)
}

// undone reports whether a function has left nothing behind: the stack pointer is where it was, and so is what is in the registers
// that callers rely on, though some were saved.
func (c *convention) undone(s *state) bool {
	for _, r := range append([]uint8{c.sp}, c.preserved...) {
		if s.regs[r] != (value{kind: entry, reg: r}) {
			return false
		}
	}
	return true
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }

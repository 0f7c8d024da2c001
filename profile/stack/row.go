package stack

import "math"

// rowKind says how to get from a frame to its caller.
type rowKind uint8

const (
	rowNone    rowKind = iota // nothing is known: follow the code, try the frame pointer
	rowBottom                 // the frame has no caller
	rowOffsets                // the CFA is a register plus a constant, all else is at constants from it
	rowFull                   // the rules in row.full
	rowLost                   // the frame has a caller that cannot be found
	// What the Go runtime does, see golang.go.
	rowGoSystemstack
	rowGoMorestack
	rowGoAsmcgocall
	rowGoCgocallback
	rowGoSigreturn // and other programs' code that returns from a signal
)

const (
	// flagExactNext: the caller was interrupted and did not call, so its address is
	// not behind a call.
	flagExactNext = 1 << iota
	// flagSwitch: the caller may be on another stack.
	flagSwitch
	// flagLink: the return address is in the link register.
	flagLink
	// flagRoot: if the return address is no code, the frame has no caller.
	flagRoot
	// flagCrosscall: Go's function that only C calls.
	flagCrosscall
	// flagLast: the address is that of the function's last byte.
	flagLast
	// flagFollowed: the row was found by following code, so the return address has to be seen to be one.
	flagFollowed

	// flagSignal: both are set for what a signal handler returns to, and only for that.
	flagSignal = flagExactNext | flagSwitch
)

// maxSaved is the number of registers that a compact row can restore: what the
// AMD64 ABI preserves.
const maxSaved = 7

// A row is what the unwind tables say about one address. Rows are kept by file and
// address as linked, so all processes share them.
type row struct {
	object uint32
	kind   rowKind
	flags  uint8
	cfaReg uint8
	n      uint8 // saved registers
	vaddr  uint64
	cfaOff int32
	raOff  int32
	regs   [maxSaved]uint8
	offs   [maxSaved]int32
	lost   uint32 // registers, as bits, that the caller cannot know
	// followed: the code was followed, to whatever that came. called: it is that of a function.
	followed, called bool
	full             *fullRow
}

// A fullRow holds rules of all kinds.
type fullRow struct {
	cfa  fullRule
	ra   fullRule
	regs []fullRule
}

type fullRule struct {
	kind ruleKind
	to   uint8 // the register that it restores
	reg  uint8
	off  int64
	expr []byte
}

// save adds a register that is stored at CFA + off.
func (r *row) save(reg uint8, off int32) {
	if r.n < maxSaved {
		r.regs[r.n], r.offs[r.n] = reg, off
		r.n++
	}
}

// compile makes a row of the state that m has computed.
func (m *cfiMachine) compile(r *row, a *arch) {
	if m.c.ra >= uint64(a.nregs) {
		return
	}
	ra := m.regs[m.c.ra]
	r.flags = 0
	if m.c.signal {
		r.flags = flagSignal
	}
	switch {
	case ra.kind == ruleUndefined:
		r.kind = rowBottom
		return
	case m.cfa.kind != ruleCFA && m.cfa.kind != ruleExpression, ra.kind == ruleUnset && !a.link:
		return // rowNone
	}
	if !m.compact(r, a, ra) {
		m.compileFull(r, a, ra)
	}
}

// compact makes a rowOffsets, if the rules allow it.
func (m *cfiMachine) compact(r *row, a *arch, ra rule) bool {
	if m.cfa.kind != ruleCFA || m.cfa.reg >= a.nregs || !fits32(m.cfa.off) || m.regs[a.sp].kind != ruleUnset {
		return false
	}
	r.cfaReg, r.cfaOff = m.cfa.reg, int32(m.cfa.off)
	switch ra.kind {
	case ruleOffset:
		if !fits32(ra.off) {
			return false
		}
		r.raOff = int32(ra.off)
	case ruleUnset, ruleSame:
		r.flags |= flagLink
	default:
		return false
	}
	r.n = 0
	for i := range a.nregs {
		rule := m.regs[i]
		switch {
		case rule.kind == ruleUnset || rule.kind == ruleSame || uint64(i) == m.c.ra && !a.link:
			continue
		case rule.kind != ruleOffset || !fits32(rule.off) || r.n == maxSaved:
			return false
		}
		r.save(i, int32(rule.off))
	}
	r.kind = rowOffsets
	return true
}

func fits32(v int64) bool { return v >= math.MinInt32 && v <= math.MaxInt32 }

func (m *cfiMachine) compileFull(r *row, a *arch, ra rule) {
	full := &fullRow{cfa: m.fullRule(m.cfa, 0), ra: m.fullRule(ra, uint8(m.c.ra))}
	for i := range a.nregs {
		rule := m.regs[i]
		if rule.kind == ruleUnset || rule.kind == ruleSame || uint64(i) == m.c.ra && !a.link {
			continue
		}
		full.regs = append(full.regs, m.fullRule(rule, i))
	}
	r.kind, r.full = rowFull, full
}

// fullRule copies a rule together with its expression, which outlives the buffer
// that it was read into.
func (m *cfiMachine) fullRule(r rule, to uint8) fullRule {
	f := fullRule{kind: r.kind, to: to, reg: r.reg, off: r.off}
	if r.kind == ruleExpression || r.kind == ruleValExpr {
		f.expr = append([]byte(nil), m.expr(r)...)
	}
	return f
}

// The row cache: sets of two, the one not used last makes room.
const (
	rowSetBits = 12
	rowSets    = 1 << rowSetBits
	rowWays    = 2
)

type rowSet struct {
	rows [rowWays]row
	last uint8
}

type rowCache struct {
	sets [rowSets]rowSet
}

// get returns the row of the address, or one to be filled in for it.
func (c *rowCache) get(object uint32, vaddr uint64) (r *row, hit bool) {
	h := (vaddr ^ uint64(object)<<40) * 0x9e3779b97f4a7c15 // 2^64 / golden ratio
	set := &c.sets[h>>(64-rowSetBits)]
	for i := range set.rows {
		if r := &set.rows[i]; r.vaddr == vaddr && r.object == object {
			set.last = uint8(i)
			return r, true
		}
	}
	set.last = (set.last + 1) % rowWays
	r = &set.rows[set.last]
	*r = row{object: object, vaddr: vaddr}
	return r, false
}

// forget makes room of a row that could not be filled in.
func (c *rowCache) forget(r *row) { *r = row{} }

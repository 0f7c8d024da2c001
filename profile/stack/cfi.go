package stack

import "encoding/binary"

// Call frame instructions (DWARF 5, 6.4.2 and 7.24; LSB Core, 10.6.3 for the GNU
// ones; DWARF for the Arm 64-bit Architecture for 0x2d).
const (
	cfaAdvanceLoc  = 0x40 // these three: in the high two bits
	cfaOffset      = 0x80
	cfaRestore     = 0xc0
	cfaHighBits    = 0xc0
	cfaLowBits     = 0x3f
	cfaNop         = 0x00
	cfaSetLoc      = 0x01
	cfaAdvanceLoc1 = 0x02
	cfaAdvanceLoc2 = 0x03
	cfaAdvanceLoc4 = 0x04
	cfaOffsetExt   = 0x05
	cfaRestoreExt  = 0x06
	cfaUndefined   = 0x07
	cfaSameValue   = 0x08
	cfaRegister    = 0x09
	cfaRemember    = 0x0a
	cfaRestoreSt   = 0x0b
	cfaDefCfa      = 0x0c
	cfaDefCfaReg   = 0x0d
	cfaDefCfaOff   = 0x0e
	cfaDefCfaExpr  = 0x0f
	cfaExpression  = 0x10
	cfaOffsetExtSf = 0x11
	cfaDefCfaSf    = 0x12
	cfaDefCfaOffSf = 0x13
	cfaValOffset   = 0x14
	cfaValOffsetSf = 0x15
	cfaValExpr     = 0x16
	cfaNegateRA    = 0x2d
	cfaArgsSize    = 0x2e
	cfaNegOffset   = 0x2f
)

// maxRemembered is how deep states may be nested; compilers use two levels.
const maxRemembered = 8

type ruleKind uint8

const (
	ruleUnset     ruleKind = iota // nothing said: as ruleSame, but for the return address
	ruleUndefined                 // the caller's value is lost
	ruleSame
	ruleOffset     // stored at CFA + off
	ruleValOffset  // is CFA + off
	ruleRegister   // is in register reg
	ruleExpression // stored where the expression says
	ruleValExpr    // is what the expression says
	ruleCFA        // for the CFA only: register reg + off
)

// A rule says where a register of the caller is. Expressions are spans of the
// instructions that they stand in.
type rule struct {
	kind   ruleKind
	reg    uint8
	inCIE  bool
	length uint16
	off    int64 // or where the expression begins
}

// state is one row of the table that call frame instructions describe.
type state struct {
	cfa rule
	// cfaOff is the constant part of the CFA that was set last, also while an
	// expression is in force: libgcrypt goes back to it.
	cfaOff int64
	regs   [maxRegs]rule
}

// clear and copy touch only the registers of the architecture.
func (s *state) clear(nregs uint8) {
	s.cfa, s.cfaOff = rule{}, 0
	clear(s.regs[:nregs])
}

func (s *state) copy(from *state, nregs uint8) {
	s.cfa, s.cfaOff = from.cfa, from.cfaOff
	copy(s.regs[:nregs], from.regs[:nregs])
}

// A cfiMachine runs call frame instructions up to an address.
type cfiMachine struct {
	state
	initial state    // what the CIE says,
	owner   *ehFrame // which is this one's,
	addr    uint64   // at this address
	saved   [maxRemembered]state
	depth   int
	nregs   uint8
	c       *cie
	d       *fde
	loc     uint64
}

// run computes the row that holds at pc, an address inside d's function.
func (m *cfiMachine) run(c *cie, d *fde, nregs uint8, pc uint64) error {
	m.c, m.d, m.nregs, m.depth = c, d, nregs, 0
	m.loc = d.lo
	if m.owner != c.owner || m.addr != c.addr || m.owner == nil {
		m.state.clear(nregs)
		m.initial.clear(nregs)
		m.owner = nil
		if err := m.exec(c.instr, true, ^uint64(0)); err != nil {
			return err
		}
		m.initial.copy(&m.state, nregs)
		m.owner, m.addr = c.owner, c.addr
		m.loc, m.depth = d.lo, 0
	} else {
		m.state.copy(&m.initial, nregs)
	}
	return m.exec(d.instr, false, pc)
}

func (m *cfiMachine) exec(b []byte, inCIE bool, pc uint64) error {
	for p := 0; p < len(b); {
		op := b[p]
		p++
		low := op & cfaLowBits
		switch op & cfaHighBits {
		case cfaAdvanceLoc:
			if m.advance(uint64(low), pc) {
				return nil
			}
			continue
		case cfaOffset:
			off, n := uleb(b[p:])
			if n == 0 {
				return errFormat
			}
			p += n
			m.set(uint64(low), rule{kind: ruleOffset, off: int64(off) * m.c.dataAlign})
			continue
		case cfaRestore:
			m.restore(uint64(low))
			continue
		}
		n, done, err := m.extended(op, b[p:], p, inCIE, pc)
		if done || err != nil {
			return err
		}
		p += n
	}
	return nil
}

// advance moves to the next row. It reports true if that is behind pc.
func (m *cfiMachine) advance(delta, pc uint64) bool {
	m.loc += delta * m.c.codeAlign
	return m.loc > pc
}

func (m *cfiMachine) set(reg uint64, r rule) {
	if reg < uint64(m.nregs) {
		m.regs[reg] = r
	}
}

func (m *cfiMachine) restore(reg uint64) {
	if reg < uint64(m.nregs) {
		m.regs[reg] = m.initial.regs[reg]
	}
}

// extended executes an instruction that fills its whole byte. b are its operands,
// which stand at position at of the instructions; n is how many bytes they take.
func (m *cfiMachine) extended(op byte, b []byte, at int, inCIE bool, pc uint64) (n int, done bool, err error) {
	le := binary.LittleEndian
	switch op {
	case cfaNop:
		return 0, false, nil
	case cfaAdvanceLoc1, cfaAdvanceLoc2, cfaAdvanceLoc4, cfaSetLoc:
		var delta uint64
		switch {
		case op == cfaAdvanceLoc1 && len(b) >= 1:
			delta, n = uint64(b[0]), 1
		case op == cfaAdvanceLoc2 && len(b) >= 2:
			delta, n = uint64(le.Uint16(b)), 2
		case op == cfaAdvanceLoc4 && len(b) >= 4:
			delta, n = uint64(le.Uint32(b)), 4
		case op == cfaSetLoc:
			base := m.d.instrAddr
			if inCIE {
				base = m.c.instrAddr
			}
			loc, n, ok := decodePointer(m.c.fdeEnc, b, base+uint64(at), 0)
			if !ok {
				return 0, false, errFormat
			}
			m.loc = loc
			return n, m.loc > pc, nil
		default:
			return 0, false, errFormat
		}
		return n, m.advance(delta, pc), nil
	case cfaRemember:
		if m.depth == maxRemembered {
			return 0, false, errFormat
		}
		m.saved[m.depth].copy(&m.state, m.nregs)
		m.depth++
		return 0, false, nil
	case cfaRestoreSt:
		if m.depth == 0 {
			return 0, false, errFormat
		}
		m.depth--
		m.state.copy(&m.saved[m.depth], m.nregs)
		return 0, false, nil
	case cfaNegateRA: // signed return addresses are masked anyway
		return 0, false, nil
	case cfaDefCfaExpr:
		r, n, ok := exprRule(ruleExpression, b, at, inCIE)
		if !ok {
			return 0, false, errFormat
		}
		m.cfa = r
		return n, false, nil
	}
	n, err = m.withRegister(op, b, at, inCIE)
	return n, false, err
}

// withRegister executes the instructions whose first operand is a LEB128 number, for
// most a register.
func (m *cfiMachine) withRegister(op byte, b []byte, at int, inCIE bool) (int, error) {
	reg, n := uleb(b)
	if n == 0 {
		return 0, errFormat
	}
	var second uint64
	var signed int64
	n2 := 0
	switch op {
	case cfaOffsetExt, cfaRegister, cfaDefCfa, cfaValOffset, cfaNegOffset:
		second, n2 = uleb(b[n:])
	case cfaOffsetExtSf, cfaDefCfaSf, cfaValOffsetSf:
		signed, n2 = sleb(b[n:])
	case cfaExpression, cfaValExpr:
		kind := ruleExpression
		if op == cfaValExpr {
			kind = ruleValExpr
		}
		r, used, ok := exprRule(kind, b[n:], at+n, inCIE)
		if !ok {
			return 0, errFormat
		}
		m.set(reg, r)
		return n + used, nil
	default:
		n2 = -1
	}
	if n2 == 0 {
		return 0, errFormat
	}
	n += max(n2, 0)
	align := m.c.dataAlign
	switch op {
	case cfaOffsetExt:
		m.set(reg, rule{kind: ruleOffset, off: int64(second) * align})
	case cfaOffsetExtSf:
		m.set(reg, rule{kind: ruleOffset, off: signed * align})
	case cfaNegOffset:
		m.set(reg, rule{kind: ruleOffset, off: -int64(second) * align})
	case cfaValOffset:
		m.set(reg, rule{kind: ruleValOffset, off: int64(second) * align})
	case cfaValOffsetSf:
		m.set(reg, rule{kind: ruleValOffset, off: signed * align})
	case cfaRestoreExt:
		m.restore(reg)
	case cfaUndefined:
		m.set(reg, rule{kind: ruleUndefined})
	case cfaSameValue:
		m.set(reg, rule{kind: ruleSame})
	case cfaRegister:
		m.set(reg, rule{kind: ruleRegister, reg: clampReg(second)})
	case cfaDefCfa:
		m.cfaOff = int64(second)
		m.cfa = rule{kind: ruleCFA, reg: clampReg(reg), off: m.cfaOff}
	case cfaDefCfaSf:
		m.cfaOff = signed * align
		m.cfa = rule{kind: ruleCFA, reg: clampReg(reg), off: m.cfaOff}
	case cfaDefCfaReg, cfaDefCfaOff, cfaDefCfaOffSf:
		m.changeCFA(op, reg, b)
	case cfaArgsSize:
	default:
		return 0, errFormat
	}
	return n, nil
}

// changeCFA changes one half of a CFA that is a register and an offset.
func (m *cfiMachine) changeCFA(op byte, operand uint64, b []byte) {
	switch op {
	case cfaDefCfaReg:
		m.cfa = rule{kind: ruleCFA, reg: clampReg(operand), off: m.cfaOff}
		return
	case cfaDefCfaOff:
		m.cfaOff = int64(operand)
	case cfaDefCfaOffSf: // both LEB128 kinds have the same length
		signed, _ := sleb(b)
		m.cfaOff = signed * m.c.dataAlign
	}
	if m.cfa.kind == ruleCFA {
		m.cfa.off = m.cfaOff
	}
}

// clampReg makes a register number that is tracked out of any, or one that is not.
func clampReg(reg uint64) uint8 { return uint8(min(reg, 255)) }

// exprRule makes a rule of the length-prefixed expression at the start of b.
func exprRule(kind ruleKind, b []byte, at int, inCIE bool) (r rule, n int, ok bool) {
	length, n := uleb(b)
	if n == 0 || length > uint64(len(b)-n) || length > maxExpr {
		return rule{}, 0, false
	}
	return rule{kind: kind, inCIE: inCIE, length: uint16(length), off: int64(at + n)}, n + int(length), true
}

// expr returns the bytes of r's expression.
func (m *cfiMachine) expr(r rule) []byte {
	b := m.d.instr
	if r.inCIE {
		b = m.c.instr
	}
	if r.off < 0 || r.off+int64(r.length) > int64(len(b)) {
		return nil
	}
	return b[r.off : r.off+int64(r.length)]
}

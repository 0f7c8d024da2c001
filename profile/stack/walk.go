package stack

// A dep is a word that a stack was made from: if all are the same, the stack is.
// Addresses below maxRegs are registers.
type dep struct {
	addr, val uint64
}

// maxDeps bounds what can be recorded; stacks that need more are not cached. Few frames need more than their return
// address and one register.
const maxDeps = 3 * MaxWalk

// walk is the state of one unwind: the registers as the current frame has them. A
// register that was saved on the stack is only read when something needs its
// value, which for most is never.
type walk struct {
	a   *arch
	win *Window
	pc  uint64
	// exact: pc itself is the instruction, not the one before.
	exact bool

	val   [maxRegs]uint64 // the value, or with inMem the address
	inMem uint64          // bit sets by register
	undef uint64
	fresh uint64 // still what the thread has in it, and not yet recorded

	g0sp uint64 // Go: where the C stack below the next cgocallback goes on

	deps     [maxDeps]dep
	ndeps    int
	overflow bool

	code [startCode]byte // what was read of the code last
}

func (w *walk) init(regs *Regs, win *Window) {
	w.a, w.win = &archs[regs.Arch], win
	win.narrow(w.a.word == 4)
	w.pc, w.exact = regs.IP, !regs.AfterCall
	w.val = regs.R
	w.inMem, w.undef = 0, 0
	w.fresh = 1<<w.a.nregs - 1 // SP and IP are in the cache's key
	w.fresh &^= 1 << w.a.sp
	w.g0sp = 0
	w.ndeps, w.overflow = 0, false
}

func (w *walk) record(addr, val uint64) {
	if w.ndeps == maxDeps {
		w.overflow = true
		return
	}
	w.deps[w.ndeps] = dep{addr, val}
	w.ndeps++
}

// word reads memory, and remembers that the stack depends on it.
func (w *walk) word(addr uint64) (uint64, bool) {
	v, ok := w.win.word(addr)
	if ok {
		w.record(addr, v)
	}
	return v, ok
}

func (w *walk) bytesAt(addr uint64, n uint8) (uint64, bool) {
	w.overflow = true // not a whole word: not worth caching
	return w.win.bytesAt(addr, n)
}

// reg returns the value of a register in the current frame.
func (w *walk) reg(r uint8) (uint64, bool) {
	if r >= w.a.nregs {
		return 0, false
	}
	bit := uint64(1) << r
	switch {
	case w.undef&bit != 0:
		return 0, false
	case w.inMem&bit != 0:
		v, ok := w.word(w.val[r])
		if !ok {
			return 0, false
		}
		w.val[r] = v
		w.inMem &^= bit
	case w.fresh&bit != 0:
		w.fresh &^= bit
		w.record(uint64(r), w.val[r])
	}
	return w.val[r], true
}

func (w *walk) set(r uint8, v uint64) {
	bit := uint64(1) << r
	w.val[r] = v
	w.inMem &^= bit
	w.undef &^= bit
	w.fresh &^= bit
}

// setSaved says that register r is stored at addr.
func (w *walk) setSaved(r uint8, addr uint64) {
	bit := uint64(1) << r
	w.val[r] = addr
	w.inMem |= bit
	w.undef &^= bit
	w.fresh &^= bit
}

func (w *walk) sp() uint64 { return w.val[w.a.sp] }

// lookup is the address by which the current frame's row is found.
func (w *walk) lookup() uint64 {
	if w.exact {
		return w.pc
	}
	return w.pc - 1
}

// offsets steps to the caller by a compact row.
func (w *walk) offsets(r *row) Reason {
	base := w.val[r.cfaReg]
	if r.cfaReg != w.a.sp {
		var ok bool
		if base, ok = w.reg(r.cfaReg); !ok {
			return BadMemory
		}
	}
	return w.toCFA(r, base+uint64(int64(r.cfaOff)))
}

// toCFA steps to the caller of a frame whose CFA is known.
func (w *walk) toCFA(r *row, cfa uint64) Reason {
	var ra uint64
	var ok bool
	if r.flags&flagLink != 0 {
		ra, ok = w.reg(w.a.ra)
		w.undef |= 1 << w.a.ra // the caller has saved its own
	} else {
		ra, ok = w.word(cfa + uint64(int64(r.raOff)))
	}
	if !ok {
		return BadMemory
	}
	for i := range r.n {
		w.setSaved(r.regs[i], cfa+uint64(int64(r.offs[i])))
	}
	w.undef |= uint64(r.lost)
	w.set(w.a.sp, cfa)
	w.pc = ra & w.a.raMask
	return stepped
}

// full steps to the caller by rules of all kinds.
func (w *walk) full(f *fullRow, bias uint64) Reason {
	var x exprMachine
	var cfa uint64
	var ok bool
	if f.cfa.kind == ruleCFA {
		cfa, ok = w.reg(f.cfa.reg)
		cfa += uint64(f.cfa.off)
	} else {
		cfa, ok = x.eval(f.cfa.expr, w, bias)
	}
	if !ok {
		return BadMemory
	}
	ra, ok := w.caller(&f.ra, &x, cfa, bias)
	if !ok {
		return BadMemory
	}
	// All rules speak of the registers as they are here, so none is set before all are known.
	var vals [maxRegs]uint64
	var saved, undef uint64
	for i := range f.regs {
		r := &f.regs[i]
		bit := uint64(1) << r.to
		switch r.kind {
		case ruleOffset:
			vals[i], saved = cfa+uint64(r.off), saved|bit
		case ruleExpression:
			vals[i], ok = x.eval(r.expr, w, bias, cfa)
			saved |= bit
		default:
			vals[i], ok = w.caller(r, &x, cfa, bias)
		}
		if !ok {
			undef, ok = undef|bit, true
		}
	}
	w.set(w.a.sp, cfa)
	for i := range f.regs {
		to := f.regs[i].to
		bit := uint64(1) << to
		if undef&bit != 0 {
			w.undef |= bit
		} else if saved&bit != 0 {
			w.setSaved(to, vals[i])
		} else {
			w.set(to, vals[i])
		}
	}
	if _, ok := w.reg(w.a.sp); !ok { // it may have been saved like any other
		return BadMemory
	}
	w.pc = ra & w.a.raMask
	return stepped
}

// caller returns the value that a rule gives a register.
func (w *walk) caller(r *fullRule, x *exprMachine, cfa, bias uint64) (uint64, bool) {
	switch r.kind {
	case ruleUnset, ruleSame:
		return w.reg(r.to)
	case ruleOffset:
		return w.word(cfa + uint64(r.off))
	case ruleValOffset:
		return cfa + uint64(r.off), true
	case ruleRegister:
		return w.reg(r.reg)
	case ruleExpression:
		addr, ok := x.eval(r.expr, w, bias, cfa)
		if !ok {
			return 0, false
		}
		return w.word(addr)
	case ruleValExpr:
		return x.eval(r.expr, w, bias, cfa)
	}
	return 0, false
}

// maxFrame is how far apart two frames are believed to be that only a frame
// pointer joins.
const maxFrame = 16 << 20

// framePointer steps to the caller by the chain of frame pointers: on both
// architectures the caller's frame pointer and the return address lie where the
// register points.
func (w *walk) framePointer() Reason {
	fp, ok := w.reg(w.a.fp)
	sp, size := w.sp(), uint64(w.a.word)
	if !ok || fp%size != 0 || fp < sp || fp-sp > maxFrame {
		return NoInfo
	}
	ra, ok := w.word(fp + size)
	if !ok {
		return NoInfo
	}
	if ra == 0 {
		// On ARM64 _start clears the link register, too, so that the chain ends with a record of two zeros. On
		// AMD64 the register points at any two zeros in most code that has no tables.
		if next, ok := w.word(fp); ok && next == 0 && w.a.link {
			return Bottom
		}
		return NoInfo
	}
	w.setSaved(w.a.fp, fp)
	w.set(w.a.sp, fp+2*size)
	w.pc = ra & w.a.raMask
	return stepped
}

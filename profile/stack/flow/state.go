package flow

// valueKind says what is known of a register's contents.
type valueKind uint8

const (
	lost     valueKind = iota
	entry              // what register reg held at the beginning, plus add
	slot               // what stood in memory at the beginning where register reg plus off points to, plus add
	literal            // add
	constant           // the word of data at off, plus add
	offset             // an element of the table of the shape reg at off, plus add
	element            // an address: the same if the table has addresses, or if add is what its offsets count from
)

type value struct {
	kind valueKind
	reg  uint8
	off  int64
	add  int64
}

func (v value) plus(n int64) value {
	if v.kind != lost {
		v.add += n
	}
	return v
}

// stored is a piece of memory that was written since the beginning.
type stored struct {
	reg  uint8 // at what this register held at the beginning …
	size uint8
	off  int64 // … plus off
	val  value
}

// maxStores bounds what is remembered of a path's writes. What it forgets, it knows the extent of.
const maxStores = 24

// state is what is known at one point of a path.
type state struct {
	regs   [32]value
	stores [maxStores]stored
	n      int
	// Writes below the stack pointer of the beginning plus forgotten are not all in stores.
	forgotten int64
	forgot    bool
	isAligned bool
}

func (s *state) init(c *convention) {
	s.n, s.forgot, s.forgotten, s.isAligned = 0, false, 0, false
	for i := range c.nregs {
		s.regs[i] = value{kind: entry, reg: i}
	}
}

// do applies the effects of an instruction at addr.
func (s *state) do(in *insn, addr uint64) {
	for _, e := range in.does[:in.n] {
		switch e.kind {
		case set:
			s.regs[e.dst] = s.regs[e.src].plus(e.imm)
		case konst:
			s.regs[e.dst] = value{kind: literal, add: e.imm}
		case here:
			s.regs[e.dst] = value{kind: literal, add: int64(addr) + e.imm}
		case page:
			const size = 4096
			s.regs[e.dst] = value{kind: literal, add: int64(addr)&^(size-1) + e.imm}
		case lowByte:
			if v := &s.regs[e.dst]; v.kind == literal {
				v.add = v.add&^0xff | e.imm&0xff
			} else {
				*v = value{}
			}
		case align:
			s.align(e.dst)
		case lose:
			s.regs[e.dst] = value{}
		case lookUp:
			s.regs[e.dst] = s.lookedUp(&e)
		case sum:
			s.regs[e.dst] = added(s.regs[e.imm], s.regs[e.src], e.size)
		case load:
			s.regs[e.dst] = s.load(s.regs[e.src].plus(e.imm))
		case store:
			v := value{}
			if e.src != noReg {
				v = s.regs[e.src]
			}
			s.store(s.regs[e.dst].plus(e.imm), e.size, v)
		}
	}
}

// aligned stands for a register that was rounded down: how far is not known, but what is stored from there on is
// found again.
const aligned = 32

// align rounds a register down. Only one time on a path can be told from the others.
func (s *state) align(reg uint8) {
	if s.regs[reg].kind != entry || s.isAligned {
		s.regs[reg] = value{}
		return
	}
	s.regs[reg], s.isAligned = value{kind: entry, reg: aligned}, true
}

// called is what a call that has returned leaves.
func (s *state) called(c *convention) {
	for _, r := range c.clobbered {
		s.regs[r] = value{}
	}
}

// load is the word at an address.
func (s *state) load(at value) value {
	if at.kind == literal {
		return value{kind: constant, off: at.add}
	}
	if at.kind != entry {
		return value{}
	}
	for i := s.n - 1; i >= 0; i-- {
		w := &s.stores[i]
		if w.reg != at.reg || w.off >= at.add+8 || at.add >= w.off+int64(w.size) {
			continue
		}
		if w.off == at.add && w.size == 8 {
			return w.val
		}
		return value{}
	}
	if s.forgot && at.add < s.forgotten {
		return value{}
	}
	if at.reg == aligned {
		return value{}
	}
	return value{kind: slot, reg: at.reg, off: at.add}
}

// store writes to memory. Where an address is not known it is taken for none in which a register is saved: compilers
// keep these apart from all that a program can point to.
func (s *state) store(at value, size uint8, v value) {
	if at.kind != entry {
		return
	}
	for i := range s.stores[:s.n] {
		if w := &s.stores[i]; w.reg == at.reg && w.off == at.add && w.size == size {
			// It has to be the newest.
			copy(s.stores[i:s.n-1], s.stores[i+1:s.n])
			s.n--
			break
		}
	}
	if s.n == maxStores {
		s.forget()
	}
	s.stores[s.n] = stored{at.reg, size, at.add, v}
	s.n++
}

// forget makes room for a write, at best not of one that saves a register.
func (s *state) forget() {
	oldest := 0
	for oldest < s.n-1 && s.stores[oldest].val.kind == entry {
		oldest++
	}
	if s.stores[oldest].val.kind == entry {
		oldest = 0
	}
	w := &s.stores[oldest]
	if end := w.off + int64(w.size); !s.forgot || end > s.forgotten {
		s.forgot, s.forgotten = true, end
	}
	copy(s.stores[oldest:s.n-1], s.stores[oldest+1:s.n])
	s.n--
}

package flow

import "encoding/binary"

// Following code is decoding it, and that takes seven times as long with the decoder of all that there is. Nine of ten instructions of
// compiled code (98 % of chromium's) are among those below, and come to the same.

// x86 is an instruction that is being decoded.
type x86 struct {
	b       []byte
	at      int   // what has been read
	rex     uint8 // 0: none
	prefix  uint8 // 0x66, 0xf2 or 0xf3; 0: none
	segment bool  // another one
	short   bool  // there are not enough bytes

	// Of the ModRM byte and what is behind it.
	inReg       bool // the second operand is register rm, not memory
	reg, rm     uint8
	base        uint8 // DWARF number; noReg: none, or the instruction's address
	index, here bool
	scale       uint8
	disp        int64
}

func (d *x86) byte() uint8 {
	if d.at >= len(d.b) {
		d.short = true
		return 0
	}
	d.at++
	return d.b[d.at-1]
}

// signed reads a number of 1 or 4 bytes.
func (d *x86) signed(size int) int64 {
	if size == 1 {
		return int64(int8(d.byte()))
	}
	if d.at+4 > len(d.b) {
		d.short = true
		return 0
	}
	d.at += 4
	return int64(int32(binary.LittleEndian.Uint32(d.b[d.at-4:])))
}

func (d *x86) wide() bool { return d.rex&8 != 0 }

// size is that of an operand which is no single byte.
func (d *x86) size() uint8 {
	switch {
	case d.wide():
		return 8
	case d.prefix == 0x66:
		return 2
	}
	return 4
}

// modRM reads what says which operands there are (Intel SDM, volume 2, 2.1.3 and 2.2.1).
func (d *x86) modRM() {
	m := d.byte()
	d.reg, d.rm = m>>3&7|d.rex&4<<1, m&7|d.rex&1<<3
	mod := m >> 6
	if mod == 3 {
		d.inReg = true
		return
	}
	d.base = dwarfOfX86[d.rm]
	switch {
	case m&7 == 4:
		sib := d.byte()
		d.index = sib>>3&7|d.rex&2<<2 != 4
		d.scale = 1 << (sib >> 6)
		d.base = dwarfOfX86[sib&7|d.rex&1<<3]
		if sib&7 == 5 && mod == 0 {
			d.base = noReg
			d.disp = d.signed(4)
		}
	case m&7 == 5 && mod == 0:
		d.base, d.here = noReg, true
		d.disp = d.signed(4)
	}
	switch mod {
	case 1:
		d.disp = d.signed(1)
	case 2:
		d.disp = d.signed(4)
	}
}

// plain reports whether the memory is at a constant distance from a register.
func (d *x86) plain() bool { return !d.inReg && d.base != noReg && !d.index && !d.segment }

// element reports whether the memory is an element of so many bytes of a table.
func (d *x86) element(size uint8) bool {
	return !d.inReg && d.index && d.scale == size && !d.segment
}

// byteReg is the register that a byte is part of, and whether it is its lowest.
func (d *x86) byteReg(n uint8) (reg uint8, lowest bool) {
	if d.rex == 0 && n >= 4 {
		return dwarfOfX86[n-4], false
	}
	return dwarfOfX86[n], true
}

// general is the register with that number, as an operand of that size.
func (d *x86) general(n, size uint8) uint8 {
	if size == 1 {
		reg, _ := d.byteReg(n)
		return reg
	}
	return dwarfOfX86[n]
}

// writesRM: the second operand becomes something.
func (d *x86) writesRM(in *insn, size uint8) {
	switch {
	case d.inReg:
		in.lose(d.general(d.rm, size))
	case d.plain():
		in.add(effect{kind: store, dst: d.base, src: noReg, size: size, imm: d.disp})
	}
}

// fastX86 decodes an instruction if it is a common one. Otherwise it reports false, and in is as it was.
//
// Precondition: in is empty.
func fastX86(b []byte, in *insn) bool {
	d := x86{b: b}
	if !d.decode(in) || d.short {
		*in = insn{reg: noReg}
		return false
	}
	in.size = uint8(d.at)
	if in.kind == unknown {
		in.kind = plain
	}
	return true
}

func (d *x86) decode(in *insn) bool {
	op := d.byte()
	switch op {
	case 0x66, 0xf2, 0xf3:
		d.prefix = op
		op = d.byte()
	case 0x64: // FS
		d.segment = true
		op = d.byte()
	}
	if op&0xf0 == 0x40 {
		d.rex = op
		op = d.byte()
	}
	switch {
	case d.prefix == 0x66 && d.wide():
		return false
	case op == 0x0f:
		return d.twoBytes(in, d.byte())
	case d.prefix == 0xf2 || d.prefix == 0xf3:
		return false
	case op < 0x40:
		return d.arithmetic(in, op>>3, op&7)
	case op >= 0x50 && op < 0x60 || op >= 0x70 && op < 0x80 || op >= 0xb0 && op < 0xc0 || op >= 0xe8:
		return d.prefix == 0 && !d.segment && d.withoutModRM(in, op)
	}
	switch op {
	case 0x63: // MOVSXD
		if d.modRM(); !d.wide() {
			return false
		}
		if d.element(4) {
			in.add(effect{kind: lookUp, dst: dwarfOfX86[d.reg], src: d.base, size: 4 | elementSigned, imm: d.disp})
		} else {
			in.lose(dwarfOfX86[d.reg])
		}
	case 0x80, 0x81, 0x83:
		d.modRM()
		return d.withImmediate(in, op)
	case 0x84, 0x85: // TEST
		d.modRM()
	case 0x88, 0x89, 0x8a, 0x8b:
		d.modRM()
		d.move(in, op)
	case 0x8d:
		if d.modRM(); d.inReg || d.segment {
			return false
		}
		d.address(in)
	case 0xc6, 0xc7:
		return d.moveImmediate(in, op)
	case 0xc0, 0xc1, 0xd0, 0xd1, 0xd2, 0xd3: // shifts
		if d.modRM(); op < 0xd0 {
			d.byte()
		}
		if d.reg&7 == 6 {
			return false
		}
		d.writesRM(in, d.sizeOf(op))
	default:
		return d.prefix == 0 && !d.segment && d.withoutModRM(in, op)
	}
	return true
}

// sizeOf is the size of the operands of an instruction whose lowest bit says whether that is one byte.
func (d *x86) sizeOf(op uint8) uint8 {
	if op&1 == 0 {
		return 1
	}
	return d.size()
}

// The operations of arithmetic, by number.
const (
	opAdd = 0
	opAnd = 4
	opSub = 5
	opXor = 6
	opCmp = 7
)

// arithmetic is for those with two operands, or with RAX and a constant.
func (d *x86) arithmetic(in *insn, what, form uint8) bool {
	size := d.sizeOf(form)
	var dst, src uint8 // numbers of registers
	switch form {
	case 0, 1:
		if d.modRM(); !d.inReg {
			if what != opCmp {
				d.writesRM(in, size)
			}
			return true
		}
		dst, src = d.rm, d.reg
	case 2, 3:
		d.modRM()
		dst, src = d.reg, d.rm
	case 4:
		if d.signed(1); what != opCmp {
			in.lose(x86RAX)
		}
		return true
	case 5:
		if d.prefix != 0 {
			return false
		}
		d.inReg = true
		d.constant(in, what, d.signed(4))
		return true
	default:
		return false
	}
	switch {
	case what == opCmp:
	case what == opAdd && size == 8 && d.inReg:
		in.add(effect{kind: sum, dst: dwarfOfX86[dst], src: dwarfOfX86[src], imm: int64(dwarfOfX86[dst])})
	case what == opXor && size >= 4 && d.inReg && dst == src:
		in.add(effect{kind: konst, dst: dwarfOfX86[dst]})
	default:
		in.lose(d.general(dst, size))
	}
	return true
}

// withImmediate is for arithmetic with a constant.
func (d *x86) withImmediate(in *insn, op uint8) bool {
	what, immediate := d.reg&7, 4
	switch {
	case op != 0x81:
		immediate = 1
	case d.prefix != 0:
		return false
	}
	imm := d.signed(immediate)
	if op != 0x80 && d.inReg {
		d.constant(in, what, imm)
	} else if what != opCmp {
		d.writesRM(in, d.sizeOf(op))
	}
	return true
}

// constant is for arithmetic of register rm with a constant.
func (d *x86) constant(in *insn, what uint8, imm int64) {
	dst := dwarfOfX86[d.rm]
	switch {
	case what == opCmp:
	case what == opAdd && d.wide():
		in.add(effect{kind: set, dst: dst, src: dst, imm: imm})
	case what == opSub && d.wide():
		in.add(effect{kind: set, dst: dst, src: dst, imm: -imm})
	case what == opAnd && d.wide() && dst == x86RSP && imm < 0:
		in.add(effect{kind: align, dst: dst})
	default:
		in.lose(dst)
	}
}

func (d *x86) move(in *insn, op uint8) {
	size := d.sizeOf(op)
	reg := d.general(d.reg, size)
	toReg := op >= 0x8a
	switch {
	case size == 8 && d.inReg && toReg:
		in.add(effect{kind: set, dst: reg, src: dwarfOfX86[d.rm]})
	case size == 8 && d.inReg:
		in.add(effect{kind: set, dst: dwarfOfX86[d.rm], src: reg})
	case size == 8 && toReg && d.element(8):
		in.add(effect{kind: lookUp, dst: reg, src: d.base, size: 8, imm: d.disp})
	case size == 8 && toReg && d.plain():
		in.add(effect{kind: load, dst: reg, src: d.base, imm: d.disp})
	case size == 8 && !toReg && d.plain():
		in.add(effect{kind: store, dst: d.base, src: reg, size: 8, imm: d.disp})
	case toReg:
		in.lose(reg)
	default:
		d.writesRM(in, size)
	}
}

func (d *x86) moveImmediate(in *insn, op uint8) bool {
	d.modRM()
	if d.reg&7 != 0 || d.prefix != 0 {
		return false
	}
	if !d.inReg {
		d.signed(int(1 + 3*(op&1)))
		d.writesRM(in, d.sizeOf(op))
		return true
	}
	if op == 0xc6 {
		return d.moveByte(in, d.rm)
	}
	d.moveConstant(in, d.signed(4))
	return true
}

// moveByte is for a constant that becomes a byte of a register.
func (d *x86) moveByte(in *insn, n uint8) bool {
	imm := int64(d.byte())
	if reg, lowest := d.byteReg(n); lowest {
		in.add(effect{kind: lowByte, dst: reg, imm: imm})
	} else {
		in.lose(reg)
	}
	return true
}

// moveConstant is for one that becomes all of register rm.
func (d *x86) moveConstant(in *insn, imm int64) {
	if !d.wide() {
		imm = int64(uint32(imm))
	}
	in.add(effect{kind: konst, dst: dwarfOfX86[d.rm], imm: imm})
}

// address is for LEA.
func (d *x86) address(in *insn) {
	dst := dwarfOfX86[d.reg]
	switch {
	case d.wide() && d.here:
		in.add(effect{kind: here, dst: dst, imm: int64(d.at) + d.disp})
	case d.wide() && d.plain():
		in.add(effect{kind: set, dst: dst, src: d.base, imm: d.disp})
	default:
		in.lose(dst)
	}
}

// withoutModRM is for instructions without a prefix, most of which have no ModRM byte.
func (d *x86) withoutModRM(in *insn, op uint8) bool {
	low := dwarfOfX86[op&7|d.rex&1<<3]
	switch {
	case op >= 0x50 && op < 0x58:
		if low == x86RSP {
			low = noReg
		}
		pushX86(in, low)
	case op >= 0x58 && op < 0x60:
		in.add(effect{kind: load, dst: low, src: x86RSP})
		if low != x86RSP {
			in.add(effect{kind: set, dst: x86RSP, src: x86RSP, imm: 8})
		}
	case op >= 0x70 && op < 0x80:
		in.kind, in.target = branch, d.signed(1)
		in.target += int64(d.at)
	case op >= 0xb0 && op < 0xb8:
		return d.moveByte(in, op&7|d.rex&1<<3)
	case op >= 0xb8 && op < 0xc0:
		if d.wide() {
			return false
		}
		d.rm = op&7 | d.rex&1<<3
		d.moveConstant(in, d.signed(4))
	case op == 0x68 || op == 0x6a:
		d.signed(int(1 + 3*(1-op>>1&1)))
		pushX86(in, noReg)
	case op == 0x90:
		return d.rex == 0
	case op == 0xa8 || op == 0xa9: // TEST
		d.signed(int(1 + 3*(op&1)))
	case op == 0xc3:
		in.kind = ret
	case op == 0xc9: // LEAVE
		in.add(effect{kind: set, dst: x86RSP, src: x86RBP})
		in.add(effect{kind: load, dst: x86RBP, src: x86RSP})
		in.add(effect{kind: set, dst: x86RSP, src: x86RSP, imm: 8})
	case op == 0xcc: // INT3
		in.kind = stop
	case op == 0xe8 || op == 0xe9 || op == 0xeb:
		d.goes(in, op)
	case op == 0xf6 || op == 0xf7:
		d.modRM()
		return d.unary(in, op)
	case op == 0xfe || op == 0xff:
		d.modRM()
		return d.group(in, op)
	default:
		return false
	}
	return true
}

// goes is for direct jumps and calls.
func (d *x86) goes(in *insn, op uint8) {
	rel := d.signed(int(4 - 3*(op>>1&1)))
	in.kind = jump
	if op == 0xe8 {
		in.kind = call
		if rel == 0 { // how old code asks where it is
			in.kind = plain
			pushX86(in, noReg)
		}
	}
	in.target = int64(d.at) + rel
}

// unary is for TEST, NOT, NEG, and for what multiplies and divides RAX.
func (d *x86) unary(in *insn, op uint8) bool {
	switch d.reg & 7 {
	case 0:
		d.signed(int(1 + 3*(op&1)))
	case 1:
		return false
	case 2, 3:
		d.writesRM(in, d.sizeOf(op))
	default:
		d.writesRM(in, d.sizeOf(op))
		in.lose(x86RAX)
		in.lose(x86RDX)
	}
	return true
}

// group is for INC, DEC, and calls and jumps to where a register or memory says.
func (d *x86) group(in *insn, op uint8) bool {
	what := d.reg & 7
	switch {
	case what < 2:
		d.writesRM(in, d.sizeOf(op))
		return true
	case op == 0xff && (what == 2 || what == 4):
	default:
		return false
	}
	if in.kind = jumpFar; what == 2 {
		in.kind = callFar
	}
	switch {
	case d.inReg:
		in.reg = dwarfOfX86[d.rm]
	case d.here:
		in.mem, in.target = true, int64(d.at)+d.disp
	case d.element(8):
		in.table, in.reg, in.target = true, d.base, d.disp
	}
	return true
}

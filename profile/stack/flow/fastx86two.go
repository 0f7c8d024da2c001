package flow

// twoBytes is for instructions of two bytes.
func (d *x86) twoBytes(in *insn, op uint8) bool {
	if d.prefix == 0 && !d.segment {
		switch {
		case op == 0x05: // SYSCALL
			in.kind = syscall
			in.lose(x86RAX)
			in.lose(x86RCX)
			in.lose(11)
			return true
		case op == 0x0b: // UD2
			in.kind = stop
			return true
		case op >= 0x80 && op < 0x90:
			in.kind, in.target = branch, d.signed(4)
			in.target += int64(d.at)
			return true
		}
	}
	if d.prefix < 0xf2 && !d.segment {
		switch {
		case op == 0x1f: // NOP
			d.modRM()
			return d.reg == 0 && !d.wide() // as the other decoder has it
		case op >= 0x40 && op < 0x50, op >= 0xb6 && op < 0xb8, op >= 0xbe && op < 0xc0: // CMOVcc, MOVZX, MOVSX
			d.modRM()
			in.lose(dwarfOfX86[d.reg])
			return true
		case op >= 0x90 && op < 0xa0: // SETcc
			d.modRM()
			d.writesRM(in, 1)
			return d.prefix == 0
		case op == 0xa3: // BT
			d.modRM()
			return true
		case op == 0xaf: // IMUL
			d.modRM()
			in.lose(dwarfOfX86[d.reg])
			in.lose(x86RAX)
			in.lose(x86RDX)
			return true
		}
	}
	return d.vector(in, op)
}

// vectors are the instructions of two bytes that write a vector register, or compare two, whatever prefix they have of those that
// are in the bits: 1 for none, 2 for 0x66, 4 for 0xf2 and 8 for 0xf3.
var vectors = [256]uint8{
	0x10: 15, 0x14: 3, 0x28: 3, 0x2a: 12, 0x2e: 3, 0x2f: 3,
	0x51: 15, 0x54: 3, 0x55: 3, 0x56: 3, 0x57: 3, 0x58: 15, 0x59: 15, 0x5a: 15, 0x5b: 11, 0x5c: 15, 0x5d: 15, 0x5e: 15, 0x5f: 15,
	0x60: 2, 0x61: 2, 0x62: 2, 0x6c: 2, 0x6d: 2, 0x6e: 2, 0x6f: 10, 0x74: 2, 0x75: 2, 0x76: 2, 0x7e: 8,
	0xd4: 2, 0xdb: 2, 0xdf: 2, 0xeb: 2, 0xef: 2, 0xf4: 2, 0xfa: 2, 0xfb: 2, 0xfc: 2, 0xfd: 2, 0xfe: 2,
}

// vectorStores are those that write memory, with the same bits.
var vectorStores = [256]uint8{0x11: 15, 0x29: 3, 0x7f: 10, 0xd6: 2, 0x13: 3, 0x17: 3}

func (d *x86) vector(in *insn, op uint8) bool {
	bit := uint8(1)
	switch d.prefix {
	case 0x66:
		bit = 2
	case 0xf2:
		bit = 4
	case 0xf3:
		bit = 8
	}
	switch {
	case vectors[op]&bit != 0:
		d.modRM()
		return true
	case vectorStores[op]&bit == 0:
		return false
	}
	d.modRM()
	size := uint8(16)
	switch {
	case op == 0x11 && bit == 8:
		size = 4
	case op == 0x11 && bit == 4, op == 0xd6, op == 0x13, op == 0x17:
		size = 8
	}
	if d.inReg {
		return op == 0x11 || op == 0x29 || op == 0x7f
	}
	d.writesRM(in, size)
	return true
}

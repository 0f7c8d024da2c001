package flow

// Instructions with the prefixes VEX and EVEX (Intel SDM, 2.3 and 2.7) compute with vectors, or are of the kind that has
// three operands. None jumps or moves the stack pointer, so their length and the general registers that a few of
// them write are all that matters. The decoder is wrong about the length of some (VZEROUPPER), so that is not left
// to it.
const (
	vex2 = 0xc5
	vex3 = 0xc4
	evex = 0x62
)

// isVEX reports whether b begins with such a prefix, which in 64-bit mode is nothing else.
func isVEX(b []byte) bool { return b[0] == vex2 || b[0] == vex3 || b[0] == evex }

// decodeVEX decodes such an instruction.
func decodeVEX(b []byte, in *insn) {
	var opcodes, op int
	var third byte // the register that is named in the prefix, inverted
	switch {
	case b[0] == vex2 && len(b) >= 4:
		opcodes, third, op = 1, b[1], 2
	case b[0] == vex3 && len(b) >= 5:
		opcodes, third, op = int(b[1]&0x1f), b[2], 3
	case b[0] == evex && len(b) >= 6:
		opcodes, third, op = int(b[1]&7), b[2], 4
	case b[0] == vex2 && len(b) == 3 && b[2] == 0x77:
		in.kind, in.size = plain, 3
		return
	default:
		return
	}
	code := b[op]
	if opcodes == 1 && code == 0x77 && b[0] != evex { // VZEROUPPER, VZEROALL: the only ones without operands
		in.kind, in.size = plain, uint8(op+1)
		return
	}
	size := op + 1 + modRM(b[op+1:])
	switch opcodes {
	case 1:
		if code >= 0x70 && code <= 0x73 || code == 0xc2 || code >= 0xc4 && code <= 0xc6 {
			size++ // a constant
		}
	case 2, 5, 6:
	case 3:
		size++
	default:
		return
	}
	if size > len(b) {
		return
	}
	in.kind, in.size = plain, uint8(size)
	if writesGPR(opcodes, code) {
		high := ^b[1] >> 4 & 8 // R, inverted
		in.lose(dwarfOfX86[b[op+1]>>3&7|high])
		in.lose(dwarfOfX86[^third>>3&15])
		if b[op+1]>>6 == 3 {
			in.lose(dwarfOfX86[b[op+1]&7])
			in.lose(dwarfOfX86[b[op+1]&7|8])
		}
	}
}

// writesGPR reports whether an opcode may be that of an instruction that writes a general register: conversions, moves,
// masks, and the arithmetic on bits.
func writesGPR(opcodes int, code byte) bool {
	switch opcodes {
	case 1, 5:
		switch code {
		case 0x2c, 0x2d, 0x50, 0x78, 0x79, 0x7e, 0x93, 0xc5, 0xd7:
			return true
		}
	case 2:
		return code >= 0xf2 && code <= 0xf7
	case 3:
		return code >= 0x14 && code <= 0x17 || code == 0xf0
	}
	return false
}

// modRM is the length of an operand in memory or a register (Intel SDM, 2.1.5): the byte that b begins with and what
// follows it. It is more than b has where it is cut off.
func modRM(b []byte) int {
	mod, rm, n := b[0]>>6, b[0]&7, 1
	if mod == 3 {
		return n
	}
	if rm == 4 {
		if len(b) < 2 {
			return MaxInsn
		}
		if n++; mod == 0 && b[1]&7 == 5 {
			n += 4
		}
	}
	switch {
	case mod == 1:
		n++
	case mod == 2 || mod == 0 && rm == 5:
		n += 4
	}
	return n
}

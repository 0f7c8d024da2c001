package flow

import (
	"encoding/binary"

	"golang.org/x/arch/arm64/arm64asm"
)

// Instructions by the bits that are fixed in them (Arm Architecture Reference Manual for A-profile, C4.1). Those that go
// elsewhere, and those that move the stack pointer or words to and from the stack, are told by these; all
// others by what the decoder says that they write.
const (
	a64SP   = 31
	a64Link = 30
)

// a64Field returns n bits of an instruction, from bit at on, and a64Signed the same as a signed number.
func a64Field(x uint32, at, n uint) uint32 { return x >> at & (1<<n - 1) }

func a64Signed(x uint32, at, n uint) int64 { return int64(int32(x<<(32-at-n))) >> (32 - n) }

func decodeARM64(b []byte, in *insn) {
	*in = insn{reg: noReg}
	if len(b) < 4 {
		return
	}
	x := binary.LittleEndian.Uint32(b)
	in.kind, in.size = plain, 4
	if goesA64(x, in) || addsA64(x, in) || movesA64(x, in) || tablesA64(x, in) {
		return
	}
	i, err := arm64asm.Decode(b[:4])
	if err != nil {
		in.kind = unknown
		return
	}
	if x>>12 == 0xd5032 || x>>12 == 0xd5033 { // hints, among them those that sign return addresses, and barriers
		return
	}
	writesA64(&i, x, in)
}

// goesA64 is for the instructions that go elsewhere.
func goesA64(x uint32, in *insn) bool {
	switch {
	case x>>26 == 0x05: // B
		in.kind, in.target = jump, 4*a64Signed(x, 0, 26)
	case x>>26 == 0x25: // BL
		in.kind, in.target = call, 4*a64Signed(x, 0, 26)
	case x&0xff000000 == 0x54000000: // B.cond, BC.cond
		in.kind, in.target = branch, 4*a64Signed(x, 5, 19)
	case x&0x7e000000 == 0x34000000: // CBZ, CBNZ
		in.kind, in.target = branch, 4*a64Signed(x, 5, 19)
	case x&0x7e000000 == 0x36000000: // TBZ, TBNZ
		in.kind, in.target = branch, 4*a64Signed(x, 5, 14)
	case x == 0xd65f03c0, x == 0xd65f0bff, x == 0xd65f0fff: // RET X30, RETAA, RETAB
		in.kind = ret
	case x&0xfffffc1f == 0xd61f0000, x&0xfffff800 == 0xd61f0800, x&0xfffff800 == 0xd71f0800: // BR, BRAA, BRAB
		in.kind, in.reg = jumpFar, uint8(a64Field(x, 5, 5))
	case x&0xfffffc1f == 0xd63f0000, x&0xfffff800 == 0xd63f0800, x&0xfffff800 == 0xd73f0800: // BLR, BLRAA, BLRAB
		in.kind, in.reg = callFar, uint8(a64Field(x, 5, 5))
	case x&0xffe0001f == 0xd4000001: // SVC
		in.kind = syscall
		in.lose(0)
	case x&0xff000000 == 0xd4000000, x>>16 == 0: // BRK, HLT and the like, UDF
		in.kind = stop
	case x&0xfe000000 == 0xd6000000: // RET of another register, ERET
		in.kind = unknown
	default:
		return false
	}
	if in.reg == 31 {
		in.kind = unknown
	}
	return true
}

// addsA64 is for additions of constants, which also move to and from the stack pointer, and for constants.
func addsA64(x uint32, in *insn) bool {
	rd, rn := uint8(a64Field(x, 0, 5)), uint8(a64Field(x, 5, 5))
	switch {
	case x&0xbf800000 == 0x91000000: // ADD immediate, 64 bits, not setting flags
		// Bit 30 makes it SUB.
	case x&0xffe0ffe0 == 0xaa0003e0: // MOV of a register
		if rm := uint8(a64Field(x, 16, 5)); rd == 31 {
			return true
		} else if rm == 31 {
			in.add(effect{kind: konst, dst: rd})
		} else {
			in.add(effect{kind: set, dst: rd, src: rm})
		}
		return true
	case x&0x7f800000 == 0x52800000: // MOVZ
		if rd != 31 {
			in.add(effect{kind: konst, dst: rd, imm: int64(uint64(a64Field(x, 5, 16)) << (16 * a64Field(x, 21, 2)))})
		}
		return true
	case x&0x9f000000 == 0x90000000: // ADRP
		if rd != 31 {
			in.add(effect{kind: page, dst: rd, imm: (a64Signed(x, 5, 19)<<2 | int64(a64Field(x, 29, 2))) << 12})
		}
		return true
	case x&0x9f000000 == 0x10000000: // ADR
		if rd != 31 {
			in.add(effect{kind: here, dst: rd, imm: a64Signed(x, 5, 19)<<2 | int64(a64Field(x, 29, 2))})
		}
		return true
	default:
		return false
	}
	imm := int64(a64Field(x, 10, 12))
	if a64Field(x, 22, 1) != 0 {
		imm <<= 12
	}
	if a64Field(x, 30, 1) != 0 {
		imm = -imm
	}
	in.add(effect{kind: set, dst: rd, src: rn, imm: imm})
	return true
}

// movesA64 is for loads and stores of general registers at a constant distance from another, and for all pairs.
func movesA64(x uint32, in *insn) bool {
	rt, rn := uint8(a64Field(x, 0, 5)), uint8(a64Field(x, 5, 5))
	switch {
	case x&0x3a000000 == 0x28000000: // pairs
		opc, vector, mode, isLoad := a64Field(x, 30, 2), a64Field(x, 26, 1) != 0, a64Field(x, 23, 2), a64Field(x, 22, 1) != 0
		if opc == 3 {
			in.kind = unknown
			return true
		}
		size := int64(4) << (opc >> 1) // of W, SW, X; of S, D, Q:
		if vector {
			size = 4 << opc
		}
		at := a64Access{isLoad: isLoad, whole: size == 8 && !vector, vector: vector, size: size, rn: rn, post: mode == 1, writes: mode == 1 || mode == 3}
		at.imm = size * a64Signed(x, 15, 7)
		at.apply(in, rt, uint8(a64Field(x, 10, 5)))
	case x&0x3b200c00 == 0x38000000 || x&0x3b200c00 == 0x38000400 || x&0x3b200c00 == 0x38000c00, // unscaled, post-, pre-indexed
		x&0x3b000000 == 0x39000000: // unsigned distance
		size, vector, opc := a64Field(x, 30, 2), a64Field(x, 26, 1) != 0, a64Field(x, 22, 2)
		at := a64Access{isLoad: opc != 0, whole: size == 3 && !vector && opc <= 1, vector: vector, size: 1 << size, rn: rn}
		if vector {
			at.isLoad = opc&1 != 0
			if opc&2 != 0 {
				at.size = 16
			}
		}
		if size == 3 && opc >= 2 && !vector { // PRFM
			return true
		}
		if a64Field(x, 24, 1) != 0 {
			at.imm = int64(a64Field(x, 10, 12)) * at.size
		} else {
			at.imm = a64Signed(x, 12, 9)
			at.post, at.writes = a64Field(x, 10, 2) == 1, a64Field(x, 10, 2)&1 != 0
		}
		at.apply(in, rt)
	default:
		return false
	}
	return true
}

// tablesA64 is for what jumps by a table are made of: loads at a distance that a register says, and the addition of what was
// loaded, extended and shifted, to an address.
func tablesA64(x uint32, in *insn) bool {
	rd, rn, rm := uint8(a64Field(x, 0, 5)), uint8(a64Field(x, 5, 5)), uint8(a64Field(x, 16, 5))
	if rd == 31 {
		return false
	}
	switch {
	case x&0x3f200c00 == 0x38200800 && a64Field(x, 22, 2) != 0: // a load with an offset in a register
		size, opc := uint8(a64Field(x, 30, 2)), a64Field(x, 22, 2)
		if rn == 31 || size > 0 && a64Field(x, 12, 1) == 0 || size == 3 && opc != 1 {
			return false
		}
		shape := uint8(1) << size
		if opc >= 2 || size == 3 {
			shape |= elementSigned
		}
		in.add(effect{kind: lookUp, dst: rd, src: rn, size: shape})
	case x&0xffe00000 == 0x8b200000 && rn != 31 && rm != 31: // ADD of an extended register
		option, shift := a64Field(x, 13, 3), uint8(a64Field(x, 10, 3))
		shape := shift << elementShift
		if option >= 4 {
			shape |= elementSigned
		}
		in.add(effect{kind: sum, dst: rd, src: rm, size: shape, imm: int64(rn)})
	case x&0xffe00000 == 0x8b000000 && a64Field(x, 10, 6) <= 3 && rn != 31 && rm != 31: // ADD of a shifted register
		in.add(effect{kind: sum, dst: rd, src: rm, size: uint8(a64Field(x, 10, 6)) << elementShift, imm: int64(rn)})
	default:
		return false
	}
	return true
}

// a64Access is a load or store.
type a64Access struct {
	isLoad, whole, vector bool
	size                  int64 // of each register
	rn                    uint8
	imm                   int64
	post                  bool // the base is changed afterwards
	writes                bool // it is changed
}

func (a *a64Access) apply(in *insn, regs ...uint8) {
	imm := a.imm
	if a.writes && !a.post {
		in.add(effect{kind: set, dst: a.rn, src: a.rn, imm: a.imm})
		imm = 0
	} else if a.post {
		imm = 0
	}
	for i, r := range regs {
		off := imm + int64(i)*a.size
		switch {
		case a.isLoad && a.vector, a.isLoad && r == 31:
		case a.isLoad && r == a.rn: // only the last of a pair may be
			if len(regs) > 1 && i == 0 || a.writes {
				in.kind = unknown
				return
			}
			fallthrough
		case a.isLoad && a.whole:
			if a.whole {
				in.add(effect{kind: load, dst: r, src: a.rn, imm: off})
			} else {
				in.lose(r)
			}
		case a.isLoad:
			in.lose(r)
		case a.whole && r != 31:
			in.add(effect{kind: store, dst: a.rn, src: r, size: 8, imm: off})
		default:
			in.add(effect{kind: store, dst: a.rn, src: noReg, size: uint8(a.size), imm: off})
		}
	}
	if a.post {
		in.add(effect{kind: set, dst: a.rn, src: a.rn, imm: a.imm})
	}
}

// writesA64 takes an instruction to write the first of its operands, if that is a general register, and what is
// addressed by a register that it changes.
func writesA64(i *arm64asm.Inst, x uint32, in *insn) {
	switch a := i.Args[0].(type) {
	case arm64asm.Reg:
		switch {
		case a >= arm64asm.X0 && a <= arm64asm.X30:
			in.lose(uint8(a - arm64asm.X0))
		case a >= arm64asm.W0 && a <= arm64asm.W30:
			in.lose(uint8(a - arm64asm.W0))
		}
	case arm64asm.RegSP:
		if n := arm64asm.Reg(a); n >= arm64asm.X0 && n <= arm64asm.X30 || n == arm64asm.XZR {
			in.lose(uint8(min(n-arm64asm.X0, a64SP)))
		}
		if n := arm64asm.Reg(a); n >= arm64asm.W0 && n <= arm64asm.WZR {
			in.lose(uint8(min(n-arm64asm.W0, a64SP)))
		}
	}
	// Atomic and exclusive accesses write another register than the first; nothing that is saved is kept in
	// these, so whichever they name is lost.
	if x&0x3f000000 == 0x08000000 || x&0x3b200c00 == 0x38200000 {
		for _, at := range []uint{0, 10, 16} {
			if r := uint8(a64Field(x, at, 5)); r != a64SP {
				in.lose(r)
			}
		}
	}
	if x&0xbe000000 == 0x0c000000 && a64Field(x, 23, 1) != 0 { // LD1 and the like of vectors, and the base is changed
		in.lose(uint8(a64Field(x, 5, 5)))
	}
}

package flow

import "golang.org/x/arch/x86/x86asm"

// dwarfOfX86 is the DWARF number of each register in the order of its encoding (System V psABI AMD64, figure 3.36).
var dwarfOfX86 = [16]uint8{0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15}

const (
	x86RAX, x86RDX, x86RCX, x86RBX, x86RSI, x86RDI, x86RBP, x86RSP = 0, 1, 2, 3, 4, 5, 6, 7
)

// gpr returns the general register that r is, or is part of, and how many bytes of it.
func gpr(r x86asm.Reg) (reg, size uint8, ok bool) {
	for _, set := range [...]struct {
		first, last x86asm.Reg
		size        uint8
	}{
		{x86asm.RAX, x86asm.R15, 8}, {x86asm.EAX, x86asm.R15L, 4}, {x86asm.AX, x86asm.R15W, 2},
	} {
		if r >= set.first && r <= set.last {
			return dwarfOfX86[r-set.first], set.size, true
		}
	}
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return dwarfOfX86[r-x86asm.AL], 1, true
	case r >= x86asm.AH && r <= x86asm.BH:
		return dwarfOfX86[r-x86asm.AH], 1, true
	case r >= x86asm.SPB && r <= x86asm.DIB:
		return dwarfOfX86[r-x86asm.SPB+4], 1, true
	case r >= x86asm.R8B && r <= x86asm.R15B:
		return dwarfOfX86[r-x86asm.R8B+8], 1, true
	}
	return noReg, 0, false
}

// hint is the length of an instruction at the start of b that does nothing here and that the decoder does not know:
// ENDBR64 and RDSSPQ, which are for shadow stacks (Intel SDM, CET), and is a NOP where there are none. 0: it is another.
func hint(b []byte) uint8 {
	switch {
	case len(b) >= 4 && b[0] == 0xf3 && b[1] == 0x0f && b[2] == 0x1e && b[3] >= 0xc0:
		return 4
	case len(b) >= 5 && b[0] == 0xf3 && b[1]&0xf8 == 0x48 && b[2] == 0x0f && b[3] == 0x1e && b[4] >= 0xc0:
		return 5
	}
	return 0
}

func decodeX86(b []byte, in *insn) {
	*in = insn{reg: noReg}
	if n := hint(b); n > 0 {
		in.kind, in.size = plain, n
		switch {
		case n == 5: // RDSSPQ writes its register, or leaves it
			in.lose(dwarfOfX86[b[4]&7|b[1]&1<<3])
		case b[3]&0xf8 == 0xc8: // RDSSPD
			in.lose(dwarfOfX86[b[3]&7])
		}
		return
	}
	if isVEX(b) {
		decodeVEX(b, in)
		return
	}
	if fastX86(b, in) {
		return
	}
	slowX86(b, in)
}

// slowX86 decodes whatever instruction there is.
func slowX86(b []byte, in *insn) {
	x, err := x86asm.Decode(b, 64)
	if err != nil || x.Op == 0 || x.Len == 0 {
		return
	}
	in.kind, in.size = plain, uint8(x.Len)
	if goesX86(&x, in) {
		return
	}
	doesX86(&x, in)
}

// goesX86 is for the instructions that go elsewhere. It reports false for the others.
func goesX86(x *x86asm.Inst, in *insn) bool {
	rel, direct := x.Args[0].(x86asm.Rel)
	target := int64(x.Len) + int64(rel)
	switch x.Op {
	case x86asm.RET:
		if in.kind = ret; x.Args[0] != nil { // it also drops arguments, which no convention of Linux does
			in.kind = unknown
		}
	case x86asm.JMP, x86asm.CALL:
		in.kind, in.target = jump, target
		if x.Op == x86asm.CALL {
			in.kind = call
		}
		switch {
		case direct && x.Op == x86asm.CALL && rel == 0: // how old code asks where it is
			in.kind = plain
			pushX86(in, noReg)
		case direct && hasPrefix(x, x86asm.PrefixDataSize): // its operand's size depends on the processor's maker
			in.kind = unknown
		case !direct:
			in.kind = jumpFar
			if x.Op == x86asm.CALL {
				in.kind = callFar
			}
			in.target = 0
			switch arg := x.Args[0].(type) {
			case x86asm.Reg:
				in.reg, _, _ = gpr(arg)
			case x86asm.Mem:
				if arg.Base == x86asm.RIP && arg.Index == 0 {
					in.mem, in.target = true, int64(x.Len)+arg.Disp
				} else if base, ok := tableX86(arg, x, 8); ok {
					in.table, in.reg, in.target = true, base, arg.Disp
				}
			}
		}
	case x86asm.HLT, x86asm.UD0, x86asm.UD1, x86asm.UD2:
		in.kind = stop
	case x86asm.INT:
		if imm, ok := x.Args[0].(x86asm.Imm); ok && imm == 3 {
			in.kind = stop
		} else {
			in.kind = syscall
			in.lose(x86RAX)
		}
	case x86asm.SYSCALL:
		in.kind = syscall
		in.lose(x86RAX)
		in.lose(x86RCX)
		in.lose(11)
	case x86asm.IRET, x86asm.IRETD, x86asm.IRETQ, x86asm.LRET, x86asm.SYSRET, x86asm.SYSEXIT, x86asm.LCALL, x86asm.LJMP,
		x86asm.ENTER, x86asm.XABORT, x86asm.XEND, x86asm.SYSENTER, x86asm.INTO:
		in.kind = unknown
	default:
		if !direct {
			return false
		}
		in.kind, in.target = branch, target // all others with such an operand
		if x.Op == x86asm.LOOP || x.Op == x86asm.LOOPE || x.Op == x86asm.LOOPNE {
			in.lose(x86RCX)
		}
	}
	return true
}

func hasPrefix(x *x86asm.Inst, p x86asm.Prefix) bool {
	for _, have := range x.Prefix {
		if have&0xff == p {
			return true
		}
	}
	return false
}

// pushX86 pushes a register, or something that is not known.
func pushX86(in *insn, reg uint8) {
	in.add(effect{kind: store, dst: x86RSP, src: reg, size: 8, imm: -8})
	in.add(effect{kind: set, dst: x86RSP, src: x86RSP, imm: -8})
}

// doesX86 is for the instructions that do not jump.
func doesX86(x *x86asm.Inst, in *insn) {
	var dst, src uint8 = noReg, noReg
	var dstSize, srcSize uint8
	if r, ok := x.Args[0].(x86asm.Reg); ok {
		dst, dstSize, _ = gpr(r)
	}
	if r, ok := x.Args[1].(x86asm.Reg); ok {
		src, srcSize, _ = gpr(r)
	}
	imm, isImm := x.Args[1].(x86asm.Imm)
	whole := dst != noReg && dstSize == 8
	switch x.Op {
	case x86asm.NOP, x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.PAUSE, x86asm.PREFETCHT0, x86asm.PREFETCHT1,
		x86asm.PREFETCHT2, x86asm.PREFETCHNTA, x86asm.PREFETCHW, x86asm.LFENCE, x86asm.MFENCE, x86asm.SFENCE:
		return
	case x86asm.PUSH:
		if hasPrefix(x, x86asm.PrefixDataSize) {
			in.kind = unknown
			return
		}
		if dst == x86RSP { // the value before
			dst = noReg
		}
		pushX86(in, dst)
		return
	case x86asm.PUSHFQ:
		pushX86(in, noReg)
		return
	case x86asm.PUSHF, x86asm.PUSHFD, x86asm.POPF, x86asm.POPFD:
		in.kind = unknown
		return
	case x86asm.POP, x86asm.POPFQ:
		if hasPrefix(x, x86asm.PrefixDataSize) || x.Op == x86asm.POP && !whole {
			in.kind = unknown
			return
		}
		if dst == x86RSP {
			in.add(effect{kind: load, dst: x86RSP, src: x86RSP})
			return
		}
		if x.Op == x86asm.POP {
			in.add(effect{kind: load, dst: dst, src: x86RSP})
		}
		in.add(effect{kind: set, dst: x86RSP, src: x86RSP, imm: 8})
		return
	case x86asm.LEAVE:
		if hasPrefix(x, x86asm.PrefixDataSize) {
			in.kind = unknown
			return
		}
		in.add(effect{kind: set, dst: x86RSP, src: x86RBP})
		in.add(effect{kind: load, dst: x86RBP, src: x86RSP})
		in.add(effect{kind: set, dst: x86RSP, src: x86RSP, imm: 8})
		return
	case x86asm.ADD:
		if whole && isImm {
			in.add(effect{kind: set, dst: dst, src: dst, imm: int64(imm)})
			return
		}
		if whole && src != noReg && srcSize == 8 {
			in.add(effect{kind: sum, dst: dst, src: src, imm: int64(dst)})
			return
		}
	case x86asm.MOVSXD:
		if m, ok := x.Args[1].(x86asm.Mem); ok && whole {
			if base, ok := tableX86(m, x, 4); ok {
				in.add(effect{kind: lookUp, dst: dst, src: base, size: 4 | elementSigned, imm: m.Disp})
				return
			}
		}
	case x86asm.SUB:
		if whole && isImm {
			in.add(effect{kind: set, dst: dst, src: dst, imm: -int64(imm)})
			return
		}
	case x86asm.AND:
		if dst == x86RSP && whole && isImm && imm < 0 {
			in.add(effect{kind: align, dst: dst})
			return
		}
	case x86asm.XOR:
		if dst != noReg && dst == src && dstSize >= 4 && srcSize == dstSize {
			in.add(effect{kind: konst, dst: dst})
			return
		}
	case x86asm.LEA:
		if m, ok := x.Args[1].(x86asm.Mem); ok && whole && m.Index == 0 && x.AddrSize == 64 {
			if m.Base == x86asm.RIP {
				in.add(effect{kind: here, dst: dst, imm: int64(x.Len) + m.Disp})
				return
			}
			if base, size, ok := gpr(m.Base); ok && size == 8 {
				in.add(effect{kind: set, dst: dst, src: base, imm: m.Disp})
				return
			}
		}
	case x86asm.MOV:
		if movX86(x, in, dst, dstSize, src, srcSize) {
			return
		}
	}
	othersX86(x, in)
}

// movX86 is for the moves of whole words, and of constants. It reports false for the others.
func movX86(x *x86asm.Inst, in *insn, dst, dstSize, src, srcSize uint8) bool {
	if imm, ok := x.Args[1].(x86asm.Imm); ok && dst != noReg && dstSize >= 4 {
		v := int64(imm)
		if dstSize == 4 {
			v = int64(uint32(v))
		}
		in.add(effect{kind: konst, dst: dst, imm: v})
		return true
	}
	if imm, ok := x.Args[1].(x86asm.Imm); ok && dstSize == 1 {
		if r := x.Args[0].(x86asm.Reg); r < x86asm.AH || r > x86asm.BH {
			in.add(effect{kind: lowByte, dst: dst, imm: int64(imm)})
			return true
		}
	}
	if dst != noReg && src != noReg && dstSize == 8 && srcSize == 8 {
		in.add(effect{kind: set, dst: dst, src: src})
		return true
	}
	if m, ok := x.Args[1].(x86asm.Mem); ok && dst != noReg && dstSize == 8 {
		if base, ok := tableX86(m, x, 8); ok {
			in.add(effect{kind: lookUp, dst: dst, src: base, size: 8, imm: m.Disp})
			return true
		}
	}
	if base, off, ok := plainMem(x.Args[1], x); ok && dstSize == 8 {
		in.add(effect{kind: load, dst: dst, src: base, imm: off})
		return true
	}
	if base, off, ok := plainMem(x.Args[0], x); ok && src != noReg && srcSize == 8 {
		in.add(effect{kind: store, dst: base, src: src, size: 8, imm: off})
		return true
	}
	return false
}

// plainMem is a memory operand at a constant distance from a register.
func plainMem(a x86asm.Arg, x *x86asm.Inst) (base uint8, off int64, ok bool) {
	m, ok := a.(x86asm.Mem)
	if !ok || m.Index != 0 || x.AddrSize != 64 || m.Segment == x86asm.FS || m.Segment == x86asm.GS {
		return 0, 0, false
	}
	base, size, ok := gpr(m.Base)
	return base, m.Disp, ok && size == 8
}

// tableX86 is an operand in a table whose elements have so many bytes. base is the register that it begins at, before the
// distance, or noReg.
func tableX86(m x86asm.Mem, x *x86asm.Inst, size uint8) (base uint8, ok bool) {
	if m.Index == 0 || m.Scale != size || x.AddrSize != 64 || m.Segment == x86asm.FS || m.Segment == x86asm.GS {
		return noReg, false
	}
	if m.Base == 0 {
		return noReg, true
	}
	base, bytes, ok := gpr(m.Base)
	return base, ok && bytes == 8
}

// othersX86 assumes the worst of an instruction: it writes all its operands, and the registers that some use without
// naming them.
func othersX86(x *x86asm.Inst, in *insn) {
	for i, a := range x.Args {
		if a == nil {
			break
		}
		if r, ok := a.(x86asm.Reg); ok && (i == 0 || x.Op == x86asm.XCHG || x.Op == x86asm.XADD || x.Op == x86asm.MULX) {
			if reg, _, ok := gpr(r); ok {
				in.lose(reg)
			}
		}
	}
	if base, off, ok := plainMem(x.Args[0], x); ok && x.MemBytes > 0 {
		in.add(effect{kind: store, dst: base, src: noReg, size: uint8(min(x.MemBytes, 255)), imm: off})
	}
	switch x.Op {
	case x86asm.MUL, x86asm.DIV, x86asm.IDIV, x86asm.IMUL, x86asm.CMPXCHG, x86asm.CMPXCHG8B, x86asm.CMPXCHG16B,
		x86asm.CDQ, x86asm.CQO, x86asm.CWD, x86asm.CBW, x86asm.CWDE, x86asm.CDQE, x86asm.RDTSC, x86asm.RDPMC,
		x86asm.RDMSR, x86asm.XGETBV, x86asm.LAHF, x86asm.IN, x86asm.XLATB:
		in.lose(x86RAX)
		in.lose(x86RDX)
	case x86asm.RDTSCP:
		in.lose(x86RAX)
		in.lose(x86RDX)
		in.lose(x86RCX)
	case x86asm.PCMPESTRI, x86asm.PCMPISTRI, x86asm.VPCMPESTRI, x86asm.VPCMPISTRI:
		in.lose(x86RCX)
	case x86asm.CPUID:
		in.lose(x86RAX)
		in.lose(x86RBX)
		in.lose(x86RCX)
		in.lose(x86RDX)
	case x86asm.MOVSB, x86asm.MOVSW, x86asm.MOVSQ, x86asm.STOSB, x86asm.STOSW, x86asm.STOSD, x86asm.STOSQ,
		x86asm.LODSB, x86asm.LODSW, x86asm.LODSD, x86asm.LODSQ, x86asm.SCASB, x86asm.SCASW, x86asm.SCASD, x86asm.SCASQ,
		x86asm.CMPSB, x86asm.CMPSW, x86asm.CMPSQ:
		in.lose(x86RAX)
		in.lose(x86RCX)
		in.lose(x86RSI)
		in.lose(x86RDI)
	case x86asm.MOVSD, x86asm.CMPSD: // of strings, if without a register
		if _, ok := x.Args[0].(x86asm.Mem); ok {
			in.lose(x86RCX)
			in.lose(x86RSI)
			in.lose(x86RDI)
		}
	}
}

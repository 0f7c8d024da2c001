package stack

import (
	"bytes"

	"sysprof/profile/stack/flow"
)

// fill makes a row of what following code has found.
func (r *row) fill(f *flow.Frame, a *arch) {
	r.flags |= flagFollowed
	if !r.fillCompact(f, a) {
		r.fillFull(f, a)
	}
}

// fillCompact makes a rowOffsets, if all is at constant distances from one register.
func (r *row) fillCompact(f *flow.Frame, a *arch) bool {
	if f.CFA.Deref || !fits32(f.CFA.Add) || f.NSaved > maxSaved {
		return false
	}
	fixed := func(p flow.Place) bool { return p.Reg == f.CFA.Reg && !p.Deref && fits32(p.Add-f.CFA.Add) }
	r.kind = rowOffsets
	r.cfaReg, r.cfaOff, r.raOff = f.CFA.Reg, int32(f.CFA.Add), -8
	r.lost, r.n = uint32(f.Lost), 0
	switch {
	case !a.link:
	case f.Link:
		r.flags |= flagLink
	case fixed(f.RA):
		r.raOff = int32(f.RA.Add - f.CFA.Add)
	default:
		return false
	}
	for _, s := range f.Saved[:f.NSaved] {
		if !fixed(s.At) {
			return false
		}
		r.save(s.Reg, int32(s.At.Add-f.CFA.Add))
	}
	return true
}

func (r *row) fillFull(f *flow.Frame, a *arch) {
	full := &fullRow{cfa: fullRule{kind: ruleExpression, expr: placeExpr(f.CFA)}}
	full.ra = fullRule{kind: ruleOffset, to: a.ra, off: -8}
	switch {
	case !a.link:
	case f.Link:
		full.ra = fullRule{kind: ruleSame, to: a.ra}
	default:
		full.ra = fullRule{kind: ruleExpression, to: a.ra, expr: placeExpr(f.RA)}
	}
	for _, s := range f.Saved[:f.NSaved] {
		if f.Lost>>s.Reg&1 == 0 {
			full.regs = append(full.regs, fullRule{kind: ruleExpression, to: s.Reg, expr: placeExpr(s.At)})
		}
	}
	if a.link {
		f.Lost |= 1 << a.ra
	}
	for reg := range a.nregs {
		if f.Lost>>reg&1 != 0 {
			full.regs = append(full.regs, fullRule{kind: ruleUndefined, to: reg})
		}
	}
	r.kind, r.full = rowFull, full
}

// placeExpr is a place as a DWARF expression (DWARF 5, 2.5.1).
func placeExpr(p flow.Place) []byte {
	if !p.Deref {
		return appendSLEB([]byte{opBreg0 + p.Reg}, p.Add)
	}
	expr := append(appendSLEB([]byte{opBreg0 + p.Reg}, p.Off), opDeref, opConsts)
	return append(appendSLEB(expr, p.Add), opPlus)
}

// appendSLEB appends a number in LEB128.
func appendSLEB(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// returnSlot is where the row says that the return address of the current frame is.
func (w *walk) returnSlot(r *row) (uint64, bool) {
	var x exprMachine
	if r.kind == rowOffsets {
		cfa, ok := w.reg(r.cfaReg)
		return cfa + uint64(int64(r.cfaOff)+int64(r.raOff)), ok && r.flags&flagLink == 0
	}
	cfa, ok := x.eval(r.full.cfa.expr, w, 0)
	if !ok {
		return 0, false
	}
	switch r.full.ra.kind {
	case ruleOffset:
		return cfa + uint64(r.full.ra.off), true
	case ruleExpression:
		return x.eval(r.full.ra.expr, w, 0, cfa)
	}
	return 0, false
}

// returnAddress is the return address that the row finds for the current frame.
func (w *walk) returnAddress(r *row) (uint64, bool) {
	var v uint64
	var ok bool
	if at, stored := w.returnSlot(r); stored {
		v, ok = w.word(at)
	} else if w.a.link {
		v, ok = w.reg(w.a.ra)
	}
	return v & w.a.raMask, ok
}

// Signal frames. The kernel calls a handler so that it returns to code that makes rt_sigreturn(2), with the stack
// pointer at the frame: on AMD64 at the ucontext (arch/x86/include/asm/sigframe.h), on ARM64 at the siginfo, of 128
// bytes, before it (arch/arm64/kernel/signal.c, struct rt_sigframe).
var sigreturnCode = [numArchs][][]byte{
	AMD64: {
		{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}, // mov $15,%rax; syscall
		{0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05},             // mov $15,%eax; syscall
	},
	ARM64: {{0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4}}, // mov x8,#139; svc #0
}

// In ARM64's ucontext: flags, link, stack, mask and a gap, then the address of a fault, the registers in their order,
// the stack pointer and the program counter (arch/arm64/include/uapi/asm/ucontext.h, sigcontext.h).
const (
	a64SigRegs = 128 + 176 + 8
	a64SigSP   = a64SigRegs + 31*8
	a64SigPC   = a64SigSP + 8
)

// sigreturnRow fills in the row of code that returns from a signal. It reports false if b, the code, is other code.
func sigreturnRow(r *row, archID Arch, b []byte) bool {
	if !bytesBegin(b, sigreturnCode[archID]) {
		return false
	}
	r.flags |= flagSwitch | flagExactNext
	if archID == AMD64 {
		r.kind = rowGoSigreturn
		return true
	}
	sp := archs[archID].sp
	at := func(off int64) []byte { return placeExpr(flow.Place{Reg: sp, Add: off}) }
	full := &fullRow{
		cfa: fullRule{kind: ruleExpression, expr: placeExpr(flow.Place{Reg: sp, Off: a64SigSP, Deref: true})},
		ra:  fullRule{kind: ruleExpression, to: archs[archID].ra, expr: at(a64SigPC)},
	}
	for reg := range uint8(31) {
		full.regs = append(full.regs, fullRule{kind: ruleExpression, to: reg, expr: at(a64SigRegs + 8*int64(reg))})
	}
	r.kind, r.full = rowFull, full
	return true
}

func bytesBegin(b []byte, any [][]byte) bool {
	for _, code := range any {
		if bytes.HasPrefix(b, code) {
			return true
		}
	}
	return false
}

package stack

import (
	"strings"

	"sysprof/profile/stack/pclntab"
)

// Go's own stacks. Most frames need only the frame's size. The exceptions are the
// assembly functions of the runtime that move between a goroutine's stack, the
// thread's stack ("g0", on which also C code runs) and the signal stack. They
// are found by name: the numbers in the function table differ between releases.
// All file names are in $GOROOT/src/runtime.
//
// Offsets in the runtime's structures (runtime2.go). Those of g and the beginning of
// m are the same since Go 1.18; m.curg is searched for.
const (
	gStackLo   = 0
	gStackHi   = 8
	gM         = 48
	gSchedSP   = 56
	gSchedPC   = 64
	mG0        = 0
	mCurgFirst = 160
	mCurgLast  = 256
)

// maxGoStack is the runtime's own limit (proc.go, maxstacksize).
const maxGoStack = 1 << 30

// The stack of asmcgocall (asm_amd64.s): how deep the goroutine's stack was, and the
// goroutine or 0. Up to Go 1.20 they lay 40 bytes higher.
const (
	cgoDepth = 0
	cgoG     = 8
	cgoOld   = 40
)

// crosscall2 (cgo/asm_amd64.s) is called by C. It saves C's registers in the order of
// PUSH_REGS_HOST_TO_ABI0 (cgo/abi_amd64.h) and makes room for three arguments.
const (
	crosscallArgs = 24
	crosscallBP   = crosscallArgs + 2*8
)

var crosscallRegs = [...]uint8{AMD64Rbp, AMD64Rbx, AMD64R12, AMD64R13, AMD64R14, AMD64R15}

// goRow fills in the row of a Go function. It reports false if pc is in none.
func goRow(r *row, t *pclntab.Table, archID Arch, pc uint64) bool {
	fn, ok := t.Func(pc)
	if !ok {
		return false
	}
	// C code that was linked in between has no frame size.
	delta, ok := fn.SPDelta(pc)
	if !ok || delta < 0 {
		return false
	}
	a := &archs[archID]
	r.kind = rowOffsets
	r.cfaReg, r.cfaOff = a.sp, delta
	if a.link {
		if delta == 0 {
			r.flags |= flagLink
		} else {
			r.raOff = -delta
			r.save(a.fp, -delta-8)
		}
	} else {
		r.cfaOff += 8
		r.raOff = -8
		if delta > 0 {
			r.save(a.fp, -16)
		}
	}
	if fn.ID != 0 || fn.Flags != 0 {
		goSpecial(r, a, &fn, delta)
	}
	return true
}

// goSpecial changes the row of a function that is not like the others.
func goSpecial(r *row, a *arch, fn *pclntab.Func, delta int32) {
	name := strings.TrimSuffix(fn.Name(), ".abi0")
	switch name {
	case "runtime.sigpanic", "runtime.sigpanic0", "runtime.asyncPreempt", "runtime.debugCallV2":
		r.flags |= flagExactNext // the signal handler made the call
		return
	}
	if a.link {
		// The switches of stacks are written down for AMD64 only.
		switch {
		case fn.Flags&pclntab.TopFrame != 0, name == "runtime.mcall":
			r.kind = rowBottom
		case fn.Flags&pclntab.SPWrite != 0:
			r.kind = rowLost
		}
		return
	}
	switch name {
	case "runtime.mcall":
		r.kind = rowBottom // the scheduler's stack; the goroutine has been put aside
	case "runtime.systemstack":
		r.kind, r.flags = rowGoSystemstack, flagSwitch
	case "runtime.morestack":
		r.kind, r.flags = rowGoMorestack, flagSwitch
	case "runtime.asmcgocall":
		r.kind, r.flags = rowGoAsmcgocall, flagSwitch
	case "runtime.cgocallback":
		r.kind, r.flags = rowGoCgocallback, flagSwitch
	case "runtime.sigreturn__sigaction", "runtime.sigreturn":
		r.kind, r.flags = rowGoSigreturn, flagSignal
	case "runtime.sigtramp", "runtime.cgoSigtramp": // TopFrame, but sigreturn is above
	case "runtime.clone": // the stack of a new thread is empty
		r.flags |= flagRoot
	case "crosscall2":
		r.flags |= flagCrosscall
		r.n = 0
		for i, reg := range crosscallRegs {
			r.save(reg, crosscallBP+int32(i)*8-r.cfaOff)
		}
	default:
		switch {
		case fn.Flags&pclntab.TopFrame != 0:
			r.kind = rowBottom
		case fn.Flags&pclntab.SPWrite != 0 && delta > 0:
			// The stack pointer is anywhere, but the frame pointer is still the function's.
			r.cfaReg, r.cfaOff = a.fp, 16
			r.flags = flagSwitch
		}
	}
}

// golang steps to the caller of a frame where the runtime switched stacks. onG0 is for
// cgocallback.
func (w *walk) golang(r *row, onG0 bool) Reason {
	switch r.kind {
	case rowGoSystemstack:
		return w.systemstack(r)
	case rowGoMorestack:
		return w.morestack()
	case rowGoAsmcgocall:
		return w.asmcgocall(r)
	case rowGoCgocallback:
		return w.cgocallback(r, onG0)
	default:
		return w.sigreturn()
	}
}

// systemstack runs a function on g0. Since Go 1.21 its frame pointer still leads to
// its own frame on the goroutine's stack; before, it had no frame, and the
// stack pointer is in the goroutine.
func (w *walk) systemstack(r *row) Reason {
	if r.n > 0 {
		fp, ok := w.reg(w.a.fp)
		if !ok || fp == 0 || fp%8 != 0 {
			return NoInfo
		}
		return w.toCFA(r, fp+16)
	}
	curg, ok := w.curg()
	if !ok {
		return NoInfo
	}
	sp, ok := w.word(curg + gSchedSP)
	if !ok {
		return BadMemory
	}
	return w.toCFA(r, sp+uint64(r.cfaOff))
}

// morestack grows the goroutine's stack, on g0. The function that ran out of stack has
// put its position into the goroutine.
func (w *walk) morestack() Reason {
	curg, ok := w.curg()
	if !ok {
		return Bottom // it has been put aside: this is the scheduler
	}
	sp, ok1 := w.word(curg + gSchedSP)
	pc, ok2 := w.word(curg + gSchedPC)
	if !ok1 || !ok2 {
		return BadMemory
	}
	w.set(w.a.sp, sp)
	w.undef |= 1 << w.a.fp
	w.pc = pc
	return stepped
}

// curg finds the goroutine whose thread is on g0: register g is g0, whose thread
// has a field that points to a goroutine which points back to the thread.
func (w *walk) curg() (uint64, bool) {
	g, ok := w.reg(w.a.g)
	if !ok || g == 0 {
		return 0, false
	}
	m, ok := w.word(g + gM)
	if !ok || m == 0 {
		return 0, false
	}
	g0, ok := w.word(m + mG0)
	if !ok {
		return 0, false
	}
	for off := uint64(mCurgFirst); off <= mCurgLast; off += 8 {
		curg, ok := w.win.word(m + off)
		if !ok {
			return 0, false
		}
		if curg == 0 || curg == g0 || curg%8 != 0 {
			continue
		}
		if back, ok := w.win.word(curg + gM); ok && back == m && w.saved(curg) {
			w.record(m+off, curg)
			return curg, true
		}
	}
	return 0, false
}

// saved reports whether there is a goroutine at g that has saved its stack pointer:
// processors point back to their thread in the same place.
func (w *walk) saved(g uint64) bool {
	lo, ok1 := w.win.word(g + gStackLo)
	hi, ok2 := w.win.word(g + gStackHi)
	sp, ok3 := w.win.word(g + gSchedSP)
	return ok1 && ok2 && ok3 && lo < sp && sp < hi && hi-lo <= maxGoStack
}

// asmcgocall runs a C function on g0. It has written down which goroutine it came
// from and how deep that one's stack was: the stack may move meanwhile.
func (w *walk) asmcgocall(r *row) Reason {
	sp := w.sp()
	for _, base := range []uint64{sp, sp + cgoOld} {
		depth, ok1 := w.win.word(base + cgoDepth)
		g, ok2 := w.win.word(base + cgoG)
		if !ok1 || !ok2 {
			return BadMemory
		}
		var was uint64
		if g == 0 { // was on g0 already, and depth is the stack pointer itself
			if was = depth; was <= sp || was-sp > maxFrame {
				continue
			}
		} else {
			lo, ok1 := w.word(g + gStackLo)
			hi, ok2 := w.word(g + gStackHi)
			if !ok1 || !ok2 || hi <= lo || depth == 0 || depth > hi-lo {
				continue
			}
			was = hi - depth
		}
		w.record(base+cgoDepth, depth)
		w.record(base+cgoG, g)
		if reason := w.toCFA(r, was+uint64(r.cfaOff)); reason != stepped {
			return reason
		}
		if g != 0 {
			w.set(w.a.g, g)
		}
		return stepped
	}
	return NoInfo
}

// cgocallback runs a Go function for C. It keeps a frame of the same size on both
// stacks: by the one on g0, which the thread remembers, the C code that called is
// found; by the other, only the Go code that called C. Before and after that call it
// has only the one on g0.
func (w *walk) cgocallback(r *row, onG0 bool) Reason {
	if onG0 {
		return w.toCFA(r, w.sp()+uint64(r.cfaOff))
	}
	if w.g0sp == 0 {
		w.g0sp, _ = w.schedSPOfG0()
	}
	if sp := w.g0sp; sp != 0 && sp%8 == 0 {
		if below, ok := w.word(sp); ok {
			w.g0sp = below
			return w.toCFA(r, sp+uint64(r.cfaOff))
		}
	}
	return w.toCFA(r, w.sp()+uint64(r.cfaOff))
}

func (w *walk) schedSPOfG0() (uint64, bool) {
	g, ok := w.reg(w.a.g)
	if !ok || g == 0 {
		return 0, false
	}
	m, ok := w.word(g + gM)
	if !ok {
		return 0, false
	}
	g0, ok := w.word(m + mG0)
	if !ok {
		return 0, false
	}
	return w.word(g0 + gSchedSP)
}

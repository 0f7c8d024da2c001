package stack

import (
	"bytes"
	"encoding/binary"
)

// Where stacks end. A stack is whole if its outermost frame is one that nobody has called: unwind tables say so of most
// (a return address that is undefined, or 0; Go's TopFrame). Code without tables says it by a frame pointer of 0, which
// the psABIs demand of the outermost frame (System V AMD64, 3.4.1; AAPCS64, 6.4.6). But in code that uses the register
// for anything else, such as that of most JIT compilers, 0 is a number like any other. So it is believed only where it
// is seen to be meant.

// startsHere reports whether the current frame, of code without unwind information that range r holds, is the
// outermost one of its thread.
func (w *walk) startsHere(r *execRange) bool {
	if fp, ok := w.reg(w.a.fp); !ok || fp != 0 {
		return false
	}
	return r.mapping.IsFile() && (w.clearsFramePointer() || w.atArguments())
}

// endWithoutTables says how a stack ends for which there were only frame pointers.
func (w *walk) endWithoutTables(r *execRange, reason Reason) Reason {
	switch {
	case reason == Bottom && !r.mapping.IsFile():
		return NoInfo // perhaps two words that are 0 by chance
	case reason == NoInfo && w.startsHere(r):
		return Bottom
	}
	return reason
}

// chainEnds reports whether there is no further frame pointer.
func (w *walk) chainEnds() bool {
	fp, ok := w.reg(w.a.fp)
	return ok && fp == 0
}

// isUncalled reports whether the n-th frame, whose code is in range r, is one that no function has called. Its row, if it
// has one, remembers that it is not.
func (u *Unwinder) isUncalled(rw *row, r *execRange, n int) bool {
	w := &u.w
	if w.exact || !r.mapping.IsFile() && !r.mapping.IsVDSO() || rw != nil && rw.called && n > 1 {
		return false
	}
	is := w.startsContext() || w.atSigreturn(n == 1)
	if rw != nil && n > 1 && !is {
		rw.called = w.readCode(w.pc, 1) == 1 // a process that has ended has no code
	}
	return is
}

// withoutTables goes from the n-th frame, whose code is in range r and has no unwind information, to its caller. If
// its code was followed, in vain, it is that of file. rw, if there is one, is its row, and flags are those that it would have.
func (u *Unwinder) withoutTables(s *Space, r *execRange, rw *row, file *code, n int) (reason Reason, flags uint8) {
	w := &u.w
	switch {
	case !u.isUncalled(rw, r, n):
	case w.startsContext():
		u.mark = NewContext
		return Bottom, 0
	default:
		return w.sigreturn(), flagSignal
	}
	sp := w.sp()
	if file != nil {
		reason = u.sureFramePointer(s)
	} else if reason = u.returnsAtOnce(s, r, n); reason != NoInfo {
		return reason, 0
	} else if reason = w.framePointer(); reason == stepped {
		reason = u.believe(s)
	}
	if reason != stepped && n == 1 {
		reason = u.calledFrom(s, sp, reason)
	}
	return w.endWithoutTables(r, reason), 0
}

// startCode is how far before the first call of a thread its frame pointer is cleared: 33 bytes in glibc's _start on
// AMD64, which passes seven arguments.
const startCode = 48

// clearsFramePointer reports whether the code before the current address sets the frame pointer to 0, as that of
// _start does, and what runs first in a new thread.
func (w *walk) clearsFramePointer() bool {
	return w.readCode(w.pc-startCode, startCode) == startCode && w.a.clearsFP(w.code[:])
}

// readCode reads n bytes of code and returns how many there are. A stack need not depend on them: code does not change.
func (w *walk) readCode(addr uint64, n int) int {
	if w.win.mem == nil {
		return 0
	}
	return w.win.mem.ReadMemory(w.code[:n], addr)
}

// clearsFPonAMD64 looks for xor of ebp or rbp with itself, or a move of 0 to it.
func clearsFPonAMD64(b []byte) bool {
	for i := 1; i+1 < len(b); i++ {
		if (b[i] == 0x31 || b[i] == 0x33) && b[i+1] == 0xed && b[i-1]&^0x08 != 0x45 { // REX.RB makes it r13
			return true
		}
	}
	return bytes.Contains(b, []byte{0xbd, 0, 0, 0, 0})
}

// clearsFPonARM64 looks for a move of 0 to x29.
func clearsFPonARM64(b []byte) bool {
	for ; len(b) >= 4; b = b[4:] {
		if op := binary.LittleEndian.Uint32(b); op == 0xd280001d || op == 0xaa1f03fd { // mov x29, #0; mov x29, xzr
			return true
		}
	}
	return false
}

// maxArguments is the most that a program can have: MAX_ARG_STRINGS in the kernel is more than fits into its memory.
const maxArguments = 1 << 20

// atArguments reports whether the stack pointer is where the kernel puts it when a program starts: at the number of the
// arguments, followed by as many pointers to strings further up, and a 0 (System V AMD64 psABI, figure 3.9). The
// dynamic linker calls its first function there, and has frame pointer 0 from the kernel.
func (w *walk) atArguments() bool {
	sp, size := w.sp(), uint64(w.a.word)
	if size == 4 { // there it has been passed on, on the stack, by a call that is 16 bytes aligned
		if passed, ok := w.word(sp); ok && passed == sp+16 {
			sp = passed
		}
	}
	count, ok := w.word(sp)
	if !ok || count == 0 || count > maxArguments {
		return false
	}
	first, ok1 := w.word(sp + size)
	last, ok2 := w.word(sp + size*count)
	end, ok3 := w.word(sp + size*(count+1))
	above := func(p uint64) bool { return p > sp && p-sp < maxFrame }
	return ok1 && ok2 && ok3 && above(first) && above(last) && end == 0
}

package stack

import "encoding/binary"

// A Mark says of a frame what it is, where that is no function which called the frame before it. It is part of the
// frame's address, in bits that no address of a program has.
type Mark uint8

const (
	// SignalHandler: the kernel has put the frame there for a signal handler to return to.
	SignalHandler Mark = 1 + iota
	// NewContext: makecontext(3) has, for the outermost function of a stack to return to.
	NewContext
)

const (
	markShift = 62
	markBits  = uint64(3) << markShift
)

// on returns the frame with the mark. called says that the frame's address is taken for that behind a call: it is where
// the code begins, so that one is added as for others which were not left by a call.
func (m Mark) on(frame uint64, called bool) uint64 {
	if m == 0 {
		return frame
	}
	if called {
		frame++
	}
	return frame | uint64(m)<<markShift
}

// Frame takes a frame apart that Unwind has found.
func Frame(frame uint64) (addr uint64, mark Mark) {
	return frame &^ markBits, Mark(frame >> markShift)
}

// codeIs reports whether one of these is the code at an address.
func (w *walk) codeIs(any []string, addr uint64) bool {
	const longest = 16
	n := 0
	if len(any) > 0 {
		n = w.readCode(addr, longest)
	}
	for _, code := range any {
		if len(code) <= n && string(w.code[:len(code)]) == code {
			return true
		}
	}
	return false
}

// atSigreturn reports whether the current frame is code that a signal handler returns to: at its beginning, or, if
// the thread stands there, at its end.
func (w *walk) atSigreturn(standing bool) bool {
	if !standing {
		return w.codeIs(w.a.sigreturn, w.pc)
	}
	for i, code := range w.a.sigreturn {
		if w.codeIs(w.a.sigreturn[i:i+1], w.pc-uint64(len(code))) {
			return true
		}
	}
	return false
}

// sigframe is where the kernel has put the registers of the code that a signal interrupted, as seen from the stack
// pointer that a signal handler returns with.
type sigframe struct {
	regs   uint64
	order  []uint8
	sp, ip uint64
}

// amd64Sigframe: a ucontext, whose registers begin after 40 bytes (arch/x86/include/uapi/asm/sigcontext.h).
var amd64Sigframe = sigframe{regs: 40, sp: 40 + 15*8, ip: 40 + 16*8, order: []uint8{
	AMD64R8, AMD64R9, AMD64R10, AMD64R11, AMD64R12, AMD64R13, AMD64R14, AMD64R15,
	AMD64Rdi, AMD64Rsi, AMD64Rbp, AMD64Rbx, AMD64Rdx, AMD64Rax, AMD64Rcx,
}}

// arm64Sigframe: 128 bytes of siginfo, 176 of ucontext, then the address of a fault, x0 to x30, sp and pc
// (arch/arm64/include/uapi/asm/sigcontext.h and ucontext.h).
var arm64Sigframe = sigframe{regs: 312, sp: 312 + 31*8, ip: 312 + 32*8, order: []uint8{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
}}

// sigreturn goes back to what the signal interrupted.
func (w *walk) sigreturn() Reason {
	f, at := w.a.sigframe, w.sp()
	ip, ok1 := w.word(at + f.ip)
	sp, ok2 := w.word(at + f.sp)
	if !ok1 || !ok2 {
		return BadMemory
	}
	for i, reg := range f.order {
		w.setSaved(reg, at+f.regs+uint64(i)*8)
	}
	w.set(w.a.sp, sp)
	w.pc = ip
	return stepped
}

// startsContext reports whether the current frame is __start_context of glibc, which has not called anything: its
// address was put where a return address is. It goes to another context, or exits.
func (w *walk) startsContext() bool { return w.codeIs(w.a.context, w.pc) }

// morestackCall is how __morestack of libgcc (config/i386/morestack.S) calls what needs more stack, on a piece of stack
// that may lie anywhere: call *%r10. Compilers do not call by that register.
const morestackCall = "\x41\xff\xd2"

// behindMorestack reports whether the frame that was left, whose address this is, stood behind such a call.
func (w *walk) behindMorestack(addr uint64) bool {
	return !w.a.link && w.codeIs([]string{morestackCall}, addr-uint64(len(morestackCall)))
}

// calledNowhere steps from code that is not there, which a signal has interrupted: a pointer that leads nowhere was
// called. The return address is where a call puts it, if before it there is a call.
func (u *Unwinder) calledNowhere(s *Space) Reason {
	w := &u.w
	if !w.exact {
		return Unmapped
	}
	var ra uint64
	var ok bool
	if w.a.link {
		ra, ok = w.reg(w.a.ra)
		ra &= w.a.raMask
	} else {
		ra, ok = w.word(w.sp())
	}
	if !ok || s.find(ra-1) == nil || !w.afterCall(ra) {
		return Unmapped
	}
	if !w.a.link {
		w.set(w.a.sp, w.sp()+uint64(w.a.word))
	}
	w.pc, w.exact = ra, false
	return stepped
}

// believe reports stepped if the return address that only a frame pointer led to can be one: if there is a call before
// it, or if it is where what was not called returns to. In code made at run time it may be anything: HotSpot's
// interpreter has return addresses that no call is before.
func (u *Unwinder) believe(s *Space) Reason {
	w := &u.w
	r := s.find(w.pc - 1)
	if r == nil || !r.mapping.IsFile() || w.afterCall(w.pc) {
		return stepped
	}
	c, unread := s.resolve(r, w.win.mem)
	switch {
	case unread != nil:
		return u.unread(s, unread, r)
	case c.obj == nil:
		return NoInfo
	}
	switch rw, ok := u.row(c, w.pc-1-c.bias); {
	case !ok:
		return u.unread(s, c.obj, r)
	case rw.kind == rowBottom || rw.flags&flagSignal == flagSignal:
		return stepped
	}
	if w.startsContext() || w.atSigreturn(false) {
		return stepped
	}
	return NoInfo
}

// callBytes is how many bytes are read of the code before a return address: the longest call has 7 without prefixes
// that compilers do not use.
const callBytes = 8

// afterCall reports whether the instruction before an address is a call. Code that cannot be read is taken for one.
func (w *walk) afterCall(addr uint64) bool {
	if w.readCode(addr-callBytes, callBytes) < callBytes {
		return true
	}
	return w.a.endsInCall([callBytes]byte(w.code[:]))
}

// endsInCallOnAMD64 looks for CALL rel32 and CALL r/m64 (Intel SDM, volume 2), whose length its ModRM byte tells.
func endsInCallOnAMD64(b [callBytes]byte) bool {
	if b[3] == 0xe8 {
		return true
	}
	for size := 2; size <= 7; size++ {
		op, modrm := b[callBytes-size], b[callBytes-size+1]
		if op != 0xff || modrm>>3&7 != 2 {
			continue
		}
		want, rm := 2, modrm&7
		mod := modrm >> 6
		if mod != 3 && rm == 4 { // a SIB byte
			want++
			if mod == 0 && size > 2 && b[callBytes-size+2]&7 == 5 { // without a base: a distance
				want += 4
			}
		}
		switch {
		case mod == 1:
			want++
		case mod == 2, mod == 0 && rm == 5:
			want += 4
		}
		if want == size {
			return true
		}
	}
	return false
}

// endsInCallOnARM64 looks for BL and for BLR, also with authentication (Arm ARM, C4.1.66).
func endsInCallOnARM64(b [callBytes]byte) bool {
	op := binary.LittleEndian.Uint32(b[callBytes-4:])
	return op&0xfc000000 == 0x94000000 || op&0xfefff000 == 0xd63f0000
}

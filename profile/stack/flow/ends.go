package flow

import "encoding/binary"

// Bounds of code that is straight: without a jump.
const (
	maxBegin = 16
	maxEnd   = 12
)

// Straight reports whether code that begins at first goes straight to a call that returns to pc: so it is where a
// process begins.
func (f *Follower) Straight(code Code, arch Arch, first, pc uint64) Verdict {
	f.begin(code, arch)
	for at, n := first, 0; at < pc && n < maxBegin; n++ {
		in := f.insn(at)
		switch {
		case f.missed:
			return Missed
		case in == nil:
			return Unsure
		case in.kind == call || in.kind == callFar:
			if at+uint64(in.size) == pc {
				return Found
			}
			return Unsure
		case in.kind != plain:
			return Unsure
		}
		at += uint64(in.size)
	}
	return Unsure
}

// Reaches reports whether the function that begins at first comes to addr, an address in an instruction. It does not look behind
// jumps by tables, nor behind calls of what may never return.
func (f *Follower) Reaches(code Code, arch Arch, first, addr uint64) bool {
	f.begin(code, arch)
	l := &f.levels[0]
	l.start(first, f.c)
	for range maxFrom {
		before, _ := l.seen(l.at.state.regs[f.c.sp])
		how := ends
		if !before {
			if in := f.insn(l.at.addr); in != nil && addr-l.at.addr < uint64(in.size) {
				return true
			}
			how = f.step(l, 0, false)
		}
		if f.missed || how != goesOn && !l.next() {
			break
		}
	}
	return false
}

// Holds reports whether the function that begins at first surely holds addr, an address in an instruction: there is a way to it that
// never leaves the code from first to end, in which no other function is known to begin. It goes through jumps by tables, but
// not behind calls of what may never return, nor by a jump at which there is no frame, or to the next instruction: that may be a
// call of the next function, for this one has nothing left to do.
func (f *Follower) Holds(code Code, arch Arch, first, end, addr uint64) bool {
	f.begin(code, arch)
	l := &f.levels[0]
	l.start(first, f.c)
	l.wanted = addr
	for range maxReturns {
		how := ends
		if before, _ := l.seen(l.at.state.regs[f.c.sp]); !before && l.at.addr-first < end-first {
			in := f.insn(l.at.addr)
			if in != nil && addr-l.at.addr < uint64(in.size) {
				return true
			}
			if in == nil || in.kind != jump || in.target != int64(in.size) && !f.c.undone(&l.at.state) {
				how = f.step(l, 0, false)
			}
		}
		if f.missed || how != goesOn && !l.next() {
			break
		}
	}
	return false
}

// Exits reports whether code that was called back by pc goes straight to a system call that ends the thread: so it is
// where a thread begins.
func (f *Follower) Exits(code Code, arch Arch, pc uint64) Verdict {
	f.begin(code, arch)
	if _, direct := f.callBefore(pc); direct {
		return Unsure
	}
	l := &f.levels[0]
	l.start(pc, f.c)
	l.at.state.called(f.c)
	for range maxEnd {
		in := f.insn(l.at.addr)
		switch {
		case f.missed:
			return Missed
		case in == nil:
			return Unsure
		case in.kind == syscall:
			if f.step(l, 0, false) == ends {
				return Found
			}
			return Unsure
		case in.kind != plain:
			return Unsure
		}
		f.step(l, 0, false)
	}
	return Unsure
}

// Main returns where a program's main function begins: its first code, at first, hands that on as the first argument of what is
// to call it, at once or by one more function (System V psABI AMD64, 3.4.1, leaves it to the library: glibc's start.S, musl's
// crt1.c).
func (f *Follower) Main(code Code, arch Arch, first uint64) (begins uint64, v Verdict) {
	f.begin(code, arch)
	l := &f.levels[0]
	l.start(first, f.c)
	s := &l.at.state
	for range 2 * maxBegin {
		in := f.insn(l.at.addr)
		switch {
		case f.missed:
			return 0, Missed
		case in == nil:
			return 0, Unsure
		case in.kind == plain:
			s.do(in, l.at.addr)
			l.at.addr += uint64(in.size)
			continue
		case in.kind != call && in.kind != callFar && in.kind != jump && in.kind != jumpFar:
			return 0, Unsure
		}
		if begins, ok := f.known64(s.regs[f.c.argument]); ok {
			b, ok := code.At(begins)
			switch {
			case !ok:
				return 0, Missed
			case len(b) > 0:
				return begins, Found
			}
		}
		if in.kind == callFar || in.kind == jumpFar {
			return 0, Unsure
		}
		l.at.addr += uint64(in.target)
	}
	return 0, Unsure
}

// known64 is a register's contents, if code or data say them.
func (f *Follower) known64(v value) (uint64, bool) {
	switch v.kind {
	case literal:
		return uint64(v.add), true
	case constant:
		var word [8]byte
		n := f.code.Data(word[:], uint64(v.off))
		return binary.LittleEndian.Uint64(word[:]) + uint64(v.add), n == len(word)
	}
	return 0, false
}

// Leaves reports whether code that was called back by pc goes straight to a function that never returns, as what has called
// main does: it calls exit.
func (f *Follower) Leaves(code Code, arch Arch, pc uint64) Verdict {
	f.begin(code, arch)
	for range maxEnd {
		in := f.insn(pc)
		switch {
		case f.missed:
			return Missed
		case in == nil:
			return Unsure
		case in.kind == call || in.kind == jump:
			switch f.returns(pc+uint64(in.target), 0) {
			case Never:
				return Found
			case Missed:
				return Missed
			}
			return Unsure
		case in.kind != plain:
			return Unsure
		}
		pc += uint64(in.size)
	}
	return Unsure
}

// CallBefore returns what the call in front of pc calls: 0 if only the registers, or memory that cannot be read, said
// that. It reports Never if there is no call.
func (f *Follower) CallBefore(code Code, arch Arch, pc uint64) (target uint64, v Verdict) {
	f.begin(code, arch)
	b, ok := code.At(pc - LongestCall)
	if !ok {
		return 0, Missed
	}
	if len(b) < LongestCall || !EndsWithCall(arch, b[:LongestCall]) {
		return 0, Never
	}
	target, _ = f.callBefore(pc)
	if f.missed {
		return 0, Missed
	}
	return target, Found
}

// LongestCall is the length of the longest call that EndsWithCall knows.
const LongestCall = 8

// EndsWithCall reports whether b, LongestCall bytes, ends with a call.
func EndsWithCall(arch Arch, b []byte) bool {
	_ = b[LongestCall-1]
	if arch == ARM64 {
		var in insn
		x := uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16 | uint32(b[7])<<24
		return goesA64(x, &in) && (in.kind == call || in.kind == callFar)
	}
	// CALL rel32 (E8), and CALL r/m64 (FF /2), whose length its second byte says, and the third (Intel SDM, 2.1.5).
	if b[3] == 0xe8 {
		return true
	}
	const op, mask, far = 0xff, 0x38, 2 << 3
	isFar := func(at int) bool { return b[at] == op && b[at+1]&mask == far }
	mod, rm := func(at int) byte { return b[at+1] >> 6 }, func(at int) byte { return b[at+1] & 7 }
	switch {
	case isFar(6) && (mod(6) == 3 || mod(6) == 0 && rm(6) != 4 && rm(6) != 5): // a register; [register]
		return true
	case isFar(5) && (mod(5) == 1 && rm(5) != 4 || mod(5) == 0 && rm(5) == 4 && b[7]&7 != 5): // 8 bits; scaled
		return true
	case isFar(4) && mod(4) == 1 && rm(4) == 4: // scaled and 8 bits
		return true
	case isFar(2) && (mod(2) == 2 && rm(2) != 4 || mod(2) == 0 && rm(2) == 5): // 32 bits, perhaps from here
		return true
	case isFar(1) && (mod(1) == 2 && rm(1) == 4 || mod(1) == 0 && rm(1) == 4 && b[3]&7 == 5): // scaled and 32 bits
		return true
	}
	return false
}

package flow

// Forward follows the code from pc on to where it returns. At an address behind a call, which has not come back yet,
// the registers are as calls leave them; innermost says that pc is where the thread is, with all its registers.
//
// Never means that the function does not return from there.
func (f *Follower) Forward(code Code, arch Arch, pc uint64, innermost bool) (Frame, Verdict) {
	f.begin(code, arch)
	var found Frame
	if !innermost {
		switch target, direct := f.callBefore(pc); {
		case f.missed:
			return found, Missed
		case direct:
			if v := f.returns(target, 1); v != Found { // what is behind the call is perhaps another function
				return found, v
			}
		}
	}
	l := &f.levels[0]
	l.start(pc, f.c)
	if !innermost {
		l.at.state.called(f.c)
	}
	have := false
	for left := maxForward; left > 0; left-- {
		before, differs := l.seen(l.at.state.regs[f.c.sp])
		if differs {
			return found, Unsure
		}
		how := ends
		if !before {
			how = f.step(l, 0, false)
		}
		if f.missed {
			return found, Missed
		}
		switch how {
		case goesOn:
			continue
		case returns:
			frame, ok := f.c.atReturn(&l.at.state)
			switch {
			case !ok:
				l.unsure = true
			case !have:
				found, have, left = frame, true, min(left, maxMore)
			case !found.agree(&frame):
				return found, Unsure
			}
		case fails:
			l.unsure = true
		}
		if !l.next() {
			switch {
			case have:
				return found, Found
			case l.unsure:
				return found, Unsure
			}
			return found, Never
		}
	}
	if have {
		return found, Found
	}
	return found, Unsure
}

// callBefore returns what the call in front of pc calls, if it says so itself.
func (f *Follower) callBefore(pc uint64) (target uint64, direct bool) {
	for _, size := range f.c.callSizes {
		at := pc - size
		in := f.insn(at)
		if in == nil || uint64(in.size) != size {
			continue
		}
		switch {
		case in.kind == call:
			return at + uint64(in.target), true
		case in.kind == callFar && in.mem:
			return f.far(in, nil, at+uint64(in.target))
		}
	}
	return 0, false
}

// atReturn is the frame of code that has come to its return instruction.
func (c *convention) atReturn(s *state) (Frame, bool) {
	var fr Frame
	sp := s.regs[c.sp]
	if sp.kind != entry && sp.kind != slot || sp.reg == aligned || sp.kind == entry && sp.reg == c.sp && sp.add < 0 {
		return fr, false
	}
	fr.CFA = Place{Reg: sp.reg, Add: sp.add + c.afterCall}
	if sp.kind == slot {
		fr.CFA.Deref, fr.CFA.Off = true, sp.off
	}
	if c.link == noReg {
		if at := (value{kind: slot, reg: sp.reg, off: sp.add}); sp.kind == entry && s.load(sp) != at {
			return fr, false // it goes to where it has just said itself
		}
	} else {
		switch ra := s.regs[c.link]; {
		case ra == value{kind: entry, reg: c.link}:
			fr.Link = true
		case ra.kind == slot && ra.add == 0 && s.above(c, ra):
			fr.RA = Place{Reg: ra.reg, Add: ra.off}
		default:
			return fr, false
		}
	}
	for _, r := range c.preserved {
		switch v := s.regs[r]; {
		case v == value{kind: entry, reg: r}:
		case v.kind == slot && v.add == 0 && s.above(c, v):
			fr.save(r, Place{Reg: v.reg, Add: v.off})
		default:
			fr.Lost |= 1 << r
		}
	}
	return fr, true
}

// above reports whether a word that was loaded is not one below the stack pointer of the beginning, where nothing is kept
// during a call.
func (s *state) above(c *convention, v value) bool { return v.reg != c.sp || v.off >= 0 }

func (fr *Frame) save(reg uint8, at Place) {
	if fr.NSaved == len(fr.Saved) {
		fr.Lost |= 1 << reg
		return
	}
	fr.Saved[fr.NSaved] = Saved{reg, at}
	fr.NSaved++
}

// saved returns where a register is stored.
func (fr *Frame) saved(reg uint8) (Place, bool) {
	for _, s := range fr.Saved[:fr.NSaved] {
		if s.Reg == reg {
			return s.At, true
		}
	}
	return Place{}, false
}

// agree reports whether another path has come to the same frame. Registers of which they say different things are lost.
func (fr *Frame) agree(other *Frame) bool {
	if fr.CFA != other.CFA || fr.Link != other.Link || fr.RA != other.RA {
		return false
	}
	fr.Lost |= other.Lost
	for reg := uint8(0); reg < 32; reg++ {
		a, ok1 := fr.saved(reg)
		b, ok2 := other.saved(reg)
		if ok1 != ok2 || a != b {
			fr.Lost |= 1 << reg
		}
	}
	return true
}

// From follows the function that begins at first to pc, an address in it. At an address behind a call
// that is the call itself, whether or not it returns. It looks at no more than limit instructions, and at
// maxFrom.
func (f *Follower) From(code Code, arch Arch, first, pc uint64, limit int) (Frame, Verdict) {
	f.begin(code, arch)
	l := &f.levels[0]
	l.start(first, f.c)
	l.wanted = pc
	for range min(limit, maxFrom) {
		before, _ := l.seen(l.at.state.regs[f.c.sp])
		how := ends
		if !before {
			in := f.insn(l.at.addr)
			if in != nil && in.arrives(l.at.addr, pc) {
				return f.c.inside(&l.at.state, in.kind == call || in.kind == callFar)
			}
			how = f.step(l, 0, true)
		}
		if f.missed {
			return Frame{}, Missed
		}
		if how != goesOn && !l.next() {
			break
		}
	}
	return Frame{}, Unsure
}

// arrives reports whether the instruction at addr is the one at which a frame with address pc is: the call or system
// call in front of it, or the one at it.
func (in *insn) arrives(addr, pc uint64) bool {
	switch in.kind {
	case call, callFar, syscall:
		return addr == pc || addr+uint64(in.size) == pc
	}
	return addr == pc
}

// inside is the frame of code that was followed from its function's first instruction.
func (c *convention) inside(s *state, calls bool) (Frame, Verdict) {
	var fr Frame
	// at is where a word is that lay off bytes from the stack pointer at the first instruction.
	at, ok := s.reach(c)
	if !ok {
		return fr, Unsure
	}
	fr.CFA = at
	fr.CFA.Add += c.afterCall
	stored := func(reg uint8) (Place, bool) {
		want := value{kind: entry, reg: reg}
		for i := s.n - 1; i >= 0; i-- {
			w := &s.stores[i]
			if w.val != want || s.load(value{kind: entry, reg: w.reg, add: w.off}) != want {
				continue
			}
			if w.reg == c.sp {
				p := at
				p.Add += w.off
				return p, true
			}
			for _, r := range []uint8{c.fp, c.sp} {
				if v := s.regs[r]; v.kind == entry && v.reg == w.reg {
					return Place{Reg: r, Add: w.off - v.add}, true
				}
			}
		}
		return Place{}, false
	}
	if c.link == noReg {
		if s.load(value{kind: entry, reg: c.sp}) != (value{kind: slot, reg: c.sp}) {
			return fr, Unsure
		}
	} else if ra, ok := stored(c.link); ok {
		fr.RA = ra
	} else if s.regs[c.link] == (value{kind: entry, reg: c.link}) && !calls {
		fr.Link = true
	} else {
		return fr, Unsure
	}
	for _, r := range c.preserved {
		// What is stored is right also if the function came here by another way, and has changed the register on it.
		if where, ok := stored(r); ok {
			fr.save(r, where)
		} else if s.forgot || s.regs[r] != (value{kind: entry, reg: r}) {
			fr.Lost |= 1 << r
		}
	}
	return fr, Found
}

// reach is how the stack pointer of the first instruction is found from the registers, or by a word that one of them
// points to.
func (s *state) reach(c *convention) (Place, bool) {
	for _, r := range append([]uint8{c.sp, c.fp}, c.preserved...) {
		if v := s.regs[r]; v.kind == entry && v.reg == c.sp {
			return Place{Reg: r, Add: -v.add}, true
		}
	}
	for i := s.n - 1; i >= 0; i-- {
		w := &s.stores[i]
		if w.val.kind != entry || w.val.reg != c.sp || w.reg != aligned || s.load(value{kind: entry, reg: w.reg, add: w.off}) != w.val {
			continue
		}
		for _, r := range []uint8{c.fp, c.sp} {
			if v := s.regs[r]; v.kind == entry && v.reg == aligned {
				return Place{Reg: r, Deref: true, Off: w.off - v.add, Add: -w.val.add}, true
			}
		}
	}
	return Place{}, false
}

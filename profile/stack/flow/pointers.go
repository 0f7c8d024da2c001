package flow

import (
	"encoding/binary"
	"slices"
)

// What a call by a register may call. Compilers have taken the address of a function, or of a table of functions, shortly before: an
// interpreter of a shell's syntax tree picks one of its functions in a switch, and a program of many programs has a table of their
// main functions.
const (
	maxBefore   = 1 << 10 // bytes of code in front of the call that are looked at
	maxPointees = 8
)

// Pointees returns addresses of code that the call in front of pc may go to, by what the code in front of it has taken the
// addresses of, directly or in a table: the nearest ones in the span bytes up to wanted, nearest first. It is no more than a guess:
// that a function begins there, and has been called, is for the caller to check.
func (f *Follower) Pointees(code Code, arch Arch, pc, wanted, span uint64) (found []uint64, v Verdict) {
	f.begin(code, arch)
	step := uint64(1)
	if f.c.link != noReg {
		step = 4
	}
	// Where the instructions lie is not known. Those that are read from a wrong place soon fall into step with the others.
	for at := pc - maxBefore; at < pc-maxBefore+MaxInsn; at += step {
		all, ok := f.pointees(at, pc, step, func(to uint64) bool { return wanted-to < span })
		if f.missed {
			return nil, Missed
		}
		if !ok {
			continue
		}
		slices.Sort(all)
		slices.Reverse(all)
		for _, to := range slices.Compact(all) {
			b, ok := code.At(to)
			switch {
			case !ok:
				return nil, Missed
			case len(b) > 0 && len(found) < maxPointees:
				found = append(found, to)
			}
		}
		return found, Found
	}
	return nil, Unsure
}

// pointees returns the addresses that the instructions from at to pc load, and that are asked for. It reports false if these do not
// end with a call by a register.
func (f *Follower) pointees(at, pc, step uint64, asked func(uint64) bool) (all []uint64, ok bool) {
	s := &f.levels[0].at.state
	s.init(f.c)
	note := func(v value) {
		switch {
		case v.kind == literal && asked(uint64(v.add)):
			all = append(all, uint64(v.add))
		case v.kind == element && v.reg&elementSize == 8 && v.add == 0:
			all = f.functions(all, uint64(v.off), asked)
		}
	}
	for at < pc {
		in := f.insn(at)
		if f.missed {
			return nil, false
		}
		if in == nil {
			at, ok = at+step, false
			continue
		}
		s.do(in, at)
		for _, e := range in.does[:in.n] {
			if e.kind != store {
				note(s.regs[e.dst])
			}
		}
		if ok = in.kind == callFar && !in.mem; ok {
			note(s.jumpsTo(in))
		}
		if in.kind == call || in.kind == callFar {
			s.called(f.c)
		}
		at += uint64(in.size)
	}
	return all, ok && at == pc
}

// functions appends the elements of a table of addresses that are asked for.
func (f *Follower) functions(all []uint64, table uint64, asked func(uint64) bool) []uint64 {
	const size = 8
	var words [size * maxElements]byte
	n := f.code.Data(words[:], table)
	for b := words[:n]; len(b) >= size; b = b[size:] {
		if to := binary.LittleEndian.Uint64(b); asked(to) {
			all = append(all, to)
		}
	}
	return all
}

package stack

import (
	"strings"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/flow"
)

// Where no way is found from an address to where its function returns, as of one that never does, the way is followed from where
// the function begins: a symbol says that, what has called it, or the program's first code.

const (
	// maxCallers is how far up the stack, in words, a call is looked for of a function that does not return: the
	// largest frames have a buffer for a path (PATH_MAX), or two.
	maxCallers = 2 << 10
	// maxNear is how far behind its beginning a function is looked for first.
	maxNear = 64 << 10
	// How many instructions are looked at for one of these calls: of a function just before the address, or of
	// any other; and how many calls. In a start of chromium 98 % of those that were the one came first, and
	// 1.5 % second.
	nearInsns, farInsns = 1500, 300
	maxNearTries        = 3
	maxFarTries         = 2
	// How many calls by a register are looked at.
	maxPointerTries = 3
)

// byCaller finds the row of a function of which no way back was found, from what stands above on the stack: what has
// called it has said where it begins, and from there to pc the code says how much lies between them. missed: code has to
// be read first.
func (u *Unwinder) byCaller(s *Space, c *code, rw *row, arch flow.Arch, pc uint64) (missed bool) {
	w, f := &u.w, &u.code
	if done, missed := u.bySymbol(s, c, rw, arch, pc); done || missed {
		return missed
	}
	if done, missed := u.asMain(s, c, rw, arch, pc); done || missed {
		return missed
	}
	tries := callerTries{near: maxNearTries, far: maxFarTries, pointer: maxPointerTries}
	first := !w.a.link // of all that may be return addresses; where calls leave it in a register it may be in another still
	for i := range uint64(maxCallers) {
		slot := w.sp() + 8*i
		word, ok := w.win.word(slot)
		if !ok {
			break
		}
		word &= w.a.raMask
		r := s.find(word - 1)
		if r == nil {
			continue
		}
		target, v := f.flow.CallBefore(&f.view, arch, word)
		if v == flow.Missed {
			return true
		}
		isCall := v == flow.Found
		if isCall && first {
			if v = u.begins(arch, word); v == flow.Missed {
				return true
			} else if v == flow.Found {
				// All return addresses stand behind calls, and there is none further down: this is the one.
				rw.top(w.a, slot-w.sp())
				return false
			}
		}
		first = first && v == flow.Never && f.view.c != nil
		if isCall && target == 0 {
			if done, missed := u.byPointer(rw, arch, pc, word, slot, &tries); done || missed {
				return missed
			}
			continue
		}
		limit := tries.limit(pc - target)
		if target == 0 || limit == 0 {
			continue
		}
		frame, v := f.flow.From(&f.view, arch, target, pc, limit)
		if v == flow.Missed {
			return true
		}
		if v != flow.Found {
			continue
		}
		made := *rw
		made.fill(&frame, w.a)
		if at, ok := w.returnSlot(&made); ok && at == slot {
			*rw = made
			return false
		}
	}
	v := u.begins(arch, pc)
	if v == flow.Found {
		rw.kind = rowBottom
	}
	return v == flow.Missed
}

// byPointer finds the row of a function that was called by a register, by the call behind which ra is, a word at slot. The code in
// front of that has taken the address of some code from which there is a way to pc. That is where the function begins if, like
// this, the call's return address lies just where it is, and registers of the caller are kept: code in the midst of a function
// keeps none.
func (u *Unwinder) byPointer(rw *row, arch flow.Arch, pc, ra, slot uint64, tries *callerTries) (done, missed bool) {
	f := &u.code
	if tries.pointer--; tries.pointer < 0 {
		return false, false
	}
	all, v := f.flow.Pointees(&f.view, arch, ra, pc, maxNear)
	if v == flow.Missed {
		return false, true
	}
	for _, first := range all {
		frame, v := f.flow.From(&f.view, arch, first, pc, nearInsns)
		switch {
		case v == flow.Missed:
			return false, true
		case v != flow.Found || frame.NSaved == 0:
			continue
		}
		made := *rw
		made.fill(&frame, u.w.a)
		if at, ok := u.w.returnSlot(&made); ok && at == slot {
			*rw = made
			return true, false
		}
	}
	return false, false
}

// bySymbol finds the row of a function that has a symbol, which says where it begins.
func (u *Unwinder) bySymbol(s *Space, c *code, rw *row, arch flow.Arch, pc uint64) (done, missed bool) {
	image := c.t.image
	before := image.Missed()
	first, ok := functionAt(image, u.w.lookup()-c.bias)
	if image.Missed() != before {
		u.code.view.unread, u.code.view.in = c.obj, s.find(pc)
		return false, true
	}
	if !ok {
		return false, false
	}
	_, done, missed = u.from(s, rw, arch, first+c.bias, pc)
	return done, missed
}

// asMain finds the row of a program's main function, where that does not return: what has called it does so by a register, and so
// does not say where it begins. But the program's first code does, and what has called it exits when it returns.
func (u *Unwinder) asMain(s *Space, c *code, rw *row, arch flow.Arch, pc uint64) (done, missed bool) {
	f := &u.code
	if c.t.image.Entry == 0 {
		return false, false
	}
	first, v := f.flow.Main(&f.view, arch, c.t.image.Entry+c.bias)
	if v != flow.Found || pc-first > maxNear {
		return false, v == flow.Missed
	}
	made := *rw
	ra, done, missed := u.from(s, &made, arch, first, pc)
	if !done {
		return false, missed
	}
	if v = f.flow.Leaves(&f.view, arch, ra); v != flow.Found {
		return false, v == flow.Missed
	}
	*rw = made
	return true, false
}

// from finds the row of a function that begins at first, and what it returns to.
func (u *Unwinder) from(s *Space, rw *row, arch flow.Arch, first, pc uint64) (ra uint64, done, missed bool) {
	frame, v := u.code.flow.From(&u.code.view, arch, first, pc, nearInsns)
	if v != flow.Found {
		return 0, false, v == flow.Missed
	}
	made := *rw
	made.fill(&frame, u.w.a)
	if ra, ok := u.w.returnAddress(&made); ok {
		switch u.returnsToCall(s, ra) {
		case Unread:
			return 0, false, true
		case stepped:
			*rw = made
			return ra, true, false
		}
	}
	return 0, false, false
}

// Bounds of the search for a function's symbol. musl's libc has 1800 symbols, busybox 8000.
const (
	maxSymbols    = 1 << 14
	maxSymbolName = 1 << 10
)

// functionAt returns the first address of the function that a file's symbols say an address is in.
func functionAt(f *elf.File, vaddr uint64) (first uint64, ok bool) {
	table, ok := f.Section(".symtab", ".dynsym")
	size := uint64(f.SymbolSize())
	if !ok || table.Type == elf.SHT_NOBITS {
		return 0, false
	}
	names, ok := f.Section(map[string]string{".symtab": ".strtab", ".dynsym": ".dynstr"}[table.Name])
	if !ok {
		return 0, false
	}
	var scratch [32]byte
	for i := range min(table.Size/size, maxSymbols) {
		b := f.Bytes(table.Off+i*size, int(size), scratch[:])
		if b == nil {
			break
		}
		const typeMask = 0xf
		s := f.DecodeSymbol(b)
		if s.Info&typeMask != uint8(elf.STT_FUNC) || vaddr-s.Value >= s.Size {
			continue
		}
		// GCC moves a function's unlikely parts elsewhere, and they are no functions.
		name, ok := f.String(names.Off+uint64(s.Name), maxSymbolName)
		return s.Value, ok && !strings.Contains(name, ".cold")
	}
	return 0, false
}

// callerTries is how many calls may still be looked at.
type callerTries struct{ near, far, pointer int }

// limit returns how many instructions may be looked at from the beginning of a function that is so far before the
// address that is looked for.
func (t *callerTries) limit(distance uint64) int {
	if distance < maxNear {
		if t.near--; t.near >= 0 {
			return nearInsns
		}
	} else if t.far--; t.far >= 0 {
		return farInsns
	}
	return 0
}

// begins reports whether pc is where a process or a thread begins: whether what it returns from is what its first code
// has called.
func (u *Unwinder) begins(arch flow.Arch, pc uint64) flow.Verdict {
	f := &u.code
	if !f.view.look(pc) {
		return flow.Missed
	}
	if c := f.view.c; c != nil {
		entry := c.t.image.Entry + c.bias
		if at := pc - entry; at > 0 && at <= maxStart {
			if v := f.flow.Straight(&f.view, arch, entry, pc); v != flow.Unsure {
				return v
			}
		}
	}
	return f.flow.Exits(&f.view, arch, pc)
}

// top is the row of a function whose return address lies off bytes above the stack pointer, and of which nothing else
// is known.
func (r *row) top(a *arch, off uint64) {
	r.kind, r.flags = rowOffsets, r.flags|flagFollowed
	r.cfaReg, r.cfaOff, r.raOff = a.sp, int32(off)+8, -8
	r.lost = ^uint32(0) &^ (1 << a.sp)
}

package stack

import (
	"sysprof/profile/stack/flow"
)

// Following code (package flow) is for code of a file for which there is no unwind information. What it finds becomes a row
// as that of any other address, so each address is followed once, and a stack through it costs no more than
// another then. Only, a return address that was found like this has to be one: it stands behind a call, or it is the
// code that returns from a signal.

// A codeFollower is what an Unwinder follows code with; the zero one has no memory yet.
type codeFollower struct {
	flow   *flow.Follower
	view   codeView
	around *Functions
	rows   map[rowKey]row // what following has come to, for when the row cache has no room for it
}

type rowKey struct {
	object uint32
	vaddr  uint64
}

// maxFollowed is how many addresses are remembered. A start of chromium goes through 19,000.
const maxFollowed = 1 << 15

// codeView is a process's code, as package flow asks for it.
type codeView struct {
	s   *Space
	mem Memory
	r   *execRange // where the last address was
	c   *code      // what it shows; nil: nothing

	unread *object // what has to be read first …
	in     *execRange
	short  [flow.MaxInsn]byte
	call   [flow.LongestCall]byte

	around *Functions // for those of whichever file is asked about
}

// look finds what is at addr. It reports false if that has to be read first.
func (v *codeView) look(addr uint64) bool {
	if v.r != nil && addr >= v.r.start && addr < v.r.end {
		return true
	}
	r := v.s.find(addr)
	if r == nil {
		v.r, v.c = nil, nil
		return true
	}
	c, unread := v.s.resolve(r, v.mem)
	if unread != nil {
		v.unread, v.in = unread, r
		v.r, v.c = nil, nil
		return false
	}
	v.r, v.c = r, c
	if c.obj == nil || c.t.image == nil {
		v.c = nil
	}
	return true
}

func (v *codeView) At(addr uint64) (b []byte, ok bool) {
	if !v.look(addr) {
		return nil, false
	}
	if v.c == nil {
		return nil, true
	}
	image := v.c.t.image
	off, left, ok := image.Offset(addr - v.c.bias)
	if !ok {
		return nil, true
	}
	missed := image.Missed()
	b = image.Bytes(off, int(min(left, v.r.end-addr, flow.MaxInsn)), v.short[:])
	if b == nil && image.Missed() != missed {
		v.unread, v.in = v.c.obj, v.r
		return nil, false
	}
	return b, true
}

func (v *codeView) Data(into []byte, addr uint64) int {
	if v.mem == nil {
		return 0
	}
	return v.mem.ReadMemory(into, addr)
}

func (v *codeView) Place(addr uint64) (file uint32, addrInFile uint64) {
	if !v.look(addr) || v.c == nil {
		return 0, addr
	}
	return v.c.obj.id, addr - v.c.bias
}

func (v *codeView) Ends(addr uint64) (ends, ok bool) {
	if !v.look(addr - 1) {
		return false, false
	}
	if v.c == nil {
		return false, true
	}
	missed := v.c.t.image.Missed()
	v.around.use(v.c.t.eh, v.c.t.debug)
	_, end, known := v.around.Around(addr - 1 - v.c.bias)
	missing := v.c.t.image.Missed() != missed
	if !known && !missing {
		var separate *ehFrame
		if separate, ok = v.c.t.separate.get(); !ok {
			missing = true
		} else if separate != nil {
			v.around.use(separate)
			_, end, known = v.around.Around(addr - 1 - v.c.bias)
		}
	}
	if missing {
		v.unread, v.in = v.c.obj, v.r
		return false, false
	}
	return known && end == addr-v.c.bias, true
}

// begin makes the follower ready for the stack that is being unwound; end lets go of it.
func (f *codeFollower) begin(s *Space, mem Memory) {
	if f.flow == nil {
		f.flow = flow.NewFollower()
		f.rows = make(map[rowKey]row)
		f.around = new(Functions)
	}
	f.view = codeView{s: s, mem: mem, around: f.around}
}

func (f *codeFollower) end() { f.view.s = nil }

// follow fills in rw, which has nothing, for the current frame, whose code is in range r of file c, by following the
// code. It leaves it as it is where it is not sure; unless what it returns is stepped the stack ends.
//
// It does so once for each address, also if it finds nothing. Other stacks may show where the address's function
// begins, but they do so two or three times in a thousand, and nothing takes longer than to look for it in vain.
func (u *Unwinder) follow(s *Space, r *execRange, c *code, rw *row, innermost bool) Reason {
	f := &u.code
	if rw.followed {
		return stepped
	}
	key := rowKey{rw.object, rw.vaddr}
	if known, ok := f.rows[key]; ok {
		*rw = known
		return stepped
	}
	if f.view.s == nil {
		f.begin(s, u.w.win.mem)
	}
	reason := u.followOnce(s, c, rw, innermost)
	if reason == stepped {
		rw.followed = true
		if len(f.rows) >= maxFollowed {
			clear(f.rows)
		}
		f.rows[key] = *rw
	}
	return reason
}

func (u *Unwinder) followOnce(s *Space, c *code, rw *row, innermost bool) Reason {
	w, f := &u.w, &u.code
	arch := flow.Arch(c.t.arch)
	start := w.pc
	var v flow.Verdict
	switch v = u.special(c, rw, arch, start); v {
	case flow.Missed:
		return u.unfollowed(rw)
	case flow.Found:
		return stepped
	}
	var frame flow.Frame
	frame, v = f.flow.Forward(&f.view, arch, start, innermost || w.exact)
	if v == flow.Missed {
		return u.unfollowed(rw)
	}
	if v == flow.Found {
		made := *rw
		made.fill(&frame, w.a)
		ra, ok := w.returnAddress(&made)
		if ok {
			switch u.returnsToCall(s, ra) {
			case Unread:
				return u.unfollowed(rw)
			case stepped:
				*rw = made
				return stepped
			}
		}
	}
	if v != flow.Found {
		if missed := u.byCaller(s, c, rw, arch, start); missed {
			return u.unfollowed(rw)
		}
	}
	return stepped
}

// unfollowed ends the stack for want of code.
func (u *Unwinder) unfollowed(rw *row) Reason {
	view := &u.code.view
	u.rows.forget(rw)
	return u.unread(view.s, view.unread, view.in)
}

// special fills in the rows of code that nothing has called.
func (u *Unwinder) special(c *code, rw *row, arch flow.Arch, pc uint64) flow.Verdict {
	f := &u.code
	b, ok := f.view.At(pc)
	if !ok {
		return flow.Missed
	}
	if sigreturnRow(rw, c.t.arch, b) {
		return flow.Found
	}
	entry := c.t.image.Entry + c.bias
	if at := pc - entry; at == 0 || at > maxStart {
		return flow.Unsure
	}
	v := f.flow.Straight(&f.view, arch, entry, pc)
	if v == flow.Found {
		rw.kind = rowBottom
	}
	return v
}

// maxStart is how far behind a program's first instruction a call is looked for that is the first.
const maxStart = 64

// returnsToCall reports, by stepped, whether ra is in code, and there behind a call, at what returns from a signal, or where
// makecontext(3) begins a stack.
func (u *Unwinder) returnsToCall(s *Space, ra uint64) Reason {
	w, v := &u.w, &u.code.view
	if v.s == nil {
		u.code.begin(s, w.win.mem)
	}
	arch := flow.AMD64
	if w.a.link {
		arch = flow.ARM64
	}
	r := s.find(ra - 1)
	if r == nil {
		return NoInfo
	}
	// What lies before the mapping is no part of the call.
	short := max(flow.LongestCall-int64(ra-r.start), 0)
	b, ok := v.At(ra - flow.LongestCall + uint64(short))
	if !ok {
		return u.unread(s, v.unread, v.in)
	}
	code := &v.call
	clear(code[:short])
	if v.r != nil && v.c == nil { // anonymous memory
		if w.win.mem == nil || w.win.mem.ReadMemory(code[short:], ra-flow.LongestCall+uint64(short)) != len(code[short:]) {
			return NoInfo
		}
	} else if copy(code[short:], b) != len(code[short:]) {
		return NoInfo
	}
	if flow.EndsWithCall(arch, code[:]) {
		return stepped
	}
	if b, ok = v.At(ra); !ok {
		return u.unread(s, v.unread, v.in)
	}
	if v.c != nil && sigreturnRow(new(row), v.c.t.arch, b) || w.codeIs(w.a.context, ra) {
		return stepped
	}
	return NoInfo
}

// sureFramePointer steps to the caller by the frame pointer in code that could not be followed. It may use the
// register otherwise, so what it leads to has to be behind a call, and have a frame pointer further up.
func (u *Unwinder) sureFramePointer(s *Space) Reason {
	w := &u.w
	// Where calls leave the return address in a register, code that was written by hand has it there, or in another one, and
	// its caller's frame pointer with it, which leads past the caller.
	if w.a.link {
		return NoInfo
	}
	fp, ok := w.reg(w.a.fp)
	if !ok || fp == 0 || fp%8 != 0 {
		return NoInfo
	}
	next, ok1 := w.word(fp)
	ra, ok2 := w.word(fp + 8)
	if !ok1 || !ok2 || next%8 != 0 || next <= fp || next-fp > maxFrame {
		return NoInfo
	}
	if reason := u.returnsToCall(s, ra&w.a.raMask); reason != stepped {
		return reason
	}
	return w.framePointer()
}

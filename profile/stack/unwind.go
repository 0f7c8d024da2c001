package stack

import "encoding/binary"

// MaxDepth is how many frames of a stack are kept if nobody says otherwise: as many as perf does.
const MaxDepth = 127

// MaxWalk is how many frames are looked at to find the outermost ones of a deep stack. It bounds what a stop costs in a
// program that recurses without end: 0.1 ms if the stack is new.
const MaxWalk = 1024

// Gap is the frame that stands for those in the middle of a deep stack. No address is like it.
const Gap = ^uint64(0)

// A Reason says how a stack ended. Only one that ended with Bottom is whole.
type Reason uint8

const (
	stepped Reason = iota // not ended
	// Bottom: the outermost function was reached.
	Bottom
	// Truncated: there are more frames than were looked at.
	Truncated
	// NoInfo: nothing says how to go on from code without unwind information, such as
	// code made at run time, or from unwind information that makes no sense.
	NoInfo
	// BadMemory: part of the stack could not be read.
	BadMemory
	// Stuck: a frame's caller would lie below it on the stack.
	Stuck
	// Unmapped: an address lies in no executable mapping. Perhaps the Space is old.
	Unmapped
	// Unread: a file has to be read to go on, and that was not to be waited for.
	Unread
)

var reasonNames = [...]string{"", "bottom", "truncated", "no unwind information", "unreadable memory", "no progress", "unmapped code", "unread file"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "?"
}

// A Mode says how much work to do.
type Mode uint8

const (
	// Full uses unwind tables, and the code itself and frame pointers where there are none.
	Full Mode = iota
	// FramePointers uses nothing else, but for what tables say about where a stack ends. It misses the caller of a
	// function without a frame, and is lost in code that uses the register otherwise.
	FramePointers
)

// An Unwinder finds return addresses. It is for one goroutine at a time. It takes about
// 1 MB, which does not grow, and once it has followed code 2 MB more, and a row for each of up to maxFollowed addresses.
type Unwinder struct {
	Mode Mode
	// Later leaves all reading of files that may take time to the caller: Unwind ends with Unread instead, and Need
	// says what to read.
	Later bool

	need Need
	rows rowCache
	root bool // the frame left last had flagRoot
	mark Mark // of the frame left last

	walked [MaxWalk]uint64
	code   codeFollower
	w      walk
	m      cfiMachine
	d      fde
	c      cie
	s      ehScratch
}

// NewUnwinder returns an Unwinder with an empty cache.
func NewUnwinder() *Unwinder { return new(Unwinder) }

// Unwind writes the stack of a thread to frames, innermost first, and returns how
// many frames it has written and how the stack ended. It does not allocate for code
// that it has met before.
//
// A stack that has as many frames as there is room for, or more, is written as its innermost half, Gap, and its
// outermost half: what stacks have in common is there, where the thread began. If that is more than MaxWalk frames
// away, only the innermost ones are written, and the stack ends with Truncated.
//
// The first frame is regs.IP, each may have a Mark. In all others, the address minus one lies in
// the instruction that was being executed: for a return address, that is the
// call; where a signal interrupted the frame, one has been added. (At a system
// call stop it is so for the first, too.)
//
// Precondition: win was Reset for this stop.
func (u *Unwinder) Unwind(s *Space, regs *Regs, win *Window, frames []uint64) (n int, end Reason) {
	for range maxReads {
		if n, end = u.unwind(s, regs, win); end != Unread || u.Later {
			break
		}
		u.need.Read()
		win.Again()
	}
	if n > len(frames)-1 && end == BadMemory && win.spent() {
		end = Truncated
	}
	return keep(frames, u.walked[:n], end)
}

// keep writes a stack to where there may be no room for all of it.
func keep(frames, walked []uint64, end Reason) (int, Reason) {
	room := len(frames) - 1 // one is for the gap
	switch {
	case room < 1:
		return copy(frames, walked), Truncated
	case len(walked) <= room:
		return copy(frames, walked), end
	case end == Truncated:
		return copy(frames, walked[:room]), end
	}
	outer := room / 2
	inner := room - outer
	copy(frames, walked[:inner])
	frames[inner] = Gap
	copy(frames[inner+1:], walked[len(walked)-outer:])
	return room + 1, end
}

// maxReads caps how often one stack waits for a file: some blocks for each of its frames.
const maxReads = 64 * MaxDepth

// Need is what the stack that ended with Unread last needs.
func (u *Unwinder) Need() Need { return u.need }

func (u *Unwinder) unwind(s *Space, regs *Regs, win *Window) (n int, end Reason) {
	frames := &u.walked
	s.objects.trim()
	u.code.end() // of the stack before
	w := &u.w
	w.init(regs, win)
	frames[0] = w.pc
	r := s.find(w.lookup())
	if r == nil {
		return 1, Unmapped
	}
	for n = 1; ; n++ {
		called := n > 1 && !w.exact
		end := u.step(s, r, n)
		if u.mark != 0 {
			frames[n-1] = u.mark.on(frames[n-1], called)
		}
		if end != stepped {
			return n, end
		}
		if w.pc == 0 && !w.exact {
			return n, Bottom
		}
		pc := w.lookup()
		if pc < r.start || pc >= r.end {
			r = s.find(pc)
		}
		if r == nil && !u.root && n < len(frames) {
			nowhere := w.pc
			if end := u.calledNowhere(s); end != stepped {
				return n, end
			}
			frames[n] = nowhere + 1
			n++
			r = s.find(w.lookup())
		}
		if r == nil && u.root {
			return n, Bottom
		} else if r == nil {
			return n, Unmapped
		}
		if n == len(frames) {
			return n, Truncated
		}
		frames[n] = w.pc
		if w.exact {
			frames[n]++
		}
	}
}

// step goes from the n-th frame, whose code is in range r, to its caller.
func (u *Unwinder) step(s *Space, r *execRange, n int) Reason {
	w := &u.w
	kind, flags := rowNone, uint8(0)
	var rw *row
	var bias uint64
	var file *code
	if u.Mode == Full || w.chainEnds() {
		c, unread := s.resolve(r, w.win.mem)
		if unread != nil {
			return u.unread(s, unread, r)
		}
		if c.obj != nil && (c.t.image == nil || &archs[c.t.arch] == w.a) {
			var ok bool
			bias = c.bias
			if rw, ok = u.row(c, w.lookup()-bias); !ok {
				return u.unread(s, c.obj, r)
			}
			if u.Mode == Full && rw.kind == rowNone && c.t.image != nil && w.a.word == 8 && !u.isUncalled(rw, r, n) {
				if end := u.follow(s, r, c, rw, n == 1); end != stepped {
					return end
				}
				file = c
			}
			kind, flags = rw.kind, rw.flags
		}
		if u.Mode != Full && kind != rowBottom {
			kind, flags = rowNone, 0
		}
	}
	sp, pc := w.sp(), w.pc
	u.root, u.mark = flags&flagRoot != 0, 0
	reason := stepped
	switch {
	case w.exact:
	case flags&flagLast != 0 && w.startsContext():
		kind = rowNone
	case flags&flagSignal == flagSignal && w.a.link:
		kind = rowNone // the kernel's tables have no address where the code was interrupted
	}
	switch kind {
	case rowOffsets:
		reason = w.offsets(rw)
	case rowBottom:
		return Bottom
	case rowNone:
		reason, flags = u.withoutTables(s, r, rw, file, n)
	case rowFull:
		reason = w.full(rw.full, bias)
	case rowLost:
		return NoInfo
	default:
		rw := *rw // which looking up another row may replace
		onG0, ok := false, true
		if kind == rowGoCgocallback {
			if onG0, ok = u.fromCrosscall(r, &rw, bias); !ok {
				return u.unread(s, r.code.Load().obj, r)
			}
		}
		reason = w.golang(&rw, onG0)
	}
	if reason == stepped && flags&flagFollowed != 0 {
		reason = u.returnsToCall(s, w.pc)
	}
	if flags&flagSignal == flagSignal {
		u.mark = SignalHandler
	}
	if reason != stepped {
		return reason
	}
	// Calls grow the stack. Only while the return address is in a register need the
	// caller have no more of it: in leaf functions on ARM64, and in vfork.
	if flags&flagSwitch == 0 && (w.sp() < sp || w.sp() == sp && w.pc == pc) && !w.behindMorestack(pc) {
		return Stuck
	}
	w.exact = flags&flagExactNext != 0
	return stepped
}

// unread ends a stack for want of what is in a file.
func (u *Unwinder) unread(s *Space, obj *object, r *execRange) Reason {
	u.need = Need{s.objects, obj, r.mapping}
	return Unread
}

// fromCrosscall reports whether the frame of Go's cgocallback, whose code is in range
// r, was called on the stack that it is found on. ok is false if the file has to be read first.
func (u *Unwinder) fromCrosscall(r *execRange, rw *row, bias uint64) (is, ok bool) {
	ra, ok := u.w.word(u.w.sp() + uint64(rw.cfaOff) - 8)
	if !ok || ra-1 < r.start || ra-1 >= r.end {
		return false, true
	}
	caller, ok := u.row(r.code.Load(), ra-1-bias)
	return ok && caller.flags&flagCrosscall != 0, ok
}

// calledFrom steps from an innermost frame without unwind information to its caller, if
// the word at sp is its return address beyond doubt: if before it there is a direct
// call of the code that is being executed. So it is in glibc's clone and clone3, whose
// unwind information ends before the system call, and other system call stubs. Otherwise it returns the reason that
// there was to end.
func (u *Unwinder) calledFrom(s *Space, sp uint64, otherwise Reason) Reason {
	const (
		callSize = 5    // opcode and a 32-bit distance
		callOp   = 0xe8 // Intel SDM, CALL rel32
		maxStub  = 256  // bytes from the called address to the system call
	)
	w := &u.w
	if w.a.link {
		return otherwise
	}
	ra, ok := w.word(sp)
	if !ok {
		return otherwise
	}
	r := s.find(ra - 1)
	if r == nil {
		return otherwise
	}
	c, unread := s.resolve(r, w.win.mem)
	if unread != nil {
		return u.unread(s, unread, r)
	}
	if c.obj == nil || c.t.image == nil {
		return otherwise
	}
	off, left, ok := c.t.image.Offset(ra - callSize - c.bias)
	if !ok || left < callSize {
		return otherwise
	}
	var scratch [callSize]byte
	missed := c.t.image.Missed()
	b := c.t.image.Bytes(off, callSize, scratch[:])
	if b == nil && c.t.image.Missed() != missed {
		return u.unread(s, c.obj, r)
	}
	if b == nil || b[0] != callOp {
		return otherwise
	}
	target := ra + uint64(int64(int32(binary.LittleEndian.Uint32(b[1:]))))
	if w.pc-target > maxStub {
		return otherwise
	}
	w.set(w.a.sp, sp+uint64(w.a.word))
	w.pc = ra
	return stepped
}

// row returns what the tables of c say about an address as linked. It reports false if they have to be read first.
func (u *Unwinder) row(c *code, vaddr uint64) (r *row, ok bool) {
	r, hit := u.rows.get(c.obj.id, vaddr)
	if hit {
		return r, true
	}
	c.obj.touch()
	if c.t.image == nil {
		return r, true
	}
	missed := c.t.image.Missed()
	if c.t.golang == nil || !goRow(r, c.t.golang, c.t.arch, vaddr) {
		for _, e := range [...]*ehFrame{c.t.eh, c.t.debug} {
			if e != nil && r.kind == rowNone {
				u.cfiRow(r, e, c.t.arch, vaddr)
			}
		}
	}
	if c.t.image.Missed() != missed {
		u.rows.forget(r)
		return nil, false
	}
	if r.kind == rowNone {
		e, ok := c.t.separate.get()
		if !ok {
			u.rows.forget(r)
			return nil, false
		}
		if e != nil {
			u.cfiRow(r, e, c.t.arch, vaddr)
		}
	}
	return r, true
}

func (u *Unwinder) cfiRow(r *row, e *ehFrame, archID Arch, vaddr uint64) {
	addr, ok := e.find(vaddr)
	if !ok {
		return
	}
	if e.fdeAt(addr, &u.s, &u.d, &u.c) != nil || vaddr < u.d.lo || vaddr >= u.d.hi {
		return
	}
	a := &archs[archID]
	if u.m.run(&u.c, &u.d, a.nregs, vaddr) != nil {
		return
	}
	u.m.compile(r, a)
	if vaddr+1 == u.d.hi {
		r.flags |= flagLast
	}
}

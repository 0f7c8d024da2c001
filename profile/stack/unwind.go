package stack

import "encoding/binary"

// MaxDepth is how many frames a stack has at most in this project.
const MaxDepth = 127

// A Reason says how a stack ended. Only one that ended with Bottom is whole.
type Reason uint8

const (
	stepped Reason = iota // not ended
	// Bottom: the outermost function was reached.
	Bottom
	// Truncated: there are more frames than were asked for.
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
)

var reasonNames = [...]string{"", "bottom", "truncated", "no unwind information", "unreadable memory", "no progress", "unmapped code"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "?"
}

// A Mode says how much work to do.
type Mode uint8

const (
	// Full uses unwind tables, and frame pointers where there are none.
	Full Mode = iota
	// FramePointers uses nothing else. It misses the caller of a function without a
	// frame, and is lost in code that uses the register otherwise.
	FramePointers
)

// An Unwinder finds return addresses. It is for one goroutine at a time. It takes about
// 1 MB, which does not grow.
type Unwinder struct {
	Mode Mode

	rows rowCache
	root bool // the frame left last had flagRoot
	w    walk
	m    cfiMachine
	d    fde
	c    cie
	s    ehScratch
}

// NewUnwinder returns an Unwinder with an empty cache.
func NewUnwinder() *Unwinder { return new(Unwinder) }

// Unwind writes the stack of a thread to frames, innermost first, and returns how
// many frames it has written and how the stack ended. It does not allocate for code
// that it has met before.
//
// The first frame is regs.IP. In all others, the address minus one lies in
// the instruction that was being executed: for a return address, that is the
// call; where a signal interrupted the frame, one has been added. (At a system
// call stop it is so for the first, too.)
//
// Precondition: win was Reset for this stop.
func (u *Unwinder) Unwind(s *Space, regs *Regs, win *Window, frames []uint64) (n int, end Reason) {
	if len(frames) == 0 {
		return 0, Truncated
	}
	s.objects.trim()
	w := &u.w
	w.init(regs, win)
	frames[0] = w.pc
	r := s.find(w.lookup())
	if r == nil {
		return 1, Unmapped
	}
	for n = 1; ; n++ {
		if end := u.step(s, r, n); end != stepped {
			return n, end
		}
		if w.pc == 0 {
			return n, Bottom
		}
		pc := w.lookup()
		if pc < r.start || pc >= r.end {
			if r = s.find(pc); r == nil && u.root {
				return n, Bottom
			} else if r == nil {
				return n, Unmapped
			}
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
	if u.Mode == Full {
		if c := s.resolve(r, w.win.mem); c.obj != nil {
			bias = c.bias
			rw = u.row(c.obj, w.lookup()-bias)
			kind, flags = rw.kind, rw.flags
		}
	}
	sp, pc := w.sp(), w.pc
	u.root = flags&flagRoot != 0
	reason := stepped
	switch kind {
	case rowOffsets:
		reason = w.offsets(rw)
	case rowBottom:
		return Bottom
	case rowNone:
		if reason = w.framePointer(); reason != stepped && n == 1 && u.calledFrom(s, sp) {
			reason = stepped
		}
	case rowFull:
		reason = w.full(rw.full, bias)
	default:
		rw := *rw // which looking up another row may replace
		reason = w.golang(&rw, kind == rowGoCgocallback && u.fromCrosscall(r, &rw, bias))
	}
	if reason != stepped {
		return reason
	}
	// Calls grow the stack. Only while the return address is in a register need the
	// caller have no more of it: in leaf functions on ARM64, and in vfork.
	if flags&flagSwitch == 0 && (w.sp() < sp || w.sp() == sp && w.pc == pc) {
		return Stuck
	}
	w.exact = flags&flagExactNext != 0
	return stepped
}

// fromCrosscall reports whether the frame of Go's cgocallback, whose code is in range
// r, was called on the stack that it is found on.
func (u *Unwinder) fromCrosscall(r *execRange, rw *row, bias uint64) bool {
	ra, ok := u.w.word(u.w.sp() + uint64(rw.cfaOff) - 8)
	if !ok || ra-1 < r.start || ra-1 >= r.end {
		return false
	}
	return u.row(r.code.Load().obj, ra-1-bias).flags&flagCrosscall != 0
}

// calledFrom steps from an innermost frame without unwind information to its caller, if
// the word at sp is its return address beyond doubt: if before it there is a direct
// call of the code that is being executed. So it is in glibc's clone and clone3, whose
// unwind information ends before the system call, and other system call stubs.
func (u *Unwinder) calledFrom(s *Space, sp uint64) bool {
	const (
		callSize = 5    // opcode and a 32-bit distance
		callOp   = 0xe8 // Intel SDM, CALL rel32
		maxStub  = 256  // bytes from the called address to the system call
	)
	w := &u.w
	if w.a.link {
		return false
	}
	ra, ok := w.word(sp)
	if !ok {
		return false
	}
	r := s.find(ra - 1)
	if r == nil {
		return false
	}
	c := s.resolve(r, w.win.mem)
	if c.obj == nil || c.obj.image == nil {
		return false
	}
	off, left, ok := c.obj.image.Offset(ra - callSize - c.bias)
	if !ok || left < callSize {
		return false
	}
	var scratch [callSize]byte
	b := c.obj.image.Bytes(off, callSize, scratch[:])
	if b == nil || b[0] != callOp {
		return false
	}
	target := ra + uint64(int64(int32(binary.LittleEndian.Uint32(b[1:]))))
	if w.pc-target > maxStub {
		return false
	}
	w.set(w.a.sp, sp+8)
	w.pc = ra
	return true
}

// row returns what the tables of obj say about an address as linked.
func (u *Unwinder) row(obj *object, vaddr uint64) *row {
	r, hit := u.rows.get(obj.id, vaddr)
	if hit {
		return r
	}
	obj.touch()
	if obj.golang != nil && obj.arch < numArchs && goRow(r, obj.golang, obj.arch, vaddr) {
		return r
	}
	if obj.eh != nil {
		u.cfiRow(r, obj, vaddr)
	}
	return r
}

func (u *Unwinder) cfiRow(r *row, obj *object, vaddr uint64) {
	addr, ok := obj.eh.find(vaddr)
	if !ok {
		return
	}
	if obj.eh.fdeAt(addr, &u.s, &u.d, &u.c) != nil || vaddr < u.d.lo || vaddr >= u.d.hi {
		return
	}
	a := &archs[obj.arch]
	if u.m.run(&u.c, &u.d, a.nregs, vaddr) != nil {
		return
	}
	u.m.compile(r, a)
}

package flow

import "encoding/binary"

// Bounds of one search. A path to the nearest return instruction has some dozen instructions in nearly all functions.
const (
	maxForward = 600     // instructions of Forward, until a return is found …
	maxMore    = 150     // … and then, to see whether others agree
	maxFrom    = 1500    // of From
	maxReturns = 2000    // of Returns, in one function: an interpreter's loop has as many …
	maxAll     = 10000   // … and of one search with all that it asks about other functions
	maxCallees = 6       // how deep functions that are called are looked into
	maxTabled  = 1       // how deep of these jump tables are followed in
	maxWaiting = 96      // branches whose other side is still to be followed
	maxDoubts  = 12      // calls of what may never return, behind which is still to be looked
	maxVisited = 4096    // a power of two, and more than any search has instructions
	maxKnown   = 1 << 17 // functions that are remembered; a start of chromium goes through 50,000
)

// A search notes each instruction, and looks for a free place until it finds one.
const _ = uint(maxVisited - maxReturns - 1)

// A Follower follows code. It is for one goroutine at a time. It has about 2.8 MB, and keeps for each function
// that it was asked about whether that returns.
type Follower struct {
	c       *convention
	arch    Arch
	code    Code
	cache   insnCache
	known   map[place]knowledge // whether functions return
	budget  int                 // instructions left in this search
	missed  bool
	assumed bool // that a function does not return that is still being looked into
	levels  [maxCallees + 1]level
}

type place struct {
	file uint32
	addr uint64
}

// knowledge is what is known of a function.
type knowledge struct {
	verdict Verdict
	running bool // it is just being looked into
	depth   int  // at which it was
}

// level is a search in one function.
type level struct {
	visited [maxVisited]visit
	search  uint32 // that it is now: what others have visited is not seen
	wanted  uint64 // an address that is looked for; 0: none
	asks    bool   // it is looked for a return, wherever that is …
	tables  bool   // … also behind jumps by tables
	waiting [maxWaiting]path
	paths   int
	doubts  [maxDoubts]path
	first   int // of the doubts that are left, which are taken in their order …
	last    int // … and behind the last one
	at      path
	unsure  bool // a path could not be followed to its end
}

type visit struct {
	addr   uint64
	sp     value
	search uint32
}

// path is how far one path was followed.
type path struct {
	addr  uint64
	state state
	stray bool // it may have left the function by what stands behind a table
}

// NewFollower returns a Follower that knows nothing.
func NewFollower() *Follower { return &Follower{known: map[place]knowledge{}} }

func (f *Follower) begin(code Code, arch Arch) {
	f.code, f.arch, f.c = code, arch, &conventions[arch]
	f.budget, f.missed = maxAll, false
}

// Steps is how many instructions the last search went over.
func (f *Follower) Steps() int { return maxAll - f.budget }

// start makes l ready for a search from addr.
func (l *level) start(addr uint64, c *convention) {
	if l.search++; l.search == 0 {
		clear(l.visited[:])
		l.search = 1
	}
	l.paths, l.first, l.last, l.unsure = 0, 0, 0, false
	l.wanted, l.asks, l.tables = 0, false, false
	l.at.addr, l.at.stray = addr, false
	l.at.state.init(c)
}

// seen notes that the path that is being followed has come to its address, and reports whether one was there before, and
// with another stack pointer.
func (l *level) seen(sp value) (before, differs bool) {
	v := l.visit(l.at.addr)
	if v.search == l.search {
		return true, v.sp != sp
	}
	*v = visit{l.at.addr, sp, l.search}
	return false, false
}

// visit is where it is noted that this search has come to an address, or the place to note it.
func (l *level) visit(addr uint64) *visit {
	i := (addr * 0x9e3779b97f4a7c15) >> 52 // 2^64 / golden ratio, to 12 bits
	for l.visited[i].search == l.search && l.visited[i].addr != addr {
		i = (i + 1) % maxVisited
	}
	return &l.visited[i]
}

// isKnown reports whether a path has come to an address, or waits to go on there.
func (l *level) isKnown(addr uint64) bool {
	if l.visit(addr).search == l.search {
		return true
	}
	for i := range l.paths {
		if l.waiting[i].addr == addr {
			return true
		}
	}
	return false
}

// wait leaves a branch for later.
func (l *level) wait(addr uint64) {
	if l.paths == maxWaiting {
		l.unsure = true
		return
	}
	l.waiting[l.paths].addr, l.waiting[l.paths].state, l.waiting[l.paths].stray = addr, l.at.state, l.at.stray
	l.paths++
}

// next goes on with the branch that was left last, or behind a doubtful call if there is none.
func (l *level) next() bool {
	switch {
	case l.paths > 0:
		l.paths--
		l.at = l.waiting[l.paths]
	case l.first < l.last:
		l.at = l.doubts[l.first]
		l.first++
	default:
		return false
	}
	return true
}

// insn decodes the instruction at addr; nil if there is none that is understood.
func (f *Follower) insn(addr uint64) *insn {
	file, inFile := f.code.Place(addr)
	e := &f.cache[(inFile*0x9e3779b97f4a7c15+uint64(file))>>53]
	if e.addr == inFile && e.file == file && e.arch == f.arch && e.in.size > 0 {
		return &e.in
	}
	b, ok := f.code.At(addr)
	if !ok {
		f.missed = true
		return nil
	}
	if len(b) == 0 {
		return nil
	}
	e.addr, e.file, e.arch = inFile, file, f.arch
	if f.c.decode(b[:min(len(b), MaxInsn)], &e.in); e.in.kind == unknown {
		e.in.size = 0
		return nil
	}
	return &e.in
}

// stepped is what one step along a path came to.
type stepped uint8

const (
	goesOn  stepped = iota
	ends            // surely: it never comes back
	returns         // at a return instruction
	fails           // for want of knowledge
)

// step follows l's path over the instruction at its address. depth is how many functions up this search began. All
// calls are taken to return if trusting.
func (f *Follower) step(l *level, depth int, trusting bool) stepped {
	f.budget--
	cached := f.insn(l.at.addr)
	if cached == nil || f.budget < 0 {
		return fails
	}
	in := *cached // which looking into other functions may replace
	addr, s := l.at.addr, &l.at.state
	next, target := addr+uint64(in.size), addr+uint64(in.target)
	switch in.kind {
	case plain:
	case stop:
		return ends
	case ret:
		return returns
	case jump:
		next = target
	case jumpFar:
		var ok bool
		if next, ok = f.far(&in, s, target); !ok {
			if l.asks && f.c.callsLast(&in, s) {
				return returns
			}
			f.elements(l, s.jumpsTo(&in))
			return fails
		}
	case branch:
		l.wait(target)
	case syscall:
		if nr := s.regs[f.c.callNr]; nr.kind == literal {
			for _, gone := range f.c.noReturn {
				if nr.add == gone {
					return ends
				}
			}
		}
	case call, callFar:
		known := true
		if in.kind == callFar {
			if target, known = f.far(&in, s, target); !known && in.mem {
				return f.doubt(trusting, s, next, l)
			}
		}
		if known {
			switch f.returns(target, depth+1) {
			case Never:
				return ends
			case Unsure:
				return f.doubt(trusting, s, next, l)
			case Missed:
				return fails
			}
		}
		s.called(f.c)
	}
	s.do(&in, addr)
	l.at.addr = next
	return goesOn
}

// doubt is for a call of something that may never return. Behind it may be another function, which goes on as if it had
// been called, so all that is surer is followed before.
func (f *Follower) doubt(trusting bool, s *state, next uint64, l *level) stepped {
	switch last, ok := f.code.Ends(next); {
	case !ok:
		f.missed = true
		return fails
	case last:
		return ends
	}
	if trusting && l.last < maxDoubts {
		s.called(f.c)
		l.doubts[l.last].addr, l.doubts[l.last].state, l.doubts[l.last].stray = next, *s, l.at.stray
		l.last++
	}
	return fails
}

// far returns where a jump or call goes of which the target stands in a register or in memory, if that is known: memory
// that code refers to by its distance is the table of other files' functions.
func (f *Follower) far(in *insn, s *state, target uint64) (uint64, bool) {
	switch {
	case in.table:
	case in.mem:
		return f.pointer(target)
	case in.reg != noReg && s.regs[in.reg].kind == literal:
		return uint64(s.regs[in.reg].add), true
	case in.reg != noReg && s.regs[in.reg].kind == constant && s.regs[in.reg].add == 0:
		return f.pointer(uint64(s.regs[in.reg].off))
	}
	return 0, false
}

// callsLast reports whether a jump to where only registers say is a call instead of a return: the frame has been taken down
// before it. What is called like this is taken to return, as what is called by a register is. A jump in a function that has
// no frame may as well be one by a table.
func (c *convention) callsLast(in *insn, s *state) bool {
	return !in.table && !in.mem && s.n > 0 && s.jumpsTo(in).kind != element && c.undone(s)
}

// pointer returns the word of data at addr, if it is an address of code.
func (f *Follower) pointer(addr uint64) (uint64, bool) {
	var word [8]byte
	if f.code.Data(word[:], addr) != len(word) {
		return 0, false
	}
	to := binary.LittleEndian.Uint64(word[:])
	if to == 0 {
		return 0, false
	}
	b, ok := f.code.At(to)
	f.missed = f.missed || !ok
	return to, len(b) > 0
}

// Returns says whether the function at addr returns: Found if there is a way through it to a return instruction.
func (f *Follower) Returns(code Code, arch Arch, addr uint64) Verdict {
	f.begin(code, arch)
	return f.returns(addr, 0)
}

func (f *Follower) returns(addr uint64, depth int) Verdict {
	if depth > maxCallees {
		return Unsure
	}
	file, inFile := f.code.Place(addr)
	key := place{file, inFile}
	if k, ok := f.known[key]; ok {
		switch {
		case k.running: // a path that calls the function itself is none out of it
			f.assumed = true
			return Never
		case k.verdict != Unsure || k.depth <= depth:
			return k.verdict
		}
	}
	if len(f.known) >= maxKnown {
		clear(f.known)
	}
	f.known[key] = knowledge{running: true}
	outer := f.assumed
	f.assumed = false
	v := f.findReturn(addr, depth)
	if v == Missed || v == Never && f.assumed && depth > 0 || v == Unsure && f.budget < 0 {
		delete(f.known, key)
	} else {
		f.known[key] = knowledge{verdict: v, depth: depth}
	}
	f.assumed = f.assumed && v == Never && depth > 0 || outer
	return v
}

// findReturn looks for a path from addr to a return instruction.
func (f *Follower) findReturn(addr uint64, depth int) Verdict {
	l := &f.levels[depth]
	l.start(addr, f.c)
	l.asks, l.tables = true, depth <= maxTabled
	for range maxReturns {
		sp := l.at.state.regs[f.c.sp]
		before, _ := l.seen(sp)
		how := ends
		if !before {
			how = f.step(l, depth, false)
		}
		if f.missed {
			return Missed
		}
		switch {
		case how == goesOn:
			continue
		case how == returns && l.at.stray && !f.c.undone(&l.at.state):
			l.unsure = true
		case how == returns && (sp.kind != entry || sp == value{kind: entry, reg: f.c.sp}):
			return Found
		case how != ends:
			l.unsure = true
		}
		if !l.next() {
			if l.unsure {
				return Unsure
			}
			return Never
		}
	}
	return Unsure
}

// Package capture takes the stacks of calls while they are traced, and puts names to them afterwards.
// It ties the engine, which has the registers and the memory of a stopped thread, to package
// profile/stack, which makes stacks of them, and to profile/stack/symbol, which names their places.
//
// It is not for deciding what becomes of the stacks: it hands out numbers, and locations for them.
package capture

import (
	"cmp"
	"sync"
	"time"

	"sysprof/profile"
	"sysprof/profile/stack"
	"sysprof/syscalltab"
)

// Capturer captures stacks. It is safe for concurrent use, as long as each thread's stops are told in their
// order: what the kernel has to be asked for is asked for outside of the lock, so that it is held for about
// as long as it takes to unwind.
type Capturer struct {
	objects *stack.Objects
	files   *files
	reading *reading
	noProc  error // why there are no stacks at all
	depth   int   // how many frames of a stack are kept

	mu        sync.Mutex // guards what follows; taken before storeMu
	unwinder  *stack.Unwinder
	stacks    *stack.Stacks // as addresses
	cache     *stack.Cache
	known     []uint32 // the store's number of each of the stacks
	processes map[int32]*process
	byMaps    map[string]*space // by the text of the executable mappings, …
	mapsBytes int               // … of which there are so many bytes
	vdso      []byte            // what was last seen of the kernel's page
	last      *process          // whose stack was taken last …
	lastPID   int32
	idle      []*scratch
	memories  int    // how many are open
	cut       uint64 // stacks that end for want of a file
	gone      uint64 // copies of processes that had ended
	blind     error  // why stacks could not be looked at

	storeMu sync.Mutex // guards what follows
	store   store      // the stacks as places
}

// scratch is the memory that capturing one stack takes.
type scratch struct {
	regs   stack.Regs
	window stack.Window
	words  []byte // the piece of stack that is read first
	maps   []byte // the text of a maps file
	tracee tracee
}

// process is what is known of a traced process.
type process struct {
	space   *space
	changes uint32 // how often its mappings may have changed …
	read    uint32 // … and which of these changes space has

	memory *memory // nil: not open
	memOf  uint32  // how often the mappings had changed when that was tried, and one more

	program Program   // if it is known by copies
	looked  time.Time // when its mappings were last read, likewise

	fruitless uint // how often nothing had changed when code was missing
	skip      uint // how often that is not to be looked into from now on
}

// stale reports whether the mappings have to be read before the next stack.
func (p *process) stale() bool { return p.space == nil || p.read != p.changes }

// The piece of stack that is read first holds most stacks whole; 16 KB cost 0.2 µs more. Where that was seen
// to be too little for a stack, up to maxWords are read.
const (
	firstWords = 4 << 10
	maxWords   = 64 << 10
)

// New returns a Capturer that unwinds fully or, if framePointersOnly, by frame pointers. It keeps so many frames of a
// stack: up to stack.MaxWalk, 0 for stack.MaxDepth.
func New(framePointersOnly bool, depth int) *Capturer {
	c := &Capturer{
		depth:     cmp.Or(depth, stack.MaxDepth),
		unwinder:  stack.NewUnwinder(),
		store:     newStore(),
		files:     newFiles(),
		reading:   newReading(),
		processes: make(map[int32]*process),
		byMaps:    make(map[string]*space),
		noProc:    usableProc(),
	}
	c.unwinder.Later = true
	c.objects = stack.NewObjects(c.files.open, 0, 0)
	c.objects.OpenDebug = c.files.openDebug
	if framePointersOnly {
		c.unwinder.Mode = stack.FramePointers
	}
	c.dropAddresses()
	return c
}

// maxAddressStacks bounds the stacks that are kept as addresses. When it is reached they start anew;
// the store knows them all.
const maxAddressStacks = 1 << 13

// dropAddresses starts anew with stacks that are kept as addresses.
func (c *Capturer) dropAddresses() {
	c.stacks = stack.NewStacks(2 * maxAddressStacks)
	c.cache = stack.NewCache(c.unwinder, c.stacks)
	c.cache.Depth = c.depth
	c.known = c.known[:0]
}

// Thread is a thread that stands at its entry-stop.
type Thread interface {
	stack.Memory

	// Registers reads the general registers by their DWARF numbers, as in stack.Regs. It reports false if the
	// thread has died. It costs as much as all the rest that is done for a stack which was seen before, so it is
	// called for others alone, and for calls of 32-bit code. On amd64 the last is 1 if the thread executes such code:
	// they are then those of i386.
	Registers(into *[33]uint64) bool
}

// Stack captures the stack of a thread whose program counter and stack pointer these are, and returns its number.
func (c *Capturer) Stack(call *profile.Call, ip, sp uint64, thread Thread) uint32 {
	if !supported {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noProc != nil {
		c.blind = c.noProc
		return 0
	}
	p, at := c.process(call.PID), c.scratch()
	at.tracee = tracee{thread, c.memory(p, call.PID)}
	thread = &at.tracee
	defer func() {
		at.tracee.memory.done()
		at.tracee = tracee{}
		c.idle = append(c.idle, at)
	}()
	if p.stale() && !c.readMaps(p, call.PID, at, thread) {
		return 0
	}
	at.regs.Arch, at.regs.AfterCall, at.regs.IP = nativeArch, true, ip
	at.regs.R[stackPointer] = sp
	alive := false
	if call.ABI == syscalltab.I386 { // which 64-bit code can call, too
		c.mu.Unlock()
		alive = thread.Registers(&at.regs.R)
		c.mu.Lock()
		if !alive {
			return 0
		}
		if at.regs.R[lastRegister] != 0 {
			at.regs.Arch = stack.I386
		}
	}
	c.readWords(p.space, at, thread)
	space := p.space // which it may have ceased to have meanwhile
	if id, ok := c.cache.Known(space.Space, &at.regs, &at.window); ok {
		return c.number(space, id)
	}
	if !alive {
		c.mu.Unlock()
		alive = thread.Registers(&at.regs.R)
		c.mu.Lock()
	}
	if !alive {
		return 0
	}
	number, end := c.unwind(space, at, thread)
	if end == stack.Unmapped && c.lookAgain(p, space, func() bool { return c.readMaps(p, call.PID, at, thread) }) {
		space = p.space
		c.readWords(space, at, thread)
		number, _ = c.unwind(space, at, thread)
	}
	return number
}

// lastRegister is that by which Registers tells code of 32 bits.
const lastRegister = 32

// unwind returns the number of the stack that at holds, and how it ends.
func (c *Capturer) unwind(s *space, at *scratch, thread Thread) (number uint32, end stack.Reason) {
	for inTime := true; ; {
		id := c.cache.Stack(s.Space, &at.regs, &at.window)
		if id == stack.NoStack { // deep stacks fill it before there are many
			c.dropAddresses()
			at.window.Again()
			id = c.cache.Stack(s.Space, &at.regs, &at.window)
		}
		unwound, _ := c.stacks.At(id)
		if unwound.End != stack.Unread || !inTime {
			if unwound.End == stack.Unread {
				c.cut++
			}
			return c.number(s, id), unwound.End
		}
		need := c.unwinder.Need()
		c.mu.Unlock()
		inTime = c.reading.read(need, thread != nil)
		c.mu.Lock()
		at.window.Again()
	}
}

// memory returns the memory of a process, for one use, or nil. It is kept open.
func (c *Capturer) memory(p *process, pid int32) *memory {
	if p.memOf != p.changes+1 {
		changes := p.changes
		c.mu.Unlock()
		opened := openMemory(pid)
		c.mu.Lock()
		if opened == nil {
			p.memOf = changes + 1
			c.closeMemory(p)
			return nil
		}
		if c.memories >= maxMemories && p.memory == nil || c.processes[pid] != p {
			return opened
		}
		c.closeMemory(p)
		p.memory, p.memOf = opened, changes+1
		c.memories++
	}
	if p.memory != nil {
		p.memory.users.Add(1)
	}
	return p.memory
}

// closeMemory closes the memory of a process.
func (c *Capturer) closeMemory(p *process) {
	if p != nil && p.memory != nil {
		p.memory.done()
		p.memory = nil
		c.memories--
	}
}

// process returns what is known of a process.
//
// Precondition: c.mu is held, as for all that follows here. What the kernel is asked for is asked without it,
// so anything that it guards may be another after that.
func (c *Capturer) process(pid int32) *process {
	if c.last != nil && c.lastPID == pid {
		return c.last
	}
	p := c.processes[pid]
	if p == nil {
		p = new(process)
		c.processes[pid] = p
	}
	c.last, c.lastPID = p, pid
	return p
}

// scratch returns memory for one stack.
func (c *Capturer) scratch() *scratch {
	if n := len(c.idle); n > 0 {
		at := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return at
	}
	return &scratch{words: make([]byte, maxWords)}
}

// number returns the store's number of a stack.
func (c *Capturer) number(s *space, id stack.StackID) uint32 {
	if id == stack.NoStack {
		c.storeMu.Lock()
		defer c.storeMu.Unlock()
		c.store.lost++
		return 0
	}
	for len(c.known) <= int(id) {
		c.known = append(c.known, 0)
	}
	if known := c.known[id]; known != 0 {
		return known
	}
	at, _ := c.stacks.At(id)
	c.storeMu.Lock()
	number := c.store.add(s, at)
	c.storeMu.Unlock()
	c.known[id] = number
	if int(id) >= maxAddressStacks {
		c.dropAddresses()
	}
	return number
}

// readWords reads the piece of stack that the thread's stack most likely lies in.
func (c *Capturer) readWords(s *space, at *scratch, thread Thread) {
	size := firstWords
	if reach := c.cache.Reach(s.Space, &at.regs); reach > 0 {
		size = min(reach, len(at.words))
	}
	sp := at.regs.SP()
	c.mu.Unlock()
	n := thread.ReadMemory(at.words[:size], sp)
	c.mu.Lock()
	at.window.Reset(thread, sp, at.words[:n])
}

// Ended removes a process.
func (c *Capturer) Ended(pid int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeMemory(c.processes[pid])
	delete(c.processes, pid)
	if c.lastPID == pid {
		c.last = nil
	}
}

// Lost returns how many calls found no room for their stack.
func (c *Capturer) Lost() uint64 {
	c.storeMu.Lock()
	defer c.storeMu.Unlock()
	return c.store.lost
}

// Cut returns how many stacks end early, for want of a file that could not be read in time.
func (c *Capturer) Cut() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// Blind returns why processes could not be looked at, so that their calls have no stacks; nil if all could be.
func (c *Capturer) Blind() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blind
}

// Close closes the files that were kept open.
func (c *Capturer) Close() {
	c.mu.Lock()
	for _, p := range c.processes {
		c.closeMemory(p)
	}
	c.mu.Unlock()
	c.objects.Close()
	c.files.close()
}

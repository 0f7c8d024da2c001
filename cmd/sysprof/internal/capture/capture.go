// Package capture takes the stacks of calls while they are traced, and puts names to them afterwards.
// It ties package ptrace, which has the registers and the memory of a stopped thread, to package
// profile/stack, which makes stacks of them, and to profile/stack/symbol.
//
// It is not for deciding what becomes of the stacks: it hands out numbers, and locations for them.
package capture

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"sysprof/profile/stack"
	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// Capturer captures stacks. Its methods are for the one thread that traces, but for Locate and Lost, which
// may be called while it does.
type Capturer struct {
	objects  *stack.Objects
	unwinder *stack.Unwinder
	stacks   *stack.Stacks // as addresses
	cache    *stack.Cache
	known    []uint32 // the store's number of each of the stacks
	files    *files

	processes map[int32]*process
	byMaps    map[string]*space // by the text of the executable mappings

	regs   stack.Regs
	window stack.Window
	memory memory
	words  []byte // the piece of stack that is read first
	maps   []byte // the text of a maps file

	numbers [syscalltab.LoongArch64 + 1]numbers // by ABI; LoongArch64 is the last one
	last    *process                            // whose stack was taken last …
	lastPID int32

	mu    sync.Mutex // guards what follows
	store store      // the stacks as places
}

// process is what is known of a traced process.
type process struct {
	space *space
	stale bool // its mappings have to be read before the next stack
}

// space is an address space that stacks were taken in.
type space struct {
	*stack.Space
	pid  int32  // a process that had it …
	own  int    // … and what that is called in its own PID namespace, where it has code made at run time
	vdso []byte // the kernel's page in it, if a stack needs it
}

// numbers are the calls that change what is executable.
type numbers struct{ mmap, mprotect, munmap, mremap, execve, execveat uint64 }

// The piece of stack that is read first holds most stacks whole; 16 KB cost 0.2 µs more.
const firstWords = 4 << 10

// New returns a Capturer that unwinds fully or, if framePointersOnly, by frame pointers.
func New(framePointersOnly bool) *Capturer {
	c := &Capturer{
		unwinder:  stack.NewUnwinder(),
		store:     newStore(),
		files:     newFiles(),
		processes: make(map[int32]*process),
		byMaps:    make(map[string]*space),
		words:     make([]byte, 64<<10),
	}
	c.objects = stack.NewObjects(c.files.open, 0, 0)
	if framePointersOnly {
		c.unwinder.Mode = stack.FramePointers
	}
	c.forgetAddresses()
	for i := range c.numbers {
		abi := syscalltab.ABI(i)
		number := func(name string) uint64 {
			nr, ok := abi.Number(name)
			if !ok {
				return ^uint64(0)
			}
			return nr
		}
		c.numbers[i] = numbers{mmap: number("mmap"), mprotect: number("mprotect"), munmap: number("munmap"),
			mremap: number("mremap"), execve: number("execve"), execveat: number("execveat")}
	}
	return c
}

// maxAddressStacks bounds the stacks that are kept as addresses. When it is reached they start anew;
// the store knows them all.
const maxAddressStacks = 1 << 13

// forgetAddresses starts anew with stacks that are kept as addresses.
func (c *Capturer) forgetAddresses() {
	c.stacks = stack.NewStacks(2 * maxAddressStacks)
	c.cache = stack.NewCache(c.unwinder, c.stacks)
	c.known = c.known[:0]
}

// registers reads all registers of the thread that stands at its entry-stop, nil if it has died. It costs
// as much as the rest of what is done for a stack that was seen before, so it is done for others alone.
type registers interface{ Registers() *ptrace.Registers }

// memory reads the memory of the thread that stands at its entry-stop.
type memory struct{ tid int32 }

func (m *memory) ReadMemory(p []byte, addr uint64) int {
	n, _ := ptrace.ReadMemory(m.tid, addr, p)
	return n
}

// Stack captures the stack of a thread at its entry-stop, and returns its number.
func (c *Capturer) Stack(call *ptrace.Call, ip, sp uint64, all registers) uint32 {
	if !supported {
		return 0
	}
	p := c.last
	if p == nil || c.lastPID != call.PID {
		if p = c.processes[call.PID]; p == nil {
			p = &process{stale: true}
			c.processes[call.PID] = p
		}
		c.last, c.lastPID = p, call.PID
	}
	if p.stale && !c.readMaps(p, call.PID) {
		return 0
	}
	c.regs.Arch, c.regs.AfterCall, c.regs.IP = nativeArch, true, ip
	c.regs.R[stackPointer] = sp
	c.memory.tid = call.TID
	c.readWords(p)
	if id, ok := c.cache.Known(p.space.Space, &c.regs, &c.window); ok {
		return c.number(p.space, id)
	}
	regs := all.Registers()
	if regs == nil {
		return 0
	}
	c.regs.R = regs.R
	before := p.space.ID()
	id := c.cache.Stack(p.space.Space, &c.regs, &c.window)
	if s, ok := c.stacks.At(id); ok && s.End == stack.Unmapped {
		// Something was mapped in a way that we have not seen.
		if c.readMaps(p, call.PID) && p.space.ID() != before {
			c.readWords(p)
			id = c.cache.Stack(p.space.Space, &c.regs, &c.window)
		}
	}
	return c.number(p.space, id)
}

// number returns the store's number of a stack.
func (c *Capturer) number(s *space, id stack.StackID) uint32 {
	if id == stack.NoStack {
		c.mu.Lock()
		defer c.mu.Unlock()
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
	c.mu.Lock()
	number := c.store.add(s, at)
	c.mu.Unlock()
	c.known[id] = number
	if int(id) >= maxAddressStacks {
		c.forgetAddresses()
	}
	return number
}

// readWords reads the piece of stack that the thread's stack most likely lies in.
func (c *Capturer) readWords(p *process) {
	size := firstWords
	if reach := c.cache.Reach(p.space.Space, &c.regs); reach > 0 {
		size = min(reach, len(c.words))
	}
	sp := c.regs.SP()
	n := c.memory.ReadMemory(c.words[:size], sp)
	c.window.Reset(&c.memory, sp, c.words[:n])
}

// readMaps brings p's mappings up to date.
func (c *Capturer) readMaps(p *process, pid int32) bool {
	text, err := readFile(fmt.Sprintf("/proc/%d/maps", pid), c.maps[:0])
	c.maps = text
	if err != nil {
		return false
	}
	text = executable(text)
	p.stale = false
	if s := c.byMaps[string(text)]; s != nil { // as after a fork
		p.space = s
		return true
	}
	mappings, err := stack.AppendMaps(nil, text)
	if err != nil || len(mappings) == 0 {
		return false
	}
	s := &space{Space: stack.NewSpace(c.objects, mappings), pid: pid}
	for i := range mappings {
		switch m := &mappings[i]; {
		case m.IsVDSO():
			s.vdso = make([]byte, min(m.End-m.Start, 64<<10))
			ptrace.ReadMemory(pid, m.Start, s.vdso)
		case !m.IsFile() && s.own == 0:
			s.own = ownPID(pid)
		}
	}
	c.files.see(pid, mappings)
	c.byMaps[string(text)] = s
	p.space = s
	return true
}

// ownPID is what a process is called in its own PID namespace.
func ownPID(pid int32) int {
	text, _ := readFile(fmt.Sprintf("/proc/%d/status", pid), nil)
	for line := range bytes.Lines(text) {
		if ids, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			// proc(5): the leftmost is that of our namespace, the others are of the nested ones.
			if f := bytes.Fields(ids); len(f) > 0 {
				if own, err := strconv.Atoi(string(f[len(f)-1])); err == nil {
					return own
				}
			}
		}
	}
	return int(pid)
}

// executable keeps the lines of executable mappings.
func executable(maps []byte) []byte {
	kept := maps[:0]
	for line := range bytes.Lines(maps) {
		if _, rest, ok := bytes.Cut(line, []byte(" ")); ok && len(rest) > 2 && rest[2] == 'x' {
			kept = append(kept, line...)
		}
	}
	return kept
}

// readFile reads a file of /proc into buf, which grows as needed.
func readFile(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return buf, err
	}
	defer unix.Close(fd)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(cap(buf), 32<<10))...)[:len(buf)]
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		if n <= 0 || err != nil {
			return buf, err
		}
		buf = buf[:len(buf)+n]
	}
}

// Finished takes note of a call that may have changed its process's mappings.
func (c *Capturer) Finished(call *ptrace.Call) {
	n := &c.numbers[call.ABI]
	switch call.Nr {
	case n.mmap, n.mprotect:
		if call.Args[2]&unix.PROT_EXEC == 0 || call.Errno != 0 {
			return
		}
	case n.munmap, n.mremap:
		p := c.processes[call.PID]
		if p == nil || p.space == nil || call.Errno != 0 {
			return
		}
		if _, ok := p.space.Mapping(call.Args[0]); !ok {
			return
		}
	case n.execve, n.execveat:
		if call.Errno != 0 {
			return
		}
	default:
		return
	}
	if p := c.processes[call.PID]; p != nil {
		p.stale = true
	}
}

// Ended forgets a process.
func (c *Capturer) Ended(pid int32) {
	delete(c.processes, pid)
	c.last = nil
}

// Lost returns how many calls found no room for their stack.
func (c *Capturer) Lost() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.lost
}

// Close closes the files that were kept open.
func (c *Capturer) Close() {
	c.objects.Close()
	c.files.close()
}

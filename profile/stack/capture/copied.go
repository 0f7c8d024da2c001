package capture

import (
	"time"

	"sysprof/profile/stack"
)

// Copy is what was kept of a thread that goes on meanwhile: its registers, and what was on its stack.
type Copy struct {
	PID, Parent int32
	Program     Program
	Maps        func() []byte // the executable mappings that the process had, as /proc/PID/maps says it; nil if that is not known
	Narrow      bool          // the thread executes 32-bit code on a 64-bit machine

	IP        uint64
	Registers [33]uint64 // by their DWARF numbers, as in stack.Regs
	Stack     []byte     // from the stack pointer on, which is StackAt
	StackAt   uint64
	Beyond    []byte // of another stack that frame pointers lead to, from BeyondAt on
	BeyondAt  uint64
}

// Program tells programs apart that have had the same process, or the same number of a process.
type Program struct {
	Started uint64 // the process, at whatever time
	Number  uint32 // of the programs that it has been
}

const (
	// mappingsHold is for how long a process's mappings are taken for what they were: what it maps and unmaps is not seen.
	mappingsHold = time.Second
	// maxPrograms bounds the processes that are remembered: of most, the end is not seen.
	maxPrograms = 1 << 12
)

// Copied finds the stack in a copy, and returns its number. short says that it ends where the copy does.
//
// The mappings of the process are read when there is a stack of it for the first time, and now and then: if the process has ended by
// then, there is none. Code is read from files.
func (c *Capturer) Copied(copied *Copy) (number uint32, short bool) {
	if !supported {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noProc != nil {
		c.blind = c.noProc
		return 0, false
	}
	p, at := c.program(copied), c.scratch()
	defer func() { c.idle = append(c.idle, at) }()
	if now := time.Now(); p.stale() || now.Sub(p.looked) > mappingsHold {
		p.looked = now
		c.learnMaps(p, copied, at)
	}
	if p.space == nil {
		c.gone++
		return 0, false
	}
	at.regs = stack.Regs{Arch: nativeArch, AfterCall: true, IP: copied.IP, R: copied.Registers}
	if copied.Narrow {
		at.regs.Arch = stack.I386
	}
	number, end := c.unwindCopy(p.space, at, copied)
	if before := p.space; end == stack.Unmapped && c.lookAgain(p, before, func() bool { return c.learnMaps(p, copied, at) }) {
		number, end = c.unwindCopy(p.space, at, copied)
	}
	return number, end == stack.BadMemory
}

func (c *Capturer) unwindCopy(s *space, at *scratch, copied *Copy) (uint32, stack.Reason) {
	at.window.Reset(&copiedMemory{copied, s, c.files}, copied.StackAt, copied.Stack)
	return c.unwind(s, at, nil)
}

// learnMaps brings the mappings up to date: to those that the process had when the copy was made, if that is known, else to those
// that it has.
func (c *Capturer) learnMaps(p *process, copied *Copy, at *scratch) bool {
	if copied.Maps != nil {
		if text := copied.Maps(); len(text) > 0 {
			return c.useMaps(p, copied.PID, p.changes, text, theirs{copied.PID})
		}
	}
	return c.readMaps(p, copied.PID, at, theirs{copied.PID})
}

// program returns what is known of the process, of the program that it is.
func (c *Capturer) program(copied *Copy) *process {
	p := c.process(copied.PID)
	if p.program == copied.Program {
		return p
	}
	if len(c.processes) > maxPrograms {
		for pid, other := range c.processes {
			c.closeMemory(other)
			delete(c.processes, pid)
		}
		c.last = nil
		p = c.process(copied.PID)
	}
	c.closeMemory(p)
	*p = process{program: copied.Program}
	// What was forked a moment ago has its parent's mappings. It may be another program by the time that they are read.
	if parent := c.processes[copied.Parent]; parent != nil && parent.space != nil && parent.program.Number == copied.Program.Number {
		p.space, p.looked = parent.space, time.Now()
	}
	return p
}

// Whole reports whether a stack is known from one end to the other.
func (c *Capturer) Whole(number uint32) bool {
	c.storeMu.Lock()
	defer c.storeMu.Unlock()
	places, end := c.store.at(number)
	return len(places) > 0 && end == 0
}

// Gone returns how many copies there were of processes that had ended before their mappings were read.
func (c *Capturer) Gone() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// copiedMemory reads from a copy, and code from where it has come from. What the process has in its memory now is not asked
// for: it may be anything.
type copiedMemory struct {
	*Copy
	space *space
	files *files
}

func (m *copiedMemory) ReadMemory(p []byte, addr uint64) int {
	for _, piece := range []struct {
		at   uint64
		data []byte
	}{{m.StackAt, m.Stack}, {m.BeyondAt, m.Beyond}} {
		if off := addr - piece.at; off < uint64(len(piece.data)) {
			return copy(p, piece.data[off:])
		}
	}
	mapping, ok := m.space.Mapping(addr)
	if !ok {
		return 0
	}
	off := addr - mapping.Start
	p = p[:min(uint64(len(p)), mapping.End-addr)]
	switch {
	case mapping.IsVDSO():
		if off < uint64(len(m.space.vdso)) {
			return copy(p, m.space.vdso[off:])
		}
	case mapping.IsFile():
		file, err := m.files.open(mapping)
		if err != nil {
			return 0
		}
		defer file.Close()
		n, _ := file.ReadAt(p, int64(mapping.Offset+off))
		return n
	}
	return 0
}

// theirs is a process whose memory is read as it is now.
type theirs struct{ pid int32 }

func (t theirs) ReadMemory(p []byte, addr uint64) int {
	m := openMemory(t.pid)
	if m == nil {
		return 0
	}
	defer m.done()
	return (&tracee{memory: m}).ReadMemory(p, addr)
}

func (t theirs) Registers(*[33]uint64) bool { return false }

package stack

import "cmp"

const (
	// A cache has room for this many stacks, in sets of two, and for the words that
	// they depend on: 4 MB. When either is full it starts anew.
	cacheSetBits = 11
	cacheSets    = 1 << cacheSetBits
	cacheWays    = 2
	cacheDeps    = 1 << 18
)

// A Cache recognizes stacks that it has seen: the same thread, or another one of the
// same process, at the same call with the same stack pointer. It is sure because it
// remembers which words of memory, and which registers, the stack was found
// from, and compares each. It is for one goroutine at a time.
type Cache struct {
	Unwinder *Unwinder
	Stacks   *Stacks
	Depth    int // how many frames of a stack are kept; 0: MaxDepth

	sets   [cacheSets]cacheSet
	deps   []dep
	hits   uint64
	misses uint64
	frames []uint64
}

type cacheSet struct {
	entries [cacheWays]cacheEntry
	last    uint8
}

type cacheEntry struct {
	space, ip, sp uint64
	first         uint32 // into deps
	n             uint16 // 0: empty
	id            StackID
	regs          bool   // other registers than ip and sp matter, too
	reach         uint32 // above sp, of the words on the same stack
}

// NewCache returns an empty Cache that unwinds with u and numbers stacks with s.
func NewCache(u *Unwinder, s *Stacks) *Cache {
	return &Cache{Unwinder: u, Stacks: s, deps: make([]dep, 0, cacheDeps)}
}

// Stats returns how many stacks were recognized, and how many had to be unwound.
func (c *Cache) Stats() (hits, misses uint64) { return c.hits, c.misses }

// Known returns the number of a stack that depends on no registers but these two, if it was seen before:
// most do, and the caller need not read the others.
//
// Precondition: win was Reset for this stop.
func (c *Cache) Known(s *Space, regs *Regs, win *Window) (StackID, bool) {
	ip, sp := cacheKey(regs)
	if e := c.find(s.id, ip, sp); e != nil && !e.regs && c.holds(e, regs, win) {
		c.hits++
		return e.id, true
	}
	return NoStack, false
}

// maxReach is how far above the stack pointer Reach looks.
const maxReach = 64 << 10

// Reach returns how many bytes from the stack pointer on the window should
// have, going by the stack that was last seen with these registers; 0 if there is none.
func (c *Cache) Reach(s *Space, regs *Regs) int {
	ip, sp := cacheKey(regs)
	if e := c.find(s.id, ip, sp); e != nil {
		return int(e.reach)
	}
	return 0
}

// Stack returns the number of a thread's stack, of which Depth frames are kept.
//
// Precondition: win was Reset for this stop.
func (c *Cache) Stack(s *Space, regs *Regs, win *Window) StackID {
	ip, sp := cacheKey(regs)
	if e := c.find(s.id, ip, sp); e != nil && c.holds(e, regs, win) {
		c.hits++
		return e.id
	}
	c.misses++
	if c.frames == nil {
		c.frames = make([]uint64, cmp.Or(c.Depth, MaxDepth)+1) // one is for the gap
	}
	n, end := c.Unwinder.Unwind(s, regs, win, c.frames)
	id := c.Stacks.Intern(s.id, c.frames[:n], end)
	if id != NoStack && end != Unmapped && end != Unread {
		c.put(s.id, ip, sp, id)
	}
	return id
}

// cacheKey puts into the address what else decides how the first frame is read.
func cacheKey(regs *Regs) (ip, sp uint64) {
	ip = regs.IP
	if regs.AfterCall {
		ip |= 1 << 63
	}
	return ip, regs.SP()
}

func (c *Cache) set(space, ip, sp uint64) *cacheSet {
	h := (ip ^ sp<<16 ^ space<<48) * 0x9e3779b97f4a7c15 // 2^64 / golden ratio
	return &c.sets[h>>(64-cacheSetBits)]
}

func (c *Cache) find(space, ip, sp uint64) *cacheEntry {
	set := c.set(space, ip, sp)
	for i := range set.entries {
		if e := &set.entries[i]; e.ip == ip && e.sp == sp && e.space == space && e.n > 0 {
			set.last = uint8(i)
			return e
		}
	}
	return nil
}

// holds compares all that the stack was made from.
func (c *Cache) holds(e *cacheEntry, regs *Regs, win *Window) bool {
	win.narrow(archs[regs.Arch].word == 4)
	for _, d := range c.deps[e.first : e.first+uint32(e.n)] {
		if d.addr < maxRegs {
			if regs.R[d.addr] != d.val {
				return false
			}
			continue
		}
		if v, ok := win.word(d.addr); !ok || v != d.val {
			return false
		}
	}
	return true
}

// put keeps the stack that was unwound last.
func (c *Cache) put(space, ip, sp uint64, id StackID) {
	w := &c.Unwinder.w
	if w.overflow || w.ndeps == 0 {
		return
	}
	if len(c.deps)+w.ndeps > cap(c.deps) {
		c.sets = [cacheSets]cacheSet{}
		c.deps = c.deps[:0]
	}
	e := c.find(space, ip, sp)
	if e == nil || int(e.n) < w.ndeps {
		if e == nil {
			set := c.set(space, ip, sp)
			set.last = (set.last + 1) % cacheWays
			e = &set.entries[set.last]
		}
		e.first = uint32(len(c.deps))
		c.deps = c.deps[:len(c.deps)+w.ndeps]
	}
	*e = cacheEntry{space: space, ip: ip, sp: sp, first: e.first, n: uint16(w.ndeps), id: id}
	copy(c.deps[e.first:], w.deps[:w.ndeps])
	for _, d := range w.deps[:w.ndeps] {
		if d.addr < maxRegs {
			e.regs = true
			continue
		}
		if off := d.addr - sp; off < maxReach {
			e.reach = max(e.reach, uint32(off)+8)
		}
	}
}

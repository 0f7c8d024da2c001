package stack

import (
	"slices"
	"sync"
)

// A StackID stands for a stack in a Stacks. Equal stacks have equal numbers.
type StackID uint32

// NoStack is the number of no stack: what is given out when a Stacks is full.
const NoStack StackID = 0

// A Stack is a list of addresses in one Space, as Unwind returns it.
type Stack struct {
	Space  uint64 // Space.ID
	Frames []uint64
	End    Reason
}

const (
	// defaultMaxStacks bounds the distinct stacks, and pcsPerStack the addresses: all
	// in all 16 MB by default. A `go build` makes about 20,000 distinct stacks.
	defaultMaxStacks = 1 << 16
	pcsPerStack      = 24
	// Addresses are kept in pieces, so that a full one is never moved.
	pcsPerPiece = 1 << 13
)

// Stacks numbers stacks. It is safe for concurrent use, and keeps all it has until
// it is dropped as a whole, up to a limit.
type Stacks struct {
	mu     sync.Mutex
	max    int
	maxPCs int
	pcs    int
	stacks []Stack              // by StackID
	byHash map[uint64][]StackID // or, for nearly all, a list of one
	piece  []uint64
	lost   uint64
}

// NewStacks returns an empty Stacks that holds up to max stacks; 0 means a default.
func NewStacks(max int) *Stacks {
	if max <= 0 {
		max = defaultMaxStacks
	}
	return &Stacks{max: max, maxPCs: max * pcsPerStack, stacks: make([]Stack, 1), byHash: map[uint64][]StackID{}}
}

// Intern returns the number of the stack, a copy of which it keeps. If there is no
// room it returns NoStack.
func (s *Stacks) Intern(space uint64, frames []uint64, end Reason) StackID {
	h := space ^ uint64(end)
	for _, pc := range frames {
		h = (h ^ pc) * 0x9e3779b97f4a7c15 // 2^64 / golden ratio
		h ^= h >> 29
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.byHash[h] {
		if k := &s.stacks[id]; k.Space == space && k.End == end && slices.Equal(k.Frames, frames) {
			return id
		}
	}
	if len(s.stacks) > s.max || s.pcs+len(frames) > s.maxPCs {
		s.lost++
		return NoStack
	}
	id := StackID(len(s.stacks))
	s.stacks = append(s.stacks, Stack{Space: space, Frames: s.keep(frames), End: end})
	s.byHash[h] = append(s.byHash[h], id)
	return id
}

func (s *Stacks) keep(frames []uint64) []uint64 {
	s.pcs += len(frames)
	if len(s.piece)+len(frames) > cap(s.piece) {
		s.piece = make([]uint64, 0, max(pcsPerPiece, len(frames)))
	}
	start := len(s.piece)
	s.piece = append(s.piece, frames...)
	return s.piece[start:len(s.piece):len(s.piece)]
}

// At returns the stack of a number that Intern gave out.
func (s *Stacks) At(id StackID) (Stack, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == NoStack || int(id) >= len(s.stacks) {
		return Stack{}, false
	}
	return s.stacks[id], true
}

// Len is the number of stacks, and Lost how often there was no room for one.
func (s *Stacks) Len() (n int, lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.stacks) - 1, s.lost
}

package place

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// guard restores the affinities of pinned threads if this process cannot. It is a child that waits
// for this process to be gone, looks at the ledger of pinned threads, which both share, and restores what it finds.
// SIGKILL is the only end of this process that leaves something to do.
//
// It is in a session of its own and blocks all signals, so that it survives what is sent to the terminal
// or the process group, and has no descriptor but the one that tells it of our end.
type guard struct {
	pid int

	mu     sync.Mutex // guards what follows; that a slot is still one's own can be seen without
	free   []int32    // slots
	known  int        // masks
	ledger *ledger
}

// ledger is who is pinned, in memory that is shared with the guard.
type ledger struct {
	masks [mostMasks]raw.CPUMask

	// A pinned thread: its tid, its CPU + 1, and which of masks it had, in 32, 24 and 8 bits. 0 is a free slot.
	slots [mostPinned]atomic.Uint64
}

const (
	mostMasks  = 32
	mostPinned = 4096
)

func packSlot(tid int32, cpu, mask int) uint64 {
	return uint64(uint32(tid))<<32 | uint64(cpu+1)<<8 | uint64(mask)
}

func tidOf(slot uint64) int32 { return int32(slot >> 32) }

// newGuard starts the guard.
//
// Precondition: the caller is no tracer thread, which would wait for it.
func newGuard() (*guard, error) {
	shared, err := raw.MapShared[ledger]()
	if err != nil {
		return nil, fmt.Errorf("map the ledger of placed threads: %w", err)
	}
	g := &guard{ledger: shared}
	for slot := int32(mostPinned - 1); slot >= 0; slot-- {
		g.free = append(g.free, slot)
	}
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		raw.UnmapShared(shared)
		return nil, fmt.Errorf("open a descriptor of this process: %w", err)
	}
	defer unix.Close(self)
	g.pid, err = forkGuard(g.ledger, self)
	if err != nil {
		raw.UnmapShared(shared)
		return nil, fmt.Errorf("fork the guard: %w", err)
	}
	return g, nil
}

// dismiss ends the guard.
//
// Precondition: no thread is pinned any more.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	unix.Kill(g.pid, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(g.pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	raw.UnmapShared(g.ledger)
}

// pin moves a thread to one CPU, and writes down what it had before. It returns the slot, or −1 if there
// is no room for it.
func (g *guard) pin(tid int32, cpu int, had, one *raw.CPUMask) (int32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mask := g.numberOf(had)
	if mask < 0 || len(g.free) == 0 {
		return -1, nil
	}
	slot := g.free[len(g.free)-1]
	g.ledger.slots[slot].Store(packSlot(tid, cpu, mask)) // first: we may be killed in between
	if err := raw.SetAffinity(tid, one); err != nil {
		g.ledger.slots[slot].Store(0)
		return -1, err
	}
	g.free = g.free[:len(g.free)-1]
	return slot, nil
}

// numberOf returns the number of a mask in the ledger, −1 if there is no room for it.
func (g *guard) numberOf(had *raw.CPUMask) int {
	for i := range g.known {
		if g.ledger.masks[i] == *had {
			return i
		}
	}
	if g.known == mostMasks {
		return -1
	}
	g.ledger.masks[g.known] = *had
	g.known++
	return g.known - 1
}

// has reports whether a slot is still the one of a thread.
func (g *guard) has(slot, tid int32) bool {
	return tidOf(g.ledger.slots[slot].Load()) == tid
}

// restore restores the affinity of the thread of a slot, if it is still the one of that slot.
func (g *guard) restore(slot, tid int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if noted := g.ledger.slots[slot].Load(); tidOf(noted) == tid {
		raw.SetAffinity(tid, &g.ledger.masks[noted&0xff])
		g.freeSlot(slot)
	}
}

// remove removes the thread of a slot, which has died.
func (g *guard) remove(slot, tid int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.has(slot, tid) {
		g.freeSlot(slot)
	}
}

// rename notes that the thread of a slot has got another id.
func (g *guard) rename(slot, former, tid int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if noted := g.ledger.slots[slot].Load(); tidOf(noted) == former {
		g.ledger.slots[slot].Store(noted&(1<<32-1) | uint64(uint32(tid))<<32)
	}
}

func (g *guard) freeSlot(slot int32) {
	g.ledger.slots[slot].Store(0)
	g.free = append(g.free, slot)
}

// restoreThread restores the affinity of a thread, whichever Home has pinned it, or of all threads if tid is 0.
// The Homes find out by themselves. It reports whether there was such a thread.
func (g *guard) restoreThread(tid int32) (found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for slot := range int32(mostPinned) {
		noted := g.ledger.slots[slot].Load()
		if noted == 0 || tid != 0 && tidOf(noted) != tid {
			continue
		}
		raw.SetAffinity(tidOf(noted), &g.ledger.masks[noted&0xff])
		g.freeSlot(slot)
		found = true
	}
	return found
}

package place

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// guard restores the affinities of pinned threads if this process cannot. It is a child that waits
// for this process to be gone, looks at the ledger of pinned threads, which both share, and restores what it finds.
// SIGKILL is the only end of this process that leaves something to do.
//
// It is in a session of its own and blocks all signals, so that it survives what is sent to the terminal
// or the process group, and has no descriptor but one of this process. It is not in its cgroups for long (groups.go). Where that
// is permitted it has a real-time policy: what it has to do is over in microseconds, and what it comes too late for, a child that
// a pinned thread has made, it does not find.
type guard struct {
	pid     int
	leaving *time.Timer   // its cgroups
	left    chan struct{} // closed when it has

	mu     sync.Mutex  // guards what follows; that a slot is still one's own can be seen without
	free   []int32     // slots
	known  int         // masks
	now    raw.CPUMask // scratch
	ledger *ledger
}

// ledger lists the pinned threads, in memory that is shared with the guard.
type ledger struct {
	masks [mostMasks]raw.CPUMask // the first one is of all CPUs

	// A pinned thread: its tid, its CPU + 1, whether it is not pinned yet, and which of masks it is to get, in 32, 24,
	// 1 and 7 bits. 0 is a free slot.
	slots [mostPinned]atomic.Uint64

	now, allowed raw.CPUMask // the guard's scratch

	life life
}

const (
	mostMasks  = 32
	mostPinned = 4096

	allCPUs     = 0      // of masks
	beingPinned = 1 << 7 // of a slot: the thread's mask is none that tells anything
)

func packSlot(tid int32, cpu, mask int) uint64 {
	return uint64(uint32(tid))<<32 | uint64(cpu+1)<<8 | uint64(mask)
}

func tidOf(slot uint64) int32 { return int32(slot >> 32) }
func cpuOf(slot uint64) int   { return int(slot>>8&0xffffff) - 1 }
func maskOf(slot uint64) int  { return int(slot & 0x7f % mostMasks) }

// newGuard starts the guard.
//
// Precondition: the caller is no tracer thread, which would wait for it.
func newGuard() (*guard, error) {
	shared, err := raw.MapShared[ledger]()
	if err != nil {
		return nil, fmt.Errorf("map the ledger of placed threads: %w", err)
	}
	for word := range shared.masks[allCPUs] {
		shared.masks[allCPUs][word] = ^uint64(0)
	}
	g := &guard{ledger: shared, known: 1, left: make(chan struct{}), free: make([]int32, 0, mostPinned)}
	for slot := int32(mostPinned - 1); slot >= 0; slot-- {
		g.free = append(g.free, slot)
	}
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		raw.UnmapShared(shared)
		return nil, fmt.Errorf("open a descriptor of this process: %w", err)
	}
	g.pid, err = forkGuard(g.ledger, self)
	unix.Close(self)
	if err != nil {
		raw.UnmapShared(shared)
		return nil, fmt.Errorf("fork the guard: %w", err)
	}
	const lowest = 1
	unix.SchedSetAttr(g.pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: lowest}, 0)
	g.leaving = time.AfterFunc(staysFor, func() {
		defer close(g.left)
		leaveGroups(g.pid)
	})
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
	if !g.leaving.Stop() {
		<-g.left // before its number may be another process's
	}
	for {
		if _, err := unix.Wait4(g.pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	raw.UnmapShared(g.ledger)
}

// hasDied reports whether the guard has died, of what cannot be blocked.
func (g *guard) hasDied() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, g.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err == unix.ECHILD || err == nil && info.Signo != 0
}

// pin moves a thread to one CPU, and writes down what it is to get back. It returns the slot, or −1 if there
// is no room for it.
//
// A thread that may run wherever its cpuset lets it gets back a mask of all CPUs: the kernel keeps the mask that a
// thread was given, and would hold it to the CPUs of today when the cpuset has grown (since Linux 6.2,
// task_struct.user_cpus_ptr). Only a mask that the thread has been given tells what that would come to.
func (g *guard) pin(tid int32, cpu int, had, one *raw.CPUMask) (int32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mask := g.numberOf(had)
	if mask < 0 || len(g.free) == 0 {
		return -1, nil
	}
	slot := g.free[len(g.free)-1]
	g.ledger.slots[slot].Store(packSlot(tid, cpu, mask) | beingPinned) // first: we may be killed at any point
	if g.isAllOf(tid, had) {
		mask = allCPUs
	}
	if err := raw.SetAffinity(tid, one); err != nil {
		raw.SetAffinity(tid, &g.ledger.masks[mask])
		g.ledger.slots[slot].Store(0)
		return -1, err
	}
	g.ledger.slots[slot].Store(packSlot(tid, cpu, mask))
	g.free = g.free[:len(g.free)-1]
	return slot, nil
}

// isAllOf lets a thread run wherever its cpuset lets it, and reports whether that is mask.
func (g *guard) isAllOf(tid int32, mask *raw.CPUMask) bool {
	return raw.SetAffinity(tid, &g.ledger.masks[allCPUs]) == nil && raw.Affinity(tid, &g.now) == nil && g.now == *mask
}

// giveBack gives a thread the CPUs back that a slot notes, unless it has been given others meanwhile. It reports
// whether it had not. What the guard does is the same (childGiveBack).
func (g *guard) giveBack(noted uint64) bool {
	tid := tidOf(noted)
	if g.isStill(noted) {
		raw.SetAffinity(tid, &g.ledger.masks[maskOf(noted)])
		return true
	}
	// If its cpuset has changed, it has all of that, but the kernel still keeps the one CPU for it.
	if now := g.now; !g.isAllOf(tid, &now) {
		g.now = now
		raw.SetAffinity(tid, &g.now)
	}
	return false
}

// isStill reports whether a thread has the mask that it was pinned by. Whether somebody else has given it just that
// meanwhile cannot be told: sched_getaffinity(2) and Cpus_allowed in /proc/PID/status show task_struct.cpus_mask alone.
// What was asked for (user_cpus_ptr) is shown nowhere, and the kernel counts no settings.
func (g *guard) isStill(noted uint64) bool {
	if raw.Affinity(tidOf(noted), &g.now) != nil {
		return true // it has died
	}
	cpu := cpuOf(noted)
	return g.now.Has(cpu) && g.now.Count() == 1
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

// isUnchanged reports whether the thread of a slot still has the mask that it was pinned by. It reports true, too, if the
// slot is not that thread's any more.
func (g *guard) isUnchanged(slot, tid int32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	noted := g.ledger.slots[slot].Load()
	return tidOf(noted) != tid || g.isStill(noted)
}

// restore restores the affinity of the thread of a slot, if it is still the one of that slot. It reports false if
// somebody else has set its affinity meanwhile.
func (g *guard) restore(slot, tid int32) (wasOurs bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	noted := g.ledger.slots[slot].Load()
	if tidOf(noted) != tid {
		return true
	}
	wasOurs = g.giveBack(noted)
	g.freeSlot(slot)
	return wasOurs
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
		g.giveBack(noted)
		g.freeSlot(slot)
		found = true
	}
	return found
}

package ptrace

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guard gives threads back the CPUs that they may run on if this process cannot: it is a child that waits
// for this process to be gone (SIGKILL is the only way that leaves something to do), looks at the ledger
// of those that are placed, which both share, and restores what it finds.
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

// ledger is who is placed, in memory that is shared with the guard.
type ledger struct {
	masks [mostMasks]cpuMask

	// A placed thread: its tid, its CPU + 1, and which of masks it had, in 32, 24 and 8 bits. 0 is nobody.
	slots [mostPlaced]atomic.Uint64
}

const (
	mostMasks  = 32
	mostPlaced = 4096
)

func packSlot(tid int32, cpu, mask int) uint64 {
	return uint64(uint32(tid))<<32 | uint64(cpu+1)<<8 | uint64(mask)
}

func tidOf(slot uint64) int32 { return int32(slot >> 32) }

// newGuard starts the guard.
//
// Precondition: the caller is no tracer thread, which would wait for it.
func newGuard() (*guard, error) {
	size := int(unsafe.Sizeof(ledger{}))
	pages, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map the ledger of placed threads: %w", err)
	}
	g := &guard{ledger: (*ledger)(unsafe.Pointer(unsafe.SliceData(pages)))}
	for slot := int32(mostPlaced - 1); slot >= 0; slot-- {
		g.free = append(g.free, slot)
	}
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		unix.Munmap(pages)
		return nil, fmt.Errorf("open a descriptor of this process: %w", err)
	}
	defer unix.Close(self)
	g.pid, err = forkGuard(g.ledger, self)
	if err != nil {
		unix.Munmap(pages)
		return nil, fmt.Errorf("fork the guard: %w", err)
	}
	return g, nil
}

// dismiss ends the guard.
//
// Precondition: nobody is placed any more.
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
	unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(g.ledger)), unsafe.Sizeof(ledger{})))
}

// place moves a thread to one CPU, and writes down what it had before. It returns the slot, or −1 if there
// is no room for it.
func (g *guard) place(tid int32, cpu int, had, one *cpuMask) (int32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	mask := g.numberOf(had)
	if mask < 0 || len(g.free) == 0 {
		return -1, nil
	}
	slot := g.free[len(g.free)-1]
	g.ledger.slots[slot].Store(packSlot(tid, cpu, mask)) // first: we may be killed in between
	if err := setAffinity(tid, one); err != nil {
		g.ledger.slots[slot].Store(0)
		return -1, err
	}
	g.free = g.free[:len(g.free)-1]
	return slot, nil
}

// numberOf returns the number of a mask in the ledger, −1 if there is no room for it.
func (g *guard) numberOf(had *cpuMask) int {
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

// holds reports whether a slot is still the one of a thread.
func (g *guard) holds(slot, tid int32) bool {
	return tidOf(g.ledger.slots[slot].Load()) == tid
}

// restore gives the thread of a slot its CPUs back, if it is still the one of that slot.
func (g *guard) restore(slot, tid int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if noted := g.ledger.slots[slot].Load(); tidOf(noted) == tid {
		setAffinity(tid, &g.ledger.masks[noted&0xff])
		g.drop(slot)
	}
}

// forget drops the thread of a slot, which has died.
func (g *guard) forget(slot, tid int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holds(slot, tid) {
		g.drop(slot)
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

func (g *guard) drop(slot int32) {
	g.ledger.slots[slot].Store(0)
	g.free = append(g.free, slot)
}

// restoreThread gives a thread its CPUs back, whichever worker has placed it, or all threads if tid is 0.
// The workers find out by themselves. It reports whether there was such a thread.
func (g *guard) restoreThread(tid int32) (found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for slot := range int32(mostPlaced) {
		noted := g.ledger.slots[slot].Load()
		if noted == 0 || tid != 0 && tidOf(noted) != tid {
			continue
		}
		setAffinity(tidOf(noted), &g.ledger.masks[noted&0xff])
		g.drop(slot)
		found = true
	}
	return found
}

// forkGuard forks the guard. It returns in the parent only. In the child the rules of childPlan.fork hold.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkGuard(l *ledger, parent int) (int, error) {
	var (
		pid, n  uintptr
		errno   syscall.Errno
		all     = ^uint64(0)
		slot    int
		noted   uint64
		cpu     uint64
		has     cpuMask
		poll    = unix.PollFd{Fd: 0, Events: unix.POLLIN}
		name    = [16]byte{'s', 'y', 's', 'p', 'r', 'o', 'f', '-', 'g', 'u', 'a', 'r', 'd'}
		root    = [2]byte{'/', 0}
		slots   = unsafe.Pointer(&l.slots)
		masks   = unsafe.Pointer(&l.masks)
		oneMask = unsafe.Sizeof(cpuMask{})
		mask    unsafe.Pointer
		word    int
		alike   bool
	)
	syscall.ForkLock.Lock()
	runtimeBeforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		syscall.ForkLock.Unlock()
		if errno != 0 {
			return 0, errno
		}
		return int(pid), nil
	}

	// The child.
	runtimeAfterForkInChild()
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, setSize, 0, 0)
	syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	syscall.RawSyscall(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&root)), 0, 0)
	syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0)
	if parent != 0 {
		syscall.RawSyscall(unix.SYS_DUP3, uintptr(parent), 0, 0)
	}
	for n = 1; n < 1<<16; n++ { // for a kernel without close_range(2)
		if _, _, errno = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, n, ^uintptr(0)>>32, 0); errno == 0 {
			break
		}
		syscall.RawSyscall(unix.SYS_CLOSE, n, 0, 0)
	}
	for {
		// A pidfd is readable when its process has ended (pidfd_open(2)).
		n, _, errno = syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, 0, 0, 0, 0)
		if errno == 0 && n == 1 {
			break
		}
		if errno != syscall.EINTR {
			goto end
		}
	}
	for slot = 0; slot < mostPlaced; slot++ {
		noted = *(*uint64)(unsafe.Add(slots, slot*8))
		if noted == 0 {
			continue
		}
		// Who does not have the mask that it was placed with is somebody else by now, or has been given another.
		cpu = noted>>8&0xffffff - 1
		has = cpuMask{}
		if _, _, errno = syscall.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(noted>>32), oneMask, uintptr(unsafe.Pointer(&has))); errno != 0 {
			continue
		}
		alike = true
		for word = 0; word < maskWords; word++ {
			if uint64(word) == cpu/64 {
				has[word] ^= 1 << (cpu % 64)
			}
			alike = alike && has[word] == 0
		}
		if alike {
			mask = unsafe.Add(masks, uintptr(noted&0xff)*oneMask)
			syscall.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(noted>>32), oneMask, uintptr(mask))
		}
	}
end:
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

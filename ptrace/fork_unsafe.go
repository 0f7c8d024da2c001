package ptrace

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's own brackets around a fork, which package syscall uses: they block signals, and
// keep the scheduler and the stack growth out of the child.

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// gate is a page that the launcher and its child share. It is gone from the child with its execve,
// and, unlike a pipe or a SIGSTOP, leaves nothing behind that the command could see.
type gate struct {
	phase atomic.Uint32 // a futex word
	step  uint32        // what the child was doing when it failed: a childStep
	errno uint32

	filter installed
}

// The phases of the gate, in order.
const (
	phaseForked = iota // the child waits to be seized
	phaseSeized        // the child sets itself up
	phaseReady         // the child waits to be told to execute the command
	phaseGo            // the child executes the command
)

// childStep is what a child was doing when it failed.
type childStep uint32

const (
	stepNoFile childStep = iota + 1
	stepSignals
	stepClose
	stepGroups
	stepGID
	stepUID
	stepMask
	stepExec
)

func (s childStep) String() string {
	names := [...]string{"", "restore the limit of open files", "restore signal dispositions",
		"close a descriptor", "set the groups", "set the group", "set the user",
		"restore the signal mask", "execute the command"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("step %d", uint32(s))
}

func newGate() (*gate, error) {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map a page to share with the command: %w", err)
	}
	return (*gate)(unsafe.Pointer(unsafe.SliceData(page))), nil
}

func (g *gate) close() {
	unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(g)), unix.Getpagesize()))
}

// open moves the gate on to phase and wakes the child.
func (g *gate) open(phase uint32) {
	g.phase.Store(phase)
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&g.phase)), futexWake, 1, 0, 0, 0)
}

// pass says that the child is ready, and waits until it is told to go. The rules of childPlan.fork hold.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (g *gate) pass() {
	word := unsafe.Pointer(&g.phase)
	phase := (*uint32)(word)
	*phase = phaseReady
	syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWake, 1, 0, 0, 0)
	for *phase == phaseReady {
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWait, phaseReady, 0, 0, 0)
	}
}

// await waits until the child has moved the gate on from phase, at most for the time given.
func (g *gate) await(phase uint32, atMost time.Duration) {
	ts := unix.NsecToTimespec(int64(atMost))
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&g.phase)), futexWait, uintptr(phase),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// The operations of futex(2). The gate is shared between processes: no FUTEX_PRIVATE_FLAG.
const (
	futexWait = 0
	futexWake = 1
)

// childPlan is all that a forked child does, in a form that needs no allocation: pointers and
// numbers only, prepared before the fork.
type childPlan struct {
	gate *gate

	path *byte
	argv **byte
	envp **byte

	origin  *Origin // nil: leave everything as it is
	closing [3]bool

	setUser bool
	uid     uintptr
	gid     uintptr
	groups  []uint32

	filter *unix.SockFprog // nil: none
}

// kernelSigaction is struct sigaction as rt_sigaction(2) takes it, up to and with a field for the
// mask; the order of the middle fields differs between architectures, and all of them are 0 here.
type kernelSigaction struct {
	handler uintptr
	_       [3]uint64
}

const (
	sigDfl  = 0
	sigIgn  = 1
	lastSig = 64
	setSize = 8 // sizeof(sigset_t) for the kernel
)

// fork forks, and lets the child carry out the plan. It returns in the parent only.
//
// In the child no other thread of the program exists, and any lock may be held for ever: it must
// not allocate, grow the stack, or call anything but raw system calls (the rules of package
// syscall's forkAndExecInChild1). Unlike that, the child gets a copy of the memory: with CLONE_VFORK
// the parent could not seize it while it waits.
//
//go:noinline
//go:norace
//go:nocheckptr
func (p *childPlan) fork() (int32, error) {
	var (
		pid, r     uintptr
		errno      syscall.Errno
		sig        uintptr
		bit        uint64
		action     kernelSigaction
		limit      unix.Rlimit
		step       childStep
		fd         int
		ngroups    uintptr
		groups     unsafe.Pointer
		word       = unsafe.Pointer(&p.gate.phase)
		phase      *uint32
		ignored    uint64
		blocked    uint64
		pending    uint64
		restoreAll bool
	)
	phase = (*uint32)(word)
	if p.origin != nil {
		limit = p.origin.NoFile
		ignored, blocked, pending = p.origin.Ignored, p.origin.Blocked, p.origin.Pending
		restoreAll = true
	}
	if ngroups = uintptr(len(p.groups)); ngroups > 0 {
		groups = unsafe.Pointer(&p.groups[0])
	}

	syscall.ForkLock.Lock()
	runtimeBeforeFork()
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		syscall.ForkLock.Unlock()
		if errno != 0 {
			return 0, errno
		}
		return int32(pid), nil
	}

	// The child.
	runtimeAfterForkInChild()
	for *phase == phaseForked {
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(word), futexWait, phaseForked, 0, 0, 0)
	}

	if restoreAll {
		step = stepNoFile
		_, _, errno = syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
		if errno != 0 {
			goto failed
		}
		for sig = 1; sig <= lastSig; sig++ {
			bit = 1 << (sig - 1)
			action.handler = sigDfl
			if ignored&bit != 0 {
				action.handler = sigIgn
			}
			// KILL and STOP answer EINVAL.
			syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, setSize, 0, 0)
		}
		for fd = range p.closing {
			if p.closing[fd] {
				syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
			}
		}
	}
	if p.filter != nil {
		// Another user could not have it without giving up more. From here on the child stops at its calls,
		// so the tracer has to be waiting for stops.
		p.gate.pass()
		p.gate.filter.install(p.filter)
	}
	if p.setUser {
		step = stepGroups
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETGROUPS, ngroups, uintptr(groups), 0); errno != 0 {
			goto failed
		}
		step = stepGID
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETRESGID, p.gid, p.gid, p.gid); errno != 0 {
			goto failed
		}
		step = stepUID
		if _, _, errno = syscall.RawSyscall(unix.SYS_SETRESUID, p.uid, p.uid, p.uid); errno != 0 {
			goto failed
		}
	}
	if restoreAll {
		step = stepMask
		_, _, errno = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&blocked)), 0, setSize, 0, 0)
		if errno != 0 {
			goto failed
		}
		// fork(2): "The child's set of pending signals is initially empty". They were pending
		// because they are blocked, so they will be again.
		r, _, _ = syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
		for sig = 1; sig <= lastSig; sig++ {
			if pending&blocked&(1<<(sig-1)) != 0 {
				syscall.RawSyscall(unix.SYS_KILL, r, sig, 0)
			}
		}
	}

	if p.filter == nil {
		p.gate.pass()
	}
	step = stepExec
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p.path)),
		uintptr(unsafe.Pointer(p.argv)), uintptr(unsafe.Pointer(p.envp)))
failed:
	p.gate.step, p.gate.errno = uint32(step), uint32(errno)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

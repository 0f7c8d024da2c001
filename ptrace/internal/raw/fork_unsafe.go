package raw

import (
	"syscall"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// The runtime's own brackets around a fork, which package syscall uses.

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// Fork forks this process (clone(2) with SIGCHLD alone). It returns the child's pid in the parent, and 0 with no
// error in the child, which must never return from the function that called Fork.
//
// The child gets a copy of the memory, its stack included, so that Fork can return in it: no other thread runs on
// that stack. (Package syscall's forkAndExecInChild1 shares the memory, with CLONE_VM|CLONE_VFORK, and has to stay in
// one frame. The parent could not seize such a child while it sleeps until the child has executed something.)
//
// The rest of what that function demands holds here, too. No other thread exists in the child, and any lock may be
// held for ever. Its signals have their default actions. Its goroutine's stack guard is spoilt
// (runtime.beforefork), so that a function with a stack check ends the child at once. So a caller
//
//   - takes a lock, allocates, or grows its stack before the fork only;
//   - calls in the child only raw system calls and functions that are //go:nosplit. The linker allows a chain of
//     them 800 bytes of stack, which without optimization (-gcflags='all=-N -l') is four functions;
//   - is //go:norace and //go:nocheckptr, as all are that run in the child, since the race detector's and the
//     pointer checks are calls to functions that may lock;
//   - writes no pointer to the heap: a collection may have been going on at the fork, and the write barrier would
//     put it into a buffer that is flushed by other threads.
//
//go:noinline
//go:norace
//go:nocheckptr
func Fork() (pid int32, errno unix.Errno) {
	syscall.ForkLock.Lock()
	runtimeBeforeFork()
	r, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		runtimeAfterForkInChild()
		return 0, 0
	}
	runtimeAfterFork()
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int32(r), 0
}

// ChildDieWith has the kernel kill the child when the thread that has forked it, or any other that is its parent after
// that, ends (PR_SET_PDEATHSIG). parent is the process of that thread. If it is dead already the child ends here.
//
//go:nosplit
//go:norace
func ChildDieWith(parent int32) {
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	// Whose parent had died before that has another one by now. (A filter of a container's may refuse to tell.)
	if now, _, errno := syscall.RawSyscall6(unix.SYS_GETPPID, 0, 0, 0, 0, 0, 0); errno == 0 && int32(now) != parent {
		ChildExit(1)
	}
}

// ChildSurvive has the child live on when its parent ends, as every process does that has just been forked.
//
//go:nosplit
//go:norace
func ChildSurvive() {
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0, 0, 0, 0, 0)
}

// ChildExit ends the child.
//
//go:nosplit
//go:norace
func ChildExit(status uintptr) {
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0)
	}
}

package place

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// guardName is what ps(1) calls the guard, and rootPath the path of a directory, for the kernel.
//
// sysprof's own name is no part of it: pkill -9 sysprof looks for that anywhere in a process's name, with -f in its
// arguments, too, and would kill both at the same time, so that nobody were left to do what the guard is for.
var (
	guardName = [16]byte{'s', 'y', 's', 'p', '-', 'g', 'u', 'a', 'r', 'd'}
	rootPath  = [2]byte{'/', 0}
)

// ownArguments is where the kernel looks for this process's arguments (/proc/PID/cmdline); nil if that is not known.
func ownArguments() []byte {
	const startAt, endAt = 48 - 3, 49 - 3 // of proc(5)'s numbers; what is behind the name begins with the third
	stat, _ := os.ReadFile("/proc/self/stat")
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= endAt || len(os.Args) == 0 {
		return nil
	}
	start, err1 := strconv.ParseUint(fields[startAt], 10, 64)
	end, err2 := strconv.ParseUint(fields[endAt], 10, 64)
	// The runtime makes os.Args of that very memory, unless somebody has put something else there.
	first := unsafe.StringData(os.Args[0])
	if err1 != nil || err2 != nil || first == nil || uint64(uintptr(unsafe.Pointer(first))) != start || end <= start {
		return nil
	}
	return unsafe.Slice(first, end-start)
}

// forkGuard forks the guard, which gets a descriptor of this process. It returns in the parent only.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkGuard(l *ledger, process int) (int, error) {
	arguments := ownArguments()
	pid, errno := raw.Fork()
	if errno != 0 {
		return 0, errno
	}
	if pid == 0 {
		for i := range arguments { // the child's alone: it is a copy
			arguments[i] = 0
			if i < len(guardName)-1 && i < len(arguments)-1 {
				arguments[i] = guardName[i]
			}
		}
		childHide(process)
		if l.childAwaitEnd() {
			l.childRestoreAll() // before the tracees are let go, if it comes in time
		}
		if childPoll(nil) {
			l.childRestoreAll()
		}
		raw.ChildExit(0)
	}
	return int(pid), nil
}

// childHide separates the guard from all that this process shares with others, but the descriptor of it, which becomes 0.
// The rules of raw.Fork hold for this and all below.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childHide(process int) {
	all := ^uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, raw.SigsetSize, 0, 0)
	syscall.RawSyscall6(unix.SYS_SETSID, 0, 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&rootPath)), 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&guardName)), 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_CLOSE, 0, 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_DUP3, uintptr(process), 0, 0, 0, 0, 0)
	for fd := uintptr(1); fd < 1<<16; fd++ { // for a kernel without close_range(2)
		if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, fd, ^uintptr(0)>>32, 0, 0, 0, 0); errno == 0 {
			break
		}
		syscall.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
	}
}

// childAwaitEnd waits until the process of descriptor 0 has ended, or begins to. It reports whether it begins to.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *ledger) childAwaitEnd() bool {
	wait := unix.Timespec{Sec: 1}
	for {
		word := *(*uint32)(unsafe.Pointer(&l.life.word))
		switch {
		case word&futexOwnerDied != 0:
			return true
		case word == unwatched:
			return false
		}
		syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&l.life.word)), futexWait, uintptr(word), uintptr(unsafe.Pointer(&wait)), 0, 0)
		now := unix.Timespec{}
		if childPoll(&now) {
			return false
		}
	}
}

// childPoll waits until the process of descriptor 0 has ended, for as long as is said, for ever with nil. It reports whether
// it has.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childPoll(atMost *unix.Timespec) bool {
	poll := unix.PollFd{Fd: 0, Events: unix.POLLIN}
	for {
		// A pidfd is readable when its process has ended (pidfd_open(2)).
		n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(atMost)), 0, 0, 0)
		if errno != syscall.EINTR {
			return errno == 0 && n == 1
		}
	}
}

// childRestoreAll restores the affinities of all threads in the ledger.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *ledger) childRestoreAll() {
	for slot := range mostPinned {
		if noted := *(*uint64)(unsafe.Pointer(&l.slots[slot])); noted != 0 {
			l.childGiveBack(noted)
		}
	}
}

// childGiveBack gives a thread its CPUs back as giveBack does.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *ledger) childGiveBack(noted uint64) {
	tid := uintptr(noted >> 32)
	if noted&beingPinned != 0 || l.childIsStill(tid, noted>>8&0xffffff-1) {
		childAffinity(unix.SYS_SCHED_SETAFFINITY, tid, unsafe.Pointer(&l.masks[noted&0x7f%mostMasks]))
		return
	}
	if !childAffinity(unix.SYS_SCHED_SETAFFINITY, tid, unsafe.Pointer(&l.masks[allCPUs])) ||
		!childAffinity(unix.SYS_SCHED_GETAFFINITY, tid, unsafe.Pointer(&l.allowed)) {
		return
	}
	for word := range raw.CPUMaskWords {
		if l.allowed[word] != l.now[word] {
			childAffinity(unix.SYS_SCHED_SETAFFINITY, tid, unsafe.Pointer(&l.now))
			return
		}
	}
}

// childIsStill reads a thread's mask, and reports whether that is the one CPU.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (l *ledger) childIsStill(tid uintptr, cpu uint64) bool {
	if !childAffinity(unix.SYS_SCHED_GETAFFINITY, tid, unsafe.Pointer(&l.now)) {
		return true // it has died
	}
	for word := range uint64(raw.CPUMaskWords) {
		want := uint64(0)
		if word == cpu/64 {
			want = 1 << (cpu % 64)
		}
		if l.now[word] != want {
			return false
		}
	}
	return true
}

// childAffinity reads or sets a thread's mask. It reports whether that succeeded.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childAffinity(nr, tid uintptr, mask unsafe.Pointer) bool {
	_, _, errno := syscall.RawSyscall6(nr, tid, unsafe.Sizeof(raw.CPUMask{}), uintptr(mask), 0, 0, 0)
	return errno == 0
}

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

// guardName is what ps(1) calls the guard, rootPath the path of a directory, for the kernel, and itself how cgroup.procs is
// told of the process that writes (cgroups(7)).
//
// sysprof's own name is no part of it: pkill -9 sysprof looks for that anywhere in a process's name, with -f in its
// arguments, too, and would kill both at the same time, so that nobody were left to do what the guard is for.
var (
	guardName = [16]byte{'s', 'y', 's', 'p', '-', 'g', 'u', 'a', 'r', 'd'}
	rootPath  = [2]byte{'/', 0}
	itself    = [1]byte{'0'}
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

// staysNs is how long the guard stays in its cgroups. To leave one takes the kernel until all CPUs have taken note
// (kernel/cgroup/cgroup.c, cgroup_procs_write_start: 31 ms in a virtual machine with 2 CPUs), and no signal ends that:
// short runs would have to wait for it at their end.
const staysNs = 100_000_000

// lifelines are the descriptors that the guard gets as its own, from 0 on; −1 for none. They are beyond its own.
type lifelines [1 + mostGroups]int

// forkGuard forks the guard. The first of the descriptors is of this process, the others are cgroup.procs of groups that
// it is to go to. It returns in the parent only.
//
//go:noinline
//go:norace
//go:nocheckptr
func forkGuard(l *ledger, lines *lifelines) (int, error) {
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
		childHide(lines)
		if childAwaitEnd() {
			l.childRestoreAll()
		}
		raw.ChildExit(0)
	}
	return int(pid), nil
}

// childHide separates the guard from all that this process shares with others, but the lifelines. The rules of raw.Fork hold for this and all below.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childHide(lines *lifelines) {
	all := ^uint64(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, raw.SigsetSize, 0, 0)
	syscall.RawSyscall6(unix.SYS_SETSID, 0, 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_CHDIR, uintptr(unsafe.Pointer(&rootPath)), 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&guardName)), 0, 0, 0, 0)
	for own := range uintptr(len(lines)) {
		syscall.RawSyscall6(unix.SYS_CLOSE, own, 0, 0, 0, 0, 0)
		syscall.RawSyscall6(unix.SYS_DUP3, uintptr(lines[own]), own, 0, 0, 0, 0)
	}
	for fd := uintptr(len(lines)); fd < 1<<16; fd++ { // for a kernel without close_range(2)
		if _, _, errno := syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, fd, ^uintptr(0)>>32, 0, 0, 0, 0); errno == 0 {
			break
		}
		syscall.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
	}
}

// childAwaitEnd waits until the process of descriptor 0 has ended, and leaves its cgroups if that is not soon. It reports
// whether the end could be seen.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childAwaitEnd() bool {
	poll := unix.PollFd{Fd: 0, Events: unix.POLLIN}
	soon := unix.Timespec{Nsec: staysNs}
	atMost := &soon
	for {
		// A pidfd is readable when its process has ended (pidfd_open(2)).
		n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(atMost)), 0, 0, 0)
		if errno == 0 && n == 1 {
			return true
		}
		if errno == 0 {
			atMost = nil
			childLeaveGroups()
			continue
		}
		if errno != syscall.EINTR {
			return false
		}
	}
}

// childLeaveGroups has the guard go where its lifelines lead.
//
//go:nosplit
//go:norace
//go:nocheckptr
func childLeaveGroups() {
	for fd := uintptr(1); fd <= mostGroups; fd++ {
		syscall.RawSyscall6(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&itself)), 1, 0, 0, 0)
		syscall.RawSyscall6(unix.SYS_CLOSE, fd, 0, 0, 0, 0, 0)
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

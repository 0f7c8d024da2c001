package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every function of this file is one ptrace request. They decide nothing.
//
// Precondition of all but seize: the caller is the thread that seized tid, and, but for
// interrupt, tid is in a ptrace-stop. They use raw system calls: a request never blocks, and the
// scheduler's bookkeeping around a blocking call would cost a tenth of the request.

// syscallInfo is struct ptrace_syscall_info of <linux/ptrace.h>, laid out for its entry variant,
// which is the largest one that is read here. In the exit variant nr is rval, and the lowest byte
// of args[0] is is_error.
type syscallInfo struct {
	op    uint8
	_     [3]uint8
	arch  uint32 // AUDIT_ARCH_*
	ip    uint64
	sp    uint64
	nr    uint64
	args  [6]uint64
	extra uint64 // in the seccomp variant, which is like that of an entry: the lower half is the filter's data
}

// The values of syscallInfo.op that are met here.
const (
	opEntry   = 1
	opExit    = 2
	opSeccomp = 3
)

// ret returns the return value of an exit-stop.
func (i *syscallInfo) ret() int64 { return int64(i.nr) }

// failed reports whether the return value of an exit-stop is a negated errno.
func (i *syscallInfo) failed() bool { return *(*uint8)(unsafe.Pointer(&i.args[0])) != 0 }

//go:uintptrescapes
func request(req int, tid int32, addr, data uintptr) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// seize attaches to tid without stopping it (PTRACE_SEIZE).
func seize(tid int32, options uintptr) error { return request(unix.PTRACE_SEIZE, tid, 0, options) }

// interrupt makes a seized tracee stop with PTRACE_EVENT_STOP (PTRACE_INTERRUPT).
func interrupt(tid int32) error { return request(unix.PTRACE_INTERRUPT, tid, 0, 0) }

// resumeToSyscall lets tid run to its next syscall stop, delivering sig if it is not 0
// (PTRACE_SYSCALL).
func resumeToSyscall(tid int32, sig int) error {
	return request(unix.PTRACE_SYSCALL, tid, 0, uintptr(sig))
}

// listen leaves tid in its group-stop and lets it report the end of that (PTRACE_LISTEN).
func listen(tid int32) error { return request(unix.PTRACE_LISTEN, tid, 0, 0) }

// detach lets go of tid, delivering sig if it is not 0 (PTRACE_DETACH).
func detach(tid int32, sig int) error { return request(unix.PTRACE_DETACH, tid, 0, uintptr(sig)) }

// eventMessage reads what the last event of tid carries (PTRACE_GETEVENTMSG).
func eventMessage(tid int32) (uint64, error) {
	var msg uint64
	err := request(unix.PTRACE_GETEVENTMSG, tid, 0, uintptr(unsafe.Pointer(&msg)))
	return msg, err
}

// readSyscallInfo fills info with what tid stopped for (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
// Its address must not be on a stack that can move: it is part of the tracer.
func readSyscallInfo(tid int32, info *syscallInfo) error {
	return request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(*info), uintptr(unsafe.Pointer(info)))
}

// signalInfo is siginfo_t.
type signalInfo [128]byte

// signalSender returns the si_pid of the signal that tid stopped for (PTRACE_GETSIGINFO); 0 for
// one that the kernel sent. Like that of readSyscallInfo, info's address must not be on a stack.
func signalSender(tid int32, info *signalInfo) (int32, error) {
	err := request(unix.PTRACE_GETSIGINFO, tid, 0, uintptr(unsafe.Pointer(info)))
	// si_signo, si_errno and si_code are ints; the union behind them is aligned to a pointer.
	const codeAt, pidAt = 8, 16
	if code := *(*int32)(unsafe.Pointer(&info[codeAt])); code > 0 {
		return 0, err // SI_KERNEL, a fault, a child's end: nobody called kill(2)
	}
	return *(*int32)(unsafe.Pointer(&info[pidAt])), err
}

// peekUser and pokeUser read and write one word of the register area (struct user).
func peekUser(tid int32, offset uintptr) (int64, error) {
	var word int64 // the system call, unlike glibc's wrapper, stores the word through data
	err := request(unix.PTRACE_PEEKUSR, tid, offset, uintptr(unsafe.Pointer(&word)))
	return word, err
}

func pokeUser(tid int32, offset uintptr, word int64) error {
	return request(unix.PTRACE_POKEUSR, tid, offset, uintptr(word))
}

// regSet reads (PTRACE_GETREGSET) or writes (PTRACE_SETREGSET) tid's general registers. iov is scratch
// that must not be on a stack that can move.
func regSet(req int, tid int32, regs unsafe.Pointer, size uintptr, iov *unix.Iovec) error {
	const ntPRStatus = 1 // NT_PRSTATUS of <linux/elf.h>
	iov.Base = (*byte)(regs)
	iov.SetLen(int(size))
	return request(req, tid, ntPRStatus, uintptr(unsafe.Pointer(iov)))
}

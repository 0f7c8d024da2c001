package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SyscallInfo is struct ptrace_syscall_info of <linux/ptrace.h>, laid out for its entry variant, which is the
// largest one that is read here. In the exit variant Nr is rval, and the lowest byte of Args[0] is is_error.
type SyscallInfo struct {
	Op    uint8
	_     [3]uint8
	Arch  uint32 // AUDIT_ARCH_*
	IP    uint64
	SP    uint64
	Nr    uint64
	Args  [6]uint64
	extra uint64 // in the seccomp variant, which is otherwise laid out as the entry variant
}

// The values of SyscallInfo.Op that the engine meets.
const (
	OpEntry   = 1 // PTRACE_SYSCALL_INFO_ENTRY
	OpExit    = 2 // PTRACE_SYSCALL_INFO_EXIT
	OpSeccomp = 3 // PTRACE_SYSCALL_INFO_SECCOMP
)

// Ret returns the return value of an exit-stop.
func (i *SyscallInfo) Ret() int64 { return int64(i.Nr) }

// Failed reports whether the return value of an exit-stop is a negated errno.
func (i *SyscallInfo) Failed() bool { return *(*uint8)(unsafe.Pointer(&i.Args[0])) != 0 }

// SetRet has an exit-stop be of a call that returned ret.
func (i *SyscallInfo) SetRet(ret int64) {
	i.Nr = uint64(ret)
	const maxErrno = 4095
	*(*bool)(unsafe.Pointer(&i.Args[0])) = -maxErrno <= ret && ret < 0
}

// FilterData returns the data of the filter's answer at a seccomp stop.
func (i *SyscallInfo) FilterData() uint32 { return uint32(i.extra) & unix.SECCOMP_RET_DATA }

//go:uintptrescapes
func request(req int, tid int32, addr, data uintptr) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Seize attaches to tid without stopping it (PTRACE_SEIZE). Options are PTRACE_O_ bits.
//
// It is the one request that blocks: while the process executes a program (kernel/ptrace.c, ptrace_attach:
// cred_guard_mutex). A raw system call would keep the caller's P, and a collection that begins meanwhile would stop
// everybody else, also who has to act for the seize to come to its end.
func Seize(tid int32, options uintptr) error {
	_, _, errno := syscall.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, options, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// SetOptions sets the PTRACE_O_ options of tid (PTRACE_SETOPTIONS).
func SetOptions(tid int32, options uintptr) error {
	return request(unix.PTRACE_SETOPTIONS, tid, 0, options)
}

// Interrupt makes a seized tracee stop with PTRACE_EVENT_STOP (PTRACE_INTERRUPT).
func Interrupt(tid int32) error { return request(unix.PTRACE_INTERRUPT, tid, 0, 0) }

// ResumeToSyscall lets tid run to its next syscall-stop, delivering sig if it is not 0 (PTRACE_SYSCALL).
func ResumeToSyscall(tid int32, sig int) error {
	return request(unix.PTRACE_SYSCALL, tid, 0, uintptr(sig))
}

// ResumeToEvent lets tid run to its next stop that is no syscall-stop, delivering sig if it is not 0
// (PTRACE_CONT).
func ResumeToEvent(tid int32, sig int) error { return request(unix.PTRACE_CONT, tid, 0, uintptr(sig)) }

// Listen leaves tid in its group-stop and lets it report the end of that (PTRACE_LISTEN).
func Listen(tid int32) error { return request(unix.PTRACE_LISTEN, tid, 0, 0) }

// Detach detaches tid, delivering sig if it is not 0 (PTRACE_DETACH).
func Detach(tid int32, sig int) error { return request(unix.PTRACE_DETACH, tid, 0, uintptr(sig)) }

// EventMessage reads what the last event of tid carries (PTRACE_GETEVENTMSG).
func EventMessage(tid int32) (uint64, error) {
	var msg uint64
	err := request(unix.PTRACE_GETEVENTMSG, tid, 0, uintptr(unsafe.Pointer(&msg)))
	return msg, err
}

// ReadSyscallInfo fills info with what tid stopped for (PTRACE_GET_SYSCALL_INFO, Linux 5.3).
func ReadSyscallInfo(tid int32, info *SyscallInfo) error {
	return request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(*info), uintptr(unsafe.Pointer(info)))
}

// SignalInfo is siginfo_t.
type SignalInfo [128]byte

// ReadSignalInfo reads the siginfo of the signal that tid stopped for (PTRACE_GETSIGINFO).
func ReadSignalInfo(tid int32, info *SignalInfo) error {
	return request(unix.PTRACE_GETSIGINFO, tid, 0, uintptr(unsafe.Pointer(info)))
}

// Sender returns si_pid, 0 for a signal that the kernel sent.
func (i *SignalInfo) Sender() int32 {
	// si_signo, si_errno and si_code are ints; the union behind them is aligned to a pointer.
	const codeAt, pidAt = 8, 16
	if code := *(*int32)(unsafe.Pointer(&i[codeAt])); code > 0 {
		return 0 // SI_KERNEL, a fault, a child's end: nobody called kill(2)
	}
	return *(*int32)(unsafe.Pointer(&i[pidAt]))
}

// PeekUser reads one word of the register area, struct user (PTRACE_PEEKUSR).
func PeekUser(tid int32, offset uintptr) (int64, error) {
	var word int64 // the system call, unlike glibc's wrapper, stores the word through data
	err := request(unix.PTRACE_PEEKUSR, tid, offset, uintptr(unsafe.Pointer(&word)))
	return word, err
}

// PokeUser writes one word of the register area, struct user (PTRACE_POKEUSR).
func PokeUser(tid int32, offset uintptr, word int64) error {
	return request(unix.PTRACE_POKEUSR, tid, offset, uintptr(word))
}

// Registers is memory that general registers are read through without allocating. It must not be on a stack that
// can move.
type Registers struct {
	user UserRegs
	iov  unix.Iovec
}

// Read fills into with tid's general registers by their DWARF numbers (PTRACE_GETREGSET). The kernel gives those of
// 32-bit code in a form of their own, which is shorter (arch/x86/kernel/ptrace.c, task_user_regset_view): see byNarrowNumber.
func (r *Registers) Read(tid int32, into *[33]uint64) error {
	if err := regSet(unix.PTRACE_GETREGSET, tid, &r.user, &r.iov); err != nil {
		return err
	}
	if uintptr(r.iov.Len) < unsafe.Sizeof(r.user) {
		byNarrowNumber(&r.user, into)
		return nil
	}
	byDWARFNumber(&r.user, into)
	return nil
}

func regSet(req int, tid int32, regs *UserRegs, iov *unix.Iovec) error {
	const ntPRStatus = 1 // NT_PRSTATUS of <linux/elf.h>
	iov.Base = (*byte)(unsafe.Pointer(regs))
	iov.SetLen(int(unsafe.Sizeof(*regs)))
	return request(req, tid, ntPRStatus, uintptr(unsafe.Pointer(iov)))
}

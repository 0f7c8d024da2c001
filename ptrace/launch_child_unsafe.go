package ptrace

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// childPlan is all that the child does that executes a command, in a form that needs no allocation: pointers and
// numbers only, prepared before the fork.
type childPlan struct {
	name string // for messages
	gate *gate

	path *byte
	argv **byte
	envp **byte

	origin *Origin // nil: leave everything as it is

	setUser bool
	uid     uintptr
	gid     uintptr
	groups  []uint32

	filter *unix.SockFprog // nil: none

	// untraced says that the child is not seized, so that nothing but this process's end can end it when it waits.
	untraced bool
}

// childStep is what a child was doing when it failed.
type childStep uint32

const (
	stepNoFile childStep = iota + 1
	stepGroups
	stepGID
	stepUID
	stepMask
	stepExec
)

func (s childStep) String() string {
	names := [...]string{"", "restore the limit of open files", "set the groups", "set the group", "set the user",
		"restore the signal mask", "execute the command"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("step %d", uint32(s))
}

// fork forks, and lets the child carry out the plan, until its execve. It returns in the parent only.
//
// The rules of raw.Fork hold for all that the child calls. It is not a function of its own: without optimization
// there would be no room left for one more in the chain of functions without a stack check.
//
//go:noinline
//go:norace
//go:nocheckptr
func (p *childPlan) fork() (int32, error) {
	pid, errno := raw.Fork()
	if errno != 0 {
		return 0, errno
	}
	if pid != 0 {
		return pid, nil
	}
	p.gate.childAwaitSeizure()
	step, errno := p.childSetUp()
	if errno == 0 {
		step = stepExec
		_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p.path)),
			uintptr(unsafe.Pointer(p.argv)), uintptr(unsafe.Pointer(p.envp)), 0, 0, 0)
	}
	p.gate.step, p.gate.errno = uint32(step), uint32(errno)
	raw.ChildExit(127)
	return 0, nil
}

// childSetUp makes the child what the command is to find, and returns when it may be executed.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *childPlan) childSetUp() (step childStep, errno syscall.Errno) {
	if p.origin != nil {
		_, _, errno = syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(&p.origin.NoFile)), 0, 0, 0)
		if errno != 0 {
			return stepNoFile, errno
		}
		p.origin.childRestoreActions()
		p.origin.childClose()
	}
	if p.filter != nil {
		// Another user could not have it without giving up more. From here on the child stops at its calls,
		// so the tracer has to be waiting for stops.
		p.gate.childPass()
		p.gate.filter.childInstall(p.filter)
	}
	if p.setUser {
		if step, errno = p.childSetUser(); errno != 0 {
			return step, errno
		}
	}
	if p.origin != nil {
		if errno = p.origin.childRestoreMask(); errno != 0 {
			return stepMask, errno
		}
	}
	if p.untraced {
		raw.ChildDieWith(p.gate.parent)
	}
	if p.filter == nil {
		p.gate.childPass()
	}
	if p.untraced {
		raw.ChildSurvive()
	}
	return 0, 0
}

// childSetUser has the child run as the user of the plan.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *childPlan) childSetUser() (step childStep, errno syscall.Errno) {
	groups := uintptr(unsafe.Pointer(unsafe.SliceData(p.groups)))
	if _, _, errno = syscall.RawSyscall6(unix.SYS_SETGROUPS, uintptr(len(p.groups)), groups, 0, 0, 0, 0); errno != 0 {
		return stepGroups, errno
	}
	if _, _, errno = syscall.RawSyscall6(unix.SYS_SETRESGID, p.gid, p.gid, p.gid, 0, 0, 0); errno != 0 {
		return stepGID, errno
	}
	_, _, errno = syscall.RawSyscall6(unix.SYS_SETRESUID, p.uid, p.uid, p.uid, 0, 0, 0)
	return stepUID, errno
}

// kernelSigaction is struct sigaction as rt_sigaction(2) takes it, up to and with a field for the
// mask; the order of the middle fields differs between architectures, and all of them are 0 here.
type kernelSigaction struct {
	handler uintptr
	_       [3]uint64
}

// childRestoreActions has the signals that were ignored be ignored again, and the others have their default action.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (o *Origin) childRestoreActions() {
	const sigDfl, sigIgn = 0, 1
	var action kernelSigaction
	for sig := uintptr(1); sig <= raw.LastSignal; sig++ {
		action.handler = sigDfl
		if o.Ignored&(1<<(sig-1)) != 0 {
			action.handler = sigIgn
		}
		// KILL and STOP answer EINVAL.
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, raw.SigsetSize, 0, 0)
	}
}

// childClose closes the descriptors that were closed.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (o *Origin) childClose() {
	for fd := range o.Closed {
		if o.Closed[fd] {
			syscall.RawSyscall6(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0, 0, 0)
		}
	}
}

// childRestoreMask restores the signal mask, and the signals that were pending.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (o *Origin) childRestoreMask() syscall.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&o.Blocked)), 0, raw.SigsetSize, 0, 0)
	if errno != 0 {
		return errno
	}
	// fork(2): "The child's set of pending signals is initially empty". They were pending
	// because they are blocked, so they will be again.
	self, _, _ := syscall.RawSyscall6(unix.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	for i := range o.Pending {
		o.Pending[i].childSend(self)
	}
	return 0
}

// childSend has the signal be sent to this process, or to its thread, as it was sent before. A process may send itself
// whatever siginfo it likes (rt_sigqueueinfo(2)). Where there is no room for that (RLIMIT_SIGPENDING), a signal of kill(2)
// still pends (kernel/signal.c, __send_signal_locked).
//
//go:nosplit
//go:norace
//go:nocheckptr
func (p *PendingSignal) childSend(self uintptr) {
	sig := uintptr(uint32(p.Info[0]))
	var errno syscall.Errno
	if p.Thread {
		_, _, errno = syscall.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, self, self, sig, uintptr(unsafe.Pointer(&p.Info)), 0, 0)
	} else {
		_, _, errno = syscall.RawSyscall6(unix.SYS_RT_SIGQUEUEINFO, self, sig, uintptr(unsafe.Pointer(&p.Info)), 0, 0, 0)
	}
	if errno != 0 {
		syscall.RawSyscall6(unix.SYS_TGKILL, self, self, sig, 0, 0, 0)
	}
}

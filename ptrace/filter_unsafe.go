package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// installed is what became of a filter in a forked child, on a page that the tracer sees, too.
type installed struct {
	tried      uint32 // not 0: it is over
	errno      uint32
	noNewPrivs uint32 // not 0: it took PR_SET_NO_NEW_PRIVS
}

// install gives the calling thread, which is a forked child's, a filter. The rules of childPlan.fork hold.
//
// Without CAP_SYS_ADMIN in its user namespace a thread has to promise that it will not gain privileges
// (seccomp(2), EACCES). With SECCOMP_FILTER_FLAG_SPEC_ALLOW the filter does not change how the processor may
// speculate, which would make the command slower.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (i *installed) install(program *unix.SockFprog) {
	_, _, errno := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(program)))
	if errno == unix.EACCES {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
		i.noNewPrivs = 1
		_, _, errno = syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
			unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(program)))
	}
	i.errno = uint32(errno)
	i.tried = 1
}

// resumeToEvent lets tid run to its next event, a filter's included, delivering sig if it is not 0
// (PTRACE_CONT).
func resumeToEvent(tid int32, sig int) error { return request(unix.PTRACE_CONT, tid, 0, uintptr(sig)) }

// setOptions sets the PTRACE_O_ options of tid (PTRACE_SETOPTIONS).
func setOptions(tid int32, options uintptr) error {
	return request(unix.PTRACE_SETOPTIONS, tid, 0, options)
}

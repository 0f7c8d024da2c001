package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ChildSetFilter gives the calling thread, which is a forked child's, a filter (seccomp(2)). With
// SECCOMP_FILTER_FLAG_SPEC_ALLOW the filter does not change how the processor may speculate, which would make the
// command slower.
//
//go:nosplit
//go:norace
//go:nocheckptr
func ChildSetFilter(program *unix.SockFprog) unix.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(program)), 0, 0, 0)
	return errno
}

// ChildSetNoNewPrivs makes the calling thread, which is a forked child's, promise that it will not gain privileges
// (PR_SET_NO_NEW_PRIVS).
//
//go:nosplit
//go:norace
func ChildSetNoNewPrivs() {
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
}

package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ReadMemory reads the memory of thread tid at addr into p (process_vm_readv(2)). What is not mapped
// ends it early: it returns how many bytes it has read, and an error only if there are none.
func ReadMemory(tid int32, addr uint64, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	local := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(p)}
	n, _, errno := syscall.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid),
		uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

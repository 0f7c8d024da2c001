package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ReadMemory reads the memory of thread tid at addr into p (process_vm_readv(2)), and returns how many bytes it
// has read. What is not mapped ends it early.
func ReadMemory(tid int32, addr uint64, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	local := unix.Iovec{Base: &p[0], Len: uint64(len(p))}
	remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(p)}
	n, _, errno := syscall.RawSyscall6(unix.SYS_PROCESS_VM_READV, uintptr(tid),
		uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

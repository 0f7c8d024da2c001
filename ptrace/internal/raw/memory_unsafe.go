package raw

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ReadMemory reads the memory of tid at addr into p (PTRACE_PEEKDATA), and returns how many bytes it has read. What
// is not mapped ends it early.
//
// So does a page that a userfaultfd(2) handler has to bring, perhaps a thread that stands still: process_vm_readv(2)
// waits for that, whereas a tracer's access fails as a read of /proc/PID/mem does (mm/memory.c, __access_remote_vm;
// mm/userfaultfd.c, handle_userfault, without FAULT_FLAG_ALLOW_RETRY).
func ReadMemory(tid int32, addr uint64, p []byte) (n int) {
	const size = 8
	for n < len(p) {
		var word uint64 // the system call, unlike glibc's wrapper, stores the word through data
		at := addr + uint64(n)
		if request(unix.PTRACE_PEEKDATA, tid, uintptr(at&^(size-1)), uintptr(unsafe.Pointer(&word))) != nil {
			break
		}
		var bytes [size]byte
		binary.NativeEndian.PutUint64(bytes[:], word)
		n += copy(p[n:], bytes[at%size:])
	}
	return n
}

package paths

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// here is for paths that are absolute.
const here = ^uintptr(0) // no descriptor

// readlinkat reads a link by its absolute path, which ends with a 0, and returns how long it is, or a negative number. It
// allocates nothing, unlike unix.Readlink.
func readlinkat(path, into []byte) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_READLINKAT, here, uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)), 0, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}

// open opens a file in /proc for reading by its absolute path, which ends with a 0, and returns a negative number if it
// cannot.
func open(path []byte) int {
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, here, uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

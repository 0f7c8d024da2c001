package drive

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NameThread gives the calling thread a name.
func NameThread(name string) {
	p, err := unix.BytePtrFromString(name)
	Must(err)
	Must(unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0))
	runtime.KeepAlive(p)
}

package main_test

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nameThread gives the calling thread a name.
func nameThread(name string) {
	p, err := unix.BytePtrFromString(name)
	must(err)
	must(unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(p)), 0, 0, 0))
	runtime.KeepAlive(p)
}

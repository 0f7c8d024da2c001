package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRegisters reads the general registers of a stopped thread.
func (w *worker) readRegisters(tid int32, into *[33]uint64) error {
	u := &w.userRegs
	if err := regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(u), unsafe.Sizeof(*u), &w.iov); err != nil {
		return err
	}
	copy(into[1:], u[1:])
	return nil
}

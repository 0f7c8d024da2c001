package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRegisters reads the general registers of a stopped thread.
func (t *Tracer) readRegisters(tid int32) error {
	u := &t.userRegs
	if err := regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(u), unsafe.Sizeof(*u), &t.iov); err != nil {
		return err
	}
	t.regs.IP = u[regPC]
	copy(t.regs.R[1:], u[1:])
	return nil
}

package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRegisters reads the general registers of a stopped thread of 64-bit code.
func (t *Tracer) readRegisters(tid int32) error {
	u := &t.userRegs
	if err := regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(u), unsafe.Sizeof(*u), &t.iov); err != nil {
		return err
	}
	t.regs.IP = u.Pc
	copy(t.regs.R[:], u.Regs[:])
	t.regs.R[31] = u.Sp
	return nil
}

type userRegs = unix.PtraceRegsArm64

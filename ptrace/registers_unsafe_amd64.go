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
	t.regs.IP = u.Rip
	copy(t.regs.R[:], []uint64{u.Rax, u.Rdx, u.Rcx, u.Rbx, u.Rsi, u.Rdi, u.Rbp, u.Rsp,
		u.R8, u.R9, u.R10, u.R11, u.R12, u.R13, u.R14, u.R15})
	return nil
}

type userRegs = unix.PtraceRegsAmd64

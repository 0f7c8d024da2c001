package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRegisters reads the general registers of a stopped thread of 64-bit code.
func (w *worker) readRegisters(tid int32, into *[33]uint64) error {
	u := &w.userRegs
	if err := regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(u), unsafe.Sizeof(*u), &w.iov); err != nil {
		return err
	}
	copy(into[:], []uint64{u.Rax, u.Rdx, u.Rcx, u.Rbx, u.Rsi, u.Rdi, u.Rbp, u.Rsp,
		u.R8, u.R9, u.R10, u.R11, u.R12, u.R13, u.R14, u.R15})
	return nil
}

type userRegs = unix.PtraceRegsAmd64

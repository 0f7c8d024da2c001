package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// regSet is raw.RegSet.
func regSet(req int, tid int32, regs unsafe.Pointer, size uintptr, iov *unix.Iovec) error {
	return raw.RegSet(req, tid, regs, size, iov)
}

// registerScratch is what registers are read into.
type registerScratch struct {
	userRegs userRegs
	iov      unix.Iovec
	regs     Registers
}

package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuseCall makes the call that tid is about to make fail with ENOSYS: the kernel does not make one with
// number −1, and the return register holds −ENOSYS from the entry on (arch/riscv/kernel/traps.c).
func refuseCall(tid int32) {
	const regA7 = 17 // the number
	var regs userRegs
	if regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec)) != nil {
		return
	}
	regs[regA7] = ^uint64(0)
	regSet(unix.PTRACE_SETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec))
}

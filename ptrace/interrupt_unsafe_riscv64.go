package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// userRegs is struct user_regs_struct (arch/riscv/include/uapi/asm/ptrace.h): pc, then x1 to x31.
type userRegs [32]uint64

const (
	regPC = 0
	regA0 = 10
)

// hideInterrupt is called at the stop that follows a PTRACE_INTERRUPT. If that broke off a call,
// it returns the call's number, and makes sure that it is made again.
//
// riscv decides on restarting before this stop (arch/riscv/kernel/signal.c,
// arch_do_signal_or_restart): for the ERESTART codes epc has already been moved back and a0
// restored. A call that returned EINTR has to be rewound here: epc to the ecall instruction, and
// a0, which the result has overwritten, from what /proc/TID/syscall said before the interrupt.
func hideInterrupt(tid int32, before asleep) (nr uint64, isAsleep bool) {
	if !before.inCall {
		return 0, false
	}
	var regs userRegs
	if regSet(unix.PTRACE_GETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec)) != nil {
		return 0, false
	}
	const ecallSize = 4
	switch {
	case int64(regs[regA0]) == -int64(unix.EINTR) && regs[regPC] == before.pc:
		regs[regA0] = before.args[0]
		regs[regPC] -= ecallSize
		if regSet(unix.PTRACE_SETREGSET, tid, unsafe.Pointer(&regs), unsafe.Sizeof(regs), new(unix.Iovec)) != nil {
			return 0, false
		}
	case regs[regPC] == before.pc-ecallSize: // the kernel has rewound it
	default:
		return 0, false // the call ended by itself
	}
	return before.nr, true
}

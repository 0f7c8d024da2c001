package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
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
	var regs raw.UserRegs
	if raw.ReadRegisters(tid, &regs) != nil {
		return 0, false
	}
	const ecallSize = 4
	switch {
	case int64(regs[raw.RegA0]) == -int64(unix.EINTR) && regs[raw.RegPC] == before.pc:
		regs[raw.RegA0] = before.args[0]
		regs[raw.RegPC] -= ecallSize
		if raw.WriteRegisters(tid, &regs) != nil {
			return 0, false
		}
	case regs[raw.RegPC] == before.pc-ecallSize: // the kernel has rewound it
	default:
		return 0, false // the call ended by itself
	}
	return before.nr, true
}

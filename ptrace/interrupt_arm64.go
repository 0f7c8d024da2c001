package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// hideInterrupt is called at the stop that follows a PTRACE_INTERRUPT. If that broke off a call,
// it returns the call's number, and makes sure that it is made again.
//
// arm64 decides on restarting before this stop (arch/arm64/kernel/signal.c, do_signal): for the
// ERESTART codes pc has already been moved back and x0 restored. A call that returned EINTR has to
// be rewound here: pc to the svc instruction, and x0, which the result has overwritten, from what
// /proc/TID/syscall said before the interrupt.
func hideInterrupt(tid int32, before asleep) (nr uint64, isAsleep bool) {
	if !before.inCall {
		return 0, false
	}
	var regs raw.UserRegs
	if raw.ReadRegisters(tid, &regs) != nil {
		return 0, false
	}
	const svcSize = 4
	switch {
	case int64(regs.Regs[0]) == -int64(unix.EINTR) && regs.Pc == before.pc:
		regs.Regs[0] = before.args[0]
		regs.Pc -= svcSize
		if raw.WriteRegisters(tid, &regs) != nil {
			return 0, false
		}
	case regs.Pc == before.pc-svcSize: // the kernel has rewound it
	default:
		return 0, false // the call ended by itself
	}
	return before.nr, true
}

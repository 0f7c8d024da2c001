//go:build !amd64

package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// asleep is the call that a thread slept in before it was interrupted: what is needed to make the
// call again where the kernel does not.
type asleep struct {
	inCall bool
	nr     uint64
	args   [6]uint64
	pc     uint64
}

func beforeInterrupt(tid int32) asleep {
	call, ok := sleepingCall(tid)
	if !ok {
		return asleep{}
	}
	return asleepAt(&call)
}

// asleepAt is what has to be known about the call that a thread sleeps in.
func asleepAt(call *blockedCall) asleep {
	return asleep{inCall: true, nr: call.nr, args: call.args, pc: call.pc}
}

// asleepIn is what has to be known about a call that is at its exit-stop, behind the instruction at ip.
func asleepIn(c *profile.Call, ip uint64) asleep {
	return asleep{inCall: true, nr: c.Nr, args: c.Args, pc: ip}
}

// interruptedCall finds out which call tid's restart_syscall(2) goes on with: nowhere but on amd64.
func interruptedCall(int32) (nr uint64, ok bool) { return 0, false }

// hideInterrupt is called at the stop that follows a PTRACE_INTERRUPT, or at another one behind an exit-stop. If a
// call was broken off, it returns which one, and makes sure that it is made again.
//
// arm64 and riscv decide on restarting before this stop (arch/arm64/kernel/signal.c, do_signal;
// arch/riscv/kernel/signal.c, arch_do_signal_or_restart): for the ERESTART codes the program counter has already been
// moved back and the first argument restored. A call that returned EINTR has to be rewound here: the program counter to
// the instruction that makes the call, and the register of the first argument, which the result has overwritten,
// from what was known before.
func hideInterrupt(tid int32, before asleep) (h hidden, isAsleep bool) {
	if !before.inCall {
		return hidden{}, false
	}
	var regs raw.UserRegs
	if raw.ReadRegisters(tid, &regs) != nil {
		return hidden{}, false
	}
	result, pc := raw.ResultAndPC(&regs)
	h.nr = before.nr
	switch {
	case int64(*result) == -int64(unix.EINTR) && *pc == before.pc:
		*result = before.args[0]
		*pc -= raw.CallSize
		if raw.WriteRegisters(tid, &regs) != nil {
			return hidden{}, false
		}
		h.pc = *pc
	case *pc == before.pc-raw.CallSize: // the kernel has rewound it
	default:
		return hidden{}, false // the call ended by itself
	}
	return h, true
}

// returnEINTR has the call that hideInterrupt has rewound to pc return EINTR after all, if tid still stands before it.
// The kernel, which has the same to do for a call that it has rewound itself, does not know of ours.
func returnEINTR(tid int32, pc uint64) {
	var regs raw.UserRegs
	if raw.ReadRegisters(tid, &regs) != nil {
		return
	}
	result, at := raw.ResultAndPC(&regs)
	if *at != pc {
		return
	}
	eintr := -int64(unix.EINTR)
	*result = uint64(eintr)
	*at += raw.CallSize
	raw.WriteRegisters(tid, &regs)
}

// hasReturnedEINTR reports whether tid, at a signal-delivery-stop, is about to return EINTR from a call that was not
// seen. It has to be known which, since the result has overwritten its first argument.
func hasReturnedEINTR(tid int32, before asleep) bool {
	var regs raw.UserRegs
	if !before.inCall || raw.ReadRegisters(tid, &regs) != nil {
		return false
	}
	result, pc := raw.ResultAndPC(&regs)
	return int64(*result) == -int64(unix.EINTR) && *pc == before.pc
}

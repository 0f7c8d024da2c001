package ptrace

import "sysprof/ptrace/internal/raw"

// callCode is the instruction that makes a call, svc #0.
const callCode = 0xd4000001

// returnedCall is the call that tid has just returned from. The kernel shows it only of a thread that is in a call, and this
// one is in none any more (arch/arm64/kernel/signal.c, do_signal: forget_syscall). So it is made to be in one while that
// is read.
func returnedCall(tid int32, regs *raw.UserRegs) (call blockedCall, ok bool) {
	if raw.SetCallNumber(tid, raw.CallNumber(regs)) != nil {
		return call, false
	}
	call, ok = sleepingCall(tid)
	return call, raw.SetCallNumber(tid, raw.NoCall) == nil && ok
}

package ptrace

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Behind a call that did not stop, the result has overwritten the first argument. The kernel still has that (pt_regs,
// orig_x0), but shows it in /proc/TID/syscall only of a thread that is in a call, and this one is in none any more
// (arch/arm64/kernel/signal.c, do_signal: forget_syscall). So it is made to be in one while that is read.
//
// The return from a handler is a call, too. If a signal stops the thread behind that, all looks as if the call had just
// returned which the handler's signal has ended, but for that argument, which is not to be had any more. So it is
// written down where calls may have been ended by handlers, and such a call returns EINTR for other signals, too.

// handlers is where the thread's handlers return to, as far as calls can have returned there.
type handlers struct {
	behind []uint64 // instructions that make calls
	many   bool     // there are more
}

// svc is the instruction that makes a call, svc #0.
const svc = 0xd4000001

// isCallAt reports whether a thread makes a call at pc.
func isCallAt(tid int32, pc uint64) bool {
	var code [raw.CallSize]byte
	return readUntraced(tid, pc, code[:]) && binary.LittleEndian.Uint32(code[:]) == svc
}

// note is told that a thread gets a signal, where it has made calls that were not seen.
func (h *handlers) note(tid int32, sig unix.Signal) {
	const most = 64
	if dispositionOf(tid, sig) != handled {
		return
	}
	var regs raw.UserRegs
	if raw.ReadRegisters(tid, &regs) != nil {
		h.many = true
		return
	}
	// Where the call stands to be made again, the kernel may still have it return EINTR (do_signal).
	for _, call := range []uint64{regs.Pc - raw.CallSize, regs.Pc} {
		if behind := call + raw.CallSize; isCallAt(tid, call) && !slices.Contains(h.behind, behind) {
			h.behind = append(h.behind, behind)
		}
	}
	h.many = h.many || len(h.behind) > most
}

// unseenCall is the call, which was not seen, that tid is about to return EINTR from, at a signal-delivery-stop.
func unseenCall(tid int32, h *handlers) asleep {
	var regs raw.UserRegs
	if h.many || raw.ReadRegisters(tid, &regs) != nil {
		return asleep{}
	}
	result, pc := raw.ResultAndPC(&regs)
	if int64(*result) != -int64(unix.EINTR) || slices.Contains(h.behind, *pc) || !isCallAt(tid, *pc-raw.CallSize) {
		return asleep{}
	}
	if raw.SetCallNumber(tid, raw.CallNumber(&regs)) != nil {
		return asleep{}
	}
	call, ok := sleepingCall(tid)
	if raw.SetCallNumber(tid, raw.NoCall) != nil || !ok {
		return asleep{}
	}
	if call.args[0] == *result {
		return asleep{} // the kernel has taken the register for it: Linux 6.12 does, 6.1 does not
	}
	return asleepAt(&call)
}

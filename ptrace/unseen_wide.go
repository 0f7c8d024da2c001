//go:build arm64 || riscv64

package ptrace

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Behind a call that did not stop, the result has overwritten the first argument. The kernel still has that (pt_regs,
// orig_x0 or orig_a0), and shows it in /proc/TID/syscall (see returnedCall).
//
// The return from a handler is a call, too. If a signal stops the thread behind that, all looks as if the call had just
// returned which the handler's signal has ended, but for that argument, which is not to be had any more. So it is
// written down where calls may have been ended by handlers, and such a call returns EINTR for other signals, too.

// handlers is where the thread's handlers return to, as far as calls can have returned there.
type handlers struct {
	behind []uint64 // instructions that make calls
	many   bool     // there are more
}

// isCallAt reports whether a thread makes a call at pc.
func isCallAt(tid int32, pc uint64) bool {
	var code [raw.CallSize]byte
	return readUntraced(tid, pc, code[:]) && binary.LittleEndian.Uint32(code[:]) == callCode
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
	_, pc := raw.ResultAndPC(&regs)
	// Where the call stands to be made again, the kernel may still have it return EINTR (arm64's do_signal).
	for _, call := range []uint64{*pc - raw.CallSize, *pc} {
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
	call, ok := returnedCall(tid, &regs)
	if !ok || call.args[0] == *result {
		return asleep{} // the kernel has taken the register for it: Linux 6.12 does on arm64, 6.1 does not
	}
	return asleepAt(&call)
}

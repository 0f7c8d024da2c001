package ptrace

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// asleep is what has to be known about a thread before it is interrupted in order to hide the
// interrupt. On amd64 that is nothing: the registers at the stop still tell all.
type asleep struct{}

func beforeInterrupt(int32) asleep { return asleep{} }

func asleepAt(*blockedCall) asleep { return asleep{} }

// asleepIn is what has to be known about a call that is at its exit-stop.
func asleepIn(*profile.Call, uint64) asleep { return asleep{} }

// hideInterrupt is called at the stop that follows a PTRACE_INTERRUPT, or at another one behind an exit-stop. If a
// call was broken off, it returns which one, and makes sure that the kernel restarts it.
//
// Most calls return one of the ERESTART codes then, and restart by themselves. Some return EINTR
// (epoll_wait, recv with a timeout, sigtimedwait, semtimedop: signal(7), "Interruption of system
// calls and library functions by stop signals"), which the program would see. The decision falls
// after this stop (arch/x86/kernel/signal.c, arch_do_signal_or_restart), so turning EINTR into
// ERESTARTNOHAND makes the kernel restart the call, unless a handler really runs: then the
// program sees the EINTR that it would have seen anyway.
func hideInterrupt(tid int32, _ asleep) (h hidden, asleep bool) {
	orig, err := raw.PeekUser(tid, raw.UserOrigRAX)
	if err != nil || orig < 0 { // stopped in user mode
		return hidden{}, false
	}
	ret, err := raw.PeekUser(tid, raw.UserRAX)
	if err != nil {
		return hidden{}, false
	}
	h.nr = uint64(orig)
	switch unix.Errno(-ret) {
	case unix.EINTR:
		ip, err := raw.PeekUser(tid, raw.UserRIP)
		if err != nil || raw.PokeUser(tid, raw.UserRAX, -errRestartNoHand) != nil {
			return hidden{}, false
		}
		h.pc = uint64(ip) - callSize
	case errRestartSys, errRestartNoIntr, errRestartNoHand, errRestartBlock:
	default:
		return hidden{}, false
	}
	return h, true
}

// callSize is the size of syscall, sysenter and int $0x80.
const callSize = 2

// returnEINTR has the call that hideInterrupt has made the kernel restart return EINTR after all, if tid stands before
// it, at pc. As long as the kernel has not decided yet, it sees to that itself.
func returnEINTR(tid int32, pc uint64) {
	if ip, err := raw.PeekUser(tid, raw.UserRIP); err == nil && uint64(ip) == pc {
		if raw.PokeUser(tid, raw.UserRIP, ip+callSize) == nil {
			raw.PokeUser(tid, raw.UserRAX, -int64(unix.EINTR))
		}
	}
}

// hasReturnedEINTR reports whether tid, at a signal-delivery-stop, is about to return EINTR from a call.
func hasReturnedEINTR(tid int32, _ asleep) bool {
	ret, err := raw.PeekUser(tid, raw.UserRAX)
	return err == nil && ret == -int64(unix.EINTR)
}

// interruptedCall finds out which call tid's restart_syscall(2) goes on with. The kernel has put the
// number of restart_syscall into the only register that had the call's own, and keeps that to
// itself. But the number stands in the program: compilers and libraries load it right before the
// syscall instruction.
func interruptedCall(tid int32) (nr uint64, ok bool) {
	call, ok := sleepingCall(tid)
	if !ok {
		return 0, false
	}
	const size = 7 // mov $imm32, %eax; syscall
	var code [size]byte
	if !readUntraced(tid, call.pc-size, code[:]) {
		return 0, false
	}
	if code[0] != 0xb8 || code[5] != 0x0f || code[6] != 0x05 {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint32(code[1:])), true
}

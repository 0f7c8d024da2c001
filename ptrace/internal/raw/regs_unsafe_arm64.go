package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// UserRegs is struct user_pt_regs (arch/arm64/include/uapi/asm/ptrace.h).
type UserRegs = unix.PtraceRegsArm64

// ResultAndPC returns where a call's result, which is also its first argument, and the program counter are.
func ResultAndPC(u *UserRegs) (result, pc *uint64) { return &u.Regs[0], &u.Pc }

// AnswerCall makes the call that tid stands before return ret without being made. The kernel makes none with
// number −1, and leaves the return register as it is (arch/arm64/kernel/ptrace.c, syscall_trace_enter).
func AnswerCall(tid int32, ret int64) {
	if SetCallNumber(tid, NoCall) != nil {
		return
	}
	var regs UserRegs
	if ReadRegisters(tid, &regs) != nil {
		return
	}
	regs.Regs[0] = uint64(ret)
	WriteRegisters(tid, &regs)
}

// NoCall is the number that the kernel keeps for a thread that is in no call (arch/arm64/include/asm/processor.h,
// NO_SYSCALL).
const NoCall = -1

// SetCallNumber sets the number of the call that the kernel takes tid to be in. It allocates.
func SetCallNumber(tid int32, nr int32) error {
	const ntSystemCall = 0x404 // NT_ARM_SYSTEM_CALL of <linux/elf.h>
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&nr))}
	iov.SetLen(int(unsafe.Sizeof(nr)))
	return request(unix.PTRACE_SETREGSET, tid, ntSystemCall, uintptr(unsafe.Pointer(&iov)))
}

// CallNumber is the register that a call's number is in, and stays in.
func CallNumber(u *UserRegs) int32 { return int32(u.Regs[8]) }

// byDWARFNumber orders registers by their DWARF numbers: x0 to x30, then sp.
func byDWARFNumber(u *UserRegs, into *[33]uint64) {
	copy(into[:], u.Regs[:])
	into[31] = u.Sp
}

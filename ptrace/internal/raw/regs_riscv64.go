package raw

// UserRegs is struct user_regs_struct (arch/riscv/include/uapi/asm/ptrace.h): pc, then x1 to x31.
type UserRegs [32]uint64

// Indices into UserRegs.
const (
	RegPC = 0
	RegA0 = 10 // the first argument, and the result
	RegA7 = 17 // the call's number
)

// ResultAndPC returns where a call's result, which is also its first argument, and the program counter are.
func ResultAndPC(u *UserRegs) (result, pc *uint64) { return &u[RegA0], &u[RegPC] }

// AnswerCall makes the call that tid stands before return ret without being made. The kernel makes none with
// number −1, and leaves the return register as it is (arch/riscv/kernel/traps.c, do_trap_ecall_u).
func AnswerCall(tid int32, ret int64) {
	var regs UserRegs
	if ReadRegisters(tid, &regs) != nil {
		return
	}
	regs[RegA7], regs[RegA0] = ^uint64(0), uint64(ret)
	WriteRegisters(tid, &regs)
}

// byDWARFNumber orders registers by their DWARF numbers: x0, which is always 0, to x31.
func byDWARFNumber(u *UserRegs, into *[33]uint64) {
	copy(into[1:], u[1:])
}

package raw

import "golang.org/x/sys/unix"

// UserRegs is struct user_regs_struct (arch/x86/include/asm/user_64.h).
type UserRegs = unix.PtraceRegsAmd64

// Offsets into struct user (arch/x86/include/asm/user_64.h): registers are 8 bytes each, in the order of struct
// user_regs_struct.
const (
	UserRAX     = 10 * 8
	UserOrigRAX = 15 * 8
	UserRIP     = 16 * 8
)

// AnswerCall makes the call that tid stands before return ret without being made. The kernel makes none with
// number −1, and leaves the return register as it is (kernel/seccomp.c, __seccomp_filter).
func AnswerCall(tid int32, ret int64) {
	if PokeUser(tid, UserOrigRAX, -1) == nil {
		PokeUser(tid, UserRAX, ret)
	}
}

// byDWARFNumber orders registers as the System V psABI numbers them (figure 3.36).
func byDWARFNumber(u *UserRegs, into *[33]uint64) {
	copy(into[:], []uint64{u.Rax, u.Rdx, u.Rcx, u.Rbx, u.Rsi, u.Rdi, u.Rbp, u.Rsp,
		u.R8, u.R9, u.R10, u.R11, u.R12, u.R13, u.R14, u.R15})
	into[32] = 0
}

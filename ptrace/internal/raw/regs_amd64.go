package raw

import "golang.org/x/sys/unix"

// UserRegs is struct user_regs_struct (arch/x86/include/asm/user_64.h).
type UserRegs = unix.PtraceRegsAmd64

// Offsets into struct user (arch/x86/include/asm/user_64.h): registers are 8 bytes each, in the order of struct
// user_regs_struct.
const (
	UserRAX     = 10 * 8
	UserOrigRAX = 15 * 8
)

// AnswerCall makes the call that tid stands before return ret without being made. The kernel makes none with
// number −1, and leaves the return register as it is (kernel/seccomp.c, __seccomp_filter).
func AnswerCall(tid int32, ret int64) {
	if PokeUser(tid, UserOrigRAX, -1) == nil {
		PokeUser(tid, UserRAX, ret)
	}
}

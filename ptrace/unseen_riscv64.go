package ptrace

import "sysprof/ptrace/internal/raw"

// callCode is the instruction that makes a call, ecall.
const callCode = 0x00000073

// returnedCall is the call that tid has just returned from. The kernel takes a thread to be in the call whose number its
// register has (arch/riscv/include/asm/syscall.h, syscall_get_nr).
func returnedCall(tid int32, _ *raw.UserRegs) (blockedCall, bool) { return sleepingCall(tid) }

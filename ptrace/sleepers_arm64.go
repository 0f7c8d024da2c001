package ptrace

import "sysprof/syscalltab"

// breakpointLength is what bp_len has to be for an instruction of 64-bit programs (arch/arm64/kernel/hw_breakpoint.c,
// hw_breakpoint_arch_parse: ARM_BREAKPOINT_LEN_4).
const breakpointLength = 4

// abiOf takes the call that a thread sleeps in for one of a 64-bit program.
func abiOf(int32, *blockedCall) syscalltab.ABI { return syscalltab.Native()[0] }

//go:build !amd64

package ptrace

import "sysprof/syscalltab"

// breakpointLength is what bp_len has to be, on arm64 for 64-bit programs
// (arch/arm64/kernel/hw_breakpoint.c, hw_breakpoint_arch_parse): the size of an instruction.
const breakpointLength = 4

// abiOf takes the call that a thread sleeps in for one of a 64-bit program.
func abiOf(int32, *blockedCall) syscalltab.ABI { return syscalltab.Native()[0] }

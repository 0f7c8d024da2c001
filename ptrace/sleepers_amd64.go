package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// breakpointLength is what bp_len has to be (arch/x86/kernel/hw_breakpoint.c, arch_build_bp_info): sizeof(long).
const breakpointLength = 8

// abiOf tells the ABI of the call that a thread sleeps in by the instruction in front of where it returns to: a 64-bit
// program can make a 32-bit call. It is Unknown if that cannot be read.
func abiOf(tid int32, call *blockedCall) syscalltab.ABI {
	var code [callSize]byte
	if !readUntraced(tid, call.pc-callSize, code[:]) {
		return syscalltab.Unknown
	}
	switch code {
	case [callSize]byte{0x0f, 0x05}: // syscall
		return syscalltab.FromAudit(unix.AUDIT_ARCH_X86_64, call.nr)
	case [callSize]byte{0xcd, 0x80}: // int $0x80; also before where a sysenter of the vDSO returns to
		return syscalltab.FromAudit(unix.AUDIT_ARCH_I386, call.nr)
	}
	return syscalltab.Unknown
}

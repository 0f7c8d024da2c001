// Package syscalltab knows what Linux calls things: which number is which system call in which ABI,
// which classes a call belongs to, what an errno is called, and how a choice of calls
// is written (strace's -e trace= language). It is data with look-ups around it.
//
// Names are strace 7.2's, so that people, scripts and our own tests can lay its output beside
// sysprof's. A number that no table knows has a name too (syscall_0x1f4): no look-up here fails on
// what a program passed to the kernel, and none panics.
//
// It is not for arguments or results of calls, it asks the running kernel nothing, and it imports
// nothing of this project. It builds on every operating system.
//
// The tables in z*_syscalls.go are generated from golang.org/x/sys/unix; see gen.
package syscalltab

import "runtime"

//go:generate go run ./gen

// ABI is one system call numbering: which table a call's number is to be looked up in.
type ABI uint8

// The ABIs whose tables are known.
const (
	Unknown ABI = iota
	AMD64
	I386
	X32
	ARM64
	ARM
	RISCV64
	LoongArch64

	abiCount int = iota
)

// The kernel's AUDIT_ARCH_* (include/uapi/linux/audit.h): the ELF machine, with bit 31 for 64 bit
// and bit 30 for little-endian. Copied, because x/sys has them on Linux only.
const (
	auditX8664       = 0xc000003e
	auditI386        = 0x40000003
	auditAArch64     = 0xc00000b7
	auditARM         = 0x40000028
	auditRISCV64     = 0xc00000f3
	auditLoongArch64 = 0xc0000102
)

// x32Bit is the kernel's __X32_SYSCALL_BIT: set in the number of every x32 call.
const x32Bit = 0x40000000

// FromAudit says which ABI a call was made in, from what PTRACE_GET_SYSCALL_INFO or seccomp tell:
// an AUDIT_ARCH_* value and the call's number. The number matters on x86-64 only, where x32 calls
// have the same architecture and bit 30 set. A negative number (-1 is what a seccomp filter or a
// tracer leaves behind for a suppressed call) has that bit too and is no x32 call.
// An architecture without a table gives Unknown.
func FromAudit(arch uint32, nr uint64) ABI {
	switch arch {
	case auditX8664:
		if nr>>30 == 1 {
			return X32
		}
		return AMD64
	case auditI386:
		return I386
	case auditAArch64:
		return ARM64
	case auditARM:
		return ARM
	case auditRISCV64:
		return RISCV64
	case auditLoongArch64:
		return LoongArch64
	}
	return Unknown
}

// Native lists the ABIs that processes can use on a machine of this program's GOARCH: the native one
// first, then the others in the order in which strace lists their summaries. It is empty where no
// table is known. The caller owns the slice.
func Native() []ABI {
	switch runtime.GOARCH {
	case "amd64":
		return []ABI{AMD64, I386, X32}
	case "386":
		return []ABI{I386}
	case "arm64":
		return []ABI{ARM64, ARM}
	case "arm":
		return []ABI{ARM}
	case "riscv64":
		return []ABI{RISCV64}
	case "loong64":
		return []ABI{LoongArch64}
	}
	return nil
}

// String is Go's name for the architecture ("amd64", "386", …), or "x32"; "unknown" for the rest.
func (a ABI) String() string {
	switch a {
	case AMD64:
		return "amd64"
	case I386:
		return "386"
	case X32:
		return "x32"
	case ARM64:
		return "arm64"
	case ARM:
		return "arm"
	case RISCV64:
		return "riscv64"
	case LoongArch64:
		return "loong64"
	}
	return "unknown"
}

// Bits is the size of a pointer: 64 or 32 (x32 too). Unknown has 64.
func (a ABI) Bits() int {
	switch a {
	case I386, X32, ARM:
		return 32
	}
	return 64
}

// Designator is what stands behind the @ in a set expression (read@32): "64", "32" or "x32".
func (a ABI) Designator() string {
	switch {
	case a == X32:
		return "x32"
	case a.Bits() == 32:
		return "32"
	}
	return "64"
}

// Mode is how strace heads a summary of an ABI's calls: "64 bit", "32 bit" or "x32".
func (a ABI) Mode() string {
	switch {
	case a == X32:
		return "x32"
	case a.Bits() == 32:
		return "32 bit"
	}
	return "64 bit"
}

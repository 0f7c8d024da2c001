package stack

import "sysprof/profile/stack/elf"

// An Arch is a processor architecture. Both are compiled in everywhere, so that
// recorded stacks of one can be unwound on the other.
type Arch uint8

const (
	AMD64 Arch = iota
	ARM64
	I386
	numArchs
)

// maxRegs is the number of registers tracked: all that CFI can restore on either
// architecture without the floating-point ones.
const maxRegs = 33

// arch says where an architecture keeps what. Registers go by DWARF number (System V
// psABI AMD64 figure 3.36, i386 figure 2.14; DWARF for the Arm 64-bit Architecture 4.1).
type arch struct {
	machine elf.Machine
	nregs   uint8
	sp, fp  uint8
	g       uint8 // Go's current goroutine, in Go code
	ra      uint8 // the column of the return address
	word    uint8 // size of an address in bytes
	link    bool  // calls leave the return address in register ra
	// raMask removes what pointer authentication adds to a return address.
	raMask uint64
	// clearsFP reports whether code sets the frame pointer to 0.
	clearsFP func(code []byte) bool
	// endsInCall reports whether the last instruction of code calls.
	endsInCall func(code [callBytes]byte) bool
	// sigreturn is the code that signal handlers return to, context that of what makecontext(3) puts there.
	sigreturn, context []string
	sigframe           *sigframe
}

var archs = [numArchs]arch{
	AMD64: {machine: elf.EM_X86_64, nregs: 17, sp: 7, fp: 6, g: 14, ra: 16, word: 8, raMask: ^uint64(0),
		clearsFP: clearsFPonAMD64, endsInCall: endsInCallOnAMD64,
		sigreturn: []string{"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", "\xb8\x0f\x00\x00\x00\x0f\x05"}, // mov $15, %rax; syscall
		context:   []string{"\x48\x89\xdc\x48\x8b\x3c\x24"},                                         // mov %rbx, %rsp; mov (%rsp), %rdi
		sigframe:  &amd64Sigframe,
	},
	ARM64: {machine: elf.EM_AARCH64, nregs: 33, sp: 31, fp: 29, g: 28, ra: 30, word: 8, link: true, raMask: 1<<48 - 1,
		clearsFP: clearsFPonARM64, endsInCall: endsInCallOnARM64,
		sigreturn: []string{"\x68\x11\x80\xd2\x01\x00\x00\xd4"}, // mov x8, #139; svc #0
		context:   []string{"\xe0\x03\x13\xaa"},                 // mov x0, x19
		sigframe:  &arm64Sigframe,
	},
	// Signal handlers return by code that has tables, in the vdso and in C libraries.
	I386: {machine: elf.EM_386, nregs: 9, sp: 4, fp: 5, ra: 8, word: 4, raMask: 1<<32 - 1,
		clearsFP: clearsFPonAMD64, endsInCall: endsInCallOnAMD64,
	},
}

// DWARF numbers of the AMD64 registers, for filling Regs.R.
const (
	AMD64Rax = iota
	AMD64Rdx
	AMD64Rcx
	AMD64Rbx
	AMD64Rsi
	AMD64Rdi
	AMD64Rbp
	AMD64Rsp
	AMD64R8
	AMD64R9
	AMD64R10
	AMD64R11
	AMD64R12
	AMD64R13
	AMD64R14
	AMD64R15
)

// Regs is what a thread's registers held when it stopped.
type Regs struct {
	Arch Arch
	// AfterCall says that IP is just behind the instruction that is being executed,
	// as at a system call stop: the frame is looked up one byte before.
	AfterCall bool
	IP        uint64
	// R goes by DWARF number: on AMD64 0 to 15 as in the constants; on ARM64 x0 to x30
	// and SP in 31; on I386 eax, ecx, edx, ebx, esp, ebp, esi, edi.
	R [maxRegs]uint64
}

// SP is the stack pointer.
func (r *Regs) SP() uint64 { return r.R[archs[r.Arch].sp] }

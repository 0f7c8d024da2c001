//go:build !amd64

package raw

import "golang.org/x/sys/unix"

// CallSize is the size of the instruction that makes a call: svc on arm64, ecall on riscv.
const CallSize = 4

// ReadRegisters fills regs with tid's general registers (PTRACE_GETREGSET). It allocates.
func ReadRegisters(tid int32, regs *UserRegs) error {
	return regSet(unix.PTRACE_GETREGSET, tid, regs, new(unix.Iovec))
}

// WriteRegisters sets tid's general registers (PTRACE_SETREGSET). It allocates.
func WriteRegisters(tid int32, regs *UserRegs) error {
	return regSet(unix.PTRACE_SETREGSET, tid, regs, new(unix.Iovec))
}

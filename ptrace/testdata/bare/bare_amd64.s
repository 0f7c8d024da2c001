#include "textflag.h"

// func int80(nr uint32) int32
TEXT ·int80(SB),NOSPLIT,$0-12
	MOVL	nr+0(FP), AX
	INT	$0x80
	MOVL	AX, ret+8(FP)
	RET

// func vforkRead(fd uintptr, buf *byte) int
// The child reads one byte from fd, and ends.
TEXT ·vforkRead(SB),NOSPLIT,$0-24
	MOVQ	$58, AX	// vfork
	SYSCALL
	TESTQ	AX, AX
	JNZ	parent
	MOVQ	$0, AX	// read
	MOVQ	fd+0(FP), DI
	MOVQ	buf+8(FP), SI
	MOVQ	$1, DX
	SYSCALL
	MOVQ	$231, AX	// exit_group
	XORQ	DI, DI
	SYSCALL
	INT	$3
parent:
	MOVQ	AX, ret+16(FP)
	RET

// The handler, as the kernel calls it: (signal, siginfo, context). It counts its calls, and mixes
// the values that came with the signals in order.
TEXT ·handler(SB),NOSPLIT|NOFRAME,$0
	LOCK
	INCQ	·handled(SB)
	MOVLQSX	8(SI), AX	// si_code
	MOVQ	AX, ·code(SB)
	MOVQ	24(SI), AX	// si_value; for SIGCHLD, si_status is its lower half
	MOVQ	·mixed(SB), CX
	IMULQ	$31, CX
	ADDQ	AX, CX
	MOVQ	CX, ·mixed(SB)
	RET

TEXT ·restorer(SB),NOSPLIT|NOFRAME,$0
	MOVQ	$15, AX	// rt_sigreturn
	SYSCALL
	INT	$3

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	LEAQ	·handler(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB),NOSPLIT,$0-8
	LEAQ	·restorer(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func chain(stop *uint32, stack *byte, calls uint64)
// It starts a thread that makes calls, starts the next, and ends; and so on, until *stop is not 0.
// The threads use no stack.
TEXT ·chain(SB),NOSPLIT,$0-24
	MOVQ	stop+0(FP), R12
	MOVQ	stack+8(FP), R13
	MOVQ	calls+16(FP), R14
	MOVQ	$56, AX	// clone
	MOVQ	$0x50f00, DI	// CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM
	MOVQ	R13, SI
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JZ	link
	RET
link:
	MOVQ	R14, BX
calls:
	MOVQ	$110, AX	// getppid
	SYSCALL
	DECQ	BX
	JNZ	calls
	CMPL	(R12), $0
	JNE	end
	MOVQ	$56, AX
	MOVQ	$0x50f00, DI
	MOVQ	R13, SI
	XORQ	DX, DX
	XORQ	R10, R10
	XORQ	R8, R8
	SYSCALL
	TESTQ	AX, AX
	JZ	link
end:
	MOVQ	$60, AX	// exit
	XORQ	DI, DI
	SYSCALL
	INT	$3

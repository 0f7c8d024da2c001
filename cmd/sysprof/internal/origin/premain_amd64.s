//go:build !race && !msan && !asan

#include "textflag.h"

// Read by rt0_go, which calls it as a C function: (g *g, setg func(*g)). It runs on the stack of
// the process's first thread, before there is a runtime.
DATA _cgo_init(SB)/8, $·preMain(SB)
GLOBL _cgo_init(SB), NOPTR, $8

#define SYS_read 0
#define SYS_write 1
#define SYS_close 3
#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_fcntl 72
#define SYS_rt_sigpending 127
#define SYS_rt_sigtimedwait 128
#define SYS_geteuid 107
#define SYS_arch_prctl 158
#define SYS_exit_group 231
#define SYS_openat 257
#define SYS_prlimit64 302

TEXT ·preMain(SB),NOSPLIT|NOFRAME,$0
	PUSHQ	BX

	// for R9 = &limits[0], BX = 3; BX > 0; R9++, BX--: prlimit64(0, R9.resource, nil, &noFile), which is scratch here
	LEAQ	·limits(SB), R9
	MOVQ	$3, BX
limit:
	MOVQ	$SYS_prlimit64, AX
	XORQ	DI, DI
	MOVQ	0(R9), SI
	XORQ	DX, DX
	LEAQ	·noFile(SB), R10
	SYSCALL
	CMPQ	AX, $0
	JNE	enough
	MOVQ	·noFile(SB), AX
	CMPQ	AX, 8(R9)
	JCC	enough
	CMPQ	BX, $1	// the last one is not for root
	JNE	tooLow
	MOVQ	$SYS_geteuid, AX
	SYSCALL
	CMPQ	AX, $0
	JEQ	enough
tooLow:
	// write(2, R9.says); exit_group(1)
	MOVQ	$SYS_write, AX
	MOVQ	$2, DI
	MOVQ	16(R9), SI
	MOVQ	24(R9), DX
	SYSCALL
	MOVQ	$SYS_exit_group, AX
	MOVQ	$1, DI
	SYSCALL
enough:
	ADDQ	$32, R9
	DECQ	BX
	JNZ	limit

	// With a _cgo_init, rt0_go leaves it to that to set up thread-local storage, and expects g at
	// -8(FS). arch_prctl(ARCH_SET_FS, &tls[1])
	MOVQ	$SYS_arch_prctl, AX
	MOVQ	$0x1002, DI
	LEAQ	·tls+8(SB), SI
	SYSCALL

	// for BX = 64; BX > 0; BX--: rt_sigaction(BX, nil, &action, 8)
	MOVQ	$64, BX
signal:
	MOVQ	$SYS_rt_sigaction, AX
	MOVQ	BX, DI
	XORQ	SI, SI
	LEAQ	·action(SB), DX
	MOVQ	$8, R10
	SYSCALL
	MOVQ	·ignored(SB), R8
	SHLQ	$1, R8
	CMPQ	·action(SB), $1	// SIG_IGN
	JNE	handled
	ORQ	$1, R8
handled:
	MOVQ	R8, ·ignored(SB)
	MOVQ	$0, ·action(SB)
	DECQ	BX
	JNZ	signal

	// rt_sigprocmask(SIG_BLOCK, nil, &blocked, 8)
	MOVQ	$SYS_rt_sigprocmask, AX
	XORQ	DI, DI
	XORQ	SI, SI
	LEAQ	·blocked(SB), DX
	MOVQ	$8, R10
	SYSCALL

	// rt_sigpending(&pending, 8)
	MOVQ	$SYS_rt_sigpending, AX
	LEAQ	·pending(SB), DI
	MOVQ	$8, SI
	SYSCALL
	CMPQ	·pending(SB), $0
	JEQ	taken

	// BX = openat(AT_FDCWD, "/proc/self/status", O_RDONLY); read(BX, &status, 4096); close(BX)
	MOVQ	$SYS_openat, AX
	MOVQ	$-100, DI
	LEAQ	·statusPath(SB), SI
	XORQ	DX, DX
	XORQ	R10, R10
	SYSCALL
	CMPQ	AX, $0
	JLT	take
	MOVQ	AX, BX
	MOVQ	$SYS_read, AX
	MOVQ	BX, DI
	LEAQ	·status(SB), SI
	MOVQ	$4096, DX
	SYSCALL
	MOVQ	$SYS_close, AX
	MOVQ	BX, DI
	SYSCALL

take:
	// for BX = 0; rt_sigtimedwait(&pending, &infos[BX], &{0, 0}, 8) > 0; if BX < 127 { BX++ }
	XORQ	BX, BX
takeOne:
	MOVQ	$SYS_rt_sigtimedwait, AX
	LEAQ	·pending(SB), DI
	MOVQ	BX, R9
	SHLQ	$7, R9
	LEAQ	·infos(SB), SI
	ADDQ	R9, SI
	LEAQ	·noTime(SB), DX
	MOVQ	$8, R10
	SYSCALL
	CMPQ	AX, $0
	JLE	tookAll
	CMPQ	BX, $127
	JEQ	takeOne
	INCQ	BX
	JMP	takeOne
tookAll:
	MOVQ	BX, ·took(SB)
taken:

	// prlimit64(0, RLIMIT_NOFILE, nil, &noFile)
	MOVQ	$SYS_prlimit64, AX
	XORQ	DI, DI
	MOVQ	$7, SI
	XORQ	DX, DX
	LEAQ	·noFile(SB), R10
	SYSCALL

	// for BX = 2; BX >= 0; BX--: fcntl(BX, F_GETFD)
	MOVQ	$2, BX
descriptor:
	MOVQ	$SYS_fcntl, AX
	MOVQ	BX, DI
	MOVQ	$1, SI
	SYSCALL
	MOVQ	·open(SB), R8
	SHLQ	$1, R8
	CMPQ	AX, $0
	JLT	closed
	ORQ	$1, R8
closed:
	MOVQ	R8, ·open(SB)
	DECQ	BX
	JGE	descriptor

	MOVQ	$1, ·ran(SB)
	POPQ	BX
	RET

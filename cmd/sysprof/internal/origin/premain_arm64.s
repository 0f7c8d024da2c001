//go:build !race && !msan && !asan

#include "textflag.h"

// Read by rt0_go, which calls it as a C function: (g *g, setg func(*g)). It runs on the stack of
// the process's first thread, before there is a runtime. It must preserve R19 to R28.
DATA _cgo_init(SB)/8, $·preMain(SB)
GLOBL _cgo_init(SB), NOPTR, $8

#define SYS_fcntl 25
#define SYS_write 64
#define SYS_exit_group 94
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_rt_sigpending 136
#define SYS_geteuid 175
#define SYS_prlimit64 261

TEXT ·preMain(SB),NOSPLIT|NOFRAME,$0
	// for R9 = &limits[0], R10 = 3; R10 > 0; R9++, R10--: prlimit64(0, R9.resource, nil, &noFile), which is scratch here
	MOVD	$·limits(SB), R9
	MOVD	$3, R10
limit:
	MOVD	$0, R0
	MOVD	0(R9), R1
	MOVD	$0, R2
	MOVD	$·noFile(SB), R3
	MOVD	$SYS_prlimit64, R8
	SVC
	CBNZ	R0, enough
	MOVD	·noFile(SB), R11
	MOVD	8(R9), R12
	CMP	R12, R11
	BHS	enough
	CMP	$1, R10	// the last one is not for root
	BNE	tooLow
	MOVD	$SYS_geteuid, R8
	SVC
	CBZ	R0, enough
tooLow:
	// write(2, R9.says); exit_group(1)
	MOVD	$2, R0
	MOVD	16(R9), R1
	MOVD	24(R9), R2
	MOVD	$SYS_write, R8
	SVC
	MOVD	$1, R0
	MOVD	$SYS_exit_group, R8
	SVC
enough:
	ADD	$32, R9, R9
	SUB	$1, R10, R10
	CBNZ	R10, limit

	// for R9 = 64; R9 > 0; R9--: rt_sigaction(R9, nil, &action, 8). The kernel preserves R9 to R12.
	MOVD	$64, R9
	MOVD	$0, R10
signal:
	MOVD	$0, R11
	MOVD	R11, ·action(SB)
	MOVD	R9, R0
	MOVD	$0, R1
	MOVD	$·action(SB), R2
	MOVD	$8, R3
	MOVD	$SYS_rt_sigaction, R8
	SVC
	LSL	$1, R10, R10
	MOVD	·action(SB), R11
	CMP	$1, R11	// SIG_IGN
	BNE	handled
	ORR	$1, R10, R10
handled:
	SUB	$1, R9, R9
	CBNZ	R9, signal
	MOVD	R10, ·ignored(SB)

	// rt_sigprocmask(SIG_BLOCK, nil, &blocked, 8)
	MOVD	$0, R0
	MOVD	$0, R1
	MOVD	$·blocked(SB), R2
	MOVD	$8, R3
	MOVD	$SYS_rt_sigprocmask, R8
	SVC

	// rt_sigpending(&pending, 8)
	MOVD	$·pending(SB), R0
	MOVD	$8, R1
	MOVD	$SYS_rt_sigpending, R8
	SVC

	// prlimit64(0, RLIMIT_NOFILE, nil, &noFile)
	MOVD	$0, R0
	MOVD	$7, R1
	MOVD	$0, R2
	MOVD	$·noFile(SB), R3
	MOVD	$SYS_prlimit64, R8
	SVC

	// for R9 = 2; R9 >= 0; R9--: fcntl(R9, F_GETFD)
	MOVD	$2, R9
	MOVD	$0, R10
descriptor:
	MOVD	R9, R0
	MOVD	$1, R1
	MOVD	$SYS_fcntl, R8
	SVC
	LSL	$1, R10, R10
	CMP	$0, R0
	BLT	closed
	ORR	$1, R10, R10
closed:
	SUB	$1, R9, R9
	CMP	$0, R9
	BGE	descriptor
	MOVD	R10, ·open(SB)

	MOVD	$1, R10
	MOVD	R10, ·ran(SB)
	RET

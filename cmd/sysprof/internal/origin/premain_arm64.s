//go:build !race && !msan && !asan

#include "textflag.h"

// Read by rt0_go, which calls it as a C function: (g *g, setg func(*g)). It runs on the stack of
// the process's first thread, before there is a runtime. It must preserve R19 to R28.
DATA _cgo_init(SB)/8, $·preMain(SB)
GLOBL _cgo_init(SB), NOPTR, $8

#define SYS_fcntl 25
#define SYS_openat 56
#define SYS_close 57
#define SYS_read 63
#define SYS_write 64
#define SYS_exit_group 94
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_rt_sigpending 136
#define SYS_rt_sigtimedwait 137
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
	MOVD	·pending(SB), R11
	CBZ	R11, taken

	// R9 = openat(AT_FDCWD, "/proc/self/status", O_RDONLY); read(R9, &status, 4096); close(R9)
	MOVD	$-100, R0
	MOVD	$·statusPath(SB), R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$SYS_openat, R8
	SVC
	CMP	$0, R0
	BLT	take
	MOVD	R0, R9
	MOVD	$·status(SB), R1
	MOVD	$4096, R2
	MOVD	$SYS_read, R8
	SVC
	MOVD	R9, R0
	MOVD	$SYS_close, R8
	SVC

take:
	// for R9 = 0; rt_sigtimedwait(&pending, &infos[R9], &{0, 0}, 8) > 0; if R9 < 127 { R9++ }
	MOVD	$0, R9
takeOne:
	MOVD	$·pending(SB), R0
	MOVD	$·infos(SB), R1
	LSL	$7, R9, R10
	ADD	R10, R1, R1
	MOVD	$·noTime(SB), R2
	MOVD	$8, R3
	MOVD	$SYS_rt_sigtimedwait, R8
	SVC
	CMP	$0, R0
	BLE	tookAll
	CMP	$127, R9
	BEQ	takeOne
	ADD	$1, R9, R9
	B	takeOne
tookAll:
	MOVD	R9, ·took(SB)
taken:

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

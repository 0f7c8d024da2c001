//go:build !race && !msan && !asan

#include "textflag.h"

// Read by rt0_go, which calls it as a C function: (g *g, setg func(*g)). It runs on the stack of
// the process's first thread, before there is a runtime. It must preserve S0 to S11 (g is S11).
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
	// for T3 = &limits[0], T4 = 3; T4 > 0; T3++, T4--: prlimit64(0, T3.resource, nil, &noFile), which is scratch here
	MOV	$·limits(SB), T3
	MOV	$3, T4
limit:
	MOV	ZERO, A0
	MOV	0(T3), A1
	MOV	ZERO, A2
	MOV	$·noFile(SB), A3
	MOV	$SYS_prlimit64, A7
	ECALL
	BNE	A0, ZERO, enough
	MOV	·noFile(SB), T5
	MOV	8(T3), T6
	BGEU	T5, T6, enough
	MOV	$1, T5	// the last one is not for root
	BNE	T4, T5, tooLow
	MOV	$SYS_geteuid, A7
	ECALL
	BEQ	A0, ZERO, enough
tooLow:
	// write(2, T3.says); exit_group(1)
	MOV	$2, A0
	MOV	16(T3), A1
	MOV	24(T3), A2
	MOV	$SYS_write, A7
	ECALL
	MOV	$1, A0
	MOV	$SYS_exit_group, A7
	ECALL
enough:
	ADD	$32, T3
	ADD	$-1, T4
	BNE	T4, ZERO, limit

	// for T3 = 64; T3 > 0; T3--: rt_sigaction(T3, nil, &action, 8). The kernel preserves all but A0.
	MOV	$64, T3
	MOV	ZERO, T4
signal:
	MOV	ZERO, ·action(SB)
	MOV	T3, A0
	MOV	ZERO, A1
	MOV	$·action(SB), A2
	MOV	$8, A3
	MOV	$SYS_rt_sigaction, A7
	ECALL
	SLL	$1, T4, T4
	MOV	·action(SB), T5
	MOV	$1, T6	// SIG_IGN
	BNE	T5, T6, handled
	OR	$1, T4, T4
handled:
	ADD	$-1, T3, T3
	BNE	T3, ZERO, signal
	MOV	T4, ·ignored(SB)

	// rt_sigprocmask(SIG_BLOCK, nil, &blocked, 8)
	MOV	ZERO, A0
	MOV	ZERO, A1
	MOV	$·blocked(SB), A2
	MOV	$8, A3
	MOV	$SYS_rt_sigprocmask, A7
	ECALL

	// rt_sigpending(&pending, 8)
	MOV	$·pending(SB), A0
	MOV	$8, A1
	MOV	$SYS_rt_sigpending, A7
	ECALL
	MOV	·pending(SB), T5
	BEQ	T5, ZERO, taken

	// T3 = openat(AT_FDCWD, "/proc/self/status", O_RDONLY); read(T3, &status, 4096); close(T3)
	MOV	$-100, A0
	MOV	$·statusPath(SB), A1
	MOV	ZERO, A2
	MOV	ZERO, A3
	MOV	$SYS_openat, A7
	ECALL
	BLT	A0, ZERO, take
	MOV	A0, T3
	MOV	$·status(SB), A1
	MOV	$4096, A2
	MOV	$SYS_read, A7
	ECALL
	MOV	T3, A0
	MOV	$SYS_close, A7
	ECALL

take:
	// for T3 = 0; rt_sigtimedwait(&pending, &infos[T3], &{0, 0}, 8) > 0; if T3 < 127 { T3++ }
	MOV	ZERO, T3
takeOne:
	MOV	$·pending(SB), A0
	MOV	$·infos(SB), A1
	SLL	$7, T3, T4
	ADD	T4, A1, A1
	MOV	$·noTime(SB), A2
	MOV	$8, A3
	MOV	$SYS_rt_sigtimedwait, A7
	ECALL
	BGE	ZERO, A0, tookAll
	MOV	$127, T5
	BEQ	T3, T5, takeOne
	ADD	$1, T3, T3
	JMP	takeOne
tookAll:
	MOV	T3, ·took(SB)
taken:

	// prlimit64(0, RLIMIT_NOFILE, nil, &noFile)
	MOV	ZERO, A0
	MOV	$7, A1
	MOV	ZERO, A2
	MOV	$·noFile(SB), A3
	MOV	$SYS_prlimit64, A7
	ECALL

	// for T3 = 2; T3 >= 0; T3--: fcntl(T3, F_GETFD)
	MOV	$2, T3
	MOV	ZERO, T4
descriptor:
	MOV	T3, A0
	MOV	$1, A1
	MOV	$SYS_fcntl, A7
	ECALL
	SLL	$1, T4, T4
	BLT	A0, ZERO, closed
	OR	$1, T4, T4
closed:
	ADD	$-1, T3, T3
	BGE	T3, ZERO, descriptor
	MOV	T4, ·open(SB)

	MOV	$1, T4
	MOV	T4, ·ran(SB)
	RET

//go:build !race && !msan && !asan

#include "textflag.h"

// Read by rt0_go, which calls it as a C function: (g *g, setg func(*g)). It runs on the stack of
// the process's first thread, before there is a runtime. It must preserve S0 to S11 (g is S11).
DATA _cgo_init(SB)/8, $·preMain(SB)
GLOBL _cgo_init(SB), NOPTR, $8

#define SYS_fcntl 25
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_rt_sigpending 136
#define SYS_prlimit64 261

TEXT ·preMain(SB),NOSPLIT|NOFRAME,$0
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

/* deep N [vary]: makes N getppid system calls, 24 frames deep, and prints how many nanoseconds they
 * took. It is compiled without frame pointers. With vary, the frames of each call are at other addresses
 * of the stack than those of the calls before. */
#define _GNU_SOURCE
#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long sink;

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t); /* in the vDSO: no system call */
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

__attribute__((noinline)) static long leaf(long n) {
	for (long i = 0; i < n; i++)
		syscall(SYS_getppid);
	return n;
}

/* Each has a frame of another size, and something to do after the call. */
#define FRAME(i, callee) \
	__attribute__((noinline)) static long f##i(long n) { \
		volatile char pad[16 + i]; \
		pad[0] = (char)n; \
		long r = callee(n) + pad[0]; \
		sink += r; \
		return r; \
	}
FRAME(1, leaf) FRAME(2, f1) FRAME(3, f2) FRAME(4, f3) FRAME(5, f4) FRAME(6, f5) FRAME(7, f6)
FRAME(8, f7) FRAME(9, f8) FRAME(10, f9) FRAME(11, f10) FRAME(12, f11) FRAME(13, f12) FRAME(14, f13)
FRAME(15, f14) FRAME(16, f15) FRAME(17, f16) FRAME(18, f17)

__attribute__((noinline)) static long moved(long n, long by) {
	volatile char *p = alloca(by * 16 + 16);
	p[0] = 1;
	long r = f18(n) + p[0];
	sink += r;
	return r;
}

int main(int argc, char **argv) {
	long n = argc > 1 ? atol(argv[1]) : 0;
	long long start = now();
	if (argc > 2)
		for (long i = 0; i < n; i++)
			moved(1, i % 4000);
	else
		moved(n, 0);
	printf("%lld\n", now() - start);
	return 0;
}

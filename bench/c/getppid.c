/* getppid N: makes N getppid system calls and prints how many nanoseconds they took. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t); /* in the vDSO: no system call */
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
	long n = argc > 1 ? atol(argv[1]) : 0;
	long long start = now();
	for (long i = 0; i < n; i++)
		syscall(SYS_getppid);
	printf("%lld\n", now() - start);
	return 0;
}

/*
 * crowd idle THREADS: starts that many threads that sleep, writes "ready", and ends when its input does.
 * crowd busy CALLS: writes "ready", reads a byte, makes that many getppid system calls, prints how many
 *     nanoseconds they took, and ends when its input does.
 * crowd herd PROCESSES CALLS: starts that many processes. They make that many getppid system calls each,
 *     all at once. Prints how many nanoseconds it took until the last process had ended.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t); /* in the vDSO: no system call */
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *sleeper(void *ignored) {
	for (;;)
		pause();
	return ignored;
}

static int idle(long threads) {
	pthread_attr_t small;
	pthread_t t;
	char c;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * 1024);
	for (long i = 0; i < threads; i++)
		if (pthread_create(&t, &small, sleeper, 0) != 0)
			return 3;
	puts("ready");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

static int busy(long calls) {
	char c;
	puts("ready");
	fflush(stdout);
	if (read(0, &c, 1) != 1)
		return 3;
	long long start = now();
	for (long i = 0; i < calls; i++)
		syscall(SYS_getppid);
	printf("%lld\n", now() - start);
	fflush(stdout);
	while (read(0, &c, 1) > 0) /* a tracer has time to detach */
		;
	return 0;
}

static int herd(long processes, long calls) {
	int gate[2], status, result = 0;
	char c;
	if (pipe(gate) != 0)
		return 3;
	for (long i = 0; i < processes; i++) {
		pid_t child = fork();
		if (child < 0)
			return 3;
		if (child == 0) {
			close(gate[1]);
			(void)!read(gate[0], &c, 1); /* returns when the gate is closed */
			for (long j = 0; j < calls; j++)
				syscall(SYS_getppid);
			_exit(0);
		}
	}
	long long start = now();
	close(gate[1]);
	while (wait(&status) > 0)
		if (status != 0)
			result = 3;
	printf("%lld\n", now() - start);
	return result;
}

int main(int argc, char **argv) {
	if (argc == 3 && strcmp(argv[1], "idle") == 0)
		return idle(atol(argv[2]));
	if (argc == 3 && strcmp(argv[1], "busy") == 0)
		return busy(atol(argv[2]));
	if (argc == 4 && strcmp(argv[1], "herd") == 0)
		return herd(atol(argv[2]), atol(argv[3]));
	return 2;
}

// A program that knows its own stacks: mark prints what backtrace(3) says and makes
// a system call with the same number, at which the test unwinds from outside.
#define _GNU_SOURCE
#include <alloca.h>
#include <execinfo.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x51500000
#define NOINLINE __attribute__((noinline, noclone))

static volatile int sink;

NOINLINE void mark(int id) {
	static void *pcs[400];
	int n = backtrace(pcs, 400);
	printf("%d", id);
	for (int i = 0; i < n; i++)
		printf(" %p", pcs[i]);
	printf("\n");
	fflush(stdout);
	syscall(SYS_getpgid, MAGIC + id);
	sink++;
}

NOINLINE void leaf(int id) { mark(id); sink++; }

NOINLINE int recurse(int n, int id) {
	volatile char pad[40];
	pad[n % 40] = 1;
	if (n == 0)
		leaf(id);
	else
		recurse(n - 1, id);
	sink++;
	return pad[3];
}

// Frames whose size only the frame pointer or another register knows.
NOINLINE int vla(int n, int id) {
	volatile char a[n * 100];
	memset((char *)a, n, sizeof a);
	leaf(id);
	return a[n];
}

NOINLINE int aligned(int n, int id) {
	volatile __attribute__((aligned(256))) char a[512];
	volatile char *b = alloca(n * 64);
	memset((char *)a, n, sizeof a);
	b[n] = 1;
	leaf(id);
	return a[n] + b[n] + (((uintptr_t)a & 255) == 0);
}

// A frame larger than what the test reads at once.
NOINLINE int huge(int n, int id) {
	volatile char a[300000];
	memset((char *)a, n, sizeof a);
	leaf(id);
	return a[n];
}

static int compare(const void *a, const void *b) {
	static int once;
	if (!once++)
		leaf(5);
	return *(const int *)a - *(const int *)b;
}

static void handler(int sig) { leaf(6); sink++; }
static void alt_handler(int sig) { leaf(7); sink++; }
static void fault_handler(int sig) {
	leaf(8);
	_exit(0);
}

static void *thread_arg;

// A call of a library function through the PLT, stopped inside the library's own code
// by its callback.
NOINLINE void through_plt(void) {
	int v[] = {3, 1, 2};
	qsort(v, 3, sizeof v[0], compare);
	sink += v[0];
}

// Code without unwind information, with a frame pointer: as a JIT makes it.
// push rbp; mov rbp,rsp; sub rsp,48; mov eax,edi → call rsi(edi); leave; ret
NOINLINE void jit(void) {
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x30, 0xff, 0xd6, 0xc9, 0xc3};
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, code, sizeof code);
	((void (*)(int, void (*)(int)))p)(9, leaf);
	sink++;
}

int main(int argc, char **argv) {
	setvbuf(stdout, 0, _IOFBF, 1 << 16);
	leaf(1);
	recurse(60, 2);
	vla(argc + 7, 3);
	aligned(argc + 7, 4);
	through_plt();
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	stack_t ss = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	sigaltstack(&ss, 0);
	struct sigaction sa = {.sa_handler = alt_handler, .sa_flags = SA_ONSTACK};
	sigaction(SIGUSR2, &sa, 0);
	raise(SIGUSR2);
	jit();
	huge(argc, 10);
	recurse(300, 11);
	recurse(16, 12); // 24 frames
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts); // a system call made by the vdso
	signal(SIGSEGV, fault_handler);
	*(volatile int *)(uintptr_t)(argc == 100 ? 1 : 0) = 1;
	return 0;
}

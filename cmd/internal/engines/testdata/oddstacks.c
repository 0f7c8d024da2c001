// Makes calls with stack pointers that no program has, and registers that lead anywhere.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <pthread.h>

static long call_at(unsigned long sp, unsigned long fp)
{
	long ret;

	__asm__ volatile(
		"mov %%rsp, %%r12\n\tmov %%rbp, %%r13\n\tmov %2, %%rsp\n\tmov %3, %%rbp\n\tsyscall\n\tmov %%r12, %%rsp\n\tmov %%r13, %%rbp"
		: "=a"(ret)
		: "a"(110L), "r"(sp), "r"(fp) // getppid
		: "rcx", "r11", "r12", "r13", "memory");
	return ret;
}

static unsigned long *self; // a frame that is its own caller
static char *edge;          // the end of the last page before one that is not there

static void *storm(void *n)
{
	for (long i = 0; i < (long)n; i++) {
		call_at((unsigned long)self, (unsigned long)self);
		call_at((unsigned long)edge - 8, (unsigned long)edge - 16);
	}
	return 0;
}

int main(int argc, char **argv)
{
	long n = atol(argv[1]);
	static const unsigned long odd[] = {0, 1, 7, 8, 4095, 4096, 0x7fffffffffff, 0x7ffffffff000, 0x800000000000, 0xffff800000000000,
		0xffffffff81000000, 0xffffffffff600000, ~0UL, ~0UL - 7, ~0UL - 4095};
	int kinds = sizeof(odd) / sizeof(*odd);
	pthread_t threads[40];

	edge = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(edge + (1 << 15), 1 << 15);
	self = (unsigned long *)edge;
	for (int i = 0; i < 64; i++)
		self[2 * i] = self[2 * i + 1] = (unsigned long)(self + 2 * i); // returns to itself, which is no code
	self[0] = (unsigned long)self;
	self[1] = (unsigned long)main + 1;
	edge += 1 << 15;
	for (long i = 0; i < n; i++)
		for (int j = 0; j < kinds; j++)
			call_at(odd[j], odd[(i + j) % kinds]);
	for (int i = 0; i < 40; i++)
		pthread_create(threads + i, 0, storm, (void *)n);
	for (int i = 0; i < 40; i++)
		pthread_join(threads[i], 0);
	printf("%ld\n", n * kinds + 40 * 2 * n);
	return 0;
}

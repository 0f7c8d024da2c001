// Calls through code that the program has made, as Python's trampolines are.
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC 0x51500000
#define NOINLINE __attribute__((noinline, noclone))

static volatile int sink;

NOINLINE static void mark(int id, int b, int c, void *self) {
	syscall(SYS_getpgid, MAGIC + id);
	if (id == 4)
		_exit(0); // there is no way back
	sink++;
}

static const unsigned char made[][32] = {
	{0x48, 0x83, 0xec, 8, 0xff, 0xd1, 0x48, 0x83, 0xc4, 8, 0xc3},                     // sub; call *%rcx; add; ret
	{0x55, 0x48, 0x83, 0xec, 0x10, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x10, 0x5d, 0xc3},   // the same, and push and pop of %rbp
	{0x48, 0x83, 0xec, 8, 0xff, 0xd1, 0x48, 0x89, 0xc0, 0x48, 0x83, 0xc4, 8, 0xc3},   // it does something before it returns
	{0x68, 1, 0, 0, 0, 0xff, 0xd1, 0xc3},                                             // it returns to where no call is
};

int main(void) {
	unsigned char *at = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, made, sizeof made);
	for (int i = 0; i < 4; i++) {
		((void (*)(int, int, int, void *))(at + i * sizeof made[0]))(i + 1, 0, 0, mark);
		sink++;
	}
	return 0;
}

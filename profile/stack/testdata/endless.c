// A program that never returns from what it has called by pointers: nothing but unwind information says how its frames lie.
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAGIC 0x51500000
#define NOINLINE __attribute__((noinline, noclone))

typedef void work(int);
static work *volatile next; // set by who does not call

static int rounds;

NOINLINE static void serve(int n) {
	volatile char room[n * 100];
	memset((char *)room, n, sizeof room);
	for (;;) {
		syscall(SYS_getpgid, MAGIC + ++rounds);
		if (rounds == 3)
			_exit(room[n] - n);
	}
}

NOINLINE static void twice(int n) {
	volatile char room[400];
	room[n] = n;
	for (;;)
		next(room[n] + 1);
}

NOINLINE static work *first(void) {
	next = serve;
	return twice;
}

int main(void) {
	work *volatile run = first();
	run(3);
}

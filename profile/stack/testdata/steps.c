// A program whose every instruction is looked at: it does much of what a C library does, and calls functions
// that were written by hand, in steps.S.
#define _GNU_SOURCE
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

#ifdef __x86_64__
void push_pop(void (*)(void)), sub_add(void (*)(void)), framed(void (*)(void)), leaves(void (*)(void));
void tail_jump(void (*)(void)), frameless(void (*)(void)), early_return(void (*)(void), int), sized(void (*)(void), long);
void realigned(void (*)(void)), moves(void (*)(void)), looping(void (*)(void), int), far_tail(void (*)(void));
void where(void (*)(void)), never_returns(void (*)(void), void (*)(int), int), ends_in_never(void (*)(void), int);
void balanced(void (*)(void));
#endif

static volatile int sink;
NOINLINE void leaf(void) { sink++; getppid(); }
NOINLINE static void handler(int sig) { leaf(); }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static jmp_buf back;
NOINLINE void jumps(int i) { if (i) { leaf(); longjmp(back, i); } }
void leaves_early(int status) { leaf(); longjmp(back, status); }
static void at_exit(void) { leaf(); }

NOINLINE static long recurse(int n) { volatile char a[40]; a[n % 40] = 1; return n ? recurse(n - 1) + a[3] : (leaf(), 1); }

/* A machine that goes on by tables, as interpreters do, and is left by nothing else. */
NOINLINE static int by_switch(const unsigned char *code, void (*f)(void)) {
	volatile char room[72];
	for (int n = 0;; code++) {
		room[n % 72] = 1;
		switch (*code) {
		case 3: sink += 7; f(); break;
		case 4: sink ^= 3; f(), leaf(); n++; break;
		case 5: n += room[0]; leaf(); break;
		case 6: n ^= 5; f(); room[1] = 2; break;
		case 7: sink -= n; leaf(); f(); break;
		case 8: n *= 3; f(); break;
		case 9: return n;
		case 10: sink |= 1; leaf(); break;
		case 11: n -= 2; f(); f(); break;
		default: f(); n = 1; break;
		}
	}
}
NOINLINE static int by_labels(const unsigned char *code, void (*f)(void)) {
	static const void *const to[] = {&&add, &&call, &&both, &&end, &&twice};
	volatile char room[40];
	int n = 0;
next:
	room[n & 31] = 1;
	goto *to[*code++];
add: sink += 3; n++; goto next;
call: f(); n += room[3]; goto next;
both: leaf(); f(); goto next;
twice: f(); leaf(); n ^= 7; goto next;
end: return n;
}

int main(int argc, char **argv) {
#ifdef __x86_64__
	push_pop(leaf), sub_add(leaf), framed(leaf), leaves(leaf), tail_jump(leaf), frameless(leaf);
	early_return(leaf, 0), early_return(leaf, 1), sized(leaf, 64), realigned(leaf), moves(leaf), looping(leaf, 3);
	far_tail(leaf), where(leaf), balanced(leaf);
#endif
	sink += by_switch((const unsigned char *)"\3\4\5\6\7\10\12\13\77\11", leaf) + by_labels((const unsigned char *)"\0\1\2\4\1\3", leaf);
#ifdef __x86_64__
	if (!setjmp(back))
		never_returns(leaf, leaves_early, 7);
	if (!setjmp(back))
		ends_in_never(leaf, 1);
	ends_in_never(leaf, 0);
#endif
	if (!setjmp(back))
		jumps(1);
#ifdef __x86_64__ /* an emulator delivers it in its own way */
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
#endif
	recurse(5);
	int v[60];
	for (int i = 0; i < 60; i++)
		v[i] = (i * 37) % 60;
	qsort(v, 60, sizeof v[0], compare);
	char *p = malloc(100000), *q = malloc(100), s[300], t[300];
	memset(p, 1, 100000);
	memcpy(t, p + 3, 257), memmove(t + 1, t, 200);
	p = realloc(p, 200), free(q);
	snprintf(s, sizeof s, "%d %s %.6f %5.2e %p", argc, argv[0], 3.25 * argc, 1e10 * argc, p);
	sscanf(s, "%d", v);
	strtod("12345.678e-3", 0), strstr(s, "zz"), strlen(s), strcmp(s, t), strtok(s, " ");
	free(p);
	setenv("SOMETHING", s, 1), getenv("SOMETHING"), setlocale(LC_ALL, "C");
	time_t now = 1000000000;
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(s, sizeof s, "%A %F %T", &tm);
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(s, sizeof s, f))
		sink += s[0];
	if (f)
		fclose(f);
	sink += (int)(pow(1.5, argc) + sin(argc));
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	atexit(at_exit);
	printf("%s\n", s);
	return 0;
}

/*
 * pauses PROCESSES THREADS RESTS: starts that many processes of that many threads, which make getppid system calls for ever.
 *     If RESTS is not 0 they sleep for 20 ms after every 50 of them, else they never do. Writes "ready", and a line of the
 *     processes' ids. For each byte that it reads, it waits until every thread has made a call since, and writes how long
 *     the longest pause of a thread was since the byte before, in nanoseconds: with, and without what the thread waited
 *     for a CPU. A pause is the time between two looks at the clock with nothing but calls in between, or a sleep, which
 *     is taken off. It ends, with its processes, when its input does.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { calls = 50, restNs = 20000000, longNs = 1000000, lookNs = 5000000 };

struct slot {
	atomic_llong longest, stood; /* ns, since they were read last */
	atomic_int round;            /* of the reader's that the thread has seen */
	char apart[64 - 20];
};

static struct slot *slots;
static atomic_int *roundNow;
static long rests;

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t); /* in the vDSO: no system call */
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* waited is how long a thread has waited for a CPU (proc(5), schedstat). */
static long long waited(int schedstat) {
	char text[96];
	long long ran, waited = 0;
	ssize_t n = pread(schedstat, text, sizeof text - 1, 0);
	if (n > 0) {
		text[n] = 0;
		sscanf(text, "%lld %lld", &ran, &waited);
	}
	return waited;
}

static void most(atomic_llong *of, long long ns) {
	if (ns > atomic_load_explicit(of, memory_order_relaxed))
		atomic_store(of, ns);
}

static void *work(void *slot) {
	struct slot *s = slot;
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", (long)syscall(SYS_gettid));
	int schedstat = open(path, O_RDONLY);
	if (schedstat < 0)
		_exit(4);
	long long delay = waited(schedstat), last = now(), looked = last;
	for (;;) {
		for (int i = 0; i < calls; i++) {
			int round = atomic_load_explicit(roundNow, memory_order_relaxed);
			syscall(SYS_getppid);
			long long at = now(), pause = at - last;
			if (pause > longNs || at - looked > lookNs) {
				long long before = delay;
				delay = waited(schedstat);
				looked = now();
				most(&s->longest, pause);
				most(&s->stood, pause - (delay - before));
				at = now();
			}
			last = at;
			atomic_store_explicit(&s->round, round, memory_order_relaxed);
		}
		if (rests) {
			struct timespec rest = {0, restNs};
			last = now() + restNs;
			nanosleep(&rest, 0);
			if (last > now())
				last = now();
		}
	}
	return 0;
}

static void process(struct slot *first, long threads) {
	pthread_attr_t small;
	pthread_t t;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 * 1024);
	for (long i = 1; i < threads; i++)
		if (pthread_create(&t, &small, work, first + i) != 0)
			_exit(3);
	work(first);
}

int main(int argc, char **argv) {
	if (argc != 4)
		return 2;
	long processes = atol(argv[1]), threads = atol(argv[2]), n = processes * threads;
	rests = atol(argv[3]);
	slots = mmap(0, (n + 1) * sizeof *slots, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED)
		return 3;
	roundNow = &slots[n].round;
	pid_t *pids = calloc(processes, sizeof *pids);
	for (long i = 0; i < processes; i++) {
		pid_t child = fork();
		if (child < 0)
			return 3;
		if (child == 0)
			process(slots + i * threads, threads);
		pids[i] = child;
	}
	puts("ready");
	for (long i = 0; i < processes; i++)
		printf("%s%d", i ? "," : "", pids[i]);
	puts("");
	fflush(stdout);
	char c;
	for (int round = 1; read(0, &c, 1) == 1; round++) {
		long long longest = 0, stood = 0;
		atomic_store(roundNow, round);
		for (long i = 0; i < n; i++)
			while (atomic_load(&slots[i].round) != round)
				usleep(1000);
		for (long i = 0; i < n; i++) {
			long long l = atomic_exchange(&slots[i].longest, 0), s = atomic_exchange(&slots[i].stood, 0);
			longest = l > longest ? l : longest;
			stood = s > stood ? s : stood;
		}
		printf("%lld %lld\n", longest, stood);
		fflush(stdout);
	}
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM); /* process.Start has given it a group of its own */
	return 0;
}

/*
 * target SHAPE THREADS DIR STEP=COUNT...: makes each STEP that many times in each of the threads, and times
 * its system calls by the vDSO clock, which is no system call. SHAPE is how: in "blocks", one step after the
 * other, or "interleaved", each step now and then throughout the run. What a call needs is prepared untimed,
 * by system calls that no step times, so that a tracer can tell them apart by name. At the end it writes the
 * times to its standard output, as binary 64-bit nanoseconds less what the clock itself takes: for each step
 * how many there are, then those. A step of two calls (open and close) has them in turn. DIR has a file
 * "data" of 1 MB and a directory "many".
 *
 * target run CMD ARG...: runs CMD with its output thrown away, and writes how long that took, as one time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, MAPPED = 65536, STEPS = 32, THREADS = 64, MOST = 1 << 18 };

struct thread {
	pthread_t id, other;
	int data, null, many, epoll, sync; /* descriptors */
	int ping[2], pong[2];
	int word;
	char *buffer;
	long count;              /* of the step that is being prepared */
	long long *of_the_other; /* the times that a second thread fills */
};

static const char *dir;
static pthread_barrier_t together;

static inline long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#define TIMED(to, call) do { long long start = now(); (void)!(call); (to) = now() - start; } while (0)

static int by_size(const void *a, const void *b) {
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

/* the time between two readings of the clock with nothing between them */
static long long clock_cost(void) {
	long long apart[1001];
	for (int i = 0; i < 1001; i++)
		TIMED(apart[i], 0);
	qsort(apart, 1001, sizeof *apart, by_size);
	return apart[500];
}

/* writes by writev(2), since write(2) is a call that is measured */
static void out(const void *data, size_t size) {
	while (size > 0) {
		struct iovec v = {(void *)data, size};
		ssize_t n = writev(1, &v, 1);
		if (n <= 0)
			exit(3);
		data = (const char *)data + n;
		size -= n;
	}
}

static int file(const char *name, int flags) {
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		exit(3);
	}
	return fd;
}

static int run(char **argv) {
	long long start = now(), took[2] = {1, 0};
	int status, null;
	pid_t child = vfork();
	if (child == 0) {
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 3;
	took[1] = now() - start;
	out(took, sizeof took);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

/* The steps. Each puts the times of its calls to "to". */

static void getppids(struct thread *t, long long *to) { TIMED(to[0], syscall(SYS_getppid)); }

static void pread_64(struct thread *t, long long *to) { TIMED(to[0], pread(t->data, t->buffer, 64, 4096)); }

/* by preadv(2), so that it has another name than the small one */
static void pread_1m(struct thread *t, long long *to) {
	struct iovec v = {t->buffer, BUFFER};
	TIMED(to[0], preadv(t->data, &v, 1, 0));
}

static void write_null(struct thread *t, long long *to) { TIMED(to[0], write(t->null, t->buffer, 1)); }

static void fstats(struct thread *t, long long *to) {
	struct stat s;
	TIMED(to[0], fstat(t->data, &s));
}

static void open_close(struct thread *t, long long *to) {
	char path[4096];
	int fd;
	snprintf(path, sizeof path, "%s/data", dir);
	TIMED(to[0], fd = open(path, O_RDONLY));
	TIMED(to[1], close(fd));
}

static void mmap_munmap(struct thread *t, long long *to) {
	char *p;
	TIMED(to[0], p = mmap(0, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	*p = 1;
	TIMED(to[1], munmap(p, MAPPED));
}

static void getdents(struct thread *t, long long *to) {
	lseek(t->many, 0, SEEK_SET);
	TIMED(to[0], syscall(SYS_getdents64, t->many, t->buffer, BUFFER));
}

static void polls(struct thread *t, long long *to) {
	struct pollfd p = {t->null, POLLOUT, 0};
	TIMED(to[0], poll(&p, 1, 0));
}

static void epolls(struct thread *t, long long *to) {
	struct epoll_event e;
	TIMED(to[0], epoll_wait(t->epoll, &e, 1, 0));
}

static void futex_wake(struct thread *t, long long *to) {
	TIMED(to[0], syscall(SYS_futex, &t->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
}

static void sleeps(struct thread *t, long long *to) {
	struct timespec pause = {0, 100000};
	TIMED(to[0], clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, 0));
}

static void fsyncs(struct thread *t, long long *to) {
	(void)!pwrite(t->sync, t->buffer, 512, 0);
	TIMED(to[0], fsync(t->sync));
}

static void *ponger(void *arg) {
	struct thread *t = arg;
	char c;
	for (long i = 0; i < t->count; i++) {
		TIMED(t->of_the_other[2 * i], read(t->ping[0], &c, 1));
		(void)!write(t->pong[1], &c, 1);
	}
	return 0;
}

/* begins a second thread, whose times are every other one of this step */
static void prepare_pingpong(struct thread *t, long long *to) {
	t->of_the_other = to + 1;
	if (pipe(t->ping) || pipe(t->pong) || pthread_create(&t->other, 0, ponger, t))
		exit(3);
}

static void pingpong(struct thread *t, long long *to) {
	char c = 0;
	(void)!write(t->ping[1], &c, 1);
	TIMED(to[0], read(t->pong[0], &c, 1));
}

static void end_pingpong(struct thread *t) { pthread_join(t->other, 0); }

static const struct step {
	const char *name;
	int calls; /* that are timed */
	void (*once)(struct thread *, long long *to);
	void (*prepare)(struct thread *, long long *to);
	void (*end)(struct thread *);
} known[] = {
	{"getppid", 1, getppids}, {"pread-64", 1, pread_64}, {"pread-1M", 1, pread_1m}, {"write", 1, write_null},
	{"fstat", 1, fstats}, {"open+close", 2, open_close}, {"mmap+munmap", 2, mmap_munmap}, {"getdents", 1, getdents},
	{"poll", 1, polls}, {"epoll", 1, epolls}, {"futex-wake", 1, futex_wake}, {"nanosleep", 1, sleeps},
	{"fsync", 1, fsyncs}, {"pingpong", 2, pingpong, prepare_pingpong, end_pingpong},
};

static struct chosen {
	const struct step *step;
	long count;
	long long *times; /* of all threads, one after the other */
} chosen[STEPS];
static int steps;
static long most; /* of the counts */
static int interleaved;

static struct thread threads[THREADS];

static long long *times_of(const struct chosen *c, const struct thread *t) {
	return c->times + (t - threads) * c->count * c->step->calls;
}

/* makes a step for the i-th time out of "of" chances, at even distances */
static void maybe(struct chosen *c, struct thread *t, long i, long of) {
	long done = i * c->count / of;
	if ((i + 1) * c->count / of > done)
		c->step->once(t, times_of(c, t) + done * c->step->calls);
}

static void *body(void *arg) {
	struct thread *t = arg;
	for (int s = 0; s < steps; s++)
		if (chosen[s].step->prepare) {
			t->count = chosen[s].count;
			chosen[s].step->prepare(t, times_of(&chosen[s], t));
		}
	pthread_barrier_wait(&together);
	if (interleaved)
		for (long i = 0; i < most; i++)
			for (int s = 0; s < steps; s++)
				maybe(&chosen[s], t, i, most);
	else
		for (int s = 0; s < steps; s++)
			for (long i = 0; i < chosen[s].count; i++)
				maybe(&chosen[s], t, i, chosen[s].count);
	for (int s = 0; s < steps; s++)
		if (chosen[s].step->end)
			chosen[s].step->end(t);
	return 0;
}

/* takes STEP=COUNT; returns 0 if it is none */
static int choose(const char *word, int of) {
	const char *equals = strchr(word, '=');
	if (!equals || steps == STEPS)
		return 0;
	for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
		struct chosen *c = &chosen[steps];
		if (strlen(known[k].name) != equals - word || strncmp(known[k].name, word, equals - word) != 0)
			continue;
		*c = (struct chosen){&known[k], atol(equals + 1), 0};
		if (c->count < 1 || c->count * of * c->step->calls > MOST)
			return 0;
		size_t size = c->count * of * c->step->calls * sizeof *c->times;
		c->times = malloc(size);
		memset(c->times, 1, size); /* no page fault while a call is timed */
		if (c->count > most)
			most = c->count;
		steps++;
		return 1;
	}
	return 0;
}

static void equip(struct thread *t) {
	t->data = file("data", O_RDONLY);
	t->null = open("/dev/null", O_WRONLY);
	t->many = file("many", O_RDONLY | O_DIRECTORY);
	t->sync = file("sync", O_RDWR | O_CREAT);
	t->epoll = epoll_create1(0);
	t->buffer = malloc(BUFFER);
	memset(t->buffer, 1, BUFFER);
}

int main(int argc, char **argv) {
	if (argc > 2 && strcmp(argv[1], "run") == 0)
		return run(argv + 2);
	int of = argc > 4 ? atoi(argv[2]) : 0;
	if (of < 1 || of > THREADS)
		return 2;
	interleaved = strcmp(argv[1], "interleaved") == 0;
	dir = argv[3];
	for (int i = 4; i < argc; i++)
		if (!choose(argv[i], of))
			return 2;
	for (int i = 0; i < of; i++)
		equip(&threads[i]);
	long long cost = clock_cost();
	pthread_barrier_init(&together, 0, of);
	for (int i = 1; i < of; i++)
		if (pthread_create(&threads[i].id, 0, body, &threads[i]))
			return 3;
	body(&threads[0]);
	for (int i = 1; i < of; i++)
		pthread_join(threads[i].id, 0);
	for (int s = 0; s < steps; s++) {
		long long n = chosen[s].count * of * chosen[s].step->calls;
		for (long i = 0; i < n; i++)
			chosen[s].times[i] = chosen[s].times[i] > cost ? chosen[s].times[i] - cost : 0;
		out(&n, sizeof n);
		out(chosen[s].times, n * sizeof *chosen[s].times);
	}
	return 0;
}

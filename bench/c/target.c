/*
 * target CALL COUNT DIR: makes COUNT system calls of one kind and times each by the vDSO clock, which is
 * no system call. It writes the times to its standard output, as binary 64-bit nanoseconds, less what the
 * clock itself takes. What a call needs is prepared in the same loop, untimed, by system calls of other
 * names, so that a tracer can tell them apart. DIR has a file "data" of 1 MB and a directory "many".
 *
 * target run CMD ARG...: runs CMD with its output thrown away, and writes how long that took in the same
 * format.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 18 };
static long long sample[MOST];
static long samples, count;
static char buffer[1 << 20];
static const char *dir;

static inline long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#define TIMED(to, call) do { long long start = now(); (void)(call); (to) = now() - start; } while (0)
#define EACH for (long i = 0; i < count; i++)
#define MEASURE(call) TIMED(sample[samples++], call)

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

static int ping[2], pong[2];

/* the second half of the samples is that of this thread */
static void *ponger(void *ignored) {
	char c;
	EACH {
		TIMED(sample[count + i], read(ping[0], &c, 1));
		(void)!write(pong[1], &c, 1);
	}
	return ignored;
}

static void pingpong(void) {
	pthread_t other;
	char c = 0;
	if (pipe(ping) || pipe(pong) || pthread_create(&other, 0, ponger, 0))
		exit(3);
	EACH {
		(void)!write(ping[1], &c, 1);
		TIMED(sample[i], read(pong[0], &c, 1));
	}
	pthread_join(other, 0);
	samples = 2 * count;
}

static int run(char **argv) {
	long long start = now(), took;
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
	took = now() - start;
	out(&took, sizeof took);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static void getppids(void) {
	EACH MEASURE(syscall(SYS_getppid));
}

static void pread_4k(void) {
	int fd = file("data", O_RDONLY);
	EACH MEASURE(pread(fd, buffer, 4096, (i & 255) * 4096));
}

static void pread_1m(void) {
	int fd = file("data", O_RDONLY);
	EACH MEASURE(pread(fd, buffer, sizeof buffer, 0));
}

static void write_null(void) {
	int fd = open("/dev/null", O_WRONLY);
	EACH MEASURE(write(fd, buffer, 1));
}

static void fstats(void) {
	struct stat s;
	int fd = file("data", O_RDONLY);
	EACH MEASURE(fstat(fd, &s));
}

static void opens(void) {
	char path[4096];
	int fd;
	snprintf(path, sizeof path, "%s/data", dir);
	EACH {
		MEASURE(fd = open(path, O_RDONLY));
		close(fd);
	}
}

static void closes(void) {
	EACH {
		int fd = file("data", O_RDONLY);
		MEASURE(close(fd));
	}
}

static void getdents_many(void) {
	int fd = file("many", O_RDONLY | O_DIRECTORY);
	EACH {
		lseek(fd, 0, SEEK_SET);
		MEASURE(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
	}
}

static void mmaps(void) {
	void *p;
	EACH {
		MEASURE(p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		munmap(p, 65536);
	}
}

static void munmaps(void) {
	EACH {
		char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*p = 1;
		MEASURE(munmap(p, 65536));
	}
}

static void polls(void) {
	struct pollfd p = {1, POLLOUT, 0};
	EACH MEASURE(poll(&p, 1, 0));
}

static void nanosleeps(void) {
	struct timespec t = {0, 100000};
	EACH MEASURE(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0));
}

static void futex_wakes(void) {
	int word = 0;
	EACH MEASURE(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
}

static void futex_waits(void) {
	int word = 0;
	struct timespec t = {0, 100000};
	EACH MEASURE(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0));
}

static void fsyncs(void) {
	int fd = file("sync", O_RDWR | O_CREAT);
	EACH {
		(void)!pwrite(fd, buffer, 512, 0);
		MEASURE(fsync(fd));
	}
}

static const struct {
	const char *call;
	void (*measure)(void);
} kinds[] = {
	{"getppid", getppids}, {"pread-4K", pread_4k}, {"pread-1M", pread_1m}, {"write-null", write_null},
	{"fstat", fstats}, {"open", opens}, {"close", closes}, {"getdents", getdents_many},
	{"mmap", mmaps}, {"munmap", munmaps}, {"poll", polls}, {"nanosleep", nanosleeps},
	{"pingpong", pingpong}, {"futex-wake", futex_wakes}, {"futex-wait", futex_waits}, {"fsync", fsyncs},
};

int main(int argc, char **argv) {
	if (argc > 2 && strcmp(argv[1], "run") == 0)
		return run(argv + 2);
	if (argc != 4 || (count = atol(argv[2])) < 1 || 2 * count > MOST)
		return 2;
	dir = argv[3];
	memset(sample, 1, 2 * count * sizeof *sample); /* no page fault while a call is timed */
	memset(buffer, 1, sizeof buffer);
	long long cost = clock_cost();
	size_t kind = 0;
	while (strcmp(kinds[kind].call, argv[1]) != 0)
		if (++kind == sizeof kinds / sizeof *kinds)
			return 2;
	kinds[kind].measure();
	for (long i = 0; i < samples; i++)
		sample[i] = sample[i] > cost ? sample[i] - cost : 0;
	out(sample, samples * sizeof *sample);
	return 0;
}

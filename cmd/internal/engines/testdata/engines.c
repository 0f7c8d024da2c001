// What both engines have to see alike: each mode is a way to make calls that one of them could get wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int number(const char *text) { return atoi(text); }

// forks: processes that make calls and end, each while others begin.
static int forks(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t child = fork();
		if (child == 0) {
			for (int j = 0; j < 20; j++)
				syscall(SYS_getppid);
			syscall(SYS_close, -1);
			_exit(0);
		}
		if (i % 8 == 7)
			while (wait(0) > 0)
				;
	}
	while (wait(0) > 0)
		;
	return 0;
}

static int each_makes;

static void *make(void *unused)
{
	for (int i = 0; i < each_makes; i++)
		syscall(i % 2 ? SYS_getppid : SYS_getuid);
	return 0;
}

static int threads(int n, int calls)
{
	pthread_t *all = calloc(n, sizeof *all);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	each_makes = calls;
	for (int i = 0; i < n; i++)
		if (pthread_create(&all[i], &attr, make, 0))
			return 1;
	for (int i = 0; i < n; i++)
		pthread_join(all[i], 0);
	return 0;
}

// paused reports whether a thread is in pause already, which it is not if no CPU has been free. It makes the same calls each time.
static int paused(pid_t tid)
{
#ifdef SYS_pause
	const int nr = SYS_pause;
#else
	const int nr = SYS_ppoll;
#endif
	char file[40], text[64] = "";
	snprintf(file, sizeof file, "/proc/%d/syscall", tid);
	int fd = open(file, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return n > 0 && text[0] != 'r' && atoi(text) == nr; // not "running"
}

static void *execute(void *program)
{
	usleep(20000);
	if (!paused(getpid()))
		_exit(75);
	execl(program, program, "calls", "100", NULL);
	return 0;
}

// exec: another thread than the first one becomes the program, while the first sleeps. The status is 75 if it does not yet.
static int exec_from_thread(char *program)
{
	pthread_t other;
	pthread_create(&other, 0, execute, program);
	pause();
	return 1;
}

static void ignore(int sig) {}

// restarts: calls that signals break off, and that go on by themselves or not. The status is 75 if one has come before its call.
static int restarts(int n)
{
	int early = 0;
	struct sigaction action = {.sa_handler = ignore, .sa_flags = SA_RESTART};
	int ends[2];
	char byte;
	if (pipe(ends))
		return 1;
	sigaction(SIGALRM, &action, 0);
	for (int i = 0; i < n; i++) {
		struct itimerval soon = {.it_value = {.tv_usec = 20000}};
		struct timespec long_time = {.tv_sec = 1};
		setitimer(ITIMER_REAL, &soon, 0);
		early |= nanosleep(&long_time, 0) == 0; // else EINTR in spite of SA_RESTART
	}
	pid_t child = fork();
	if (child == 0) {
		close(ends[1]);
		struct itimerval soon = {.it_value = {.tv_usec = 20000}};
		setitimer(ITIMER_REAL, &soon, 0);
		_exit(read(ends[0], &byte, 1) != 1); // is restarted
	}
	usleep(200000);
	if (write(ends[1], "x", 1) != 1)
		return 1;
	wait(0);
	return early ? 75 : 0;
}

// filtered: a filter answers getuid with EPERM, so that it never enters the kernel any further.
static int filtered(int n)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof program / sizeof *program, program};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 1;
	for (int i = 0; i < n; i++)
		if (syscall(SYS_getuid) != -1 || syscall(SYS_getppid) < 0)
			return 1;
	return 0;
}

// killed: children die in a call. The status is 75 if one was not in it yet.
static int killed(int n)
{
	int early = 0;
	for (int i = 0; i < n; i++) {
		int ends[2];
		char byte;
		if (pipe(ends))
			return 1;
		pid_t child = fork();
		if (child == 0) {
			(void)!write(ends[1], "x", 1);
			for (;;)
				pause();
		}
		if (read(ends[0], &byte, 1) != 1)
			return 1;
		usleep(20000);
		early |= !paused(child);
		kill(child, SIGKILL);
		waitpid(child, 0, 0);
		close(ends[0]);
		close(ends[1]);
	}
	return early ? 75 : 0;
}

static int vforks(int n, char *program)
{
	for (int i = 0; i < n; i++) {
		pid_t child = vfork();
		if (child == 0) {
			execl(program, program, "calls", "10", NULL);
			_exit(127);
		}
		waitpid(child, 0, 0);
	}
	return 0;
}

// narrow: calls of the 32-bit table, from 64-bit code where the machine has such.
static int narrow(int n)
{
#if defined(__x86_64__) || defined(__i386__)
	for (int i = 0; i < n; i++) {
		long result, getppid_of_i386 = 64;
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(getppid_of_i386) : "memory");
		if (result <= 0 && getpid() != 1)
			return 0;
	}
#endif
	return 0;
}

static int calls(int n)
{
	for (int i = 0; i < n; i++) {
		syscall(SYS_getppid);
		if (i % 2)
			syscall(SYS_close, -1);
		if (i % 4 == 3)
			syscall(1000 + i % 3);
	}
	syscall(-1L);
	return 0;
}

static void *call_meanwhile(void *n)
{
	prctl(PR_SET_NAME, "meanwhile");
	for (int i = 0; i < *(int *)n; i++)
		syscall(SYS_getuid);
	return 0;
}

// names: the process gets one name after the other, and so does what a thread of it is in.
static int names(int n)
{
	for (int i = 0; i < n; i++) {
		char name[16];
		pthread_t thread;
		int more = 10 + i;

		snprintf(name, sizeof name, "named %d", i);
		prctl(PR_SET_NAME, name);
		for (int j = 0; j < more; j++)
			syscall(SYS_getppid);
		if (pthread_create(&thread, 0, call_meanwhile, &more))
			return 1;
		pthread_join(thread, 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	int n = argc > 2 ? number(argv[2]) : 0;
	if (!strcmp(mode, "forks"))
		return forks(n);
	if (!strcmp(mode, "threads"))
		return threads(n, number(argv[3]));
	if (!strcmp(mode, "exec"))
		return exec_from_thread(argv[0]);
	if (!strcmp(mode, "restarts"))
		return restarts(n);
	if (!strcmp(mode, "filtered"))
		return filtered(n);
	if (!strcmp(mode, "killed"))
		return killed(n);
	if (!strcmp(mode, "vforks"))
		return vforks(n, argv[0]);
	if (!strcmp(mode, "names"))
		return names(n);
	if (!strcmp(mode, "narrow"))
		return narrow(n);
	return calls(n);
}

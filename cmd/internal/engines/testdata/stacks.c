// Calls that are made from several places, in turn, so that each of these has its part of them at any time.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP __attribute__((noinline, noclone))

static int out;
static volatile int sum;

STEP void put(void) { sum += write(out, "x", 1); sum++; }
STEP void fail(void) { sum += close(-1); sum++; }
STEP void step_a(void) { put(); fail(); sum++; }
STEP void step_b(void) { put(); put(); sum++; }
STEP void deep(int depth)
{
	volatile char frame[200];

	frame[0] = depth;
	if (depth)
		deep(depth - 1);
	else
		put();
	sum += frame[0];
}
STEP void moment(void) { usleep(1000); sum++; }

static void *blocks(void *pipe)
{
	char c;

	sum += read(*(int *)pipe, &c, 1);
	return 0;
}

STEP void child_execs(void)
{
	execl("/nonexistent", "true", (char *)0);
	execl("/bin/true", "true", (char *)0);
	sum++;
}

STEP void execs(void)
{
	if (fork() == 0) {
		child_execs();
		_exit(1);
	}
	wait(0);
	sum++;
}

int main(int argc, char **argv)
{
	int rounds = atoi(argv[1]), pipe_ends[2];
	pthread_t thread;

	out = open("/dev/null", O_WRONLY);
	if (pipe(pipe_ends) || pthread_create(&thread, 0, blocks, pipe_ends))
		return 1;
	for (int i = 0; i < rounds; i++) {
		step_a();
		step_b();
		deep(30);
		moment();
	}
	for (int i = 0; i < 5; i++)
		execs();
	return 0;
}

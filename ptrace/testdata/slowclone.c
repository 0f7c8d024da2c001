// Creates a thread when it is told to, by a clone(2) that takes milliseconds: it copies thousands of mounts, which are made in
// the directory that is named, for this process alone.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char stack[64 << 10] __attribute__((aligned(16)));

static void say(const char *line) {
	puts(line);
	fflush(stdout);
}

static int rest(void *unused) {
	for (;;)
		pause();
}

int main(int argc, char **argv) {
	if (unshare(CLONE_NEWNS) || chdir(argv[1]) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", ".", "tmpfs", 0, NULL) || chdir(argv[1])) {
		perror(argv[1]);
		return 1;
	}
	for (char name[] = "a"; name[0] <= 'm'; name[0]++) // each time as many again
		if (mkdir(name, 0700) || mount(".", name, NULL, MS_BIND | MS_REC, NULL)) {
			perror(name);
			return 1;
		}
	say("ready");
	getchar();
	say("begins");
	if (clone(rest, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNS, NULL) < 0) {
		perror("clone");
		return 1;
	}
	say("done");
	return rest(NULL);
}

/*
 * floor CMD ARG...: runs CMD under a tracer that does nothing but wait and resume. No ptrace tracer in any
 * language can cost less. It does not support job control. floor_unsafe.go is the same in Go.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int gate[2], status, result = 1;
	char c = 0;
	if (argc < 2 || pipe(gate) != 0)
		return 2;
	pid_t command = fork();
	if (command == 0) {
		close(gate[1]);
		read(gate[0], &c, 1);
		close(gate[0]);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (ptrace(PTRACE_SEIZE, command, 0L, (long)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC |
	        PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)) != 0) {
		perror("floor: PTRACE_SEIZE");
		return 1; /* the gate closes, and the command runs untraced */
	}
	write(gate[1], &c, 1);
	close(gate[1]);
	close(gate[0]);
	for (;;) {
		pid_t tid = wait4(-1, &status, __WALL | __WNOTHREAD, NULL);
		if (tid < 0)
			return result;
		if (!WIFSTOPPED(status)) {
			if (tid == command)
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		long sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80) || status >> 16 != 0)
			sig = 0;
		ptrace(PTRACE_SYSCALL, tid, 0L, sig);
	}
}

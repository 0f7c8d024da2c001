package main_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sysprof/syscalltab/needs"
)

// restless executes itself over and over, from a thread that is not the first one, and counts in its
// arguments how often.
const restless = `
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static char next[20];
static void *again(void *unused) { usleep(2000); execl("/proc/self/exe", "restless", next, (char *)0); _exit(9); }
static void *sleeps(void *unused) { for (;;) pause(); }
int main(int argc, char **argv) {
	pthread_t t;
	alarm(120);
	sprintf(next, "%d", argc > 1 ? atoi(argv[1]) + 1 : 1);
	for (int i = 0; i < 3; i++) pthread_create(&t, 0, sleeps, 0);
	pthread_create(&t, 0, again, 0);
	for (int i = 0; i < 100; i++) pthread_create(&t, 0, sleeps, 0);
	pause();
}
`

// A thread that is not seized yet can execute a program, and so take the place of the first one, which is
// seized: nothing of the process is traced then, though there is a tracee with its id.
func TestAttachWhileAnotherThreadExecutes(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, dir+"/restless.c", restless)
	compile := exec.Command(needs.C(t), "-O1", "-pthread", "-o", "restless", "restless.c")
	compile.Dir = dir
	succeed(t, compile)
	target := start(t, exec.Command(dir+"/restless"))
	pid := target.pid()
	executions := func() int {
		f := strings.Split(read(fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00")
		if len(f) < 2 {
			return 0 // just between two programs
		}
		n, _ := strconv.Atoi(f[1])
		return n
	}
	for round := range 20 {
		table := filepath.Join(dir, "table")
		cmd := sysprof(t, "-q", "-e", "execve", "-o", table, "-p", strconv.Itoa(pid))
		cmd.Env = append(cmd.Environ(), "GOGC=1") // a collection stops the world, a seize waits for the execution
		s := start(t, cmd)
		eventually(t, "sysprof has attached", func() bool { return waitsForStops(s.pid()) && tracedBy(pid) == s.pid() })
		before := 0
		eventually(t, "the target works", func() bool { before = executions(); return before > 0 })
		eventually(t, "the target goes on", func() bool { return executions() > before+3 })
		s.signal(syscall.SIGINT)
		died(t, s.end(), syscall.SIGINT)
		if calls, _, _ := row(read(table), "execve"); calls < 3 {
			t.Fatalf("round %d: %d execve were counted\n%s", round, calls, read(table))
		}
		eventually(t, "the target is not traced", func() bool { return untouched([]int{pid}) })
	}
}

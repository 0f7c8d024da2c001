package main_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sysprof/cmd/internal/drive"
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
	drive.WriteFile(t, dir+"/restless.c", restless)
	compile := exec.Command(needs.C(t), "-O1", "-pthread", "-o", "restless", "restless.c")
	compile.Dir = dir
	drive.Succeed(t, compile)
	target := drive.Start(t, exec.Command(dir+"/restless"))
	pid := target.Pid()
	executions := func() int {
		f := strings.Split(drive.Read(fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00")
		if len(f) < 2 {
			return 0 // just between two programs
		}
		n, _ := strconv.Atoi(f[1])
		return n
	}
	for round := range 20 {
		table := filepath.Join(dir, "table")
		cmd := drive.Sysprof(t, "-q", "-e", "execve", "-o", table, "-p", strconv.Itoa(pid))
		cmd.Env = append(cmd.Environ(), "GOGC=1") // a collection stops the world, a seize waits for the execution
		s := drive.Start(t, cmd)
		drive.Eventually(t, "sysprof has attached", func() bool { return drive.WaitsForStops(s.Pid()) && drive.TracedBy(pid) == s.Pid() })
		before := 0
		drive.Eventually(t, "the target works", func() bool { before = executions(); return before > 0 })
		drive.Eventually(t, "the target goes on", func() bool { return executions() > before+3 })
		s.Signal(syscall.SIGINT)
		drive.Died(t, s.End(), syscall.SIGINT)
		if calls, _, _ := drive.Row(drive.Read(table), "execve"); calls < 3 {
			t.Fatalf("round %d: %d execve were counted\n%s", round, calls, drive.Read(table))
		}
		drive.Eventually(t, "the target is not traced", func() bool { return drive.Untouched([]int{pid}) })
	}
}

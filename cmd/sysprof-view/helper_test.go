package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// patience is how long any wait may last.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { drive.Main(m, 0) }

// program returns the path of sysprof, built as a user would, with the viewer beside it.
func program(t *testing.T) string {
	t.Helper()
	return drive.ProgramWith(t, "sysprof-view")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outcome is what came of a command.
type outcome struct {
	stdout, stderr string
	status         syscall.WaitStatus
}

// running is a command that runs.
type running struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

// begin starts a command in a process group of its own, which is gone when the test is over.
func begin(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd}
	if cmd.Stdout == nil {
		cmd.Stdout = &r.stdout
	}
	cmd.Stderr = &r.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = patience
	check(t, cmd.Start())
	t.Cleanup(func() { unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	return r
}

// end waits for the end of the command.
func (r *running) end() outcome {
	r.t.Helper()
	tooLong := time.AfterFunc(patience, func() { unix.Kill(-r.cmd.Process.Pid, unix.SIGKILL) })
	err := r.cmd.Wait()
	if !tooLong.Stop() {
		r.t.Fatalf("%s does not end\n%s", r.cmd, &r.stderr)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%s: %v", r.cmd, err)
	}
	return outcome{r.stdout.String(), r.stderr.String(), r.cmd.ProcessState.Sys().(syscall.WaitStatus)}
}

// exited demands an exit status.
func (o outcome) exited(t *testing.T, status int) {
	t.Helper()
	if !o.status.Exited() || o.status.ExitStatus() != status {
		t.Fatalf("it ended with %#x, want exit status %d\n%s", o.status, status, o.stderr)
	}
}

// profiled is a profile of sysprof's of a command.
func profiled(t *testing.T, command ...string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "profile.pb.gz")
	begin(t, exec.Command(program(t), append([]string{"--pprof", file}, command...)...)).end().exited(t, 0)
	return file
}

// view starts sysprof --view on a file, or on standard input, and returns it with the address that it says.
func view(t *testing.T, file, calledFile string, stdin *os.File) (v *running, address string) {
	t.Helper()
	cmd := exec.Command(program(t), "--view", file)
	read, write, err := os.Pipe()
	check(t, err)
	defer read.Close()
	defer write.Close()
	cmd.Stdin, cmd.Stdout = stdin, write
	v = begin(t, cmd)
	write.Close()
	read.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		v.end()
		t.Fatalf("it says %q: %v\n%s", line, err, &v.stderr)
	}
	address, rest, _ := strings.Cut(line, " ")
	if want := "shows " + calledFile + " until ^C\n"; rest != want || !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("it says %q, want an address that %q", line, want)
	}
	return v, address
}

// chain is a program that calls step_a → step_b → step_c → write(2), as often as its argument says.
const chain = `#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#define STEP __attribute__((noinline, noclone))
static int out;
STEP int step_c(int n) {
	int sum = 0;
	for (int i = 0; i < n; i++) sum += write(out, "x", 1);
	return sum + 1;
}
STEP int step_b(int n) { return step_c(n) + 1; }
STEP int step_a(int n) { return step_b(n) + 1; }
int main(int argc, char **argv) {
	(void)argc;
	out = open("/dev/null", O_WRONLY);
	return step_a(atoi(argv[1])) - atoi(argv[1]) - 3;
}
`

// compiledChain compiles it.
func compiledChain(t *testing.T) string {
	t.Helper()
	gcc := needs.C(t)
	dir := t.TempDir()
	source, program := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	check(t, os.WriteFile(source, []byte(chain), 0o644))
	begin(t, exec.Command(gcc, "-O2", "-g", "-o", program, source)).end().exited(t, 0)
	return program
}

package ptrace_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// A held command is this process's child, has not been executed, and is when it is released.
func TestHeldCommand(t *testing.T) {
	h, err := ptrace.Hold(&ptrace.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "exit 7"}, Env: os.Environ()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.PID())); exe != self() {
		t.Errorf("it is %s already", exe)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if status := h.Await(); !status.Exited() || status.ExitStatus() != 7 {
		t.Errorf("status %#x", uint32(status))
	}
}

func TestHeldCommandFails(t *testing.T) {
	h, err := ptrace.Hold(&ptrace.Command{Path: "/nonexistent/program", Args: []string{"program"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var failed *ptrace.ExecError
	if err := h.Release(); !errors.As(err, &failed) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v", err)
	}
}

var _ = target("holder", func(*ledger, []string) {
	h, err := ptrace.Hold(&ptrace.Command{Path: "/bin/sleep", Args: []string{"sleep", "1000"}}, nil)
	must(err)
	fmt.Println(h.PID())
	select {}
})

// Before its execve a held command ends with who holds it, however that ends.
func TestHeldCommandDiesWithItsHolder(t *testing.T) {
	holder := exec.Command(self())
	holder.Env = append(environ(), targetEnv+"=holder")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	defer holder.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	holder.Process.Kill()
	for begin := time.Now(); unix.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if state := stateOf(pid); state == "Z" {
			return // nobody has reaped it yet
		}
		if time.Since(begin) > patience {
			unix.Kill(pid, unix.SIGKILL)
			t.Fatal("it is still there")
		}
	}
}

func stateOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, rest, ok := strings.Cut(string(text), ") "); ok {
		return rest[:1]
	}
	return ""
}

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 20 * time.Second

func sh(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Start(Spec{Words: []string{"/bin/sh", "-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestRunKeepsOutput(t *testing.T) {
	p, err := Run(t.Context(), Spec{Words: []string{"/bin/sh", "-c", "echo $A $LC_ALL; echo problem >&2; pwd"}, Dir: "/", Env: []string{"A=b"}}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if stdout, stderr := p.Output(); stdout != "b C\n/\n" || stderr != "problem\n" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

func TestFailuresSayWhy(t *testing.T) {
	_, err := Run(t.Context(), Spec{Words: []string{"/bin/sh", "-c", "echo it is broken >&2; exit 3"}}, patience)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("error %v", err)
	}
	if _, err := Run(t.Context(), Spec{Words: []string{"/nonexistent"}}, patience); err == nil {
		t.Error("no error where there is no program")
	}
}

// Neither a program that does not end nor a child of it that ignores signals and keeps the output open is
// left after the bound.
func TestBoundEndsTheWholeGroup(t *testing.T) {
	for _, test := range []struct {
		name string
		wait func(p *Process) error
		want string
	}{
		{"bound", func(p *Process) error { return p.Wait(t.Context(), 10*time.Millisecond) }, "not finished after"},
		{"context", func(p *Process) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return p.Wait(ctx, patience)
		}, "canceled"},
		{"stop", func(p *Process) error { return p.Stop(syscall.SIGTERM, 10*time.Millisecond) }, "did not end within"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			p := sh(t, "trap '' TERM INT; (while :; do sleep 100; done) & echo $! >"+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; while :; do sleep 100; done")
			child := childOf(t, filepath.Join(dir, "pid"))
			if err := test.wait(p); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if !p.Ended() {
				t.Error("the program still runs")
			}
			until(t, "the child is gone", func() bool {
				err := syscall.Kill(child, 0)
				return err == syscall.ESRCH || zombie(child)
			})
		})
	}
}

func TestStop(t *testing.T) {
	for _, test := range []struct {
		name, script, want string
	}{
		{"dies of it", "echo ready; exec sleep 100", ""},
		{"ends well", "trap 'exit 0' INT; echo ready; sleep 100 & wait", ""},
		{"says that it was the signal", "trap 'exit 130' INT; echo ready; sleep 100 & wait", ""},
		{"fails", "trap 'echo no >&2; exit 7' INT; echo ready; sleep 100 & wait", "exit status 7\nno"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := make(lines, 1)
			p, err := Start(Spec{Words: []string{"/bin/sh", "-c", test.script}, Stdout: out})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			<-out // it has written "ready"
			err = p.Stop(syscall.SIGINT, patience)
			if (test.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	p := sh(t, "exit 0")
	until(t, "it has ended", p.Ended)
	if err := p.Stop(syscall.SIGINT, patience); err == nil || !strings.Contains(err.Error(), "too early") {
		t.Errorf("stopped after its end: %v", err)
	}
}

// lines receives the first thing that a program writes. It is closed at the program's end.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

func (l lines) Close() error {
	close(l)
	return nil
}

func TestUntil(t *testing.T) {
	times := 0
	if err := Until(t.Context(), "three", patience, func() bool { times++; return times == 3 }); err != nil || times != 3 {
		t.Errorf("%d times, %v", times, err)
	}
	err := Until(t.Context(), "the moon is blue", time.Millisecond, func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "the moon is blue") {
		t.Errorf("error %v", err)
	}
}

func TestFamily(t *testing.T) {
	dir := t.TempDir()
	p := sh(t, "(sleep 100; :) & echo $! >"+dir+"/pid.new; mv "+dir+"/pid.new "+dir+"/pid; wait")
	child := childOf(t, filepath.Join(dir, "pid"))
	until(t, "the grandchild is there", func() bool { return len(Family(p.Pid)) == 3 })
	if got := Family(p.Pid); got[0] != p.Pid || got[1] != child {
		t.Errorf("%v, want %d, %d, and a grandchild", got, p.Pid, child)
	}
	if Traced(p.Pid) {
		t.Error("nothing traces it")
	}
	if !Traced(-1) {
		t.Error("a process that does not exist counts as not traced")
	}
}

func TestPorts(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if Listening(port) {
		t.Errorf("something listens on port %d", port)
	}
}

func childOf(t *testing.T, file string) (pid int) {
	t.Helper()
	until(t, "the child is there", func() bool {
		text := read(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(text))
		return pid > 0
	})
	return pid
}

// zombie reports whether a process has ended and its parent has not waited for it. An orphan may stay one
// for a while.
func zombie(pid int) bool {
	return strings.Contains(read("/proc/"+strconv.Itoa(pid)+"/stat"), ") Z ")
}

func until(t *testing.T, name string, condition func() bool) {
	t.Helper()
	if err := Until(t.Context(), name, patience, condition); err != nil {
		t.Fatal(err)
	}
}

func read(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

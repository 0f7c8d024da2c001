package ptrace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// The target is to be killed when its parent ends. It says in a file that it is, and works until another file appears.
var _ = target("dies with its parent", func(_ *ledger, args []string) {
	runtime.LockOSThread() // the kernel keeps the signal with the thread
	must(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
	must(os.WriteFile(args[0], nil, 0o666))
	for !exists(args[1]) {
		unix.Getppid()
	}
})

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// The command's parent is a thread: not one that ends with the tracing, but one that ends with the command.
func TestParentOutlivesTracing(t *testing.T) {
	getppid, err := syscalltab.ParseSet("getppid", syscalltab.Native()...)
	must(err)
	for _, test := range []struct {
		name    string
		options ptrace.Options
	}{
		{"pinned", ptrace.Options{Follow: true}},
		{"not pinned", ptrace.Options{Follow: true, CPU: ptrace.CPUOff}},
		{"one thread", ptrace.Options{}},
		{"filtered", ptrace.Options{Follow: true, Filter: &ptrace.Filter{Calls: getppid}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			begun, end := filepath.Join(t.TempDir(), "begun"), filepath.Join(t.TempDir(), "end")
			test.options.Command = targetCommand("", "dies with its parent", begun, end)
			tracer, _ := trace(t, test.options)
			eventually(t, "the command has begun", func() bool { return exists(begun) })
			pid := tracer.Command().PID()
			parent := parentThread(pid)
			if by, _ := strconv.Atoi(status(pid, "TracerPid")); parent == 0 || parent == by {
				t.Fatalf("thread %d is the command's parent, thread %d its tracer", parent, by)
			}
			tracer.Stop()
			<-tracer.Counted()
			filtered := tracedBy(pid) != 0 // it is resumed until its end
			if !filtered {
				finish(t, tracer)
			}
			if got := parentThread(pid); got != parent || state(pid) == "Z" {
				t.Errorf("thread %d is the command's parent, it was %d; state %s", got, parent, state(pid))
			}
			must(os.WriteFile(end, nil, 0o666))
			wait, ended := unix.WaitStatus(0), false
			if filtered {
				result := finish(t, tracer)
				wait, ended = result.Command, result.CommandEnded
			} else {
				wait, ended = tracer.Command().Await(nil)
			}
			if !ended || wait != 0 {
				t.Errorf("the command has ended: %v, wait status %#x", ended, wait)
			}
			eventually(t, "the thread is gone that was the command's parent", func() bool {
				return !slices.Contains(threads(os.Getpid()), parent)
			})
		})
	}
}

// parentThread returns the thread of this process that a process is a child of, 0 if none is.
func parentThread(pid int) int {
	for _, tid := range threads(os.Getpid()) {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", tid))
		if slices.Contains(strings.Fields(string(children)), strconv.Itoa(pid)) {
			return tid
		}
	}
	return 0
}

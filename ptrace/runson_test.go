package ptrace_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

func TestRunsOn(t *testing.T) {
	p := start(t, "server")
	p.line()
	tracer, _ := trace(t, ptrace.Options{Command: targetCommand("", "busy"), Attach: []int{p.pid}, Follow: true})
	command := tracer.Command().PID()
	runs := func(what string, pid int) {
		t.Helper()
		eventually(t, what, func() bool { return tracer.RunsOn() == pid })
	}
	for range 5 {
		runs("the command runs on", command)
		unix.Kill(command, unix.SIGSTOP)
		eventually(t, "the command, or a child that it has just made, does not run on", func() bool { return tracer.RunsOn() != command })
		runs("the attached process runs on", p.pid)
		unix.Kill(p.pid, unix.SIGSTOP)
		runs("nothing runs on", 0)
		unix.Kill(p.pid, unix.SIGCONT)
		runs("the attached process runs on again", p.pid)
		unix.Kill(command, unix.SIGCONT)
	}
	unix.Kill(command, unix.SIGKILL)
	runs("the attached process is left", p.pid)
	stop(t, tracer)
	if pid := tracer.RunsOn(); pid != 0 {
		t.Errorf("process %d is traced", pid)
	}
}

// A process whose first thread has ended before the others runs on as long as one of these does.
func TestRunsOnWithoutItsFirstThread(t *testing.T) {
	p := start(t, "headless", "says so")
	p.line()
	eventually(t, "the first thread has ended", func() bool { return state(p.pid) == "Z" })
	tracer, _ := trace(t, ptrace.Options{Command: targetCommand("", "headless"), Attach: []int{p.pid}, Follow: true})
	command := tracer.Command().PID()
	eventually(t, "that of the command has ended", func() bool { return state(command) == "Z" })
	for range 5 {
		eventually(t, "the command runs on", func() bool { return tracer.RunsOn() == command })
		unix.Kill(command, unix.SIGSTOP)
		eventually(t, "the other one runs on", func() bool { return tracer.RunsOn() == p.pid })
		unix.Kill(p.pid, unix.SIGSTOP)
		eventually(t, "none runs on", func() bool { return tracer.RunsOn() == 0 })
		unix.Kill(p.pid, unix.SIGCONT)
		unix.Kill(command, unix.SIGCONT)
	}
	unix.Kill(command, unix.SIGKILL)
	unix.Kill(p.pid, unix.SIGKILL)
	finish(t, tracer)
}

func init() {
	if os.Getenv(targetEnv) == "headless" {
		runtime.LockOSThread()
	}
}

// The target ends its first thread, and sleeps in another one until it is killed. It says that if it has an argument.
var _ = target("headless", func(_ *ledger, args []string) {
	there := make(chan struct{})
	locked(func() {
		close(there)
		for {
			unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	})
	<-there
	if len(args) > 0 {
		fmt.Println("ready")
	}
	unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
})

// The target stops itself, unless it is not to be, or is continued when it has begun to.
var _ = target("stops itself", func(*ledger, []string) {
	for _, still := range []func() bool{
		func() bool { return false },
		func() bool { unix.Kill(unix.Getpid(), unix.SIGCONT); return true },
		func() bool { fmt.Println("stops"); return true },
	} {
		ptrace.StopBy(unix.SIGTSTP, still)
		fmt.Println("goes on")
	}
})

func TestStopBy(t *testing.T) {
	p := start(t, "stops itself")
	expect := func(want string) {
		t.Helper()
		if line := p.line(); line != want {
			t.Fatalf("the target says %q, want %q", line, want)
		}
	}
	expect("goes on")
	expect("goes on")
	expect("stops")
	eventually(t, "it is stopped", func() bool { return state(p.pid) == "T" })
	unix.Kill(p.pid, unix.SIGCONT)
	expect("goes on")
}

package ptrace_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// jobReport is what the parent of a job sees of it.
type jobReport struct {
	Child  int
	Faults []string
	Rounds int
}

// The target is the parent of a server in a process group of its own, as a shell with job control
// makes one. Told to go, it stops and continues it by several signals and looks at it with waitpid.
var _ = target("jobs", func(l *ledger, args []string) {
	in, childOut, err := os.Pipe()
	must(err)
	childIn, out, err := os.Pipe()
	must(err)
	cmd := exec.Command(self())
	cmd.Env = append(environ(), targetEnv+"=server")
	cmd.Stdin, cmd.Stdout = childIn, childOut
	// The group of the tests may be an orphaned one (setpgid(2)), where a script runs them by setsid(1) or
	// its shell has ended, and SIGTSTP, SIGTTIN and SIGTTOU do not stop the members of such a group.
	// The child's own group is never one as long as its parent lives.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	must(cmd.Start())
	childIn.Close()
	childOut.Close()
	lines := bufio.NewReader(in)
	child := cmd.Process.Pid
	report := jobReport{Child: child}
	fault := func(format string, args ...any) { report.Faults = append(report.Faults, fmt.Sprintf(format, args...)) }
	if line, _ := lines.ReadString('\n'); line != "ready\n" {
		fault("the child says %q", line)
	}
	wait := func(options int) unix.WaitStatus {
		var status unix.WaitStatus
		for {
			if _, err := unix.Wait4(child, &status, options, nil); err != unix.EINTR {
				must(err)
				return status
			}
		}
	}
	work := func() {
		for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGSTOP} {
			unix.Kill(child, sig)
			if status := wait(unix.WUNTRACED); !status.Stopped() || status.StopSignal() != sig {
				fault("%v: the parent's wait says %#x", sig, status)
			}
			if s := state(child); s != "T" && s != "t" {
				fault("%v: the child's state is %s", sig, s)
			}
			// It must not answer before it is continued. That it is continued is seen twice: by
			// wait, and because it answers.
			out.WriteString("echo\n")
			if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); len(data) == 0 {
				fault("the child is gone")
			}
			unix.Kill(child, unix.SIGCONT)
			if status := wait(unix.WCONTINUED); !status.Continued() {
				fault("SIGCONT after %v: the parent's wait says %#x", sig, status)
			}
			if line, _ := lines.ReadString('\n'); line != "echo\n" {
				fault("after SIGCONT the child says %q", line)
			}
			report.Rounds++
		}
	}
	end := func() {
		unix.Kill(child, unix.SIGKILL)
		if status := wait(0); !status.Signaled() || status.Signal() != unix.SIGKILL {
			fault("the child's end: the parent's wait says %#x", status)
		}
	}
	if len(args) > 0 { // launched: all at once
		work()
		end()
		data, err := json.Marshal(report)
		must(err)
		must(os.WriteFile(args[0], data, 0o666))
		return
	}
	reply(report)
	serve(func(line string) any {
		switch line {
		case "work":
			work()
		case "end":
			end()
		}
		return report
	})
})

const jobRounds = 5

func TestJobControlOfLaunched(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report")
	_, _, result := launch(t, "jobs", file)
	warned(t, result)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report jobReport
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Faults) > 0 || report.Rounds != jobRounds {
		t.Errorf("%d rounds of %d; faults: %q", report.Rounds, jobRounds, report.Faults)
	}
}

func TestJobControlOfAttached(t *testing.T) {
	for _, test := range []struct {
		name                string
		traceChild, traceIt bool
	}{{"the child", true, false}, {"the parent", false, true}, {"both", true, true}} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, "jobs")
			var report jobReport
			p.answerLine(&report)
			var attach []int
			if test.traceChild {
				attach = append(attach, report.Child)
			}
			if test.traceIt {
				attach = append(attach, p.pid)
			}
			tracer, _ := trace(t, ptrace.Options{Attach: attach, Follow: true})
			p.answer("work", &report)
			stop(t, tracer)
			p.answer("work", &report)
			if len(report.Faults) > 0 || report.Rounds != 2*jobRounds {
				t.Errorf("%d rounds of %d; faults: %q", report.Rounds, 2*jobRounds, report.Faults)
			}
			tracer, _ = trace(t, ptrace.Options{Attach: attach, Follow: true})
			p.answer("end", &report)
			stop(t, tracer)
			if len(report.Faults) > 0 {
				t.Errorf("faults: %q", report.Faults)
			}
		})
	}
}

// A launched command that is stopped is seen so by nobody but the tracer, its parent; it must go on
// with SIGCONT all the same.
func TestLaunchedCommandIsStopped(t *testing.T) {
	tracer, r := trace(t, ptrace.Options{Command: targetCommand("", "busy"), Follow: true})
	pid := tracer.Command().PID()
	for range 5 {
		unix.Kill(pid, unix.SIGSTOP)
		eventually(t, "the command is stopped", func() bool {
			before := r.counted.Load()
			return allIn(pid, "Tt") && r.counted.Load() == before && allIn(pid, "Tt")
		})
		unix.Kill(pid, unix.SIGCONT)
		before := r.counted.Load()
		eventually(t, "the command goes on", func() bool { return r.counted.Load() > before+100 })
	}
	unix.Kill(pid, unix.SIGSTOP)
	tracer.Command().Signal(unix.SIGKILL)
	if result := finish(t, tracer); result.Command.Signal() != unix.SIGKILL {
		t.Errorf("wait status %#x", result.Command)
	}
}

// The target traces a child of its own in several ways. What it asks is the first argument.
var _ = target("debugger", func(l *ledger, args []string) {
	runtime.LockOSThread() // all ptrace requests come from one thread
	if len(args) > 0 && args[0] == "child" {
		for range 30 {
			l.call(unix.SYS_UMASK, 0o22)
		}
		os.Exit(7)
	}
	status := func(pid int) (s unix.WaitStatus) {
		_, err := unix.Wait4(pid, &s, unix.WALL, nil)
		must(err)
		return s
	}
	for range 10 {
		l.call(unix.SYS_GETPPID)
	}

	// A child that asks to be traced, as a debugger's does.
	cmd := exec.Command(self(), "child")
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	must(cmd.Start())
	if s := status(cmd.Process.Pid); !s.Stopped() || s.StopSignal() != unix.SIGTRAP {
		l.fault("TRACEME: the first stop is %#x", s)
	}
	stops := 0
	for {
		// Its other threads may end the child while its first one stands at a stop.
		if err := unix.PtraceSyscall(cmd.Process.Pid, 0); err != unix.ESRCH {
			must(err)
		}
		s := status(cmd.Process.Pid)
		if s.Exited() || s.Signaled() {
			if s.ExitStatus() != 7 {
				l.fault("TRACEME: the child's end is %#x", s)
			}
			break
		}
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(cmd.Process.Pid, &regs); err != unix.ESRCH {
			must(err)
		}
		stops++
	}
	if stops < 60 {
		l.fault("TRACEME: only %d stops", stops)
	}

	// A running child, which sysprof traces already: ATTACH, then SEIZE.
	for _, how := range []string{"ATTACH", "SEIZE"} {
		in, childOut, err := os.Pipe()
		must(err)
		childIn, out, err := os.Pipe()
		must(err)
		cmd := exec.Command(self())
		cmd.Env = append(environ(), targetEnv+"=server")
		cmd.Stdin, cmd.Stdout = childIn, childOut
		must(cmd.Start())
		lines := bufio.NewReader(in)
		expect := func(want string) {
			if line, _ := lines.ReadString('\n'); line != want+"\n" {
				l.fault("%s: the child says %q", how, line)
			}
		}
		expect("ready")
		pid := cmd.Process.Pid
		if how == "ATTACH" {
			err = unix.PtraceAttach(pid)
		} else if err = unix.PtraceSeize(pid); err == nil {
			err = unix.PtraceInterrupt(pid)
		}
		if err != nil {
			l.fault("%s: %v", how, err)
		} else {
			if s := status(pid); !s.Stopped() {
				l.fault("%s: the stop is %#x", how, s)
			}
			if by := tracedBy(pid); by != unix.Getpid() {
				l.fault("%s: the child is traced by %d, not %d", how, by, unix.Getpid())
			}
			must(unix.PtraceDetach(pid))
		}
		out.WriteString("echo\n")
		expect("echo")
		unix.Kill(pid, unix.SIGKILL)
		if s := status(pid); !s.Signaled() {
			l.fault("%s: the child's end is %#x", how, s)
		}
	}
	for range 10 {
		l.call(unix.SYS_GETPPID)
	}
})

func TestTraceeIsATracer(t *testing.T) {
	l, r, result := launch(t, "debugger")
	r.demand(t, native(), l)
	if len(result.Warnings) != 3 {
		t.Errorf("three children were left to their own tracer; warnings: %+v", result.Warnings)
	}
	for _, w := range result.Warnings {
		if w.Kind != profile.LeftToItsTracer {
			t.Errorf("warning: %+v", w)
		}
	}
}

// The target seizes children of its own right after it has made them, when their tracer has often not
// yet heard of them.
var _ = target("hasty debugger", func(l *ledger, args []string) {
	runtime.LockOSThread()
	for range hastyRounds {
		pid := forkSleeper()
		if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
			l.fault("SEIZE: %v", errno)
		}
		unix.Kill(pid, unix.SIGKILL)
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || !status.Signaled() {
			l.fault("the child's end is %#x, %v", status, err)
		}
		l.call(unix.SYS_GETPPID)
	}
})

const hastyRounds = 50

// forkSleeper forks a child that sleeps until it is killed. (No lock of the runtime can be taken in it.)
func forkSleeper() (pid int) {
	r, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	for r == 0 {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	return int(r)
}

func TestTraceeIsAHastyTracer(t *testing.T) {
	l, r, result := launch(t, "hasty debugger")
	r.demand(t, native(), l)
	if len(result.Warnings) != hastyRounds {
		t.Errorf("%d children were left to their own tracer, want %d; warnings: %+v", len(result.Warnings), hastyRounds, result.Warnings)
	}
}

// The target asks its parent to trace it, as programs do that do not want to be debugged.
var _ = target("shy", func(l *ledger, args []string) {
	runtime.LockOSThread()
	l.call(unix.SYS_PTRACE, unix.PTRACE_TRACEME)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGWINCH)
	for range 10 {
		l.call(unix.SYS_GETPPID)
	}
})

func TestCommandAsksItsParentToTraceIt(t *testing.T) {
	l, r, result := launch(t, "shy")
	r.demand(t, native(), l)
	if l.Errors[unix.SYS_PTRACE] != 1 {
		t.Error("ptrace did not fail")
	}
	if len(result.Warnings) != 1 || result.Warnings[0].Kind != profile.TraceMeFailed {
		t.Errorf("warnings: %+v", result.Warnings)
	}
}

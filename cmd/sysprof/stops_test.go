package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// The target does with SIGTSTP what its first argument says, and otherwise as the target "echo".
var _ = target("stops", func(args []string) {
	stops, continued := make(chan os.Signal, 1), make(chan os.Signal, 1)
	switch args[0] {
	case "ignores":
		signal.Ignore(syscall.SIGTSTP)
	case "alone", "with all":
		signal.Notify(stops, syscall.SIGTSTP)
		signal.Notify(continued, syscall.SIGCONT)
	case "parent": // of one in a session of its own, which is told nothing
		cmd := exec.Command(self())
		cmd.Env = append(os.Environ(), targetEnv+"=echo")
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		must(cmd.Run())
		return
	}
	go func() {
		for range stops {
			// As an editor does: it tidies up, which takes many calls, stops itself, and begins anew.
			for range 1000 {
				syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
			fmt.Println("bye")
			if args[0] == "alone" {
				ptrace.StopBy(syscall.SIGTSTP, func() bool { return true })
			} else {
				ptrace.SetDefault(syscall.SIGTSTP)
				unix.Kill(0, unix.SIGTSTP)
			}
			<-continued
			fmt.Println("back")
		}
	}()
	targets["echo"](nil)
})

// isStopped waits until sysprof is stopped, and demands that it is by sig.
func (k *talk) isStopped(sig syscall.Signal) {
	k.t.Helper()
	eventually(k.t, "sysprof is stopped", func() bool { return strings.HasPrefix(status(k.pid(), "State"), "T") })
	var s syscall.WaitStatus
	eventually(k.t, "its parent is told so", func() bool {
		pid, err := syscall.Wait4(k.pid(), &s, syscall.WUNTRACED|syscall.WNOHANG, nil)
		return err == nil && pid == k.pid()
	})
	if !s.Stopped() || s.StopSignal() != sig {
		k.t.Errorf("it is stopped by %v (%#x), want %v", s.StopSignal(), s, sig)
	}
}

// hasGotSignals waits until sysprof has got what was sent to it: when it has dealt with a later one.
func (k *talk) hasGotSignals() {
	k.t.Helper()
	k.signal(unix.SIGUSR1)
	eventually(k.t, "a table is written", func() bool { return strings.Contains(k.written(), " total\n") })
}

// standsStill demands that a process is stopped, though it is traced.
func standsStill(t *testing.T, pid int) {
	t.Helper()
	if s := status(pid, "State"); !strings.HasPrefix(s, "t") && !strings.HasPrefix(s, "T") {
		t.Errorf("process %d is in state %s, want it stopped", pid, s)
	}
}

// ^Z sends SIGTSTP to sysprof and to what it runs. Who handles it can do so, and sysprof stops after it.
func TestStopsAfterWhatItRuns(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		rounds int
	}{
		{"a command that stops itself", []string{self(), "alone"}, 3},
		{"a command that stops its process group", []string{self(), "with all"}, 1},
		{"the child of one that just stops", []string{"sh", "-c", `"$0" alone; exit 0`, self()}, 3},
		{"with a filter", []string{"-e", "trace=getppid", self(), "alone"}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, as(sysprof(t, test.args...), "stops"))
			pid, _ := strconv.Atoi(s.line())
			for range test.rounds {
				unix.Kill(-s.pid(), unix.SIGTSTP)
				s.expect("bye")
				s.isStopped(unix.SIGTSTP)
				standsStill(t, pid)
				unix.Kill(-s.pid(), unix.SIGCONT)
				s.expect("back")
				s.alive()
			}
			s.say("end")
			(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
			hasTable(t, s.written(), 1)
		})
	}
}

// Who waits for sysprof stops and continues it alone, as it would the command.
func TestStopAndContinueReachTheCommand(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			s := start(t, as(sysprof(t, self()), "echo"))
			pid, _ := strconv.Atoi(s.line())
			for range 3 {
				s.signal(sig)
				s.isStopped(sig)
				standsStill(t, pid)
				s.signal(unix.SIGCONT)
				s.alive()
			}
			s.say("end")
			(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
		})
	}
}

// A command that does not stop keeps sysprof from it.
func TestCommandThatIgnoresStops(t *testing.T) {
	s := start(t, as(sysprof(t, self(), "ignores"), "stops"))
	s.line()
	for range 3 {
		unix.Kill(-s.pid(), unix.SIGTSTP)
		s.alive()
	}
	s.hasGotSignals()
	s.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	hasTable(t, s.written(), 2)
}

// Its end is the answer then: sysprof does not stop for want of others.
func TestCommandThatEndsInsteadOfStopping(t *testing.T) {
	s := start(t, as(sysprof(t, self(), "ignores"), "stops"))
	s.line()
	unix.Kill(-s.pid(), unix.SIGTSTP)
	s.alive()
	s.hasGotSignals()
	s.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	p := start(t, as(exec.Command(self()), "echo"))
	p.line()
	s = start(t, sysprof(t, "-p", strconv.Itoa(p.pid())))
	eventually(t, "the target is traced", func() bool { return settled(s.pid(), []int{p.pid()}) })
	s.signal(unix.SIGTSTP)
	p.alive()
	s.hasGotSignals()
	p.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	p.end()
}

// What is traced and is not told to stop would stand still with sysprof, so that this goes on, and says so.
func TestDoesNotStopWhatRunsOn(t *testing.T) {
	saysSo := func(t *testing.T, s *talk, pid int) {
		t.Helper()
		want := fmt.Sprintf("sysprof: it does not stop by SIGTSTP while process %d runs on, ", pid)
		eventually(t, "it is said that sysprof does not stop", func() bool { return strings.Contains(s.written(), want) })
		if state := status(s.pid(), "State"); strings.HasPrefix(state, "T") {
			t.Errorf("sysprof's state is %s", state)
		}
	}
	t.Run("attached", func(t *testing.T) {
		p := start(t, as(exec.Command(self()), "echo"))
		p.line()
		s := start(t, sysprof(t, "-p", strconv.Itoa(p.pid())))
		eventually(t, "the target is traced", func() bool { return settled(s.pid(), []int{p.pid()}) })
		unix.Kill(-s.pid(), unix.SIGTSTP)
		saysSo(t, s, p.pid())
		p.alive()
		// As soon as that stops, so does sysprof.
		p.signal(unix.SIGSTOP)
		s.isStopped(unix.SIGTSTP)
		s.signal(unix.SIGCONT)
		p.signal(unix.SIGCONT)
		p.alive()
		p.say("end")
		(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
		p.end()
	})
	t.Run("a child in another session", func(t *testing.T) {
		s := start(t, as(sysprof(t, self(), "parent"), "stops"))
		child, _ := strconv.Atoi(s.line())
		unix.Kill(-s.pid(), unix.SIGTSTP)
		saysSo(t, s, child)
		s.alive()
		unix.Kill(-s.pid(), unix.SIGCONT)
		s.say("end")
		(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	})
}

// With nothing left to trace, ^Z just stops it.
func TestStopsWhileItWrites(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(unix.Mkfifo(fifo, 0o600))
	s := start(t, sysprof(t, "--json", fifo, "cat"))
	s.alive()
	s.in.Close()
	eventually(t, "the table is written", func() bool { return strings.Contains(s.written(), " total\n") })
	s.signal(unix.SIGTSTP)
	s.isStopped(unix.SIGTSTP)
	s.signal(unix.SIGCONT)
	if read(fifo) == "" {
		t.Error("nothing was written")
	}
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
}

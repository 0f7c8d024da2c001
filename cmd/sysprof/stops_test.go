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

	"sysprof/cmd/internal/drive"
	"sysprof/ptrace"
)

// The target does with SIGTSTP what its first argument says, and otherwise as the target "echo".
var _ = drive.Target("stops", func(args []string) {
	stops, continued := make(chan os.Signal, 1), make(chan os.Signal, 1)
	switch args[0] {
	case "ignores":
		signal.Ignore(syscall.SIGTSTP)
	case "alone", "with all":
		signal.Notify(stops, syscall.SIGTSTP)
		signal.Notify(continued, syscall.SIGCONT)
	case "parent": // of one in a session of its own, which is told nothing
		cmd := exec.Command(drive.Self())
		cmd.Env = append(os.Environ(), drive.TargetEnv+"=echo")
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		drive.Must(cmd.Run())
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
	drive.Targets["echo"](nil)
})

// isStopped waits until sysprof is stopped, and demands that it is by sig.
func isStopped(k *drive.Talk, sig syscall.Signal) {
	k.T.Helper()
	drive.Eventually(k.T, "sysprof is stopped", func() bool { return strings.HasPrefix(drive.StatusOf(k.Pid(), "State"), "T") })
	var s syscall.WaitStatus
	drive.Eventually(k.T, "its parent is told so", func() bool {
		pid, err := syscall.Wait4(k.Pid(), &s, syscall.WUNTRACED|syscall.WNOHANG, nil)
		return err == nil && pid == k.Pid()
	})
	if !s.Stopped() || s.StopSignal() != sig {
		k.T.Errorf("it is stopped by %v (%#x), want %v", s.StopSignal(), s, sig)
	}
}

// hasGotSignals waits until sysprof has got what was sent to it: when it has dealt with a later one.
func hasGotSignals(k *drive.Talk) {
	k.T.Helper()
	k.Signal(unix.SIGUSR1)
	drive.Eventually(k.T, "a table is written", func() bool { return strings.Contains(k.Written(), " total\n") })
}

// standsStill demands that a process is stopped, though it is traced.
func standsStill(t *testing.T, pid int) {
	t.Helper()
	if s := drive.StatusOf(pid, "State"); !strings.HasPrefix(s, "t") && !strings.HasPrefix(s, "T") {
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
		{"a command that stops itself", []string{drive.Self(), "alone"}, 3},
		{"a command that stops its process group", []string{drive.Self(), "with all"}, 1},
		{"the child of one that just stops", []string{"sh", "-c", `"$0" alone; exit 0`, drive.Self()}, 3},
		{"with a filter", []string{"-e", "trace=getppid", drive.Self(), "alone"}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := drive.Start(t, drive.As(drive.Sysprof(t, test.args...), "stops"))
			pid, _ := strconv.Atoi(s.Line())
			for range test.rounds {
				unix.Kill(-s.Pid(), unix.SIGTSTP)
				s.Expect("bye")
				isStopped(s, unix.SIGTSTP)
				standsStill(t, pid)
				unix.Kill(-s.Pid(), unix.SIGCONT)
				s.Expect("back")
				s.Alive()
			}
			s.Say("end")
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
			drive.HasTable(t, s.Written(), 1)
		})
	}
}

// Who waits for sysprof stops and continues it alone, as it would the command.
func TestStopAndContinueReachTheCommand(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self()), "echo"))
			pid, _ := strconv.Atoi(s.Line())
			for range 3 {
				s.Signal(sig)
				isStopped(s, sig)
				standsStill(t, pid)
				s.Signal(unix.SIGCONT)
				s.Alive()
			}
			s.Say("end")
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
		})
	}
}

// A command that does not stop keeps sysprof from it.
func TestCommandThatIgnoresStops(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), "ignores"), "stops"))
	s.Line()
	for range 3 {
		unix.Kill(-s.Pid(), unix.SIGTSTP)
		s.Alive()
	}
	hasGotSignals(s)
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	drive.HasTable(t, s.Written(), 2)
}

// Its end is the answer then: sysprof does not stop for want of others.
func TestCommandThatEndsInsteadOfStopping(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), "ignores"), "stops"))
	s.Line()
	unix.Kill(-s.Pid(), unix.SIGTSTP)
	s.Alive()
	hasGotSignals(s)
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	p.Line()
	s = drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid())))
	drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
	s.Signal(unix.SIGTSTP)
	p.Alive()
	hasGotSignals(s)
	p.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	p.End()
}

// What is traced and is not told to stop would stand still with sysprof, so that this goes on, and says so.
func TestDoesNotStopWhatRunsOn(t *testing.T) {
	saysSo := func(t *testing.T, s *drive.Talk, pid int) {
		t.Helper()
		want := fmt.Sprintf("sysprof: it does not stop by SIGTSTP while process %d runs on, ", pid)
		drive.Eventually(t, "it is said that sysprof does not stop", func() bool { return strings.Contains(s.Written(), want) })
		if state := drive.StatusOf(s.Pid(), "State"); strings.HasPrefix(state, "T") {
			t.Errorf("sysprof's state is %s", state)
		}
	}
	t.Run("attached", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		s := drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid())))
		drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
		unix.Kill(-s.Pid(), unix.SIGTSTP)
		saysSo(t, s, p.Pid())
		p.Alive()
		// As soon as that stops, so does sysprof.
		p.Signal(unix.SIGSTOP)
		isStopped(s, unix.SIGTSTP)
		s.Signal(unix.SIGCONT)
		p.Signal(unix.SIGCONT)
		p.Alive()
		p.Say("end")
		(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
		p.End()
	})
	t.Run("a child in another session", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), "parent"), "stops"))
		child, _ := strconv.Atoi(s.Line())
		unix.Kill(-s.Pid(), unix.SIGTSTP)
		saysSo(t, s, child)
		s.Alive()
		unix.Kill(-s.Pid(), unix.SIGCONT)
		s.Say("end")
		(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	})
}

// With nothing left to trace, ^Z just stops it.
func TestStopsWhileItWrites(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	drive.Must(unix.Mkfifo(fifo, 0o600))
	s := drive.Start(t, drive.Sysprof(t, "--json", fifo, "cat"))
	s.Alive()
	s.In.Close()
	drive.Eventually(t, "the table is written", func() bool { return strings.Contains(s.Written(), " total\n") })
	s.Signal(unix.SIGTSTP)
	isStopped(s, unix.SIGTSTP)
	s.Signal(unix.SIGCONT)
	if drive.Read(fifo) == "" {
		t.Error("nothing was written")
	}
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
}

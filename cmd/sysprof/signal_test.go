package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

var ending = []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// fenceFor returns the signal that ends a test of sig. sysprof takes a moment to find out whether
// the command has had a signal already; a later signal takes as long, so when the command has got
// that, it has got what it is ever going to get of sig.
func fenceFor(sig syscall.Signal) syscall.Signal {
	if sig == unix.SIGTERM {
		return unix.SIGHUP
	}
	return unix.SIGTERM
}

// counts reads what the target "signals" has counted at its end.
func countsOf(k *drive.Talk) (c drive.Counted) {
	k.T.Helper()
	if line := k.Line(); json.Unmarshal([]byte(line), &c) != nil {
		k.T.Fatalf("the command says %q", line)
	}
	return c
}

// once demands that sig came once, and the fence.
func once(t *testing.T, c drive.Counted, sig, fence syscall.Signal) {
	t.Helper()
	if len(c) != 2 || c[unix.SignalName(sig)] != 1 || c[unix.SignalName(fence)] != 1 {
		t.Errorf("the command counted %v, want 1 %s and 1 %s", c, unix.SignalName(sig), unix.SignalName(fence))
	}
}

func TestSignalToSysprofReachesTheCommandOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(pid int, sig syscall.Signal) error
	}{
		{"to sysprof alone", func(pid int, sig syscall.Signal) error { return unix.Kill(pid, sig) }},
		{"to the process group", func(pid int, sig syscall.Signal) error { return unix.Kill(-pid, sig) }},
	} {
		for _, sig := range ending {
			t.Run(unix.SignalName(sig)+" "+test.name, func(t *testing.T) {
				fence := fenceFor(sig)
				s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), unix.SignalName(fence), "7"), "signals"))
				s.Line()
				if err := test.send(s.Pid(), sig); err != nil {
					t.Fatal(err)
				}
				s.Expect(unix.SignalName(sig))
				s.Signal(fence)
				once(t, countsOf(s), sig, fence)
				(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 7)
				drive.HasTable(t, s.Written(), 1)
			})
		}
	}
}

func TestCommandDiesOfSignalToSysprof(t *testing.T) {
	for _, sig := range ending {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			s := drive.Start(t, drive.Sysprof(t, "sh", "-c", "echo ready; exec cat"))
			s.Expect("ready")
			s.Signal(sig)
			drive.Died(t, s.End(), sig)
			drive.HasTable(t, s.Written(), 1)
		})
	}
}

// That the command had a signal by itself excuses sysprof from passing on that one, and no other.
func TestSignalAfterOneToTheProcessGroup(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), "SIGTERM", "7"), "signals"))
	s.Line()
	unix.Kill(-s.Pid(), unix.SIGINT)
	s.Expect("SIGINT")
	s.Signal(unix.SIGUSR1) // when this has been dealt with, so has the other
	drive.Eventually(t, "a table is written", func() bool { return strings.Contains(s.Written(), " total\n") })
	s.Signal(unix.SIGINT)
	s.Expect("SIGINT")
	s.Signal(unix.SIGTERM)
	if c := countsOf(s); c["SIGINT"] != 2 {
		t.Errorf("the command counted %v, want 2 SIGINT", c)
	}
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 7)
}

func TestInterruptAtTheTerminal(t *testing.T) {
	for _, test := range []struct {
		name string
		key  byte
		sig  syscall.Signal
	}{{"^C", 3, unix.SIGINT}, {`^\`, 28, unix.SIGQUIT}} {
		t.Run(test.name, func(t *testing.T) {
			master, terminal := drive.OpenTerminal(t)
			cmd := drive.As(drive.Sysprof(t, "-o", filepath.Join(t.TempDir(), "table"), drive.Self(), "SIGTERM", "7"), "signals")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { drive.Kill(cmd.Process.Pid) })
			lines := bufio.NewReader(master)
			expect := func(part string) string {
				t.Helper()
				tooLong := time.AfterFunc(drive.Patience, func() { drive.Kill(cmd.Process.Pid) })
				defer tooLong.Stop()
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						t.Fatalf("%v, while waiting for %q", err, part)
					}
					if strings.Contains(line, part) {
						return line
					}
				}
			}
			expect("") // its process id: it counts from now on
			if _, err := master.Write([]byte{test.key}); err != nil {
				t.Fatal(err)
			}
			expect(unix.SignalName(test.sig))
			unix.Kill(cmd.Process.Pid, unix.SIGTERM)
			var c drive.Counted
			line := expect("{")
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatalf("the command says %q", line)
			}
			once(t, c, test.sig, unix.SIGTERM)
			status := drive.WaitFor(t, cmd)
			(drive.Outcome{Status: status}).Exited(t, 7)
		})
	}
}

func TestCommandHandlesInterruptAndExits(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self(), "SIGINT", "7"), "signals"))
	s.Line()
	s.Signal(unix.SIGINT)
	if c := countsOf(s); c["SIGINT"] != 1 {
		t.Errorf("the command counted %v", c)
	}
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 7)
	drive.HasTable(t, s.Written(), 1)
}

func TestTableSoFar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	s := drive.Start(t, drive.As(drive.Sysprof(t, "-o", file, drive.Self()), "echo"))
	s.Line()
	for range 5 {
		s.Alive()
	}
	tables := func() int { return strings.Count(drive.Read(file), " total\n") }
	for i := range 2 {
		s.Signal(unix.SIGUSR1)
		drive.Eventually(t, "a table is written", func() bool { return tables() == i+1 })
		s.Alive()
	}
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	drive.HasTable(t, drive.Read(file), 3)
	first, _, _ := strings.Cut(drive.Read(file), " total\n")
	firstCalls, _, _ := drive.Row(first, "getppid")
	if firstCalls != 5 {
		t.Errorf("the first table has %d getppid, want 5\n%s", firstCalls, drive.Read(file))
	}
	last := drive.Read(file)[strings.LastIndex(drive.Read(file), "% time"):]
	if calls, _, _ := drive.Row(last, "getppid"); calls != 7 {
		t.Errorf("the last table has %d getppid, want 7\n%s", calls, drive.Read(file))
	}
}

// nohup, and a script's background jobs, ignore signals on purpose.
func TestIgnoredSignalsStayIgnored(t *testing.T) {
	for _, sig := range append(slices.Clone(ending), unix.SIGUSR1) {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			cmd := exec.Command("sh", "-c", fmt.Sprintf(`trap "" %d; exec "$0" -c sh -c 'echo ready; read x; exit 4'`, sig), drive.Program(t))
			s := drive.Start(t, cmd)
			s.Expect("ready")
			for range 3 {
				s.Signal(sig)
				unix.Kill(-s.Pid(), sig)
			}
			tables := 1
			if sig != unix.SIGUSR1 { // sysprof has dealt with the others when it has dealt with this one
				s.Signal(unix.SIGUSR1)
				drive.Eventually(t, "a table is written", func() bool { return strings.Contains(s.Written(), " total\n") })
				tables++
			}
			s.Say("x")
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 4)
			drive.HasTable(t, s.Written(), tables)
		})
	}
}

// Attached together with a command, a signal that ends the command ends it all.
func TestSignalWithCommandAndAttached(t *testing.T) {
	p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	p.Line()
	s := drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid()), "sh", "-c", "echo ready; exec cat"))
	s.Expect("ready")
	s.Signal(unix.SIGINT)
	drive.Died(t, s.End(), unix.SIGINT)
	drive.HasTable(t, s.Written(), 1)
	p.Alive()
}

// A signal that comes when the counting has just ended is the command's, which goes on.
func TestSignalJustAfterDuration(t *testing.T) {
	for range 5 {
		s := drive.Start(t, drive.As(drive.Sysprof(t, "--duration=50ms", drive.Self(), "SIGTERM", "7"), "signals"))
		pid, err := strconv.Atoi(s.Line())
		drive.Must(err)
		for begin := time.Now(); drive.StatusOf(pid, "TracerPid") != "0"; { // without a pause: what is meant takes milliseconds
			if time.Since(begin) > drive.Patience {
				t.Fatal("the command is still traced")
			}
		}
		s.Signal(syscall.SIGTERM)
		if c := countsOf(s); c["SIGTERM"] != 1 {
			t.Errorf("the command counted %v", c)
		}
		if status := s.End(); status.ExitStatus() != 7 {
			t.Errorf("sysprof ended with %s", drive.Describe(status))
		}
	}
}

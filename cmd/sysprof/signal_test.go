package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
func (k *talk) counts() (c counted) {
	k.t.Helper()
	if line := k.line(); json.Unmarshal([]byte(line), &c) != nil {
		k.t.Fatalf("the command says %q", line)
	}
	return c
}

// once demands that sig came once, and the fence.
func once(t *testing.T, c counted, sig, fence syscall.Signal) {
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
				s := start(t, as(sysprof(t, self(), unix.SignalName(fence), "7"), "signals"))
				s.line()
				if err := test.send(s.pid(), sig); err != nil {
					t.Fatal(err)
				}
				s.expect(unix.SignalName(sig))
				s.signal(fence)
				once(t, s.counts(), sig, fence)
				(outcome{status: s.end(), stderr: s.written()}).exited(t, 7)
				hasTable(t, s.written(), 1)
			})
		}
	}
}

func TestCommandDiesOfSignalToSysprof(t *testing.T) {
	for _, sig := range ending {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			s := start(t, sysprof(t, "sh", "-c", "echo ready; exec cat"))
			s.expect("ready")
			s.signal(sig)
			died(t, s.end(), sig)
			hasTable(t, s.written(), 1)
		})
	}
}

// That the command had a signal by itself excuses sysprof from passing on that one, and no other.
func TestSignalAfterOneToTheProcessGroup(t *testing.T) {
	s := start(t, as(sysprof(t, self(), "SIGTERM", "7"), "signals"))
	s.line()
	unix.Kill(-s.pid(), unix.SIGINT)
	s.expect("SIGINT")
	s.signal(unix.SIGUSR1) // when this has been dealt with, so has the other
	eventually(t, "a table is written", func() bool { return strings.Contains(s.written(), " total\n") })
	s.signal(unix.SIGINT)
	s.expect("SIGINT")
	s.signal(unix.SIGTERM)
	if c := s.counts(); c["SIGINT"] != 2 {
		t.Errorf("the command counted %v, want 2 SIGINT", c)
	}
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 7)
}

// openTerminal opens a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}

func TestInterruptAtTheTerminal(t *testing.T) {
	for _, test := range []struct {
		name string
		key  byte
		sig  syscall.Signal
	}{{"^C", 3, unix.SIGINT}, {`^\`, 28, unix.SIGQUIT}} {
		t.Run(test.name, func(t *testing.T) {
			master, terminal := openTerminal(t)
			cmd := as(sysprof(t, "-o", filepath.Join(t.TempDir(), "table"), self(), "SIGTERM", "7"), "signals")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { kill(cmd.Process.Pid) })
			lines := bufio.NewReader(master)
			expect := func(part string) string {
				t.Helper()
				tooLong := time.AfterFunc(patience, func() { kill(cmd.Process.Pid) })
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
			var c counted
			line := expect("{")
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatalf("the command says %q", line)
			}
			once(t, c, test.sig, unix.SIGTERM)
			status := waitFor(t, cmd)
			(outcome{status: status}).exited(t, 7)
		})
	}
}

func TestCommandHandlesInterruptAndExits(t *testing.T) {
	s := start(t, as(sysprof(t, self(), "SIGINT", "7"), "signals"))
	s.line()
	s.signal(unix.SIGINT)
	if c := s.counts(); c["SIGINT"] != 1 {
		t.Errorf("the command counted %v", c)
	}
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 7)
	hasTable(t, s.written(), 1)
}

func TestTableSoFar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	s := start(t, as(sysprof(t, "-o", file, self()), "echo"))
	s.line()
	for range 5 {
		s.alive()
	}
	tables := func() int { return strings.Count(read(file), " total\n") }
	for i := range 2 {
		s.signal(unix.SIGUSR1)
		eventually(t, "a table is written", func() bool { return tables() == i+1 })
		s.alive()
	}
	s.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	hasTable(t, read(file), 3)
	first, _, _ := strings.Cut(read(file), " total\n")
	firstCalls, _, _ := row(first, "getppid")
	if firstCalls != 5 {
		t.Errorf("the first table has %d getppid, want 5\n%s", firstCalls, read(file))
	}
	last := read(file)[strings.LastIndex(read(file), "% time"):]
	if calls, _, _ := row(last, "getppid"); calls != 7 {
		t.Errorf("the last table has %d getppid, want 7\n%s", calls, read(file))
	}
}

// nohup, and a script's background jobs, ignore signals on purpose.
func TestIgnoredSignalsStayIgnored(t *testing.T) {
	for _, sig := range append(slices.Clone(ending), unix.SIGUSR1) {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			cmd := exec.Command("sh", "-c", fmt.Sprintf(`trap "" %d; exec "$0" -c sh -c 'echo ready; read x; exit 4'`, sig), program(t))
			s := start(t, cmd)
			s.expect("ready")
			for range 3 {
				s.signal(sig)
				unix.Kill(-s.pid(), sig)
			}
			tables := 1
			if sig != unix.SIGUSR1 { // sysprof has dealt with the others when it has dealt with this one
				s.signal(unix.SIGUSR1)
				eventually(t, "a table is written", func() bool { return strings.Contains(s.written(), " total\n") })
				tables++
			}
			s.say("x")
			(outcome{status: s.end(), stderr: s.written()}).exited(t, 4)
			hasTable(t, s.written(), tables)
		})
	}
}

// Attached together with a command, a signal that ends the command ends it all.
func TestSignalWithCommandAndAttached(t *testing.T) {
	p := start(t, as(exec.Command(self()), "echo"))
	p.line()
	s := start(t, sysprof(t, "-p", strconv.Itoa(p.pid()), "sh", "-c", "echo ready; exec cat"))
	s.expect("ready")
	s.signal(unix.SIGINT)
	died(t, s.end(), unix.SIGINT)
	hasTable(t, s.written(), 1)
	p.alive()
}

// A signal that comes when the counting has just ended is the command's, which goes on.
func TestSignalJustAfterDuration(t *testing.T) {
	for range 5 {
		s := start(t, as(sysprof(t, "--duration=50ms", self(), "SIGTERM", "7"), "signals"))
		pid, err := strconv.Atoi(s.line())
		must(err)
		for begin := time.Now(); status(pid, "TracerPid") != "0"; { // without a pause: what is meant takes milliseconds
			if time.Since(begin) > patience {
				t.Fatal("the command is still traced")
			}
		}
		s.signal(syscall.SIGTERM)
		if c := s.counts(); c["SIGTERM"] != 1 {
			t.Errorf("the command counted %v", c)
		}
		if status := s.end(); status.ExitStatus() != 7 {
			t.Errorf("sysprof ended with %s", describe(status))
		}
	}
}

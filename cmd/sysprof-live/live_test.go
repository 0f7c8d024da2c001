package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { drive.Main(m, 0) }

// The target makes calls for as long as it is let, some of which fail.
var _ = drive.Target("looping", func(args []string) {
	if len(args) > 0 {
		fmt.Println(args[0])
	}
	for n := 0; ; n++ {
		for range 20 {
			syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		unix.Open("/no/such/file", unix.O_RDONLY, 0)
		time.Sleep(2 * time.Millisecond)
	}
})

// calling starts the target, which runs until the test is over.
func calling(t *testing.T) (pid int) {
	t.Helper()
	cmd := drive.As(exec.Command(drive.Self()), "looping")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		drive.Kill(cmd.Process.Pid)
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// childOf is the process that a process has started with that name.
func childOf(t *testing.T, parent int, name string) (pid int) {
	t.Helper()
	drive.Eventually(t, "there is "+name, func() bool {
		for _, thread := range entries(fmt.Sprintf("/proc/%d/task", parent)) {
			for child := range strings.FieldsSeq(drive.Read(fmt.Sprintf("/proc/%d/task/%s/children", parent, thread))) {
				fmt.Sscan(child, &pid)
				if drive.StatusOf(pid, "Name") == name {
					return true
				}
			}
		}
		return false
	})
	return pid
}

// sysprofIn is the sysprof that a terminal's shell has started.
func sysprofIn(m *drive.Tmux) (pid int) {
	m.T.Helper()
	var shell int
	fmt.Sscan(m.Do("display-message", "-p", "#{pane_pid}"), &shell)
	return childOf(m.T, shell, "sysprof")
}

// TestLiveShowsARun, and does what keys ask for.
func TestLiveShowsARun(t *testing.T) {
	t.Parallel() // it mostly waits
	m := drive.StartTmux(t, 80, 24)
	m.Types("cd " + t.TempDir() + "; " + drive.NoteModes)
	m.Types(fmt.Sprintf("sysprof --live -p %d; echo status $?", calling(t)))
	screen := m.Shows("calls/s", "getppid", "openat", "errors/s", "q quit", "by call, sorted by time · last 10 s")
	if lines := strings.Split(strings.TrimSuffix(screen, "\n"), "\n"); len(lines) != 24 {
		t.Errorf("%d lines", len(lines))
	}
	m.Keys("s")
	m.Shows("sorted by rate")
	m.Keys("/")
	m.Text("open")
	m.Shows("filter: open")
	if screen := m.Screen(); strings.Contains(screen, "getppid") {
		t.Errorf("the filter hides nothing:\n%s", screen)
	}
	m.Keys("Enter", "Enter")
	m.Shows("how long they took", "how they failed: 100.0 % of them", "ENOENT", "the slowest")
	m.Keys("Down", "Escape")
	m.Shows("% time")
	m.Keys("Escape")
	m.Shows("getppid")
	m.Keys("g")
	m.Shows("by thread", filepath.Base(drive.Self())[:8])
	m.Keys("b")
	m.Keys("?")
	m.Shows("any key goes back")
	m.Keys("x")
	m.Keys("Space")
	paused := m.Shows("PAUSED")
	for begin := time.Now(); time.Since(begin) < 1500*time.Millisecond; time.Sleep(100 * time.Millisecond) {
		if now := m.Screen(); now != paused {
			t.Errorf("it changes while it is paused, from\n%s\nto\n%s", paused, now)
			break
		}
	}
	m.Keys("Space", "q")
	table := m.HasShown("status 0\n", " total\n", "getppid")
	if strings.Contains(table, "PAUSED") {
		t.Errorf("the view is left behind:\n%s", table)
	}
	m.Keys("C-l")
	m.IsAsBefore()
}

// TestLiveSizes: a terminal that is too small is told so, and one that grows is filled.
func TestLiveSizes(t *testing.T) {
	t.Parallel() // it mostly waits
	m := drive.StartTmux(t, 40, 10)
	m.Types(fmt.Sprintf("sysprof --live -p %d", calling(t)))
	m.Shows("too small: 40×10", "it needs 60×10")
	m.Do("resize-window", "-x", "100", "-y", "30")
	m.Shows("getppid", "q quit")
	drive.Eventually(t, "all lines are used", func() bool {
		lines := strings.Split(m.Screen(), "\n")
		return strings.Contains(lines[29], "q quit")
	})
	m.Do("resize-window", "-x", "60", "-y", "10")
	m.Shows("getppid", "space pause")
	m.Keys("q")
	m.HasShown(" total\n")
}

// TestLiveColours are no more than a terminal has, and none if there are to be none.
func TestLiveColours(t *testing.T) {
	t.Parallel() // it mostly waits
	colour := regexp.MustCompile(`\x1b\[([0-9;]*;)?(3[0-7]|9[0-7])(;[0-9;]*)?m`)
	rich := regexp.MustCompile(`\x1b\[[0-9;:]*[34]8[;:]`)
	pid := calling(t)
	for env, wantColour := range map[string]bool{
		"TERM=xterm": true, "TERM=xterm-16color": true, "TERM=screen": true, "TERM=xterm-256color COLORTERM=truecolor": true,
		"TERM=xterm LC_ALL=C": true, "NO_COLOR=1": false,
	} {
		m := drive.StartTmux(t, 80, 24)
		m.Types(fmt.Sprintf("%s sysprof --live -p %d", env, pid))
		m.Shows("getppid", "openat", "q quit")
		screen := m.Do("capture-pane", "-p", "-e")
		if has := colour.MatchString(screen); has != wantColour {
			t.Errorf("%s: colours: %v\n%q", env, has, screen)
		}
		if rich.MatchString(screen) {
			t.Errorf("%s: more than 16 colours\n%q", env, screen)
		}
		if strings.Contains(env, "LC_ALL=C") && strings.ContainsFunc(m.Screen(), func(r rune) bool { return r > 0x7f }) {
			t.Errorf("%s: not ASCII\n%s", env, m.Screen())
		}
		m.Keys("q")
		m.HasShown(" total\n")
	}
}

// TestLiveStops: ^Z gives the terminal to the shell, and fg takes it back; ^C is the command's.
func TestLiveStops(t *testing.T) {
	t.Parallel() // it mostly waits
	m := drive.StartTmux(t, 80, 24)
	m.Types("cd " + t.TempDir() + "; " + drive.NoteModes)
	m.Types("sysprof --live -o table env " + drive.TargetEnv + "=looping $SELF 'what it says'")
	m.Shows("getppid", "kept until the end")
	for range 2 {
		m.Keys("C-z")
		m.Shows("Stopped")
		m.IsAsBefore()
		m.Keys("C-l")
		m.Types("fg")
		m.Shows("getppid", "q quit")
	}
	m.Keys("C-z")
	m.Shows("Stopped")
	m.Keys("C-l")
	m.Types("bg")
	m.Types("echo in the background")
	m.Shows("\nin the background\n") // the view leaves the terminal alone
	m.Types("fg")
	m.Shows("getppid", "q quit")
	m.Keys("C-c")
	m.HasShown("what it says'\nwhat it says\n")
	m.Types("echo status $?")
	m.Shows("status 130\n")
	m.IsAsBefore()
}

// TestLiveGivesTheTerminalBack, whichever of the two processes is killed, and how.
func TestLiveGivesTheTerminalBack(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, test := range []struct {
		whom string
		sig  syscall.Signal
		says string
	}{
		{"sysprof", unix.SIGTERM, " total\n"},
		{"sysprof", unix.SIGINT, " total\n"},
		{"sysprof", unix.SIGKILL, ""}, // what the shell says may come before the view is gone, and go with it, but not its prompt
		{"sysprof-live", unix.SIGTERM, " total\n"},
		{"sysprof-live", unix.SIGKILL, "sysprof-live: died of SIGKILL"},
		{"sysprof-live", unix.SIGSEGV, "status 1\n"},
	} {
		t.Run(fmt.Sprintf("%s of %s", test.sig, test.whom), func(t *testing.T) {
			m := drive.StartTmux(t, 80, 24)
			m.Types("cd " + t.TempDir() + "; " + drive.NoteModes)
			m.Types(fmt.Sprintf("sysprof --live -p %d; echo status $?", calling(t)))
			m.Shows("getppid", "q quit")
			to := sysprofIn(m)
			if test.whom == "sysprof-live" {
				to = childOf(t, to, test.whom)
			}
			unix.Kill(to, test.sig)
			drive.Eventually(t, "the view is gone", func() bool { return m.Do("display-message", "-p", "#{alternate_on}") == "0\n" })
			m.HasShown(test.says)
			drive.Eventually(t, "there is a prompt, or it is said how to get one", func() bool {
				return strings.HasPrefix(m.LineOfCursor(), "$") || strings.Contains(m.Screen(), "press Enter")
			})
			m.Keys("C-l")
			m.IsAsBefore()
		})
	}
}

// TestLiveKeepsOutput of a command until the terminal is free, and has no input for it.
func TestLiveKeepsOutput(t *testing.T) {
	t.Parallel() // it mostly waits
	m := drive.StartTmux(t, 80, 40)
	m.Types("cd " + t.TempDir() + "; " + drive.NoteModes)
	m.Types(`sysprof --live -o table sh -c 'echo to stdout; cat; echo to stderr >&2; sleep 2; echo the last; exit 3'; echo status $?`)
	m.Shows("kept until the end", "wait4")
	if screen := m.Screen(); strings.Contains(screen, "to std") {
		t.Errorf("the command writes on the view:\n%s", screen)
	}
	m.Shows("\nto stdout\nto stderr\nthe last\nstatus 3\n")
	m.Types("wc -l <table")
	m.IsAsBefore()

	// What is not the terminal is left alone.
	m.Types(`clear; echo line | sysprof --live -o table sh -c 'cat; test -t 0 && echo bad; sleep 1' >out; cat out; echo status $?`)
	m.Shows("line\nstatus 0\n")
}

// TestLiveLetsTheCommandGoOn: q ends the tracing, and what the command writes is shown as it comes then.
func TestLiveLetsTheCommandGoOn(t *testing.T) {
	t.Parallel() // it mostly waits
	m := drive.StartTmux(t, 80, 40)
	dir := t.TempDir()
	m.Types("cd " + dir + "; " + drive.NoteModes)
	m.Types(`sysprof --live -o table sh -c 'echo first; until test -e end; do sleep 0.05; done; echo last; exit 3'; echo status $?`)
	m.Shows("wait4", "q quit")
	m.Keys("q")
	m.Shows("\nfirst\n")
	drive.Eventually(t, "the table is written", func() bool { return strings.Contains(drive.Read(filepath.Join(dir, "table")), "wait4") })
	if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m.Shows("\nfirst\nlast\nstatus 3\n")
	m.IsAsBefore()
}

// TestLiveIsRefused where there is nothing to show it on, before anything runs.
func TestLiveIsRefused(t *testing.T) {
	t.Parallel() // it mostly waits
	alone := filepath.Join(t.TempDir(), "sysprof")
	if err := os.Link(drive.Program(t), alone); err != nil {
		data, err := os.ReadFile(drive.Program(t))
		drive.Check(t, err)
		drive.Check(t, os.WriteFile(alone, data, 0o755))
	}
	for name, test := range map[string]struct {
		program, term, says string
	}{
		"no terminal":  {drive.ProgramWith(t, "sysprof-live"), "TERM=xterm", "--live needs a terminal"},
		"dumb":         {drive.ProgramWith(t, "sysprof-live"), "TERM=dumb", "TERM=dumb"},
		"no program":   {alone, "TERM=xterm", "go build ./cmd/sysprof-live"},
		"unknown TERM": {drive.ProgramWith(t, "sysprof-live"), "TERM=", "--live needs a terminal"},
	} {
		mark := filepath.Join(t.TempDir(), "mark")
		cmd := exec.Command(test.program, "--live", "touch", mark)
		cmd.Env = append(os.Environ(), test.term, "PATH=/usr/bin:/bin")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		o := drive.Run(t, cmd)
		o.Exited(t, 1)
		if !strings.Contains(o.Stderr, test.says) || strings.Count(o.Stderr, "\n") != 1 {
			t.Errorf("%s: it says %q", name, o.Stderr)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Errorf("%s: the command has run", name)
		}
	}
}

// liveOn is sysprof --live on a terminal, of which it returns the other end. One that stands still takes nothing, as after ^S.
func liveOn(t *testing.T, standsStill bool, args ...string) (sysprof *exec.Cmd, master *os.File) {
	t.Helper()
	master, slave := drive.OpenTerminal(t)
	if standsStill {
		drive.Check(t, unix.IoctlSetInt(int(slave.Fd()), unix.TCXONC, unix.TCOOFF))
	}
	drive.Check(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 60, Col: 200}))
	cmd := exec.Command(drive.ProgramWith(t, "sysprof-live"), append([]string{"--live"}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	drive.Check(t, cmd.Start())
	slave.Close()
	t.Cleanup(func() { drive.Kill(cmd.Process.Pid) })
	return cmd, master
}

// TestLiveOnATerminalThatStandsStill: neither the tracing nor its end waits for it.
func TestLiveOnATerminalThatStandsStill(t *testing.T) {
	t.Parallel() // it mostly waits
	pid, table := calling(t), filepath.Join(t.TempDir(), "table")
	sysprof, _ := liveOn(t, true, "-c", "-o", table, "-p", fmt.Sprint(pid))
	view := childOf(t, sysprof.Process.Pid, "sysprof-live")
	drive.Eventually(t, "the view waits for the terminal", func() bool {
		for _, task := range entries(fmt.Sprintf("/proc/%d/task", view)) {
			if strings.HasPrefix(drive.Read(fmt.Sprintf("/proc/%d/task/%s/syscall", view, task)), fmt.Sprint(unix.SYS_WRITE)+" ") {
				return true
			}
		}
		return false
	})
	calls := func() int {
		unix.Kill(sysprof.Process.Pid, unix.SIGUSR1)
		tables := drive.Read(table) // the last one is the newest
		n, _, _ := drive.Row(tables[max(strings.LastIndex(tables, "% time"), 0):], "getppid")
		return n
	}
	first := 0
	drive.Eventually(t, "calls are counted", func() bool { first = calls(); return first > 0 })
	drive.Eventually(t, "more are", func() bool { return calls() > first+100 })
	unix.Kill(sysprof.Process.Pid, unix.SIGTERM)
	drive.Died(t, drive.WaitFor(t, sysprof), unix.SIGTERM)
	if drive.TracedBy(pid) != 0 {
		t.Error("it is traced still")
	}
}

// TestLiveTerminalGoesAway: the run ends as by any SIGHUP, with its outputs written.
func TestLiveTerminalGoesAway(t *testing.T) {
	t.Parallel() // it mostly waits
	table := filepath.Join(t.TempDir(), "table")
	sysprof, master := liveOn(t, false, "-c", "-o", table, "-p", fmt.Sprint(calling(t)))
	go func() { // until it is closed
		for buffer := make([]byte, 4096); ; {
			if _, err := master.Read(buffer); err != nil {
				return
			}
		}
	}()
	childOf(t, sysprof.Process.Pid, "sysprof-live")
	drive.Eventually(t, "calls are counted", func() bool {
		unix.Kill(sysprof.Process.Pid, unix.SIGUSR1)
		_, _, ok := drive.Row(drive.Read(table), "getppid")
		return ok
	})
	drive.Check(t, master.Close())
	drive.Died(t, drive.WaitFor(t, sysprof), unix.SIGHUP)
	if _, _, ok := drive.Row(drive.Read(table), "getppid"); !ok {
		t.Errorf("the table is\n%s", drive.Read(table))
	}
}

// entries lists a folder.
func entries(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

package main_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// blocks is a script that ends in the first runs and blocks in the others, so that only SIGKILL ends it. It has a child that
// does the same. The file ready tells when it blocks.
func blocks(dir string, after int) string {
	runs, ready := filepath.Join(dir, "runs"), filepath.Join(dir, "ready")
	return strings.NewReplacer("RUNS", runs, "READY", ready, "AFTER", strings.Repeat("x", after)).Replace(
		`printf x >> RUNS; read n < RUNS; case $n in AFTER?*) ;; *) exit 0;; esac
trap "" INT TERM HUP QUIT; (while :; do sleep 1000; done) & : > READY; while :; do sleep 1000; done`)
}

// A signal ends the command with all that it has started, and what was measured by then is written.
func TestBenchEndedBySignal(t *testing.T) {
	for _, test := range []struct {
		name  string
		runs  int  // that end by themselves
		table bool // there is something to write
		sig   []syscall.Signal
	}{
		{"in the round that does not count", 0, false, []syscall.Signal{unix.SIGINT}},
		{"in the first round", 3, false, []syscall.Signal{unix.SIGTERM}},
		{"later", 6, true, []syscall.Signal{unix.SIGINT}},
		{"twice", 4, true, []syscall.Signal{unix.SIGHUP, unix.SIGHUP}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			mark := "SYSPROF_TEST_MARK=" + dir
			cmd := withPath(drive.Plain(t, "--bench=10", "--", "sh", "-c", blocks(dir, test.runs)), tools(t, nil, "sh", "sleep"), mark, "TMPDIR="+dir)
			s := drive.Start(t, cmd)
			drive.Eventually(t, "the command blocks", func() bool { return exists(filepath.Join(dir, "ready")) })
			if len(leftFolders(dir)) != 1 {
				t.Error("there is no folder for the runs")
			}
			for _, sig := range test.sig {
				s.Signal(sig)
			}
			drive.Died(t, s.End(), test.sig[0])
			if left := marked(mark); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			if left := leftFolders(dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
			out := s.Rest()
			if test.table {
				rowOf(t, out, "untraced")
				rowOf(t, out, "sysprof")
			} else if out != "" || !strings.Contains(s.Written(), "sysprof: ended before the command had run alone and under sysprof") {
				t.Errorf("stdout %q, stderr %q", out, s.Written())
			}
		})
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// ^C at a terminal reaches all of them at once. The command that dies of it is not counted as a run.
func TestBenchInterruptedAtTheTerminal(t *testing.T) {
	dir := t.TempDir()
	mark := "SYSPROF_TEST_MARK=" + dir
	master, terminal := drive.OpenTerminal(t)
	script := strings.NewReplacer("RUNS", filepath.Join(dir, "runs"), "READY", filepath.Join(dir, "ready")).Replace(
		`printf x >> RUNS; read n < RUNS; case $n in xxxxxx?*) : > READY; exec sleep 1000;; esac`)
	cmd := withPath(drive.Plain(t, "--bench=10", "--", "sh", "-c", script), tools(t, nil, "sh", "sleep"), mark)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	drive.Check(t, cmd.Start())
	t.Cleanup(func() { drive.Kill(cmd.Process.Pid) })
	text := make(chan string, 1)
	go func() {
		var all strings.Builder
		for lines := bufio.NewReader(master); ; {
			line, err := lines.ReadString('\n')
			all.WriteString(line)
			if err != nil {
				text <- all.String()
				return
			}
		}
	}()
	drive.Eventually(t, "the command blocks", func() bool { return exists(filepath.Join(dir, "ready")) })
	_, err := master.Write([]byte{3})
	drive.Check(t, err)
	drive.Died(t, drive.WaitFor(t, cmd), unix.SIGINT)
	terminal.Close() // the last one to have it open
	select {
	case out := <-text:
		if !strings.Contains(out, "medians of 2 runs each") || strings.Contains(out, "SIGINT") || !strings.Contains(out, "a round that is not") {
			t.Errorf("it writes %q", out)
		}
	case <-time.After(drive.Patience):
		t.Error("the terminal does not end")
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// SIGUSR1 asks for what there is so far.
func TestBenchSoFar(t *testing.T) {
	dir := t.TempDir()
	s := drive.Start(t, withPath(drive.Plain(t, "--bench=10", "--", "sh", "-c", blocks(dir, 6)), tools(t, nil, "sh", "sleep")))
	drive.Eventually(t, "the command blocks", func() bool { return exists(filepath.Join(dir, "ready")) })
	s.Signal(unix.SIGUSR1)
	for line := ""; !strings.HasPrefix(line, "sysprof  "); line = s.Line() {
	}
	s.Signal(unix.SIGTERM)
	drive.Died(t, s.End(), unix.SIGTERM)
	if out := s.Rest(); !strings.Contains(out, "\nuntraced  ") {
		t.Errorf("there is no table at the end: %q", out)
	}
}

// A run has ended when all of its processes have, with a tracer as without one.
func TestBenchWaitsForWhatIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	o := drive.Run(t, withPath(drive.Plain(t, "--bench=1", "--", "sh", "-c", "(sleep 0.3; echo x >> "+dir+"/runs) & exit 0"), tools(t, nil, "sh", "sleep")))
	o.Exited(t, 0)
	if n := strings.Count(drive.Read(filepath.Join(dir, "runs")), "x"); n != 4 {
		t.Errorf("%d of 4 runs have been waited for", n)
	}
	row := rowOf(t, o.Stdout, "untraced")
	if d, err := time.ParseDuration(strings.Join(row[:2], "")); err != nil || d < 300*time.Millisecond {
		t.Errorf("the run took %q, want 0.3 s at least", row)
	}

	mark := "SYSPROF_TEST_MARK=" + dir
	s := drive.Start(t, withPath(drive.Plain(t, "--bench=1", "--", "sh", "-c", "sleep 1000 & exit 0"), tools(t, nil, "sh", "sleep"), mark))
	drive.Eventually(t, "it says that it waits", func() bool {
		return strings.Contains(s.Written(), "waiting for the end of what the command has left behind (processes: 1)")
	})
	s.Signal(unix.SIGINT)
	drive.Died(t, s.End(), unix.SIGINT)
	if left := marked(mark); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// These tests are about what is written when something goes wrong: nothing is lost that could be written, and what
// could not is said.

// hangingDebuginfod makes a folder for $PATH in which looking for names never ends, and returns it with a file that
// is there as soon as that has begun.
func hangingDebuginfod(t *testing.T) (dir, begun string) {
	t.Helper()
	dir = t.TempDir()
	begun = filepath.Join(dir, "begun")
	script := fmt.Sprintf("#!/bin/sh\n: > %s\nexec sleep 600\n", begun)
	drive.Check(t, os.WriteFile(filepath.Join(dir, "debuginfod-find"), []byte(script), 0o755))
	return dir, begun
}

// endedBy signals sysprof, whose command has ended, until it ends: a signal at the very end is the command's. It demands
// that this takes no longer than a signal gives it.
func endedBy(t *testing.T, s *drive.Talk, sig syscall.Signal) {
	t.Helper()
	from := time.Now()
	drive.Eventually(t, "it ends", func() bool {
		s.Signal(sig)
		return strings.HasPrefix(drive.StatusOf(s.Pid(), "State"), "Z")
	})
	if d := time.Since(from); d > 3*time.Second {
		t.Errorf("it ended after %v", d)
	}
	drive.Died(t, s.End(), sig)
}

// TestSignalEndsTheSearchForNames: tables and JSON do not wait for names, and the profile has those found so far.
func TestSignalEndsTheSearchForNames(t *testing.T) {
	for _, soFar := range []bool{false, true} {
		t.Run(fmt.Sprint("in the run: ", soFar), func(t *testing.T) {
			path, begun := hangingDebuginfod(t)
			dir := t.TempDir()
			table, saved, profile := filepath.Join(dir, "table"), filepath.Join(dir, "json"), filepath.Join(dir, "profile")
			cmd := drive.Sysprof(t, "-q", "-o", table, "--json", saved, "--debuginfod", "--pprof", profile, "cat")
			cmd.Env = append(cmd.Environ(), "PATH="+path+":"+os.Getenv("PATH"))
			s := drive.Start(t, cmd)
			s.Alive()
			if soFar {
				s.Signal(unix.SIGUSR1)
				drive.Eventually(t, "names are looked for", func() bool { _, err := os.Stat(begun); return err == nil })
			}
			s.In.Close()
			drive.Eventually(t, "names are looked for, after the run", func() bool {
				_, err := os.Stat(begun)
				return err == nil && tracedChildren(s.Pid()) == 0
			})
			drive.HasTable(t, drive.Read(table), 1)
			readSaved(t, saved)
			endedBy(t, s, unix.SIGTERM)
			drive.ParseProfile(t, profile)
		})
	}
}

// tracedChildren counts the children of a process that are called cat.
func tracedChildren(pid int) (n int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		for _, child := range strings.Fields(drive.Read(list)) {
			if drive.Read("/proc/"+child+"/comm") == "cat\n" {
				n++
			}
		}
	}
	return n
}

// TestSignalEndsAWriteThatBlocks, and the other outputs are there.
func TestSignalEndsAWriteThatBlocks(t *testing.T) {
	for _, option := range []string{"--json", "--csv", "--pprof", "--html", "-o"} {
		t.Run(option, func(t *testing.T) {
			dir := t.TempDir()
			fifo, other := filepath.Join(dir, "fifo"), filepath.Join(dir, "other")
			drive.Check(t, unix.Mkfifo(fifo, 0o600))
			others := []string{"--json", other}
			if option == "--json" {
				others = []string{"-o", other}
			}
			s := drive.Start(t, drive.Sysprof(t, slices.Concat([]string{option, fifo}, others, []string{"cat"})...))
			s.Alive()
			s.In.Close()
			drive.Eventually(t, "the command has ended", func() bool { return tracedChildren(s.Pid()) == 0 })
			endedBy(t, s, unix.SIGINT)
			if !strings.Contains(s.Written(), "sysprof: "+fifo+" was not written: ") {
				t.Errorf("stderr: %q", s.Written())
			}
			if drive.Read(other) == "" {
				t.Error("the other output is lost")
			}
		})
	}
}

// TestOneOutputThatFails is said on stderr, a pipe, whose other end sees the end when the command has closed it. The
// others are written.
func TestOneOutputThatFails(t *testing.T) {
	for _, option := range []string{"--json", "--csv", "--pprof", "--html"} {
		table := filepath.Join(t.TempDir(), "table")
		for range 5 { // it is a matter of time who ends first
			o := drive.Run(t, drive.Sysprof(t, "-o", table, option, "/dev/full", "sh", "-c", "echo out"))
			o.Exited(t, 1)
			drive.HasTable(t, drive.Read(table), 1)
			if o.Stdout != "out\n" || o.Stderr != "sysprof: /dev/full was not written: no space left on device\n" {
				t.Errorf("%s: stdout %q, stderr %q", option, o.Stdout, o.Stderr)
			}
		}
		drive.Run(t, drive.Sysprof(t, "-o", table, option, "/dev/full", "sh", "-c", "exit 4")).Exited(t, 4)
	}
}

// TestNobodyReadsStderr: the files are written.
func TestNobodyReadsStderr(t *testing.T) {
	r, w, err := os.Pipe()
	drive.Check(t, err)
	r.Close()
	defer w.Close()
	dir := t.TempDir()
	file, table := filepath.Join(dir, "json"), filepath.Join(dir, "csv")
	cmd := drive.Sysprof(t, "--json", file, "--csv", table, "true")
	cmd.Stderr = w
	drive.Run(t, cmd).Exited(t, 1)
	readSaved(t, file)
	if !strings.HasPrefix(drive.Read(table), "call,") {
		t.Errorf("the CSV: %q", drive.Read(table))
	}
}

// TestOldTableOutlivesFailures: nothing is written where nothing was traced, nor where there is no room.
func TestOldTableOutlivesFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	for _, test := range []struct {
		name   string
		script string
		status int
		says   string
	}{
		{"a process that is not there", `exec "$0" -o "$1" -p 2147483647`, 1, "attach"},
		{"a command that is none", `exec "$0" -o "$1" /etc/hostname`, 126, "execute"},
		{"another output that cannot be", `exec "$0" -o "$1" --json /no/such/folder/x true`, 1, "/no/such/folder/x"},
		{"no room", `ulimit -f 0; exec "$0" -q -c -o "$1" true`, 1, "file too large"},
		{"no room for a profile", `ulimit -f 0; exec "$0" -q -c --pprof "$1" true`, 1, "file too large"},
		{"no room for a page", `ulimit -f 0; exec "$0" -q -c --html "$1" true`, 1, "file too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			drive.WriteFile(t, file, "what was here\n")
			o := drive.Run(t, exec.Command("sh", "-c", test.script, drive.Program(t), file))
			o.Exited(t, test.status)
			if drive.Read(file) != "what was here\n" {
				t.Errorf("the file holds %q", drive.Read(file))
			}
			onlyEntry(t, filepath.Dir(file), "table")
			said := false
			for line := range strings.Lines(o.Stderr) {
				said = said || strings.HasPrefix(line, "sysprof: ") && strings.Contains(line, test.says)
			}
			if !said {
				t.Errorf("stderr: %q, want a line with %q", o.Stderr, test.says)
			}
		})
	}
}

// TestDashIsAStream: "-" is stdout, and stdin for a saved run.
func TestDashIsAStream(t *testing.T) {
	o := drive.Run(t, drive.Plain(t, "-q", "-c", "-o", "-", "echo", "said"))
	o.Exited(t, 0)
	if table, ok := strings.CutPrefix(o.Stdout, "said\n"); !ok || o.Stderr != "" {
		t.Errorf("stdout %q, stderr %q", o.Stdout, o.Stderr)
	} else {
		drive.HasTable(t, table, 1)
	}
	text := drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--json", "-", "true"))
	show := drive.Sysprof(t, "-q", "--from-json", "-")
	show.Stdin = strings.NewReader(text)
	drive.HasTable(t, drive.Succeed(t, show), 1)
	pprof := drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--pprof", "-", "true"))
	file := filepath.Join(t.TempDir(), "profile")
	drive.WriteFile(t, file, pprof)
	drive.ParseProfile(t, file)
}

// TestSavedRunObeysOrRefuses: an option is never without effect.
func TestSavedRunObeysOrRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.json")
	drive.Succeed(t, drive.As(drive.Plain(t, "-q", "-o", os.DevNull, "--json", file, drive.Self()), "outcomes"))
	for _, option := range []string{
		"--raw", "-O1", "--pprof=x", "--labels=pid", "--stacks=off", "--debuginfod", "--duration=1", "-unobody", "-EX=1",
		"--argv0=x", "-f", "--no-follow", "--kill-on-exit", "--cpu=off", "--seccomp-bpf", "--no-seccomp",
		"-z --json=x", "-Z --csv=x", "-z --time=cpu", "-U calls,name",
	} {
		badUsage(t, append(words(option), "--from-json="+file))
	}
	for _, test := range []struct {
		args                   string
		getpgid, errors, umask int // calls; -1: no row
		inFlight               bool
	}{
		{"", 42, 12, 4, true},
		{"-e getpgid", 42, 12, -1, false},
		{"-e !getpgid", -1, 0, 4, true},
		{"-z", 30, 0, 4, false},
		{"-Z", 12, 12, -1, false},
		{"-e status=none", -1, 0, -1, false},
		{"-e status=unfinished", -1, 0, -1, true},
	} {
		out := drive.Succeed(t, drive.Sysprof(t, append(words(test.args), "--from-json="+file)...))
		calls := func(name string) (int, int) {
			calls, errs, ok := drive.Row(out, name)
			if !ok {
				return -1, 0
			}
			return calls, errs
		}
		getpgid, errs := calls("getpgid")
		umask, _ := calls("umask")
		if getpgid != test.getpgid || errs != test.errors || umask != test.umask {
			t.Errorf("%s: getpgid %d (%d errors), umask %d\n%s", test.args, getpgid, errs, umask, out)
		}
		if flights := strings.Contains(out, "had not returned"); flights != test.inFlight {
			t.Errorf("%s: calls in flight:\n%s", test.args, out)
		}
	}
}

// TestLimitsThatGoCannotBeginWith are said in a sentence.
func TestLimitsThatGoCannotBeginWith(t *testing.T) {
	for _, test := range []struct{ limit, says string }{
		{"ulimit -v 500000", "ulimit -v"}, {"ulimit -v 700000", "ulimit -v"}, {"ulimit -d 65536", "ulimit -d"},
	} {
		t.Run(test.limit, func(t *testing.T) {
			o := drive.Run(t, exec.Command("sh", "-c", test.limit+`; exec "$0" true`, drive.Program(t)))
			o.Exited(t, 1)
			if !strings.HasPrefix(o.Stderr, "sysprof: ") || strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stderr: %q", o.Stderr)
			}
		})
	}
	t.Run("processes", func(t *testing.T) {
		prlimit := needs.Program(t, "prlimit", "util-linux")
		for limit, root := range map[string]bool{"3": false, "11": false, "1": true} {
			cmd := exec.Command(prlimit, "--nproc="+limit, drive.Program(t), "-q", "true")
			if !root {
				cmd.SysProcAttr = drive.NotRoot()
			}
			o := drive.Run(t, cmd)
			if root && os.Getuid() == 0 {
				o.Exited(t, 0)
				continue
			}
			o.Exited(t, 1)
			if !strings.HasPrefix(o.Stderr, "sysprof: ") || strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, "ulimit -u") {
				t.Errorf("%s processes: stderr %q", limit, o.Stderr)
			}
		}
	})
}

// TestCPULimit: the table is written when sysprof has had its time, and the command goes on.
func TestCPULimit(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	s := drive.Start(t, drive.Sysprof(t, "-o", table, "cat"))
	s.Alive()
	s.Signal(unix.SIGXCPU)
	drive.Eventually(t, "the table is written", func() bool { return strings.Contains(drive.Read(table), " total\n") })
	s.Alive()
	s.In.Close()
	drive.Died(t, s.End(), unix.SIGXCPU)
}

// TestNamesInMessages: a name cannot control the terminal, nor break a line.
func TestNamesInMessages(t *testing.T) {
	evil := "/no\x1b[31m\n\xff\u202e\u2028name"
	for _, args := range [][]string{
		{evil}, {"-o", evil + "/x", "true"}, {"--json", evil + "/x", "true"}, {"--from-json", evil}, {"-e", evil, "true"},
		{"-p", evil}, {"-S", evil, "true"}, {"-u", evil, "true"}, {"-o", "|exit 3 #" + strings.ReplaceAll(evil, "\n", ""), "true"},
		{"--" + evil, "true"}, {"--labels", evil, "--pprof", "x", "true"},
	} {
		o := drive.Run(t, drive.Plain(t, append([]string{"-q"}, args...)...))
		if strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") ||
			strings.ContainsFunc(strings.TrimSpace(o.Stderr), func(r rune) bool { return unicode.IsControl(r) || r == '\u202e' || r == '\u2028' }) ||
			strings.Contains(o.Stderr, "\xff") {
			t.Errorf("%q: stderr %q", args, o.Stderr)
		}
	}
}

// TestFIFOThatIsRead by somebody from the beginning is written to, and its reader sees the end.
func TestFIFOThatIsRead(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	drive.Check(t, unix.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	drive.Check(t, err)
	defer reader.Close()
	target := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	target.Line()
	s := drive.Start(t, drive.Sysprof(t, "-q", "-o", fifo, "-p", strconv.Itoa(target.Pid())))
	drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(target.Pid()) == s.Pid() })
	s.Signal(unix.SIGTERM)
	drive.Died(t, s.End(), unix.SIGTERM)
	reader.SetReadDeadline(time.Now().Add(drive.Patience))
	data, err := io.ReadAll(reader)
	drive.Check(t, err)
	if !strings.Contains(string(data), "no system calls were counted") && !strings.Contains(string(data), " total\n") {
		t.Errorf("the reader got %q", data)
	}
}

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSlowerInKernel: a call that hangs is said while it does, with what it is about, and again when it ends.
func TestSlowerInKernel(t *testing.T) {
	countsInKernel(t)
	for _, args := range [][]string{nil, {"--by=comm"}, {"--pprof", "/dev/null"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			fifo := filepath.Join(t.TempDir(), "red\x1b[31m\nname")
			must(unix.Mkfifo(fifo, 0o600))
			s := start(t, as(plain(t, append(args, "--engine=kernel", "--slower=30ms,openat,read", self(), fifo)...), "opens"))
			says := saysLine(t, s)
			says(`openat\(AT_FDCWD, ".*/red\x{fffd}\[31m\x{fffd}name", \d+, 0\) has not returned after [\d.]+ ms$`)
			writer, err := os.OpenFile(fifo, os.O_WRONLY, 0) // which ends the open
			must(err)
			defer writer.Close()
			says(`openat\(AT_FDCWD, ".*name", \d+, 0\) = \d+, [\d.]+ [nµm]?s$`)
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) has not returned after`)
			writer.WriteString("x")
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) = 1, `)
			(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
			// Where little comes of a second, other files take as long to be opened.
			opened := regexp.MustCompile(`openat\(AT_FDCWD, "[^"]*name"`).FindAllString(s.written(), -1)
			if len(opened) != 2 || strings.Contains(s.written(), "\x1b") {
				t.Errorf("openat is said %d times:\n%s", len(opened), s.written())
			}
		})
	}
}

// saysLine returns what waits until a line about a call has been written.
func saysLine(t *testing.T, s *talk) func(pattern string) {
	return func(pattern string) {
		t.Helper()
		line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} .+ \(\d+\)( thread \d+ ?.*)?: ` + pattern)
		defer func() {
			if t.Failed() {
				t.Log(s.written())
			}
		}()
		eventually(t, "it is said that "+pattern, func() bool { return line.MatchString(s.written()) })
	}
}

// TestSlowerInKernelIsLimited: each slow call has a line, or is counted.
func TestSlowerInKernelIsLimited(t *testing.T) {
	countsInKernel(t)
	const threads, times = 20, 40
	file := filepath.Join(t.TempDir(), "lines")
	s := start(t, undisturbed(plain(t, "--engine=kernel", "-c", "-o", file, "--slower=2ms,clock_nanosleep", self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.expect("done")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	lines, leftOut := told(read(file))
	if lines+leftOut != threads*times || lines == 0 || leftOut == 0 {
		t.Errorf("%d lines and %d calls left out, of %d calls\n%s", lines, leftOut, threads*times, read(file))
	}
	if calls, _, _ := row(read(file), "clock_nanosleep"); calls != threads*times {
		t.Errorf("the table has %d clock_nanosleeps, want %d\n%s", calls, threads*times, read(file))
	}
}

// TestSlowerInKernelOfASleeper: a call that was entered before is said to hang, and to be broken off.
func TestSlowerInKernelOfASleeper(t *testing.T) {
	countsInKernel(t)
	sleeper := exec.Command("sleep", "100")
	must(sleeper.Start())
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
	pid := sleeper.Process.Pid
	eventually(t, "it sleeps", func() bool {
		call, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/syscall")
		return strings.HasPrefix(string(call), strconv.Itoa(unix.SYS_CLOCK_NANOSLEEP)+" ")
	})
	s := start(t, plain(t, "--engine=kernel", "--slower=30ms", "-p", strconv.Itoa(pid)))
	says := saysLine(t, s)
	says(`clock_nanosleep\(0, 0, 0x[0-9a-f]+, 0x[0-9a-f]+\) has not returned after at least [\d.]+ ms$`)
	must(sleeper.Process.Signal(unix.SIGSTOP)) // which has it go on with restart_syscall
	must(sleeper.Process.Signal(unix.SIGCONT))
	says(`clock_nanosleep\(.*\) = -1 ERESTART_RESTARTBLOCK, at least [\d.]+ m?s$`)
	says(`restart_syscall\(<resuming clock_nanosleep>\) has not returned after at least [\d.]+ ms$`)
	must(sleeper.Process.Kill())
	says(`restart_syscall\(<resuming clock_nanosleep>\) was killed after at least [\d.]+ m?s$`)
	s.end()
	if !strings.Contains(s.written(), "clock_nanosleep: 1 killed") {
		t.Errorf("what was in flight is not called by its name:\n%s", s.written())
	}
}

package engines_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// TestSlowerInKernel: a call that hangs is said while it does, with what it is about, and again when it ends.
func TestSlowerInKernel(t *testing.T) {
	drive.CountsInKernel(t)
	for _, args := range [][]string{nil, {"--by=comm"}, {"--pprof", "/dev/null"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			fifo := filepath.Join(t.TempDir(), "red\x1b[31m\nname")
			drive.Must(unix.Mkfifo(fifo, 0o600))
			s := drive.Start(t, drive.As(drive.Plain(t, append(args, "--engine=kernel", "--slower=30ms,openat,read", drive.Self(), fifo)...), "opens"))
			says := drive.SaysLine(t, s)
			says(`openat\(AT_FDCWD, ".*/red\x{fffd}\[31m\x{fffd}name", \d+, 0\) has not returned after [\d.]+ ms$`)
			writer, err := os.OpenFile(fifo, os.O_WRONLY, 0) // which ends the open
			drive.Must(err)
			defer writer.Close()
			says(`openat\(AT_FDCWD, ".*name", \d+, 0\) = \d+, [\d.]+ [nµm]?s$`)
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) has not returned after`)
			writer.WriteString("x")
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) = 1, `)
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
			// Where little comes of a second, other files take as long to be opened.
			opened := regexp.MustCompile(`openat\(AT_FDCWD, "[^"]*name"`).FindAllString(s.Written(), -1)
			if len(opened) != 2 || strings.Contains(s.Written(), "\x1b") {
				t.Errorf("openat is said %d times:\n%s", len(opened), s.Written())
			}
		})
	}
}

// TestSlowerInKernelIsLimited: each slow call has a line, or is counted.
func TestSlowerInKernelIsLimited(t *testing.T) {
	drive.CountsInKernel(t)
	const threads, times = 20, 40
	file := filepath.Join(t.TempDir(), "lines")
	s := drive.Start(t, drive.Undisturbed(drive.Plain(t, "--engine=kernel", "-c", "-o", file, "--slower=2ms,clock_nanosleep", drive.Self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.Expect("done")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	lines, leftOut := drive.Told(drive.Read(file))
	if lines+leftOut != threads*times || lines == 0 || leftOut == 0 {
		t.Errorf("%d lines and %d calls left out, of %d calls\n%s", lines, leftOut, threads*times, drive.Read(file))
	}
	if calls, _, _ := drive.Row(drive.Read(file), "clock_nanosleep"); calls != threads*times {
		t.Errorf("the table has %d clock_nanosleeps, want %d\n%s", calls, threads*times, drive.Read(file))
	}
}

// TestSlowerInKernelOfASleeper: a call that was entered before is said to hang, and to be broken off.
func TestSlowerInKernelOfASleeper(t *testing.T) {
	drive.CountsInKernel(t)
	sleeper := exec.Command("sleep", "100")
	drive.Must(sleeper.Start())
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
	pid := sleeper.Process.Pid
	drive.Eventually(t, "it sleeps", func() bool {
		call, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/syscall")
		return strings.HasPrefix(string(call), strconv.Itoa(unix.SYS_CLOCK_NANOSLEEP)+" ")
	})
	s := drive.Start(t, drive.Plain(t, "--engine=kernel", "--slower=30ms", "-p", strconv.Itoa(pid)))
	says := drive.SaysLine(t, s)
	says(`clock_nanosleep\(0, 0, 0x[0-9a-f]+, 0x[0-9a-f]+\) has not returned after at least [\d.]+ ms$`)
	drive.Must(sleeper.Process.Signal(unix.SIGSTOP)) // which has it go on with restart_syscall
	drive.Must(sleeper.Process.Signal(unix.SIGCONT))
	says(`clock_nanosleep\(.*\) = -1 ERESTART_RESTARTBLOCK, at least [\d.]+ m?s$`)
	says(`restart_syscall\(<resuming clock_nanosleep>\) has not returned after at least [\d.]+ ms$`)
	drive.Must(sleeper.Process.Kill())
	says(`restart_syscall\(<resuming clock_nanosleep>\) was killed after at least [\d.]+ m?s$`)
	s.End()
	if !strings.Contains(s.Written(), "clock_nanosleep: 1 killed") {
		t.Errorf("what was in flight is not called by its name:\n%s", s.Written())
	}
}

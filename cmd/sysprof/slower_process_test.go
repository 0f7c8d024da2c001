package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// A call that hangs is said while it does, with what it is about, and again when it ends. Names cannot control the terminal.
func TestSlowerTellsOfHangingCalls(t *testing.T) {
	for _, args := range [][]string{nil, {"--pprof", "/dev/null"}, {"--stacks=full"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			fifo := filepath.Join(t.TempDir(), "red\x1b[31m\nname")
			drive.Must(unix.Mkfifo(fifo, 0o600))
			s := drive.Start(t, drive.As(drive.Plain(t, append(args, "--slower=30ms,openat,read", drive.Self(), fifo)...), "opens"))
			says := drive.SaysLine(t, s)
			says(`openat\(AT_FDCWD, ".*/red\x{fffd}\[31m\x{fffd}name", \d+, 0\) has not returned after [\d.]+ ms$`)
			if len(args) > 0 {
				says(`openat\(.*\) has not returned after .*\n    .*\n(    .*\n)*    .*unix\.Open .*\.go:\d+\n`)
			}
			writer, err := os.OpenFile(fifo, os.O_WRONLY, 0) // which ends the open
			drive.Must(err)
			defer writer.Close()
			says(`openat\(AT_FDCWD, ".*name", \d+, 0\) = \d+, [\d.]+ [nµm]?s\b`)
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) has not returned after`)
			writer.WriteString("x")
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) = 1, `)
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
			if n := strings.Count(s.Written(), "openat(AT_FDCWD"); n != 2 || strings.Contains(s.Written(), "\x1b") {
				t.Errorf("openat is said %d times:\n%s", n, s.Written())
			}
		})
	}
}

// Each slow call has a line, or is counted.
func TestSlowerIsLimited(t *testing.T) {
	const threads, times = 20, 40
	file := filepath.Join(t.TempDir(), "lines")
	begun := time.Now()
	s := drive.Start(t, drive.Undisturbed(drive.Plain(t, "-c", "-o", file, "--raw", "--slower=1ms,clock_nanosleep", drive.Self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.Expect("done")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	lines, leftOut := drive.Told(drive.Read(file))
	seconds := int(time.Since(begun).Seconds()) + 2
	if lines+leftOut != threads*times || lines == 0 || lines > 100*seconds {
		t.Errorf("%d lines and %d calls left out in %d s, of %d calls", lines, leftOut, seconds, threads*times)
	}
	if s.Written() != "" {
		t.Errorf("stderr: %q", s.Written())
	}
	if calls, _, _ := drive.Row(drive.Read(file), "clock_nanosleep"); calls != threads*times {
		t.Errorf("the table has %d clock_nanosleeps, want %d\n%s", calls, threads*times, drive.Read(file))
	}
}

// Nobody reads the lines: the program goes on, and how many were left out is said later.
func TestSlowerWaitsForNobody(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	drive.Must(unix.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	drive.Must(err)
	defer reader.Close()
	_, err = unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, 4096)
	drive.Must(err)
	const threads, times = 10, 100
	s := drive.Start(t, drive.Undisturbed(drive.Plain(t, "-q", "-c", "-o", fifo, "--raw", "--slower=1ms,clock_nanosleep", drive.Self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.Expect("done")
	text := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 1<<16)
		for !strings.Contains(all.String(), " total\n") {
			reader.SetReadDeadline(time.Now().Add(drive.Patience))
			n, err := reader.Read(buffer)
			if all.Write(buffer[:n]); err != nil {
				break
			}
		}
		text <- all.String()
	}()
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	if lines, leftOut := drive.Told(<-text); lines+leftOut != threads*times || leftOut == 0 {
		t.Errorf("%d lines, and %d calls left out, of %d calls", lines, leftOut, threads*times)
	}
}

// What a thread sleeps in when it is attached to, and is left asleep in, hangs as well.
func TestSlowerTellsOfSleepers(t *testing.T) {
	for _, name := range []string{"waits in epoll", "echo"} {
		t.Run(name, func(t *testing.T) {
			p := drive.Start(t, drive.As(exec.Command(drive.Self()), name))
			p.Line()
			s := drive.Start(t, drive.Sysprof(t, "--slower=30ms,%desc", "-p", strconv.Itoa(p.Pid())))
			want := `: read\(0 <pipe>, .*\) has not returned after `
			if name != "echo" {
				want = `: epoll_p?wait2?\(\d+ <eventpoll>, .*\) has not returned after at least `
			}
			drive.Eventually(t, "the call is told of", func() bool { return regexp.MustCompile(want).MatchString(s.Written()) })
			s.Signal(unix.SIGTERM)
			drive.Died(t, s.End(), unix.SIGTERM)
		})
	}
}

// The target waits for what does not come, with a timeout.
var _ = drive.Target("waits in epoll", func([]string) {
	fd, err := unix.EpollCreate1(0)
	drive.Must(err)
	fmt.Println("waiting")
	for {
		unix.EpollWait(fd, make([]unix.EpollEvent, 1), int(drive.Patience.Milliseconds()))
	}
})

func TestSlowerTellsOfTheKilled(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Plain(t, "--slower=20ms,read", drive.Self()), "echo"))
	pid, err := strconv.Atoi(s.Line())
	drive.Must(err)
	drive.Eventually(t, "the call is told of", func() bool { return strings.Contains(s.Written(), " has not returned after ") })
	drive.Must(unix.Kill(pid, unix.SIGKILL))
	drive.Died(t, s.End(), unix.SIGKILL)
	if !regexp.MustCompile(`: read\(0.*\) was killed after \d`).MatchString(s.Written()) {
		t.Errorf("its end is not told of:\n%s", s.Written())
	}
}

// An execve's path is gone when it has returned, a closed file is when close begins, and of the first execve nobody tells.
func TestSlowerKnowsWhatIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some file")
	drive.Must(os.WriteFile(file, []byte("text"), 0o644))
	o := drive.Run(t, drive.Plain(t, "-c", "--raw", "--slower=1ns,execve,close", "sh", "-c", `exec cat "$0"`, file))
	o.Exited(t, 0)
	for _, want := range []string{`: execve\("/[^"]*(?:sh|bash)", 0x[0-9a-f]+, 0x[0-9a-f]+\) = 0, `, `: execve\("/.*/cat", 0x[0-9a-f]+, 0x[0-9a-f]+\) = 0, `, `: close\(\d+ <` + regexp.QuoteMeta(file) + `>\) = 0, `} {
		if !regexp.MustCompile(want).MatchString(o.Stderr) {
			t.Errorf("there is no line with %s:\n%s", want, o.Stderr)
		}
	}
}

func TestSlowerUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"--slower=soon", "true"}, "not a duration"},
		{[]string{"--slower=1s,no_such_call", "true"}, "no_such_call"},
		{[]string{"--slower=1s", "--bench=2", "true"}, "--bench"},
	} {
		o := drive.Run(t, drive.Plain(t, test.args...))
		o.Exited(t, 2)
		if !strings.Contains(o.Stderr, test.says) || strings.Count(o.Stderr, "\n") != 1 {
			t.Errorf("%q: %q, want a line with %q", test.args, o.Stderr, test.says)
		}
	}
}

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The target opens the file that its first argument names, and reads from it, by nothing but these calls.
var _ = target("opens", func(args []string) {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	must(err)
	_, err = unix.Read(fd, make([]byte, 10))
	must(err)
})

// A call that hangs is said while it does, with what it is about, and again when it ends. Names cannot control the terminal.
func TestSlowerTellsOfHangingCalls(t *testing.T) {
	for _, args := range [][]string{nil, {"--pprof", "/dev/null"}, {"--stacks=full"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			fifo := filepath.Join(t.TempDir(), "red\x1b[31m\nname")
			must(unix.Mkfifo(fifo, 0o600))
			s := start(t, as(plain(t, append(args, "--slower=30ms,openat,read", self(), fifo)...), "opens"))
			says := func(pattern string) {
				t.Helper()
				line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} .+ \(\d+\)( thread \d+ ?.*)?: ` + pattern)
				defer func() {
					if t.Failed() {
						t.Log(s.written())
					}
				}()
				eventually(t, "it is said that "+pattern, func() bool { return line.MatchString(s.written()) })
			}
			says(`openat\(AT_FDCWD, ".*/red\x{fffd}\[31m\x{fffd}name", \d+, 0\) has not returned after [\d.]+ ms$`)
			if len(args) > 0 {
				says(`openat\(.*\) has not returned after .*\n    .*\n(    .*\n)*    .*unix\.Open .*\.go:\d+\n`)
			}
			writer, err := os.OpenFile(fifo, os.O_WRONLY, 0) // which ends the open
			must(err)
			defer writer.Close()
			says(`openat\(AT_FDCWD, ".*name", \d+, 0\) = \d+, [\d.]+ [nµm]?s\b`)
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) has not returned after`)
			writer.WriteString("x")
			says(`read\(\d+ <.*name>, 0x[0-9a-f]+, 10\) = 1, `)
			(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
			if n := strings.Count(s.written(), "openat(AT_FDCWD"); n != 2 || strings.Contains(s.written(), "\x1b") {
				t.Errorf("openat is said %d times:\n%s", n, s.written())
			}
		})
	}
}

// The target sleeps so many times as its second argument says, by its first one many threads, for a little more than 2 ms.
var _ = target("sleeps", func(args []string) {
	threads, err := strconv.Atoi(args[0])
	must(err)
	times, err := strconv.Atoi(args[1])
	must(err)
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			runtime.LockOSThread()
			for range times {
				for left := (unix.Timespec{Nsec: 2_100_000}); unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, &left) != nil; {
				}
			}
		})
	}
	all.Wait()
	fmt.Println("done")
})

// undisturbed makes a command start the target "sleeps", whose sleeps the Go runtime does not interrupt.
func undisturbed(cmd *exec.Cmd) *exec.Cmd {
	cmd = as(cmd, "sleeps")
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	return cmd
}

var (
	slept = regexp.MustCompile(`(?m): clock_nanosleep\(.*\) = 0, `)
	more  = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} … ([\d,]+) more slower calls? in the last `)
)

// told is how many calls lines speak of, and how many were left out.
func told(text string) (lines, leftOut int) {
	for _, m := range more.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		must(err)
		leftOut += n
	}
	return len(slept.FindAllString(text, -1)), leftOut
}

// Each slow call has a line, or is counted.
func TestSlowerIsLimited(t *testing.T) {
	const threads, times = 20, 40
	file := filepath.Join(t.TempDir(), "lines")
	begun := time.Now()
	s := start(t, undisturbed(plain(t, "-c", "-o", file, "--raw", "--slower=1ms,clock_nanosleep", self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.expect("done")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	lines, leftOut := told(read(file))
	seconds := int(time.Since(begun).Seconds()) + 2
	if lines+leftOut != threads*times || lines == 0 || lines > 100*seconds {
		t.Errorf("%d lines and %d calls left out in %d s, of %d calls", lines, leftOut, seconds, threads*times)
	}
	if s.written() != "" {
		t.Errorf("stderr: %q", s.written())
	}
	if calls, _, _ := row(read(file), "clock_nanosleep"); calls != threads*times {
		t.Errorf("the table has %d clock_nanosleeps, want %d\n%s", calls, threads*times, read(file))
	}
}

// Nobody reads the lines: the program goes on, and how many were left out is said later.
func TestSlowerWaitsForNobody(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(unix.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	must(err)
	defer reader.Close()
	_, err = unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, 4096)
	must(err)
	const threads, times = 10, 100
	s := start(t, undisturbed(plain(t, "-q", "-c", "-o", fifo, "--raw", "--slower=1ms,clock_nanosleep", self(), strconv.Itoa(threads), strconv.Itoa(times))))
	s.expect("done")
	text := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 1<<16)
		for !strings.Contains(all.String(), " total\n") {
			reader.SetReadDeadline(time.Now().Add(patience))
			n, err := reader.Read(buffer)
			if all.Write(buffer[:n]); err != nil {
				break
			}
		}
		text <- all.String()
	}()
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	if lines, leftOut := told(<-text); lines+leftOut != threads*times || leftOut == 0 {
		t.Errorf("%d lines, and %d calls left out, of %d calls", lines, leftOut, threads*times)
	}
}

// What a thread sleeps in when it is attached to, and is left asleep in, hangs as well.
func TestSlowerTellsOfSleepers(t *testing.T) {
	for _, name := range []string{"waits in epoll", "echo"} {
		t.Run(name, func(t *testing.T) {
			p := start(t, as(exec.Command(self()), name))
			p.line()
			s := start(t, sysprof(t, "--slower=30ms,%desc", "-p", strconv.Itoa(p.pid())))
			want := `: read\(0 <pipe>, .*\) has not returned after `
			if name != "echo" {
				want = `: epoll_p?wait2?\(\d+ <eventpoll>, .*\) has not returned after at least `
			}
			eventually(t, "the call is told of", func() bool { return regexp.MustCompile(want).MatchString(s.written()) })
			s.signal(unix.SIGTERM)
			died(t, s.end(), unix.SIGTERM)
		})
	}
}

// The target waits for what does not come, with a timeout.
var _ = target("waits in epoll", func([]string) {
	fd, err := unix.EpollCreate1(0)
	must(err)
	fmt.Println("waiting")
	for {
		unix.EpollWait(fd, make([]unix.EpollEvent, 1), int(patience.Milliseconds()))
	}
})

func TestSlowerTellsOfTheKilled(t *testing.T) {
	s := start(t, as(plain(t, "--slower=20ms,read", self()), "echo"))
	pid, err := strconv.Atoi(s.line())
	must(err)
	eventually(t, "the call is told of", func() bool { return strings.Contains(s.written(), " has not returned after ") })
	must(unix.Kill(pid, unix.SIGKILL))
	died(t, s.end(), unix.SIGKILL)
	if !regexp.MustCompile(`: read\(0.*\) was killed after \d`).MatchString(s.written()) {
		t.Errorf("its end is not told of:\n%s", s.written())
	}
}

// An execve's path is gone when it has returned, a closed file is when close begins, and of the first execve nobody tells.
func TestSlowerKnowsWhatIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "some file")
	must(os.WriteFile(file, []byte("text"), 0o644))
	o := run(t, plain(t, "-c", "--raw", "--slower=1ns,execve,close", "sh", "-c", `exec cat "$0"`, file))
	o.exited(t, 0)
	for _, want := range []string{`: execve\("/[^"]*(?:sh|bash)", 0x[0-9a-f]+, 0x[0-9a-f]+\) = 0, `, `: execve\("/.*/cat", 0x[0-9a-f]+, 0x[0-9a-f]+\) = 0, `, `: close\(\d+ <` + regexp.QuoteMeta(file) + `>\) = 0, `} {
		if !regexp.MustCompile(want).MatchString(o.stderr) {
			t.Errorf("there is no line with %s:\n%s", want, o.stderr)
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
		o := run(t, plain(t, test.args...))
		o.exited(t, 2)
		if !strings.Contains(o.stderr, test.says) || strings.Count(o.stderr, "\n") != 1 {
			t.Errorf("%q: %q, want a line with %q", test.args, o.stderr, test.says)
		}
	}
}

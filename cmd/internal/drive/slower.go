package drive

import (
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Undisturbed makes a command start the target "sleeps", whose sleeps the Go runtime does not interrupt.
func Undisturbed(cmd *exec.Cmd) *exec.Cmd {
	cmd = As(cmd, "sleeps")
	cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1")
	return cmd
}

var (
	slept = regexp.MustCompile(`(?m): clock_nanosleep\(.*\) = 0, `)
	more  = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} … ([\d,]+) more slower calls? in the last `)
)

// Told is how many calls lines speak of, and how many were left out.
func Told(text string) (lines, leftOut int) {
	for _, m := range more.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		Must(err)
		leftOut += n
	}
	return len(slept.FindAllString(text, -1)), leftOut
}

// The target sleeps so many times as its second argument says, by its first one many threads, for a little more than 2 ms.
var _ = Target("sleeps", func(args []string) {
	threads, err := strconv.Atoi(args[0])
	Must(err)
	times, err := strconv.Atoi(args[1])
	Must(err)
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

// The target opens the file that its first argument names, and reads from it, by nothing but these calls.
var _ = Target("opens", func(args []string) {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	Must(err)
	_, err = unix.Read(fd, make([]byte, 10))
	Must(err)
})

// SaysLine returns what waits until a line about a call has been written.
func SaysLine(t *testing.T, s *Talk) func(pattern string) {
	return func(pattern string) {
		t.Helper()
		line := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{6} .+ \(\d+\)( thread \d+ ?.*)?: ` + pattern)
		defer func() {
			if t.Failed() {
				t.Log(s.Written())
			}
		}()
		Eventually(t, "it is said that "+pattern, func() bool { return line.MatchString(s.Written()) })
	}
}

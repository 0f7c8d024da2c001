package ptrace_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// The target makes short calls, or calls of 50 ms, until it is killed.
var _ = target("endless calls", func(l *ledger, args []string) {
	for {
		if args[0] == "long" {
			unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil)
		} else {
			l.call(unix.SYS_GETPPID)
		}
	}
})

// stoodStill is what a tracer saw that was stopped.
type stoodStill struct {
	LongestMs, ElapsedMs int64
	Standstills          int
}

// The target is a tracer in a process of its own, which traces process args[0] until it is asked.
var _ = target("timing tracer", func(_ *ledger, args []string) {
	pid, err := strconv.Atoi(args[0])
	must(err)
	var longestNs int64
	var mu sync.Mutex // there may be several tracer threads
	tracer, err := ptrace.Start(ptrace.Options{Attach: []int{pid}, Follow: true, Sink: each(func(c *profile.Call) {
		if c.Nr == unix.SYS_GETPPID || c.Nr == unix.SYS_NANOSLEEP { // the Go runtime sleeps longer in others
			mu.Lock()
			longestNs = max(longestNs, int64(c.RawLatency()), int64(c.Hold()), c.GapNs)
			mu.Unlock()
		}
	})})
	must(err)
	fmt.Println("ready")
	serve(func(line string) any {
		tracer.Stop()
		result, err := tracer.Wait()
		must(err)
		times := stoodStill{LongestMs: longestNs / 1e6, ElapsedMs: tracer.Progress().Elapsed.Milliseconds()}
		for _, w := range result.Warnings {
			if w.Kind == profile.StoodStill {
				times.Standstills += int(w.Count)
			}
		}
		return times
	})
})

func TestOwnStandstillIsNotTheProgramsTime(t *testing.T) {
	for _, kind := range []string{"short", "long"} {
		t.Run(kind, func(t *testing.T) {
			busy := start(t, "endless calls", kind)
			tracer := start(t, "timing tracer", strconv.Itoa(busy.pid))
			began := time.Now()
			if got := tracer.line(); got != "ready" {
				t.Fatalf("the tracer says %q", got)
			}
			time.Sleep(300 * time.Millisecond) // it beats, and counts
			unix.Kill(tracer.pid, unix.SIGSTOP)
			time.Sleep(time.Second) // the fault
			unix.Kill(tracer.pid, unix.SIGCONT)
			time.Sleep(300 * time.Millisecond)
			var saw stoodStill
			tracer.answer("end", &saw)
			passed := time.Since(began).Milliseconds()
			if saw.LongestMs >= 700 {
				t.Errorf("what was longest took %d ms; want nothing like the second that the tracer was stopped", saw.LongestMs)
			}
			if saw.ElapsedMs > passed-700 {
				t.Errorf("it was traced for %d ms of %d; want a second less", saw.ElapsedMs, passed)
			}
			if saw.Standstills != 1 {
				t.Errorf("%d standstills, want 1", saw.Standstills)
			}
		})
	}
}

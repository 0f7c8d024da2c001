package ptrace_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// The target makes calls as fast as it can. It finds out for how long it stood still between two of them at most: what
// it waited for a CPU is none of that.
var _ = target("busy", func(*ledger, []string) {
	debug.SetGCPercent(-1)
	var stoodNs atomic.Int64
	locked(func() {
		schedstat, err := os.Open(fmt.Sprintf("/proc/self/task/%d/schedstat", unix.Gettid()))
		must(err)
		waitedNs := func() int64 { // the second number
			var text [64]byte
			n, _ := schedstat.ReadAt(text[:], 0)
			waited, _ := strconv.ParseInt(strings.Fields(string(text[:n]))[1], 10, 64)
			return waited
		}
		const look = 5 * time.Millisecond
		waited := waitedNs()
		for looked, last := time.Now(), time.Now(); ; {
			unix.Getppid()
			now := time.Now()
			if now.Sub(looked) > look {
				before := waited
				waited = waitedNs()
				stoodNs.Store(max(stoodNs.Load(), int64(now.Sub(last))-(waited-before)))
				now = time.Now()
				looked = now
			}
			last = now
			runtime.Gosched()
		}
	})
	serve(func(string) any { return stoodNs.Load() })
})

// TestBusyProcessesHardlyStandStill, neither when they are attached to nor when they are left again, though there are
// many more than there are CPUs.
func TestBusyProcessesHardlyStandStill(t *testing.T) {
	const processes, rounds = 40, 3
	var all []*peer
	var pids []int
	for range processes {
		p := start(t, "busy")
		p.alive()
		all, pids = append(all, p), append(pids, p.pid)
	}
	for range rounds {
		var calls [processes]atomic.Int64
		byPID := make(map[int32]*atomic.Int64)
		for i, pid := range pids {
			byPID[int32(pid)] = &calls[i]
		}
		tracer, _ := trace(t, ptrace.Options{Attach: pids, Follow: true, Sink: each(func(c *profile.Call) {
			if n := byPID[c.PID]; n != nil {
				n.Add(1)
			}
		})})
		for i := range calls {
			eventually(t, "the calls of each are counted", func() bool { return calls[i].Load() > 50 })
		}
		begun := time.Now()
		stop(t, tracer)
		// A process that is as busy as these waits for a CPU for a while, but not again and again.
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v to end", took)
		}
	}
	for _, p := range all {
		var stoodNs int64
		p.answer("", &stoodNs)
		if stood := time.Duration(stoodNs); stood > time.Second {
			t.Errorf("process %d stood still for %v", p.pid, stood)
		}
	}
}

package ptrace_test

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// The target has several threads that make calls at the same time.
var _ = target("racers", func(*ledger, []string) {
	const threads, calls = 6, 500
	var ready, over sync.WaitGroup
	ready.Add(threads)
	over.Add(threads)
	for range threads {
		locked(func() {
			ready.Done()
			ready.Wait()
			for range calls {
				unix.Getppid()
			}
			over.Done()
		})
	}
	over.Wait()
})

// TestOvertakenCallsStandInLine: where threads share a CPU with the tracer, a call in whose time the stop of another thread was
// dealt with says nothing of how long such calls take, and is known by that.
func TestOvertakenCallsStandInLine(t *testing.T) {
	cpus := severalCPUs(t)
	last := 0
	for cpu := range 1024 {
		if cpus.IsSet(cpu) {
			last = cpu
		}
	}
	var all []profile.Call
	tracer, _ := trace(t, ptrace.Options{
		Command: targetCommand("", "racers"), Follow: true, CPU: ptrace.OnCPU(last), Sink: each(func(c *profile.Call) { all = append(all, *c) }),
	})
	finish(t, tracer)
	var clean, overtaken int
	for i := range all {
		c := &all[i]
		if c.Nr != unix.SYS_GETPPID || c.CrossCPU {
			continue
		}
		between := false
		for j := range all {
			other := &all[j]
			inside := func(ns int64) bool { return c.EntryResumedNs < ns && ns < c.ExitSeenNs }
			between = between || other.TID != c.TID && (inside(other.EntrySeenNs) || inside(other.ExitSeenNs))
		}
		switch {
		case !between:
			clean++
		case c.Queued, c.Waits.Overtaken, c.Woken:
			overtaken++
		default:
			t.Errorf("thread %d: a call of %v, in which others were dealt with, stood in no line", c.TID, c.RawLatency())
		}
	}
	if clean == 0 || overtaken == 0 {
		t.Errorf("%d calls in which nobody was dealt with, %d in which others were", clean, overtaken)
	}
}

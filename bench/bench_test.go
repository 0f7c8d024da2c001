package main

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// BenchmarkTracedCall measures all that sysprof does for a call: two stops in package ptrace and a record in
// package profile. Tracer and tracee are on one CPU.
func BenchmarkTracedCall(b *testing.B) {
	needPtrace(b)
	_, unpin, err := pin(-1)
	if err != nil {
		b.Fatal(err)
	}
	defer unpin()

	// The shell keeps the helper's output out of the output of the benchmark.
	script := "exec " + os.Args[0] + " helper-getppid " + strconv.Itoa(b.N) + " >/dev/null"
	shard := profile.New().Shard()
	seen, firstNs, lastNs := 0, int64(0), int64(0)
	tracer, err := ptrace.Start(ptrace.Options{
		Command: &ptrace.Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: os.Environ()},
		Sink: feed(func(c *profile.Call) {
			shard.Add(c)
			if c.Nr == unix.SYS_GETPPID {
				if seen++; seen == 1 {
					firstNs = c.EntrySeenNs
				}
				lastNs = c.ExitResumedNs
			}
		}),
	})
	if err != nil {
		b.Fatal(err)
	}
	result, err := tracer.Wait()
	if err != nil || result.Command.ExitStatus() != 0 {
		b.Fatalf("status %#x, %v", uint32(result.Command), err)
	}
	if seen < b.N {
		b.Fatalf("%d calls seen of %d made", seen, b.N)
	}
	b.ReportMetric(float64(lastNs-firstNs)/float64(b.N), "ns/op") // the start of the helper is not part of it
}

// feed is a profile.Sink that takes calls alone.
type feed func(*profile.Call)

func (f feed) Feed() profile.Feeder       { return f }
func (f feed) Call(c *profile.Call)       { f(c) }
func (f feed) Control(*profile.Control)   {}
func (f feed) Counted(*profile.Raw)       {}
func (f feed) InFlight(*profile.InFlight) {}
func (f feed) Ended(pid, tid int32)       {}

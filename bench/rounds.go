package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// series is all rounds of one workload on one CPU.
type series struct {
	Workload string  `json:"workload"`
	Calls    int     `json:"calls"` // in a round, under each tracer
	NsPerOp  timings `json:"ns_per_call"`
	Load     load    `json:"load"`
}

// measure runs w once under each of the tracers in every round, in an order shuffled anew. cpu is the CPU
// that bench is pinned to.
func measure(k *toolkit, w timedWorkload, tracers []tracer, rounds, calls, cpu int) (*series, error) {
	tracers = slices.DeleteFunc(slices.Clone(tracers), func(t tracer) bool { return !t.measuresPinned(&w) })
	s := &series{Workload: w.name, Calls: calls, NsPerOp: timings{}}
	meter, err := startLoadMeter(cpu)
	if err != nil {
		return nil, err
	}
	for range rounds {
		for _, i := range rand.Perm(len(tracers)) {
			t := tracers[i]
			ns, err := runOnce(k, w, t, calls)
			if err != nil {
				return nil, fmt.Errorf("%s under %s: %w", w.name, t.name, err)
			}
			s.NsPerOp[t.name] = append(s.NsPerOp[t.name], ns)
		}
	}
	s.Load, err = meter.load()
	return s, err
}

// runOnce runs w once under a tracer, and returns the nanoseconds that a call took.
func runOnce(k *toolkit, w timedWorkload, t tracer, calls int) (float64, error) {
	calls = max(calls/max(t.share, 1), 1)
	words := append(append([]string{}, t.prefix...), w.command(k, calls)...)
	cmd := exec.Command(words[0], words[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C") // what the workload prints is parsed
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	elapsed, err := w.elapsed(stdout.String(), stderr.String())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.Join(words, " "), err)
	}
	return float64(elapsed) / float64(calls), nil
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"

	"sysprof/bench/process"
	"sysprof/profile/cost/recording"
)

// kind is a kind of call.
type kind struct {
	name  string
	names []string // what tracers call it, which differs between architectures and C libraries
}

// step is what c/target.c does at a time: one call, or two that belong together. No two steps of a run may
// make calls of the same name.
type step struct {
	name  string
	kinds []kind // of its calls in turn
	share int    // how often it is made, in percent of a cheap call
}

// cheapCall is the call that sysprof calibrates with.
const cheapCall = "getppid"

var timedSteps = []step{
	{cheapCall, []kind{{cheapCall, []string{"getppid"}}}, 100},
	{"pread-64", []kind{{"pread-64", []string{"pread64"}}}, 100},
	{"pread-1M", []kind{{"pread-1M", []string{"preadv"}}}, 5},
	{"write", []kind{{"write", []string{"write"}}}, 100},
	{"fstat", []kind{{"fstat", []string{"newfstatat", "fstat"}}}, 100},
	{"open+close", []kind{{"open", []string{"openat", "open"}}, {"close", []string{"close"}}}, 100},
	{"mmap+munmap", []kind{{"mmap", []string{"mmap"}}, {"munmap", []string{"munmap"}}}, 100},
	{"getdents", []kind{{"getdents", []string{"getdents64"}}}, 5},
	{"poll", []kind{{"poll", []string{"poll", "ppoll"}}}, 100},
	{"epoll", []kind{{"epoll", []string{"epoll_wait", "epoll_pwait"}}}, 100},
	{"futex-wake", []kind{{"futex-wake", []string{"futex"}}}, 100},
	{"nanosleep", []kind{{"nanosleep", []string{"clock_nanosleep"}}}, 5},
}

// apartSteps cannot be held to the goal. The two threads of a ping-pong wait for each other, each for what
// tracing costs the other one, so that what is measured is an upper bound. A disk answers as it likes.
var apartSteps = []step{
	{"pingpong", []kind{{"pingpong", []string{"read"}}}, 20},
	{"fsync", []kind{{"fsync", []string{"fsync"}}}, 2},
}

// chosenSteps returns the steps with a kind that matches.
func chosenSteps(steps []step, only *regexp.Regexp) (list []step) {
	for _, s := range steps {
		if slices.ContainsFunc(s.kinds, func(k kind) bool { return only.MatchString(k.name) }) {
			list = append(list, s)
		}
	}
	return list
}

// count is how often a thread makes the step.
func (s *step) count(calls, threads int) int { return max(calls*s.share/100/max(threads, 1), 4) }

// timing is what is said of a distribution, in nanoseconds. A P50 of 0: it is not known.
type timing struct {
	P50  float64 `json:"p50,omitempty"`
	Mean float64 `json:"mean"`
}

// callTimings has a timing for each kind of call by name.
type callTimings map[string]timing

// calls measures a run of the target under each tracer, in an order shuffled anew, with an untraced run
// before and after each.
func (r *accuracyRun) calls(ctx context.Context, c condition, round int, steps []step) error {
	words := r.targetWords(c, steps)
	before, err := r.kit.truth(ctx, words, steps)
	if err != nil {
		return err
	}
	observers := r.kit.observers()
	for _, i := range rand.Perm(len(observers)) {
		o := &observers[i]
		if r.dropped[o.name] {
			continue
		}
		got, err := r.kit.observe(ctx, o, words, steps, c)
		if err != nil {
			if err := r.failed(ctx, c, o.name, err); err != nil {
				return err
			}
			r.dropped[o.name] = o.bound == foreignBound // it need not be waited for again
			continue
		}
		after, err := r.kit.truth(ctx, words, steps)
		if err != nil {
			return err
		}
		err = r.kit.keepRecording(c.String(), round, "", func(to *recording.Run) {
			r.kit.addTruth(to, steps, c.threads, before, after)
		})
		if err != nil {
			return err
		}
		for _, s := range steps {
			for _, k := range s.kinds {
				row := judged{Condition: c.String(), Round: round, Kind: k.name, By: o.name,
					Before: before[k.name], After: after[k.name], Got: got[k.name]}
				if err := r.to.row(row); err != nil {
					return err
				}
			}
		}
		before = after
	}
	return nil
}

// targetWords returns the command that makes the steps.
func (r *accuracyRun) targetWords(c condition, steps []step) []string {
	shape := "blocks"
	if c.part == partInterleaved {
		shape = "interleaved"
	}
	words := []string{r.kit.k.target, shape, strconv.Itoa(max(c.threads, 1)), r.kit.dir}
	for _, s := range steps {
		words = append(words, fmt.Sprintf("%s=%d", s.name, s.count(r.opt.calls, c.threads)))
	}
	return words
}

// truth runs the target untraced and returns what it says of its own calls.
func (kit *accuracyKit) truth(ctx context.Context, words []string, steps []step) (callTimings, error) {
	p, err := process.Run(ctx, process.Spec{Words: words}, runBound)
	if err != nil {
		return nil, err
	}
	out, _ := p.Output()
	return parseTarget([]byte(out), steps)
}

// parseTarget parses what c/target.c writes: for each step the number of its times, and these.
func parseTarget(out []byte, steps []step) (callTimings, error) {
	found := make(callTimings)
	in := bytes.NewReader(out)
	for _, s := range steps {
		ns, err := readTimes(in)
		if err != nil {
			return nil, fmt.Errorf("what the target says of %s: %w", s.name, err)
		}
		for i, k := range s.kinds {
			var own []float64
			for j := i; j < len(ns); j += len(s.kinds) {
				own = append(own, float64(ns[j]))
			}
			if found[k.name], err = timingOf(own); err != nil {
				return nil, fmt.Errorf("what the target says of %s: %w", k.name, err)
			}
		}
	}
	return found, nil
}

// readTimes reads a number, and as many times.
func readTimes(in io.Reader) ([]int64, error) {
	var n int64
	if err := binary.Read(in, binary.NativeEndian, &n); err != nil {
		return nil, err
	}
	if n < 0 || n > 1<<24 {
		return nil, fmt.Errorf("there cannot be %d times", n)
	}
	ns := make([]int64, n)
	return ns, binary.Read(in, binary.NativeEndian, ns)
}

func timingOf(ns []float64) (timing, error) {
	if len(ns) == 0 {
		return timing{}, fmt.Errorf("no times")
	}
	sum := 0.0
	for _, v := range ns {
		sum += v
	}
	slices.Sort(ns)
	return timing{ns[len(ns)/2], sum / float64(len(ns))}, nil
}

package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// accuracyWorkload is the name of the accuracy part for -only. That part asks whether what sysprof
// prints is true: how long calls take, and how long a program would have run untraced. The truth is what
// c/target.c measures of its own calls, untraced, in the same rounds.
const accuracyWorkload = "accuracy"

// timedCall is a kind of call that c/target.c makes.
type timedCall struct {
	name  string
	names []string // what tracers call it, which differs between architectures and C libraries
	share int      // how often it is made, in percent of a cheap call
}

var timedCalls = []timedCall{
	{"getppid", []string{"getppid"}, 100},
	{"pread-4K", []string{"pread64"}, 100},
	{"pread-1M", []string{"pread64"}, 10},
	{"write-null", []string{"write"}, 100},
	{"fstat", []string{"newfstatat", "fstat"}, 100},
	{"open", []string{"openat", "open"}, 100},
	{"close", []string{"close"}, 100},
	{"getdents", []string{"getdents64"}, 10},
	{"mmap", []string{"mmap"}, 100},
	{"munmap", []string{"munmap"}, 100},
	{"poll", []string{"poll", "ppoll"}, 100},
	{"nanosleep", []string{"clock_nanosleep"}, 10},
	{"pingpong", []string{"read"}, 50},
	{"futex-wake", []string{"futex"}, 100},
	{"futex-wait", []string{"futex"}, 10},
	{"fsync", []string{"fsync"}, 2},
}

// setting is where a measurement is made.
type setting struct {
	Pinned bool `json:"pinned"` // everything on one CPU
	Busy   bool `json:"busy"`   // another CPU computes all the time
}

var allSettings = []setting{{true, false}, {true, true}, {false, false}, {false, true}}

func (s setting) String() string {
	words := "unpinned"
	if s.Pinned {
		words = "pinned"
	}
	if s.Busy {
		words += "+load"
	}
	return words
}

// accuracy is everything that the accuracy part measured.
type accuracy struct {
	Calls    int              `json:"calls"`
	Rounds   int              `json:"rounds"`
	Missing  []string         `json:"missing,omitempty"` // tracers that are left out, and why
	Settings []*settingResult `json:"settings"`
}

// settingResult is what was measured in one setting.
type settingResult struct {
	setting
	Load  load           `json:"load"`
	Calls []*callLatency `json:"calls,omitempty"`
	Runs  []*runTime     `json:"runs,omitempty"`
}

// callLatency is the latency of one kind of call, in nanoseconds, round by round.
type callLatency struct {
	Call        string    `json:"call"`
	TruthMedian []float64 `json:"truth_median"`
	TruthMean   []float64 `json:"truth_mean"`
	Median      []float64 `json:"sysprof_median"`
	Mean        []float64 `json:"sysprof_mean"`
	Strace      []float64 `json:"strace_mean,omitempty"`
	Perf        []float64 `json:"perf_mean,omitempty"`
}

// runTime is how long one program ran, in nanoseconds, round by round. Estimate, Low and High are how
// long sysprof says that it would have run untraced.
type runTime struct {
	Run      string    `json:"run"`
	Untraced []float64 `json:"untraced"`
	Traced   []float64 `json:"traced"`
	Estimate []float64 `json:"estimate"`
	Low      []float64 `json:"low"`
	High     []float64 `json:"high"`
	Warned   []bool    `json:"warned"`
}

// accuracyOptions choose what of the accuracy part is measured.
type accuracyOptions struct {
	calls    int // of a cheap call, per run
	only     *regexp.Regexp
	settings []setting
}

func parseSettings(list string) (settings []setting, err error) {
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(allSettings, func(s setting) bool { return s.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown setting %q; there are %v", name, allSettings)
		}
		settings = append(settings, allSettings[i])
	}
	return settings, nil
}

// measureAccuracy measures the chosen calls and programs in the chosen settings. cpu is the CPU that bench
// is pinned to. unpin undoes that.
func measureAccuracy(k *toolkit, opt *accuracyOptions, rounds, cpu int, unpin func(), progress io.Writer) (*accuracy, error) {
	if k.whyNoC != "" {
		return nil, fmt.Errorf("the target is written in C: %s", k.whyNoC)
	}
	kit, err := newAccuracyKit(k)
	if err != nil {
		return nil, err
	}
	a := &accuracy{Calls: opt.calls, Rounds: rounds, Missing: kit.missing}
	for _, in := range opt.settings {
		fmt.Fprintf(progress, "bench: %s, %s, %d rounds\n", accuracyWorkload, in, rounds)
		r, err := kit.measure(in, opt, rounds, cpu, unpin)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in, err)
		}
		a.Settings = append(a.Settings, r)
	}
	return a, nil
}

// measure measures in one setting. It leaves bench pinned to cpu.
func (kit *accuracyKit) measure(in setting, opt *accuracyOptions, rounds, cpu int, unpin func()) (r *settingResult, err error) {
	if in.Pinned {
		if _, _, err := pin(cpu); err != nil {
			return nil, err
		}
	} else {
		unpin()
		defer pin(cpu)
	}
	if in.Busy {
		end, err := kit.spin(cpu)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	meter, err := startLoadMeter(cpu)
	if err != nil {
		return nil, err
	}
	r = &settingResult{setting: in}
	var steps []func() error
	for _, c := range timedCalls {
		if opt.only.MatchString(c.name) {
			result := &callLatency{Call: c.name}
			r.Calls = append(r.Calls, result)
			steps = append(steps, func() error { return kit.callOnce(&c, max(opt.calls*c.share/100, 1), result) })
		}
	}
	for _, p := range kit.programs(opt.calls) {
		if opt.only.MatchString(p.name) {
			result := &runTime{Run: p.name}
			r.Runs = append(r.Runs, result)
			steps = append(steps, func() error { return kit.programOnce(&p, result) })
		}
	}
	for range rounds {
		for _, i := range rand.Perm(len(steps)) {
			if err := steps[i](); err != nil {
				return nil, err
			}
		}
	}
	r.Load, err = meter.load()
	return r, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// accuracyWorkload is the name of the accuracy part for -only. It is the referee of what sysprof prints:
// how long calls take, and how long a program would have run untraced.
//
// The truth of a run under a tracer is the mean of two untraced runs in the same condition, the one just
// before it and the one just after it: a machine drifts, and what it was a minute ago is not the truth.
// How far these two are from each other says how well anything at all can be judged.
const accuracyWorkload = "accuracy"

// accuracyOptions choose what of the accuracy part is measured.
type accuracyOptions struct {
	calls      int // of a cheap call, per run
	only       *regexp.Regexp
	conditions *regexp.Regexp
	quick      bool
	raw        string   // file that gets every row as soon as it is measured; empty: none
	record     string   // directory that gets a recording of each run instead; empty: none
	tables     []string // raw files to print the tables of; nil: measure
}

// accuracy is everything that the accuracy part measured.
type accuracy struct {
	Headers    []header        `json:"headers"` // one for each run of bench
	Conditions []conditionLoad `json:"conditions"`
	Rows       []judged        `json:"rows"`
	Failures   []string        `json:"failures,omitempty"`
}

// header says where and with what the rows that follow were measured.
type header struct {
	Machine  machine  `json:"machine"`
	Sysprofs []string `json:"sysprofs"` // in the order of the tables
	Calls    int      `json:"calls"`
	Rounds   int      `json:"rounds"`
	Missing  []string `json:"missing,omitempty"` // tracers and programs that are left out, and why
}

// conditionLoad is how busy the machine was with other work while a condition was measured. The load that
// the condition asks for is part of it: 1 for each CPU that computes.
type conditionLoad struct {
	Condition string `json:"condition"`
	Load      load   `json:"load"`
}

// accuracyRun measures the accuracy part.
type accuracyRun struct {
	kit      *accuracyKit
	opt      *accuracyOptions
	rounds   int
	cpu      int // that bench is pinned to
	unpin    func()
	progress io.Writer
	to       *recorder
	dropped  map[string]bool // tracers that have failed in this condition
}

// measureAccuracy measures the chosen calls and programs in the chosen conditions. m is the machine, whose
// CPU bench is pinned to. unpin undoes that. SIGINT and SIGTERM end it and all that it has started.
func measureAccuracy(k *toolkit, opt *accuracyOptions, rounds int, m machine, unpin func(), progress io.Writer) (a *accuracy, err error) {
	if k.whyNoC != "" {
		return nil, fmt.Errorf("the target is written in C: %s", k.whyNoC)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The kernel kills what this thread starts when this thread ends (see package process).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	kit, err := newAccuracyKit(ctx, k, opt.calls)
	if err != nil {
		return nil, err
	}
	kit.record = opt.record
	to, err := newRecorder(opt.raw)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	r := &accuracyRun{kit: kit, opt: opt, rounds: rounds, cpu: m.CPU, unpin: unpin, progress: progress, to: to}
	if err := to.header(header{m, kit.sysprofNames(), opt.calls, rounds, kit.missing}); err != nil {
		return nil, err
	}
	for _, c := range opt.chosen(len(allowedCPUsOf(unpin, m.CPU))) {
		start := time.Now()
		if err := r.measure(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		fmt.Fprintf(progress, "bench: %s, %s, %d rounds, %.1f s\n", accuracyWorkload, c, rounds, time.Since(start).Seconds())
	}
	return &to.all, nil
}

// allowedCPUsOf returns the CPUs that bench may use when it is not pinned. It leaves bench pinned to cpu.
func allowedCPUsOf(unpin func(), cpu int) []int {
	unpin()
	defer pin(cpu)
	return allowedCPUs()
}

// measure measures in one condition. It leaves bench pinned.
func (r *accuracyRun) measure(ctx context.Context, c condition) error {
	r.unpin()
	defer pin(r.cpu)
	cpus := allowedCPUs()
	if c.pinned {
		if _, _, err := pin(r.cpu); err != nil {
			return err
		}
	}
	end, err := r.kit.spin(c.spinners(cpus, r.cpu))
	if err != nil {
		return err
	}
	defer end()
	meter, err := startLoadMeter(allCPUs)
	if err != nil {
		return err
	}
	r.dropped = make(map[string]bool)
	for round := range r.rounds {
		if err := r.round(ctx, c, round); err != nil {
			return err
		}
	}
	l, err := meter.load()
	if err != nil {
		return err
	}
	return r.to.condition(conditionLoad{c.String(), l})
}

// round measures all of a condition once.
func (r *accuracyRun) round(ctx context.Context, c condition, round int) error {
	if c.part == partPrograms {
		for _, p := range r.kit.programs {
			if !r.opt.only.MatchString(p.name) {
				continue
			}
			if err := r.failed(ctx, c, p.name, r.program(ctx, c, round, &p)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, steps := range c.targets(r.opt.only) {
		if err := r.calls(ctx, c, round, steps); err != nil {
			return err
		}
	}
	return nil
}

// failed records that something could not be measured, for the tables to say so. The error is returned
// only if bench has to end.
func (r *accuracyRun) failed(ctx context.Context, c condition, what string, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	text := fmt.Sprintf("%s, %s: %v", c, what, err)
	fmt.Fprintf(r.progress, "bench: %s\n", text)
	return r.to.failure(text)
}

// readAccuracy reads the raw files that the options name, and returns what they choose of all of them together.
func readAccuracy(opt *accuracyOptions) (*accuracy, error) {
	a := new(accuracy)
	for _, name := range opt.tables {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		err = a.readFile(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	a.Rows = slices.DeleteFunc(a.Rows, func(row judged) bool {
		return !opt.conditions.MatchString(row.Condition) || !opt.only.MatchString(row.Kind)
	})
	return a, nil
}

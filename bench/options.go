package main

import (
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// options are what the command line says.
type options struct {
	list    bool
	only    *regexp.Regexp
	rounds  int
	tracers []string // nil: all
	cpu     int      // −1: the last one allowed
	calls   int      // of one run of a workload on one CPU

	grow     growSizes
	accuracy accuracyOptions

	sysprofs []version // built ones to measure; nil: build the one of this tree

	// Files to write. Empty: none.
	goFormat, json, svg string

	scale float64 // factor of the sizes of the workloads of the matrix
}

// growSizes are the sizes of the memory workload.
type growSizes struct{ calls, processes, threads int }

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	opt := &options{only: regexp.MustCompile("")}
	opt.accuracy.only, opt.accuracy.conditions = opt.only, opt.only
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&opt.list, "list", false, "list the workloads and tracers, and measure nothing")
	set.Func("only", "measure only the workloads whose names match `REGEXP`", func(s string) (err error) {
		opt.only, err = regexp.Compile(s)
		return err
	})
	set.IntVar(&opt.rounds, "n", 3, "number of `ROUNDS`")
	set.Func("tracers", "measure only these tracers: a comma-separated `LIST`", func(s string) error {
		opt.tracers = strings.Split(s, ",")
		return nil
	})
	set.IntVar(&opt.cpu, "cpu", -1, "pin to CPU `N` what runs on one CPU; -1: the last one allowed")
	set.IntVar(&opt.calls, "calls", 100_000, "system calls of one run of a workload on one CPU")
	set.IntVar(&opt.grow.calls, "memory-calls", 1_000_000, "system calls of the memory workload; results to keep use 10000000")
	set.IntVar(&opt.grow.processes, "memory-processes", 1000, "processes of the memory workload that are alive at a time")
	set.IntVar(&opt.grow.threads, "memory-threads", 2000, "threads of the memory workload that are alive at a time")
	opt.accuracy.define(set)
	set.Func("sysprof", "measure the sysprof in `FILE` instead of building one from this tree; the accuracy part compares those of a comma-separated list of FILE or NAME=FILE", func(s string) (err error) {
		opt.sysprofs, err = parseVersions(s)
		return err
	})
	set.StringVar(&opt.goFormat, "o", "", "write every round to `FILE` in Go benchmark format, for benchstat")
	set.StringVar(&opt.json, "json", "", "write all results to `FILE` as JSON")
	set.StringVar(&opt.svg, "svg", "", "write a chart of the slowdowns to `FILE` as SVG")
	set.Float64Var(&opt.scale, "scale", 1, "multiply the sizes of the workloads on all CPUs by `FACTOR`")
	if err := set.Parse(args[1:]); err != nil {
		return nil, err
	}
	opt.calls &^= 1 // dd makes calls in pairs
	err := opt.check(set.Args())
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	return opt, err
}

// define defines the flags of the accuracy part.
func (o *accuracyOptions) define(set *flag.FlagSet) {
	set.IntVar(&o.calls, "accuracy-calls", 3000, "cheap system calls of one run of the accuracy part, `N` of each kind; slow ones are made less often")
	set.Func("accuracy-only", "measure the accuracy only of the calls and programs whose names match `REGEXP`; those of programs begin with \"run \"", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	set.Func("accuracy-conditions", "measure the accuracy only in the conditions whose names match `REGEXP` (see -list)", func(s string) (err error) {
		o.conditions, err = regexp.Compile(s)
		return err
	})
	set.BoolVar(&o.quick, "quick", false, "measure the accuracy in few conditions")
	set.StringVar(&o.raw, "accuracy-raw", "", "append what the accuracy part measures to `FILE`, as JSON by line")
	set.StringVar(&o.record, "accuracy-record", "", "record each run into a file in `DIR` by the tracer of this tree, with its truth, instead of running tracers")
	set.Func("accuracy-tables", "measure nothing, and print the tables of a comma-separated `LIST` of files of -accuracy-raw, of what -accuracy-only and -accuracy-conditions choose", func(s string) error {
		o.tables = strings.Split(s, ",")
		return nil
	})
}

// check reports what is wrong with the options. rest are the arguments after them.
func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q; workloads are chosen with -only", rest[0])
	case o.rounds < 1:
		return fmt.Errorf("-n %d: want at least one round", o.rounds)
	case !(o.scale > 0 && o.scale <= 100):
		return fmt.Errorf("-scale %v: want a factor above 0, at most 100", o.scale)
	case o.calls < 2 || o.grow.calls < 1 || o.grow.processes < 1 || o.grow.threads < 1 || o.accuracy.calls < 1 || o.accuracy.calls > 100_000:
		return fmt.Errorf("the sizes of a workload must be positive, -calls at least 2 and -accuracy-calls at most 100000")
	}
	return nil
}

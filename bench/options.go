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
	cpu     int      // -1: the last one allowed
	calls   int      // per run of a timed workload

	grow     growSizes
	accuracy accuracyOptions

	sysprof  string // a built sysprof to measure; empty: build this tree's
	goFormat string // files to write, empty: none
	json     string
	svg      string

	scale float64 // of the workloads of the matrix; 1: as they are meant
}

// growSizes say what the memory workload does.
type growSizes struct{ calls, processes, threads int }

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	opt := &options{only: regexp.MustCompile("")}
	opt.accuracy.only, opt.accuracy.settings = opt.only, allSettings
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&opt.list, "list", false, "list workloads and tracers, and measure nothing")
	set.Func("only", "measure only workloads that match `REGEXP`", func(s string) (err error) {
		opt.only, err = regexp.Compile(s)
		return err
	})
	set.IntVar(&opt.rounds, "n", 3, "measure this many `ROUNDS`")
	set.Func("tracers", "measure only these tracers, a comma-separated `LIST`", func(s string) error {
		opt.tracers = strings.Split(s, ",")
		return nil
	})
	set.IntVar(&opt.cpu, "cpu", -1, "run what is to be on one CPU on CPU `N`; -1 is the last one allowed")
	set.IntVar(&opt.calls, "calls", 100_000, "system calls of one run of a timed workload")
	set.IntVar(&opt.grow.calls, "memory-calls", 1_000_000, "system calls of the memory workload; 10000000 for the record")
	set.IntVar(&opt.grow.processes, "memory-processes", 1000, "processes alive at a time in the memory workload")
	set.IntVar(&opt.grow.threads, "memory-threads", 2000, "threads alive at a time in the memory workload")
	set.IntVar(&opt.accuracy.calls, "accuracy-calls", 2000, "cheap system calls of one run of the accuracy workload; fewer of slow ones")
	set.Func("accuracy-only", "measure the accuracy only of calls and programs (run …) that match `REGEXP`", func(s string) (err error) {
		opt.accuracy.only, err = regexp.Compile(s)
		return err
	})
	set.Func("accuracy-settings", "measure the accuracy in these, a comma-separated `LIST`; all: pinned,pinned+load,unpinned,unpinned+load", func(s string) (err error) {
		opt.accuracy.settings, err = parseSettings(s)
		return err
	})
	set.StringVar(&opt.sysprof, "sysprof", "", "measure this sysprof `FILE` instead of building the tree's")
	set.StringVar(&opt.goFormat, "o", "", "write every round in Go benchmark format, for benchstat, to `FILE`")
	set.StringVar(&opt.json, "json", "", "write everything measured as JSON to `FILE`")
	set.StringVar(&opt.svg, "svg", "", "write a chart of the slowdowns as SVG to `FILE`")
	set.Float64Var(&opt.scale, "scale", 1, "scale the sizes of the workloads that are not on one CPU by `FACTOR`")
	if err := set.Parse(args[1:]); err != nil {
		return nil, err
	}
	opt.calls &^= 1 // dd makes them in pairs
	err := opt.check(set.Args())
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	return opt, err
}

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

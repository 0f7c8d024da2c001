// Command bench measures what tracing system calls costs: sysprof next to the tracers that people
// use instead, and next to a floor below which no ptrace tracer can be.
//
//	go run ./bench                       everything, 3 rounds of it
//	go run ./bench -list                 what there is to measure, and with which tracers
//	go run ./bench -only ^getppid -n 30  30 rounds of what the expression matches
//	go run ./bench -only ^batch/ -tracers sysprof,strace -svg chart.svg
//
// There are two sorts of workloads. Those whose name has a slash are what people trace, as they trace
// it, on all CPUs: programs, servers under load on the loopback interface, filters, many threads and
// many processes (package workload). They make up a matrix of workloads × tracers, and the targets are
// ratios within it. The others have everything pinned on one CPU, where a call costs the least and
// differs the least: what sysprof itself does there can be told from where it is put.
//
// Tracers and workloads for which something is missing are left out, and named with the package to
// install. One that fails, or does not end within a minute, is named, too, and the others go on without
// it; the exit status is then 1.
//
// # How it measures
//
//  1. It builds sysprof and a few helpers, and has one run of sysprof count the calls of each workload
//     of the matrix.
//  2. One round runs a workload once under each tracer and once untraced, in an order shuffled
//     anew. Slow drift of the machine then meets all of them alike. A round of the matrix goes through
//     all of its workloads.
//  3. What a tracer adds per call is (traced − untraced) ÷ calls within a round. On one CPU, the
//     workloads time themselves, so that starting a process is not in it. In the matrix only some do;
//     of the others it is the whole run, with the start and the end of the tracer. A request of a
//     server is 1 ÷ throughput.
//  4. Ratios between tracers are taken within a round, too. What is printed is the median of the
//     rounds with an interval from their order statistics, and ~ for a ratio whose interval
//     holds 1: the difference is noise.
//
// Results leave as Markdown on standard output, and with -o in Go benchmark format, -json, and -svg.
//
// The accuracy part (-only accuracy; -accuracy-only and -accuracy-settings choose within it) measures
// not what tracing costs but whether sysprof tells the truth: a target times its own calls untraced by
// the vDSO clock, and is then run under sysprof, strace and perf trace; and programs are run untraced,
// and what sysprof thinks that they would have taken is held against it.
//
// How busy the machine was with other work is part of the results. Root can keep that off the CPU. The kernel weighs whole
// sessions (sched(7), "The autogroup feature"), so nice alone does nothing:
//
//	go build -o /tmp/bench ./bench
//	setsid -w sh -c 'echo -20 > /proc/self/autogroup; exec nice -n -20 /tmp/bench'
//
// It is not a test: it fails if something cannot be measured, never because something is slow. For
// numbers that the sysprof process itself reports, see sysprof; for costs of single functions, see
// the Go benchmarks of each package.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// The exit statuses.
const (
	statusOK = iota
	statusFailure
	statusUsage
)

// run is the whole program. args[0] is the program's own name.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 1 {
		if helper, ok := helpers()[args[1]]; ok {
			return helper(args[2:], stdin, stdout, stderr)
		}
	}
	opt, err := parseOptions(args, stderr)
	if err != nil {
		return statusUsage // the flag package has said what is wrong
	}
	if err := bench(opt, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return statusFailure
	}
	return statusOK
}

// helpers are the programs that bench starts and measures, and that it is itself, so that it needs
// no other files. They are not for use.
func helpers() map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return map[string]func([]string, io.Reader, io.Writer, io.Writer) int{
		"helper-floor":   floorHelper,
		"helper-getppid": getppidHelper,
		"helper-grow":    growHelper,
		"helper-serve":   serveHelper,
		"helper-spin":    spinHelper,
	}
}

func floorHelper(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status, err := traceFloor(args, stdin, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "bench: floor: %v\n", err)
		return statusFailure
	}
	return status
}

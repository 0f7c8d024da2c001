// Command bench measures what tracing system calls costs. It compares sysprof with the tracers that
// people use instead, and with a tracer that does nothing but wait and resume: no ptrace tracer can cost
// less.
//
//	go run ./bench                       everything, 3 rounds of it
//	go run ./bench -list                 what there is to measure, and with which tracers
//	go run ./bench -only ^getppid -n 30  30 rounds of the workloads that match the expression
//	go run ./bench -only ^batch/ -tracers sysprof,strace -svg chart.svg
//
// It is not a test. It fails if something cannot be measured, and never because something is slow. The
// costs of single functions are measured by the Go benchmarks of each package.
//
// # What it measures
//
// Workloads with a slash in their name are what people trace, on all CPUs: programs, servers under load
// on the loopback interface, filters, many threads and many processes (package workload). They make up
// a matrix of workloads × tracers, and the targets are ratios within it.
//
// Workloads without a slash run pinned on one CPU together with their tracer. A call costs the least
// there and varies the least, which shows the costs of sysprof itself apart from those of its placement.
//
// The accuracy part is the referee of what sysprof prints, as well as of what strace -c -w and perf trace -s
// print:
//
//	go run ./bench -only accuracy -quick                   a few conditions, in two minutes
//	go run ./bench -only accuracy -accuracy-raw FILE       all of them, in ten minutes
//	go run ./bench -accuracy-tables FILE,FILE              the tables of raw files (or FILE.gz) again
//	go run ./bench -only accuracy -sysprof old=FILE,new=FILE -accuracy-conditions '^free/' -accuracy-only '^poll$'
//
// -accuracy-record DIR records each run, with its truth, into a file of its own for the tests of package profile/cost
// (see package recording).
//
// A target times its own calls by the vDSO clock: untraced, then under a tracer, then untraced again, in each
// condition. A condition has a name such as free/other/interleaved/8 (see -list). The program and its tracer
// are pinned to one CPU, or free; the CPUs are quiet, or the other ones compute, or all do; the kinds of call
// follow each other in blocks, or interleaved, or in blocks without getppid (nocheap), which sysprof
// calibrates with; one thread makes them, or eight do. What cannot be held to a goal is apart. Programs, and
// redis under a load, are run untraced before and after, too, and their times are compared with sysprof's
// estimate and its range. Several sysprofs are run in turn, so that the machine's drift meets all of them.
//
// Tracers and workloads that need something that is not installed are left out, and named with the
// package to install. A tracer that fails, or does not end within a minute, is named as well. The others
// go on without it, and the exit status is 1.
//
// The pauses part attaches sysprof and strace to hundreds of threads that are never idle, and finds out how long one of
// them stands still at most because of that, and because it is left again.
//
// # How it measures
//
//  1. It builds sysprof and a few helpers. One run of sysprof counts the calls of each workload of the
//     matrix.
//  2. A round runs a workload once under each tracer and once untraced, in an order shuffled anew. Slow
//     drift of the machine then affects all of them alike. A round of the matrix goes through all of its
//     workloads.
//  3. What a tracer adds to a call is (traced − untraced) ÷ calls, within a round. The workloads on one
//     CPU time themselves, which leaves out the start of a process. Only some workloads of the matrix do
//     that. For the others, it is the time of the whole run, with the start and the end of the tracer.
//     The time of a server's request is 1 ÷ throughput.
//  4. Ratios between tracers are taken within a round, too. The tables have the median of the rounds and
//     an interval from their order statistics (golang.org/x/perf/benchmath). They have ~ in place of a
//     ratio whose interval contains 1, since that difference is noise.
//
// Results leave as Markdown on standard output, and as files with -o (Go benchmark format), -json and
// -svg.
//
// The results say how busy the machine was with other work. Root can keep other work off the CPU. nice
// alone does not suffice, since the kernel weighs whole sessions (sched(7), "The autogroup feature"):
//
//	go build -o /tmp/bench ./bench
//	setsid -w sh -c 'echo -20 > /proc/self/autogroup; exec nice -n -20 /tmp/bench'
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
		return statusUsage // parseOptions has printed what is wrong
	}
	if err := bench(opt, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return statusFailure
	}
	return statusOK
}

// helpers returns the programs that bench starts and measures, by their names. They are part of bench
// itself, which therefore needs no other files. People do not call them.
func helpers() map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return map[string]func([]string, io.Reader, io.Writer, io.Writer) int{
		"helper-floor":   floorHelper,
		"helper-getppid": getppidHelper,
		"helper-grow":    growHelper,
		"helper-record":  recordHelper,
		"helper-serve":   serveHelper,
		"helper-spin":    spinHelper,
	}
}

// floorHelper runs a command under the tracer that does nothing but wait and resume.
func floorHelper(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	status, err := traceFloor(args, stdin, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "bench: floor: %v\n", err)
		return statusFailure
	}
	return status
}

package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sysprof/bench/workload"
)

// tracer is one way to run a command, or to watch what runs already.
type tracer struct {
	name    string
	what    string   // for -list
	prefix  []string // what to put before the command; it ends in "--"
	version string
	missing string // why it cannot be had, empty if it can
	stacks  bool   // it captures stacks: on one CPU, for the workloads that are about those
	share   int    // it makes only one call in so many, because it is so slow; 0: all
	pinned  bool   // it is measured where everything is pinned on one CPU

	// In the matrix, where nothing is pinned:
	matrix   bool
	attaches bool     // -p instead of "--" attaches it
	filters  bool     // it has -e trace=SET
	only     string   // the group that it is measured with; empty: all
	counters bool     // it does not use ptrace but performance counters
	pinnedTo int      // the CPU that it and what it traces are pinned on; −1: none
	observer []string // watches the whole machine, says "ready", and ends with SIGINT
}

// The tracers that others are compared with.
const (
	untraced      = "untraced"
	floorGo       = "floor"
	floorPinned   = "floor-c pinned"
	straceC       = "strace"
	straceSeccomp = "strace --seccomp-bpf"
	sysprofC      = "sysprof"
	stacked       = "sysprof --pprof"
)

// histograms is a program for bpftrace that does what sysprof -c does, for the whole machine.
const histograms = `tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@start[tid]/ { @ns[args->id] = hist(nsecs - @start[tid]); delete(@start[tid]); }
interval:s:1 { printf("ready\n"); }`

// allTracers returns every tracer that bench knows, in the order of its tables. cpu is where those
// that are to be pinned are.
func allTracers(k *toolkit, cpu int) []tracer {
	table := filepath.Join(k.dir, "table") // overwritten by each run
	taskset := []string{"taskset", "-c", strconv.Itoa(cpu)}
	list := []tracer{
		{name: untraced, what: "the command alone", pinned: true, matrix: true, filters: true, attaches: false},
		{name: "floor-c", what: "waits and resumes, reads nothing; in C", prefix: []string{k.floorC}, missing: k.whyNoC,
			pinned: true, matrix: true, only: workload.Batch},
		{name: floorPinned, what: "the same, pinned on one CPU with its tracees", prefix: append(slices.Clone(taskset), k.floorC),
			missing: firstLineOf(k.whyNoC), matrix: true, only: workload.Batch},
		{name: floorGo, what: "waits and resumes, reads nothing; in Go", prefix: []string{k.self, "helper-floor"},
			pinned: true, matrix: true, only: workload.Batch},
		{name: sysprofC, what: "sysprof -c", prefix: []string{k.sysprof, "-c", "-o", table, "--"}, version: firstLine(k.sysprof, "--version"),
			pinned: true, matrix: true, attaches: true, filters: true},
		{name: stacked, what: "sysprof -c --pprof", prefix: []string{k.sysprof, "-c", "-o", table, "--pprof", filepath.Join(k.dir, "profile"), "--"},
			stacks: true, matrix: true, attaches: true},
	}
	strace := tracer{name: straceC, what: "strace -f -c", pinned: true, matrix: true, attaches: true, filters: true}
	if path, err := exec.LookPath("strace"); err != nil {
		strace.missing = err.Error() + " (package strace)"
	} else {
		strace.prefix = []string{path, "-f", "-c", "-o", table, "--"}
		strace.version = firstLine(path, "--version")
	}
	onOne := tracer{name: "strace pinned", what: "the same, pinned on one CPU with its tracees (taskset)", missing: strace.missing,
		prefix: slices.Concat(taskset, strace.prefix), matrix: true, attaches: true}
	seccomp := tracer{name: straceSeccomp, what: "strace -f -c --seccomp-bpf, where there is a filter", missing: strace.missing,
		matrix: true, filters: true, only: workload.Filter}
	if strace.missing == "" {
		seccomp.prefix = slices.Insert(slices.Clone(strace.prefix), 3, "--seccomp-bpf")
	}
	withStacks := tracer{name: "strace -k", what: "strace -f -k", stacks: true, share: 100, missing: strace.missing,
		prefix: []string{"strace", "-f", "-k", "-o", "/dev/null", "--"}}
	list = append(list, strace, onOne, seccomp, withStacks, perfTrace(table), bpftrace())
	_, noTaskset := exec.LookPath("taskset")
	for i := range list {
		if noTaskset != nil && list[i].missing == "" && len(list[i].prefix) > 0 && list[i].prefix[0] == taskset[0] {
			list[i].missing = noTaskset.Error() + " (package util-linux)"
		}
		list[i].pinnedTo = -1
		if list[i].name == onOne.name {
			list[i].pinnedTo = cpu
		}
	}
	return list
}

func perfTrace(table string) tracer {
	t := tracer{name: "perf trace -s", what: "perf trace -s", matrix: true, attaches: true, counters: true}
	path, err := exec.LookPath("perf")
	if err != nil {
		t.missing = err.Error() + " (package linux-perf)"
		return t
	}
	t.prefix = []string{path, "trace", "-s", "-o", table, "--"}
	if err := build(path, "trace", "-s", "-o", "/dev/null", "true"); err != nil {
		t.missing = firstLineOf(err.Error()) // it needs root and tracefs
	}
	t.version = firstLine(path, "--version")
	return t
}

func bpftrace() tracer {
	t := tracer{name: "bpftrace", what: "a histogram a call, of the whole machine", matrix: true}
	path, err := exec.LookPath("bpftrace")
	if err != nil {
		t.missing = err.Error() + " (package bpftrace)"
		return t
	}
	t.observer = []string{path, "-e", histograms}
	const once = `tracepoint:raw_syscalls:sys_enter { exit(); }` // it needs root, tracefs, and a kernel with BPF
	if err := build("timeout", "20", path, "-e", once); err != nil {
		t.missing = firstLineOf(err.Error())
	}
	t.version = firstLine(path, "--version")
	return t
}

// launch is what to put before a command, to trace the calls of a filter; of an empty one: all.
func (t *tracer) launch(filter string) []string {
	words := slices.Clone(t.prefix)
	if filter != "" && len(words) > 0 {
		words = slices.Insert(words, len(words)-1, "-e", "trace="+filter)
	}
	return words
}

// attach is what to put before a list of processes.
func (t *tracer) attach() []string {
	return append(slices.Clone(t.prefix[:len(t.prefix)-1]), "-p")
}

// serves reports whether the tracer is measured with a workload on one CPU.
func (t *tracer) serves(w *timedWorkload) bool {
	if w.stacks {
		return t.stacks || t.name == untraced || t.name == sysprofC
	}
	return t.pinned && !t.stacks
}

// fits reports whether the tracer is measured with a workload of the matrix. One that was to be pinned
// has no part where the workload says how many CPUs there are.
func (t *tracer) fits(w *workload.Workload) bool {
	switch {
	case !t.matrix, t.only != "" && t.only != w.Group():
		return false
	case t.name == untraced || t.observer != nil && w.Filter == "":
		return true
	case w.Serve != nil:
		return t.attaches
	case w.CPUs > 0:
		return t.pinnedTo < 0
	}
	return w.Filter == "" || t.filters
}

// chosenTracers splits the tracers that names wants (all if nil) into those that there are and
// those that are missing. untraced is always wanted: all else is measured against it.
func chosenTracers(all []tracer, names []string) (found, missing []tracer, unknown []string) {
	for _, t := range all {
		switch {
		case names != nil && t.name != untraced && !slices.Contains(names, t.name):
		case t.missing != "":
			missing = append(missing, t)
		default:
			found = append(found, t)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(t tracer) bool { return t.name == name }) {
			unknown = append(unknown, name)
		}
	}
	return found, missing, unknown
}

func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

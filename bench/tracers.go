package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sysprof/bench/process"
	"sysprof/bench/workload"
)

// tracer is one way to trace a command, or processes that run already.
type tracer struct {
	name    string
	what    string   // for -list
	prefix  []string // the words before the command; those of most tracers end in "--"
	version string
	missing string // why it cannot run; empty: it can
	stacks  bool   // it captures stacks, and is measured on one CPU with the workloads about stacks
	share   int    // divides the number of calls, for a slow tracer; 0: does not divide it
	pinned  bool   // it is measured with the workloads on one CPU

	// In the matrix, on all CPUs:
	matrix   bool               // it is measured with the matrix
	attaches bool               // it attaches with -p in place of "--"
	filters  bool               // it has -e trace=SET
	only     string             // the group of workloads that it is measured with; empty: all groups
	began    func(pid int) bool // reports whether the tracer has begun; nil: when ptrace says so of those that are attached to
	pinnedTo int                // the CPU that it and its tracees are pinned to; −1: none
	observer []string           // a command that traces the whole machine, writes "ready", and ends by SIGINT
}

// The names of the tracers that are compared with others.
const (
	untraced      = "untraced"
	floorGo       = "floor"
	floorPinned   = "floor-c pinned"
	straceC       = "strace"
	straceSeccomp = "strace --seccomp-bpf"
	sysprofC      = "sysprof"
	stacked       = "sysprof --pprof"
	kernelC       = "sysprof-kernel"
	kernelTimed   = "sysprof-kernel-1/16"
)

// histograms is a program for bpftrace. It makes a histogram for each system call, of the whole machine.
const histograms = `tracepoint:raw_syscalls:sys_enter { @start[tid] = nsecs; }
tracepoint:raw_syscalls:sys_exit /@start[tid]/ { @ns[args->id] = hist(nsecs - @start[tid]); delete(@start[tid]); }
interval:s:1 { printf("ready\n"); }`

// allTracers returns every tracer that bench knows, in the order of the tables. cpu is the CPU of the
// pinned ones.
func allTracers(k *toolkit, cpu int) []tracer {
	table := filepath.Join(k.dir, "table") // each run overwrites it
	taskset := []string{"taskset", "-c", strconv.Itoa(cpu)}
	list := []tracer{
		{name: untraced, what: "the command alone", pinned: true, matrix: true, filters: true},
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
	list = append(list, strace, onOne, seccomp, withStacks, perfTrace(table), bpftrace(), syscount())
	list = append(list, inKernel(k.sysprof, table)...)
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
	t := tracer{name: "perf trace -s", what: "perf trace -s", matrix: true, attaches: true, began: process.CountersOpen}
	path, err := exec.LookPath("perf")
	if err != nil {
		t.missing = err.Error() + " (package linux-perf)"
		return t
	}
	t.prefix = []string{path, "trace", "-s", "-o", table, "--"}
	if err := build(path, "trace", "-s", "-o", "/dev/null", "true"); err != nil {
		t.missing = firstLineOf(err.Error()) // perf trace needs root and tracefs
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
	// bpftrace needs root, tracefs, and a kernel with BPF.
	const once = `tracepoint:raw_syscalls:sys_enter { exit(); }`
	if err := build("timeout", "20", path, "-e", once); err != nil {
		t.missing = firstLineOf(err.Error())
	}
	t.version = firstLine(path, "--version")
	return t
}

// inKernel are the tracers that are sysprof, counting in the kernel.
func inKernel(sysprof, table string) []tracer {
	missing := ""
	if sysprof != "" { // it has been built
		if err := build(sysprof, "--engine=kernel", "-q", "-o", table, "true"); err != nil {
			missing = firstLineOf(err.Error()) // it takes root, and a kernel that permits it
		}
	}
	t := tracer{name: kernelC, what: "sysprof -c --engine=kernel", missing: missing, version: firstLine(sysprof, "--version"),
		prefix: []string{sysprof, "-c", "-o", table, "--engine=kernel", "--"}, pinned: true, matrix: true, attaches: true, filters: true, began: process.ProgramsAttached}
	timed := t
	timed.name, timed.what = kernelTimed, t.what+" --timed=1/16"
	timed.prefix = slices.Insert(slices.Clone(t.prefix), len(t.prefix)-1, "--timed=1/16")
	return []tracer{t, timed}
}

// syscount counts all calls of the whole machine, with how long they took in all.
func syscount() tracer {
	t := tracer{name: "syscount -L", what: "libbpf-tools' syscount -L, of the whole machine", matrix: true}
	path := "/usr/sbin/syscount"
	if _, err := exec.LookPath(path); err != nil {
		t.missing = err.Error() + " (package libbpf-tools)"
		return t
	}
	// It says nothing before its end.
	t.observer = []string{"sh", "-c", "{ sleep 1; echo ready; } & exec " + path + " -L"}
	if os.Geteuid() != 0 {
		t.missing = "it takes root"
	}
	return t
}

// launch returns the words before a command that has to be traced. An empty filter traces all calls.
func (t *tracer) launch(filter string) []string {
	words := slices.Clone(t.prefix)
	if filter != "" && len(words) > 0 {
		words = slices.Insert(words, len(words)-1, "-e", "trace="+filter)
	}
	return words
}

// attach returns the words before a list of processes to attach to.
func (t *tracer) attach() []string {
	return append(slices.Clone(t.prefix[:len(t.prefix)-1]), "-p")
}

// measuresPinned reports whether the tracer is measured with a workload on one CPU.
func (t *tracer) measuresPinned(w *timedWorkload) bool {
	if w.stacks {
		return t.stacks || t.name == untraced || t.name == sysprofC || t.name == floorGo
	}
	return t.pinned && !t.stacks
}

// measures reports whether the tracer is measured with a workload of the matrix. A pinned tracer is not
// measured with a workload that has a number of CPUs of its own.
func (t *tracer) measures(w *workload.Workload) bool {
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

// chosenTracers splits the named tracers into those that can run and those that cannot. A nil list names
// all tracers. untraced is always among them, since all others are compared with it. unknown are the
// names that no tracer has.
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

// firstLine returns the first line that a command writes, and nothing if the command fails.
func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

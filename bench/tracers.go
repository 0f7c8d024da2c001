package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tracer is one way to run a command.
type tracer struct {
	name    string
	what    string   // for -list
	prefix  []string // what to put before the command
	version string
	missing string // why it cannot be had, empty if it can
	stacks  bool   // it captures stacks: for the workloads that are about those
	share   int    // it makes only one call in so many, because it is so slow; 0: all
}

// The tracers that others are compared with.
const (
	untraced = "untraced"
	floorGo  = "floor"
	straceC  = "strace"
	sysprofC = "sysprof"
	stacked  = "sysprof --pprof"
)

// allTracers returns every tracer that bench knows, in the order of its tables.
func allTracers(k *toolkit) []tracer {
	table := filepath.Join(k.dir, "table") // overwritten by each run
	list := []tracer{
		{name: untraced, what: "the command alone"},
		{name: "floor-c", what: "waits and resumes, reads nothing; in C", prefix: []string{k.floorC}, missing: k.whyNoC},
		{name: floorGo, what: "waits and resumes, reads nothing; in Go", prefix: []string{k.self, "helper-floor"}},
		{name: sysprofC, what: "sysprof -c", prefix: []string{k.sysprof, "-c", "-o", table, "--"},
			version: firstLine(k.sysprof, "--version")},
		{name: stacked, what: "sysprof -c --pprof", stacks: true,
			prefix: []string{k.sysprof, "-c", "-o", table, "--pprof", filepath.Join(k.dir, "profile"), "--"}},
	}
	strace := tracer{name: straceC, what: "strace -f -c"}
	if path, err := exec.LookPath("strace"); err != nil {
		strace.missing = err.Error()
	} else {
		strace.prefix = []string{path, "-f", "-c", "-o", table, "--"}
		strace.version = firstLine(path, "--version")
	}
	withStacks := tracer{name: "strace -k", what: "strace -f -k", stacks: true, share: 100, missing: strace.missing}
	withStacks.prefix = []string{"strace", "-f", "-k", "-o", "/dev/null", "--"}
	return append(list, strace, withStacks)
}

// serves reports whether the tracer is measured with a workload.
func (t *tracer) serves(w *workload) bool {
	if w.stacks {
		return t.stacks || t.name == untraced || t.name == sysprofC
	}
	return !t.stacks
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

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sysprof/bench/process"
	"sysprof/bench/workload"
	"sysprof/profile/cost/recording"
)

// program is something whose untraced run time sysprof has to estimate: a command, or a service under a load.
type program struct {
	name    string
	command []string
	dir     string
	env     []string
	before  func() error // is called before every run, untimed; nil: there is nothing to do
	repeat  int          // untraced runs at a time, of which the median counts: short ones differ from each other

	serve func(context.Context) (workload.Service, error) // of a service
}

// runTime is how long a program ran, in nanoseconds; of a service, how long its threads did, or wanted to. A load of one is
// over only when its client is done, too: on two CPUs redis runs for half of the time that a load of redis-benchmark takes.
type runTime struct {
	Traced   float64 `json:"traced"`
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Warned   bool    `json:"warned,omitempty"`
	Units    int     `json:"units,omitempty"` // requests of a service
}

// findPrograms sets those of the programs that are installed.
func (kit *accuracyKit) findPrograms(ctx context.Context) (err error) {
	if kit.env, err = kit.k.workloads(1); err != nil {
		return err
	}
	repository := filepath.Join(kit.dir, "repository")
	kit.makeRepository(repository)
	python := "python3"
	// python3 may be a script that looks for the interpreter.
	if path, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output(); err == nil {
		python = strings.TrimSpace(string(path))
	}
	tree := filepath.Join(kit.dir, "tree")
	kit.programs = []program{
		{name: "run getppid", command: append(slices.Clone(kit.k.getppid), strconv.Itoa(10*kit.calls)), repeat: 3},
		{name: "run dd bs=1", command: []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=" + strconv.Itoa(5*kit.calls)}, repeat: 3},
		{name: "run find", command: []string{"find", tree, tree, tree, "-size", "+1"}, repeat: 3},
		{name: "run tar", command: []string{"tar", "-cf", filepath.Join(kit.dir, "tar"), "-C", kit.dir, "many", "many"}, repeat: 3},
		{name: "run git status", command: []string{"git", "-C", repository, "status"}, repeat: 3},
		{name: "run python", command: []string{python, "-S", "-c", "import json, subprocess"}, repeat: 3},
	}
	kit.programs = slices.DeleteFunc(kit.programs, func(p program) bool {
		_, err := exec.LookPath(p.command[0])
		if err != nil {
			kit.missing = append(kit.missing, fmt.Sprintf("%s is left out: %v", p.name, err))
		}
		return err != nil
	})
	kit.borrow("run go build", "batch/go-build")
	kit.borrow("run redis", "attached/redis")
	return nil
}

// borrow takes a program from the workloads of the matrix.
func (kit *accuracyKit) borrow(name, from string) {
	for _, w := range workload.All() {
		if w.Name != from {
			continue
		}
		r := runner{k: kit.k, env: kit.env, cpus: allowedCPUs()}
		if why := r.prepare(&w); why != "" {
			kit.missing = append(kit.missing, fmt.Sprintf("%s is left out: %s", name, why))
			return
		}
		p := program{name: name, env: workload.Environment, repeat: 1}
		if w.Serve != nil {
			p.serve = func(ctx context.Context) (workload.Service, error) { return w.Serve(ctx, kit.env) }
		} else {
			p.command, p.dir = w.Command(kit.env), w.Dir(kit.env)
			p.before = func() error { return w.Before(kit.env) }
		}
		kit.programs = append(kit.programs, p)
	}
}

// makeRepository makes a git repository with files that are added and not committed, unless it exists.
// Without git it does nothing.
func (kit *accuracyKit) makeRepository(dir string) {
	if _, err := os.Stat(dir); err == nil {
		return
	}
	if err := exec.Command("git", "init", "-q", dir).Run(); err != nil {
		return
	}
	os.CopyFS(filepath.Join(dir, "files"), os.DirFS(filepath.Join(kit.dir, "many")))
	exec.Command("git", "-C", dir, "add", ".").Run()
}

// program measures a program under each sysprof, in an order shuffled anew, with untraced runs before and
// after each. A service is started once, and runs for all of them.
func (r *accuracyRun) program(ctx context.Context, c condition, round int, p *program) error {
	run := programRun{kit: r.kit, p: p}
	if p.serve != nil && r.kit.record != "" {
		return nil // a recording is of a run from its begin to its end
	}
	if p.serve != nil {
		service, err := p.serve(ctx)
		if err != nil {
			return err
		}
		defer service.Stop()
		run.service = service
	}
	before, err := run.untraced(ctx)
	if err != nil {
		return err
	}
	sysprofs := r.kit.sysprofs
	var callsBefore []recording.Truth
	if r.kit.record != "" {
		sysprofs = []version{{recordName, ""}}
		if callsBefore, err = run.counted(ctx); err != nil {
			return err
		}
	}
	for _, i := range rand.Perm(len(sysprofs)) {
		s := &sysprofs[i]
		got, err := run.traced(ctx, s.path)
		if err != nil {
			return err
		}
		after, err := run.untraced(ctx)
		if err != nil {
			return err
		}
		if r.kit.record != "" {
			callsAfter, err := run.counted(ctx)
			if err != nil {
				return err
			}
			err = r.kit.keepRecording(c.String(), round, "-"+p.name, func(to *recording.Run) {
				to.UntracedNs = [2]float64{before.P50, after.P50}
				to.Truth = truthOf(callsBefore, callsAfter)
			})
			if err != nil {
				return err
			}
			callsBefore = callsAfter
		}
		row := judged{Condition: c.String(), Round: round, Kind: p.name, By: s.name, Before: before, After: after, Run: got}
		if err := r.to.row(row); err != nil {
			return err
		}
		before = after
	}
	return nil
}

// programRun runs one program with and without tracing.
type programRun struct {
	kit     *accuracyKit
	p       *program
	service workload.Service // nil: the program is a command
}

// untraced returns how long the program runs untraced. It is the median of some runs.
func (r *programRun) untraced(ctx context.Context) (timing, error) {
	var took []float64
	for range r.p.repeat {
		ns, err := r.untracedOnce(ctx)
		if err != nil {
			return timing{}, err
		}
		took = append(took, ns)
	}
	return timingOf(took)
}

func (r *programRun) untracedOnce(ctx context.Context) (float64, error) {
	if r.service != nil {
		before := r.ran()
		_, err := r.service.Load(ctx)
		return r.ran() - before, err
	}
	out, err := r.run(ctx, []string{r.kit.k.target, "run"})
	if err != nil {
		return 0, err
	}
	ns, err := readTimes(strings.NewReader(out))
	if err != nil || len(ns) != 1 {
		return 0, fmt.Errorf("the target has no time of a run: %w", err)
	}
	return float64(ns[0]), nil
}

// ran is for how long the service has run.
func (r *programRun) ran() (ns float64) {
	for _, pid := range r.service.Pids() {
		ns += process.Ran(pid)
	}
	return ns
}

// run runs the command with these words before it, and returns its output.
func (r *programRun) run(ctx context.Context, prefix []string) (string, error) {
	if r.p.before != nil {
		if err := r.p.before(); err != nil {
			return "", err
		}
	}
	ran, err := process.Run(ctx, process.Spec{Words: slices.Concat(prefix, r.p.command), Dir: r.p.dir, Env: r.p.env}, runBound)
	if err != nil {
		return "", err
	}
	out, _ := ran.Output()
	return out, nil
}

// traced runs the program under a sysprof, and returns what that says of the time without tracing.
func (r *programRun) traced(ctx context.Context, sysprof string) (*runTime, error) {
	var sample workload.Sample
	var err error
	if r.service != nil {
		sample, err = r.loaded(ctx, sysprof)
	} else {
		words := r.kit.sysprofWords(sysprof, "--")
		if r.kit.record != "" {
			words = r.kit.recorderWords()
		}
		_, err = r.run(ctx, words)
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(r.kit.json)
	if err != nil {
		return nil, err
	}
	return estimated(text, sample.Units)
}

// loaded puts the service under load while a sysprof is attached to it.
func (r *programRun) loaded(ctx context.Context, sysprof string) (sample workload.Sample, err error) {
	pids := r.service.Pids()
	tracer, err := process.Start(process.Spec{Words: r.kit.sysprofWords(sysprof, "-p", numbers(pids)), Discard: true})
	if err != nil {
		return sample, err
	}
	defer tracer.Kill()
	err = process.Until(ctx, "sysprof has attached", attachBound, func() bool {
		return tracer.Ended() || !slices.ContainsFunc(pids, func(pid int) bool { return !process.Traced(pid) })
	})
	if err != nil {
		return sample, err
	}
	if sample, err = r.service.Load(ctx); err != nil {
		return sample, err
	}
	return sample, tracer.Stop(syscall.SIGINT, endBound)
}

// estimated returns what sysprof's JSON says of the run time without tracing. Of a service that goes on, of which units is what
// it was asked for, that is how much of the time is left for which its threads ran, or wanted to, without what tracing took.
func estimated(text []byte, units int) (*runTime, error) {
	var said sysprofJSON
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, err
	}
	o := said.Overhead
	if o == nil {
		return nil, fmt.Errorf("sysprof says nothing about overhead")
	}
	t := &runTime{Traced: o.WallNs, Estimate: o.Untraced.Ns, Low: o.Untraced.LowNs, High: o.Untraced.HighNs, Units: units}
	if units > 0 {
		if o.Lost.Estimate <= 0 {
			return nil, fmt.Errorf("sysprof has seen nothing of a load of %d", units)
		}
		t.Traced = o.Total.Ns / o.Lost.Estimate
		t.Estimate, t.Low, t.High = t.Traced*(1-o.Lost.Estimate), t.Traced*(1-o.Lost.High), t.Traced*(1-o.Lost.Low)
	}
	for _, w := range said.WarningKinds {
		t.Warned = t.Warned || strings.HasPrefix(w.Kind, uncertain)
	}
	return t, nil
}

// uncertain begins the kinds of warning of an estimate of the untraced run time that is not to be relied on.
const uncertain = "untraced-uncertain"

// version is a sysprof that is measured.
type version struct{ name, path string }

// parseVersions parses a list of FILE or NAME=FILE.
func parseVersions(list string) (versions []version, err error) {
	for word := range strings.SplitSeq(list, ",") {
		name, path, named := strings.Cut(word, "=")
		if !named {
			name, path = word, word
		}
		if name == "" || path == "" || slices.ContainsFunc(versions, func(v version) bool { return v.name == name }) {
			return nil, fmt.Errorf("%q: want different names, each for a file", word)
		}
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		versions = append(versions, version{name, path})
	}
	return versions, nil
}

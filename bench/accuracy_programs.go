package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sysprof/profile"
)

// program is a command whose untraced run time sysprof has to estimate.
type program struct {
	name    string
	command []string
}

// programs returns those of the programs that are installed.
func (kit *accuracyKit) programs(calls int) []program {
	repository := filepath.Join(kit.dir, "repository")
	kit.makeRepository(repository)
	python := "python3"
	// python3 may be a script that looks for the interpreter.
	if path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output(); err == nil {
		python = strings.TrimSpace(string(path))
	}
	list := []program{
		{"run getppid", append(slices.Clone(kit.k.getppid), strconv.Itoa(10*calls))},
		{"run dd bs=1", []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=" + strconv.Itoa(5*calls)}},
		{"run find", []string{"find", filepath.Join(kit.dir, "tree"), "-size", "+1"}},
		{"run tar", []string{"tar", "-cf", filepath.Join(kit.dir, "tar"), "-C", kit.dir, "many"}},
		{"run git status", []string{"git", "-C", repository, "status"}},
		{"run python", []string{python, "-S", "-c", "import json, subprocess"}},
	}
	return slices.DeleteFunc(list, func(p program) bool {
		_, err := exec.LookPath(p.command[0])
		return err != nil
	})
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

// programOnce runs a program once untraced and once under sysprof, in an order shuffled anew.
func (kit *accuracyKit) programOnce(p *program, to *runTime) error {
	runs := []func() error{
		func() error { return kit.addUntraced(p, to) },
		func() error { return kit.addEstimate(p, to) },
	}
	for _, i := range rand.Perm(len(runs)) {
		if err := runs[i](); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// addUntraced runs a program untraced and adds how long that took.
func (kit *accuracyKit) addUntraced(p *program, to *runTime) error {
	out, err := output(append([]string{kit.k.target, "run"}, p.command...))
	if err != nil {
		return err
	}
	ns, _, err := medianAndMean(out)
	if err != nil {
		return err
	}
	to.Untraced = append(to.Untraced, ns)
	return nil
}

// addEstimate runs a program under sysprof and adds what sysprof says of the time without tracing.
func (kit *accuracyKit) addEstimate(p *program, to *runTime) error {
	seen, err := kit.runUnderSysprof(p.command)
	if err != nil {
		return err
	}
	o := seen.Overhead
	if o == nil {
		return fmt.Errorf("sysprof says nothing about overhead")
	}
	to.Traced = append(to.Traced, float64(o.WallNs))
	to.Estimate = append(to.Estimate, float64(o.UntracedNs.Ns))
	to.Low = append(to.Low, float64(o.UntracedNs.LowNs))
	to.High = append(to.High, float64(o.UntracedNs.HighNs))
	to.Warned = append(to.Warned, slices.ContainsFunc(seen.Warnings, func(w profile.Warning) bool {
		return slices.Contains(uncertain, w.Kind)
	}))
	return nil
}

// uncertain are the warnings of an estimate of the untraced run time that is not to be relied on.
var uncertain = []profile.WarningKind{profile.UntracedByTracing, profile.UntracedByOthers, profile.UntracedByDoubt}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/pborman/getopt/v2"
)

// viewer is the program that shows profiles. Its package comment says why it is another one.
const viewer = "sysprof-view"

// checkView finds what does not go with --view: everything.
func (o *options) checkView(d declarations) error {
	if len(o.command) > 0 || o.attaches() {
		return errors.New("--view shows a saved profile; it traces nothing, so leave out the command and -p")
	}
	var cannot error
	d.set.Visit(func(opt getopt.Option) {
		name := "--" + opt.LongName()
		if opt.LongName() == "" {
			name = "-" + opt.ShortName()
		}
		if name != "--view" {
			cannot = fmt.Errorf("%s does not go with --view, which shows a profile as it is", name)
		}
	})
	return cannot
}

// view becomes the program that shows a profile. It returns only if that fails.
func (p *process) view(file string) error {
	path, err := findViewer()
	if err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, []string{viewer, "--", file}, p.environment()))
}

// findViewer finds the program that shows profiles.
func findViewer() (string, error) {
	path, err := findBeside(viewer, "--view")
	if err != nil {
		return "", fmt.Errorf("%w, or use go tool pprof -http=: FILE", err)
	}
	return path, nil
}

// findBeside finds a program that an option takes: beside this one, or in $PATH.
func findBeside(name, option string) (string, error) {
	if own, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(own), name)); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s takes the program %s, which is neither beside sysprof nor in $PATH: build it, too (go build ./cmd/%s)", option, name, name)
}

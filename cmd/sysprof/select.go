package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sysprof/cmd/sysprof/internal/find"
	"sysprof/profile/paths"
	"sysprof/syscalltab"
)

// selection is what is said of processes and of files otherwise than by numbers.
type selection struct {
	tree   bool
	names  []find.Name
	said   []string // the options, as they were given, that are looked for
	groups []string

	found []int // processes, when they have been looked for

	paths []string
	files *paths.Choice // nil: all
}

// declareSelection declares the options that find processes, and the one that chooses calls by files.
func (o *options) declareSelection(d declarations) {
	d.flag(0, "tree", func() { o.selection.tree = true })
	d.arg(0, "name", func(s string) error {
		name, err := find.ParseName(s)
		o.selection.names = append(o.selection.names, name)
		o.selection.said = append(o.selection.said, "--name="+s)
		return err
	})
	d.arg(0, "cgroup", func(s string) error {
		if s == "" {
			return errors.New("want the path of a cgroup, or the id of a container")
		}
		o.selection.groups = append(o.selection.groups, s)
		o.selection.said = append(o.selection.said, "--cgroup="+s)
		return nil
	})
	d.arg('P', "trace-path", func(s string) (err error) {
		o.selection.paths = append(o.selection.paths, s)
		o.selection.files, err = paths.Parse(o.selection.paths)
		return err
	})
}

// checkSelection finds what is wrong with these options taken together.
func (o *options) checkSelection() error {
	if o.selection.tree && len(o.attach) == 0 {
		return errors.New("--tree is for what descends from a process that -p names: add -p PID")
	}
	return nil
}

// attaches reports whether there are processes to attach to.
func (o *options) attaches() bool { return len(o.attach) > 0 || o.searches() }

// searches reports whether processes have to be looked for.
func (o *options) searches() bool {
	return o.selection.tree || len(o.selection.names) > 0 || len(o.selection.groups) > 0
}

// processes are all that are attached to at first.
func (o *options) processes() []int { return slices.Concat(o.attach, o.selection.found) }

// find looks for the processes that are meant. It returns nil if none have to be looked for, and an error if nothing is
// found and nothing named.
func (o *options) find() (*find.Finder, error) {
	if !o.searches() {
		return nil, nil
	}
	choice := find.Choice{Names: o.selection.names, Groups: o.selection.groups}
	if o.selection.tree {
		choice.Trees = o.attach
	}
	finder, err := find.New("/proc", os.Getpid(), choice)
	if err != nil {
		return nil, err
	}
	found, err := finder.Find()
	if err != nil {
		return nil, err
	}
	o.selection.found = slices.DeleteFunc(found, func(pid int) bool { return slices.Contains(o.attach, pid) })
	if len(o.processes()) == 0 {
		return nil, fmt.Errorf("there is no process for %s", strings.Join(o.selection.said, " and "))
	}
	return finder, nil
}

// stopsAt are the calls that a command has to be stopped at, nil if at all.
func (o *options) stopsAt() *syscalltab.Set {
	if o.selection.files == nil {
		if o.trace != nil && o.trace.All() {
			return nil
		}
		return o.trace
	}
	may := make(map[string]bool)
	for _, name := range paths.Calls() {
		may[name] = true
	}
	var list strings.Builder
	for _, abi := range syscalltab.Native() {
		for nr, name := range abi.Each() {
			if may[name] && (o.trace == nil || o.trace.Has(abi, nr)) {
				fmt.Fprintf(&list, "?%s@%s,", name, abi.Designator())
			}
		}
	}
	set, err := syscalltab.ParseSet(list.String())
	if err != nil { // none of those that -e names has to do with files
		return &syscalltab.Set{}
	}
	return set
}

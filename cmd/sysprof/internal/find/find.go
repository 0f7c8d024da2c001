// Package find finds the processes that a choice means: those that descend from others, those of a name, those of a
// cgroup. It knows /proc and the file systems of cgroups, as they are below a root that tests can replace.
//
// It is not for tracing what it finds, and follows nobody: who asks again is told who has come since. Of processes that
// come and go between two questions it knows nothing.
//
// Never found are this process and its children (its guard, programs that it writes to), threads of the kernel, and
// processes that have ended and have not been waited for.
package find

import (
	"fmt"
	"slices"
)

// Choice says which processes are meant: all that one of these means.
type Choice struct {
	Trees  []int    // all that descend from these processes, and they themselves
	Names  []Name   // all that are called so
	Groups []string // all in these cgroups, or in cgroups below them
}

// Lasts reports whether processes that do not exist yet may be meant.
func (c *Choice) Lasts() bool { return len(c.Names) > 0 || len(c.Groups) > 0 }

// Finder finds the processes of a choice. It is used by one goroutine.
type Finder struct {
	proc   proc
	self   int // is never found, nor are its children
	choice Choice
	groups *groups // nil: none are chosen

	told  map[int]bool // those that were found and may still be there
	looks looks
}

// New prepares a search in root, which is "/proc" but for tests. self is the process that is never found. It returns an
// error if a cgroup does not exist.
func New(root string, self int, choice Choice) (*Finder, error) {
	f := &Finder{proc: proc{root}, self: self, choice: choice, told: make(map[int]bool)}
	if len(choice.Groups) > 0 {
		var err error
		if f.groups, err = openGroups(f.proc, choice.Groups); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Find returns those that there are now and that it has not returned before, in ascending order. At first it looks at every
// process of the machine if names are chosen, and later at few of them (see looks). It returns an error if /proc cannot be
// read.
func (f *Finder) Find() ([]int, error) {
	var found, present []int
	if len(f.choice.Trees) > 0 {
		pids, err := f.proc.processes()
		if err != nil {
			return nil, err
		}
		present = pids
		found = f.descendants(pids)
	}
	if len(f.choice.Names) > 0 {
		pids, err := f.looks.next(f.proc)
		if err != nil {
			return nil, err
		}
		present = append(present, f.looks.all...)
		for _, pid := range pids {
			if !f.told[pid] && f.isNamed(pid) {
				found = append(found, pid)
			}
		}
	}
	members := f.groups.members(f.proc)
	found, present = append(found, members...), append(present, members...)
	f.forget(present)
	return f.fresh(found), nil
}

// Lasts reports whether it may find more later, of processes that do not exist yet.
func (f *Finder) Lasts() bool { return f.choice.Lasts() }

// fresh keeps those that may be found and have not been.
func (f *Finder) fresh(found []int) (fresh []int) {
	slices.Sort(found)
	for _, pid := range slices.Compact(found) {
		if f.told[pid] {
			continue
		}
		if s, err := f.proc.stat(pid); err != nil || !f.mayBeFound(&s) {
			continue
		}
		f.told[pid] = true
		fresh = append(fresh, pid)
	}
	return fresh
}

// mayBeFound reports whether a process is one that can be traced, and not of this program's own.
func (f *Finder) mayBeFound(s *stat) bool {
	return s.pid != f.self && s.parent != f.self && !s.isKernel() && !s.isOver()
}

// forget drops those from told that are gone: others may get their numbers.
func (f *Finder) forget(present []int) {
	there := make(map[int]bool, len(present))
	for _, pid := range present {
		there[pid] = true
	}
	for pid := range f.told {
		if !there[pid] {
			delete(f.told, pid)
		}
	}
}

// descendants are those of the processes that are chosen with their trees, and these.
func (f *Finder) descendants(pids []int) []int {
	children := make(map[int][]int)
	for _, pid := range pids {
		if s, err := f.proc.stat(pid); err == nil {
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	found := slices.Clone(f.choice.Trees)
	seen := make(map[int]bool)
	for i := 0; i < len(found); i++ {
		pid := found[i]
		if seen[pid] { // as two trees have it, or as the list was read while numbers were given out again
			continue
		}
		seen[pid] = true
		found = append(found, children[pid]...)
	}
	return found
}

// Describe is what a process is called, and its number: "nginx (812)".
func Describe(root string, pid int) string {
	if s, err := (proc{root}).stat(pid); err == nil {
		return fmt.Sprintf("%s (%d)", s.comm, pid)
	}
	return fmt.Sprint(pid)
}

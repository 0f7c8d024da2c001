package find

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Name is what a process is to be called: a name, or a regular expression that matches somewhere in one.
//
// A process has up to three names: that of its first thread (comm; what ps -e, pgrep and top show, which the kernel cuts to
// 15 bytes), the last part of the path in its first argument (what pidof takes), and that of the file it executes, which may
// be known only to its owner. A name with a slash in it that is no expression is that of the file or of the first
// argument as a whole.
type Name struct {
	exact   string
	pattern *regexp.Regexp // nil: exact is the name
}

// ParseName takes NAME or /regex/.
func ParseName(s string) (Name, error) {
	inner, starts := strings.CutPrefix(s, "/")
	inner, ends := strings.CutSuffix(inner, "/")
	switch {
	case strings.Trim(s, "/") == "":
		return Name{}, errors.New("want the name of a process, or /regex/")
	case !starts || !ends:
		return Name{exact: s}, nil
	}
	pattern, err := regexp.Compile(inner)
	if err != nil {
		if se := (*syntax.Error)(nil); errors.As(err, &se) {
			return Name{}, fmt.Errorf("bad pattern %q: %s", inner, se.Code)
		}
		return Name{}, fmt.Errorf("bad pattern %q", inner)
	}
	return Name{pattern: pattern}, nil
}

// is reports whether a process with these names is meant. The latter two are asked for when they are needed.
func (n *Name) is(comm string, others func() (argument, program string)) bool {
	if n.pattern == nil && strings.Contains(n.exact, "/") {
		argument, program := others()
		return argument == n.exact || program == n.exact
	}
	if n.matches(comm) {
		return true
	}
	argument, program := others()
	return n.matches(lastPart(argument)) || n.matches(lastPart(program))
}

func (n *Name) matches(name string) bool {
	switch {
	case name == "":
		return false
	case n.pattern != nil:
		return n.pattern.MatchString(name)
	}
	return name == n.exact
}

// lastPart is a path's last part. (A login shell's first argument begins with a dash.)
func lastPart(name string) string {
	if name == "" {
		return ""
	}
	return strings.TrimPrefix(path.Base(name), "-")
}

// isNamed reports whether one of the chosen names is a process's.
func (f *Finder) isNamed(pid int) bool {
	s, err := f.proc.stat(pid)
	if err != nil || !f.mayBeFound(&s) {
		return false
	}
	var argument, program string
	known := false
	others := func() (string, string) {
		if !known {
			argument, program, known = f.proc.firstArgument(pid), f.proc.program(pid), true
		}
		return argument, program
	}
	for i := range f.choice.Names {
		if f.choice.Names[i].is(s.comm, others) {
			return true
		}
	}
	return false
}

// looks chooses at which processes to look, so that a machine with many costs no more than one with few.
//
// A process gets its name when it executes a program, some time after it was made: it is looked at several times at first.
// That one executes another program later is seldom, so that of the others only some are looked at each time, in turn.
type looks struct {
	all      []int       // those that there were when they were listed last
	young    map[int]int // how often they are still to be looked at each time
	listed   bool
	lastBorn int
	turn     int // where in all the next turn begins
}

const (
	looksAtYoung = 10  // each time, since a process was seen first
	looksAtOld   = 100 // of all, each time
)

// next returns those to look at now: all of them the first time.
func (l *looks) next(p proc) ([]int, error) {
	if last := p.lastBorn(); last == 0 || last != l.lastBorn {
		pids, err := p.processes()
		if err != nil {
			return nil, err
		}
		l.note(pids)
		l.lastBorn = last
	}
	if !l.listed {
		l.listed = true
		clear(l.young)
		return l.all, nil
	}
	var now []int
	for pid, left := range l.young {
		now = append(now, pid)
		if left > 1 {
			l.young[pid] = left - 1
		} else {
			delete(l.young, pid)
		}
	}
	for range min(looksAtOld, len(l.all)) {
		l.turn = (l.turn + 1) % len(l.all)
		now = append(now, l.all[l.turn])
	}
	return now, nil
}

// note takes over a new list.
func (l *looks) note(pids []int) {
	before := make(map[int]bool, len(l.all))
	for _, pid := range l.all {
		before[pid] = true
	}
	young := make(map[int]int)
	for _, pid := range pids {
		if left, ok := l.young[pid]; ok {
			young[pid] = left
		} else if !before[pid] {
			young[pid] = looksAtYoung
		}
	}
	l.all, l.young = pids, young
}

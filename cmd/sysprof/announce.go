package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof/internal/find"
	"sysprof/cmd/sysprof/internal/session"
	"sysprof/ptrace"
)

// announcer says what becomes of processes that are attached to. A nil one says nothing.
//
// Some programs have thousands of children in a second, so no more than some lines are written at once, most of them for
// processes that were attached to, and of the rest how many have ended how: on a terminal once a second. Elsewhere, where nobody
// watches, there are lines for processes that were attached to alone, and the others are said at the end.
type announcer struct {
	say      func(error)
	terminal bool

	mu     sync.Mutex // guards what follows
	status *session.StatusLine
	chosen map[int]bool // processes that were attached to, and have not ended
	lines  []string
	left   [2]int         // how many lines may still be written, of others and of the chosen ones
	more   map[string]int // how often a process has ended how, beyond those
	over   bool

	wake, done chan struct{}
}

// announcedAtOnce is how many lines may be written at once, of others and of the chosen ones. announcedEvery so much time there
// may be one more.
var announcedAtOnce = [2]int{10, 100}

const announcedEvery = time.Second

// announcer makes one for a run that attaches to processes, is not quiet, and leaves the terminal to its user.
func (p *process) announcer(opt *options) *announcer {
	if !opt.attaches() || opt.outputs.Quiet || opt.live {
		return nil
	}
	a := newAnnouncer(p.messages.say, isTerminal(p.stderr))
	for _, pid := range opt.processes() {
		a.chosen[pid] = true
	}
	return a
}

func newAnnouncer(say func(error), terminal bool) *announcer {
	left := announcedAtOnce
	if !terminal {
		left[0] = 0 // a server's children would fill a log
	}
	a := &announcer{say: say, terminal: terminal, left: left, chosen: make(map[int]bool), more: make(map[string]int),
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	return a
}

// ended takes note of a process's end. It is called by tracer threads, and writes nothing.
func (a *announcer) ended(e ptrace.End) {
	how := howEnded(e.Status)
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := 0
	if a.chosen[e.PID] {
		delete(a.chosen, e.PID) // another may get its number
		kind = 1
	}
	switch {
	case a.over:
		return
	case a.left[kind] > 0:
		a.left[kind]--
		a.lines = append(a.lines, fmt.Sprintf("%s (%d) ended: %s", e.Name, e.PID, how))
	default:
		a.more[how]++
		return
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// above has lines be written above a status line from now on, which may be nil.
func (a *announcer) above(status *session.StatusLine) {
	if a != nil {
		a.mu.Lock()
		a.status = status
		a.mu.Unlock()
	}
}

// onEnded is for ptrace.Options, nil if nothing is said.
func (a *announcer) onEnded() func(ptrace.End) {
	if a == nil {
		return nil
	}
	return a.ended
}

// onAttached is for ptrace.Options.
func (a *announcer) onAttached() func(threads, processes int) {
	return func(threads, processes int) { a.attached(threads, countOf(processes, "process", "processes")) }
}

// attaching takes note of a process that is attached to during the run.
func (a *announcer) attaching(pid int) {
	if a != nil {
		a.mu.Lock()
		a.chosen[pid] = true
		a.mu.Unlock()
	}
}

// attachedLater says that a process was attached to during the run.
func (a *announcer) attachedLater(threads, pid int) {
	if a != nil {
		a.attached(threads, find.Describe("/proc", pid))
	}
}

// attached says to how much has been attached, on a terminal. what says to what.
func (a *announcer) attached(threads int, what string) {
	if a == nil || !a.terminal {
		return
	}
	a.write(fmt.Errorf("attached to %s of %s", countOf(threads, "thread", "threads"), what))
}

// failed returns a function that says an error, as say does.
func (a *announcer) failed(say func(error)) func(error) {
	if a == nil {
		return say
	}
	return a.write
}

// close says what is left to say.
func (a *announcer) close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	close(a.wake)
	<-a.done
}

func (a *announcer) run() {
	defer close(a.done)
	tick := time.NewTicker(announcedEvery)
	defer tick.Stop()
	for {
		select {
		case _, ok := <-a.wake:
			a.flush(!ok)
			if !ok {
				return
			}
		case <-tick.C:
			if a.terminal {
				a.flush(true)
				a.mu.Lock()
				for kind := range a.left {
					a.left[kind] = min(a.left[kind]+1, announcedAtOnce[kind])
				}
				a.mu.Unlock()
			}
		}
	}
}

// flush writes the lines, and, if it is to, how many more there were.
func (a *announcer) flush(rest bool) {
	a.mu.Lock()
	lines := a.lines
	a.lines = nil
	if rest && len(a.more) > 0 {
		lines = append(lines, summary(a.more))
		clear(a.more)
	}
	a.mu.Unlock()
	for _, line := range lines {
		a.write(errors.New(line))
	}
}

// write writes a line, above the status line if there is one.
func (a *announcer) write(line error) {
	a.mu.Lock()
	status := a.status
	a.mu.Unlock()
	status.Above(func() { a.say(line) })
}

// summary says how often what has happened, the most frequent first.
func summary(more map[string]int) string {
	hows := slices.SortedFunc(maps.Keys(more), func(x, y string) int { return cmp.Or(cmp.Compare(more[y], more[x]), cmp.Compare(x, y)) })
	const most = 4
	sum, others := 0, 0
	var parts []string
	for i, how := range hows {
		sum += more[how]
		if i < most {
			parts = append(parts, fmt.Sprintf("%d %s", more[how], how))
		} else {
			others += more[how]
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("%d otherwise", others))
	}
	return fmt.Sprintf("%s ended: %s", countOf(sum, "more process", "more processes"), strings.Join(parts, ", "))
}

func countOf(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}

// howEnded puts a wait status into words.
func howEnded(s unix.WaitStatus) string {
	switch {
	case s.Signaled() && s.CoreDump():
		return fmt.Sprintf("killed by %s (core dumped)", signalName(s.Signal()))
	case s.Signaled():
		return "killed by " + signalName(s.Signal())
	}
	return fmt.Sprintf("exited with %d", s.ExitStatus())
}

func signalName(sig unix.Signal) string {
	return cmp.Or(unix.SignalName(sig), fmt.Sprintf("signal %d", int(sig)))
}

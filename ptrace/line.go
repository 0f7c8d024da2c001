package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// line is where stops stand that have been reported together.
//
// A wait for any tracee reports the first one of the kernel's list that has stopped, which may be the same few for
// ever: those who make their next call while the last one of another is dealt with. So now and then all that have
// stopped are asked for at once, and dealt with in turn.
type line struct {
	stops  []stop
	served int  // so many of stops have been dealt with
	queued bool // the stop that is dealt with has stood behind another one
	since  int  // stops since a line was formed last
}

// fairAfter is how many stops are dealt with at most before one that the kernel has had to report for longer.
const fairAfter = 16

// isDue counts a stop, and reports whether a line is to be formed behind it.
func (l *line) isDue() bool {
	l.queued = false
	l.since++
	return l.since >= fairAfter
}

// form has all who have stopped stand in line behind the first one.
func (l *line) form(first stop) {
	l.since = 0
	l.stops = append(l.stops, first)
	var status unix.WaitStatus
	for {
		tid, _ := raw.Poll(&status)
		if tid <= 0 {
			return
		}
		l.stops = append(l.stops, classify(tid, status))
	}
}

func (l *line) isEmpty() bool { return len(l.stops) == 0 }

// next takes the first stop of the line.
func (l *line) next() stop {
	first := l.stops[l.served]
	l.queued = l.served > 0
	if l.served++; l.served == len(l.stops) {
		l.stops, l.served = l.stops[:0], 0
	}
	return first
}

package session

import (
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"sysprof/report"
)

// StatusLine shows on a terminal how a long run is getting on, until it is cleared.
type StatusLine struct {
	terminal      io.Writer
	stop, stopped chan struct{}

	mu    sync.Mutex // guards what follows
	shown string     // what is to be erased
}

// ShowStatus starts a status line on a terminal, which is stderr.
func (s *Session) ShowStatus(std Streams) *StatusLine {
	terminal := std.Stderr
	line := &StatusLine{terminal: terminal, stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(line.stopped)
		const period = 500 * time.Millisecond
		tick := time.NewTicker(period)
		defer tick.Stop()
		before := int64(0)
		for {
			select {
			case <-line.stop:
				return
			case <-tick.C:
			}
			now := s.calls.Load()
			status := s.status(now, float64(now-before)/period.Seconds())
			before = now
			line.mu.Lock()
			line.shown = std.Printed(status.Line(max(LookOf(terminal).Width-1, 20)))
			io.WriteString(terminal, "\r"+line.shown)
			line.mu.Unlock()
		}
	}()
	return line
}

// status is how the run is getting on.
func (s *Session) status(calls int64, perSecond float64) report.Status {
	progress := s.engine.Progress()
	status := report.Status{
		Elapsed:        progress.Elapsed,
		Calls:          uint64(calls),
		CallsPerSecond: perSecond,
		Processes:      progress.Processes,
		Threads:        progress.Threads,
	}
	if o := s.Snapshot().Overhead; o != nil {
		status.Slowdown, _, _ = o.Slowdown()
	}
	return status
}

// Clear takes the line away, and reports whether there was one. It may be called on nil.
func (l *StatusLine) Clear() bool {
	if l == nil {
		return false
	}
	close(l.stop)
	<-l.stopped
	l.mu.Lock()
	defer l.mu.Unlock()
	shown := l.shown != ""
	l.erase()
	return shown
}

// Above has something be written where the line is, which goes on below it. It may be called on nil.
func (l *StatusLine) Above(write func()) {
	if l == nil {
		write()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	write()
}

// erase takes the line away.
//
// Precondition: l.mu is locked.
func (l *StatusLine) erase() {
	if l.shown != "" {
		// With blanks: not every terminal knows of another way.
		io.WriteString(l.terminal, "\r"+strings.Repeat(" ", utf8.RuneCountInString(l.shown))+"\r")
		l.shown = ""
	}
}

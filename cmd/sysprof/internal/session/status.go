package session

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"sysprof/report"
)

// StatusLine shows on a terminal how a long run is getting on, until it is cleared.
type StatusLine struct {
	stop, stopped chan struct{}
	shown         bool // it has been shown; valid when it has stopped
}

// ShowStatus starts a status line on a terminal, which is stderr.
func (s *Session) ShowStatus(std Streams) *StatusLine {
	terminal := std.Stderr
	line := &StatusLine{stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(line.stopped)
		const period = 500 * time.Millisecond
		tick := time.NewTicker(period)
		defer tick.Stop()
		before := int64(0)
		shown := "" // the line that is to be erased
		for {
			select {
			case <-line.stop:
				if line.shown = shown != ""; line.shown {
					// With blanks: not every terminal knows of another way.
					io.WriteString(terminal, "\r"+strings.Repeat(" ", utf8.RuneCountInString(shown))+"\r")
				}
				return
			case <-tick.C:
			}
			now := s.calls.Load()
			status := s.status(now, float64(now-before)/period.Seconds())
			shown = std.Printed(status.Line(max(LookOf(terminal).Width-1, 20)))
			before = now
			io.WriteString(terminal, "\r"+shown)
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
	return l.shown
}

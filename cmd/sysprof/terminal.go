package main

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"sysprof/report"
)

// terminalLook is how a table has to look where it is written to.
type terminalLook struct {
	width int // 0: as wide as it likes
	color bool
}

// look is that of the terminal that w is, or of a file.
func look(w io.Writer) terminalLook {
	file, ok := w.(*os.File)
	if !ok {
		return terminalLook{}
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return terminalLook{}
	}
	return terminalLook{
		width: int(size.Col),
		color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", // https://no-color.org
	}
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// umask reads the process's file mode creation mask.
func umask() os.FileMode {
	mask := unix.Umask(0)
	unix.Umask(mask)
	return os.FileMode(mask)
}

// statusLine shows how a long run is getting on, until it is stopped.
type statusLine struct {
	stop, stopped chan struct{}
}

// ownTerminal reports whether stderr is a terminal that nobody else writes to: there is no command, or
// its output goes elsewhere.
//
// Precondition: stdout is still what the command's is.
func (p *process) ownTerminal(opt *options) bool {
	return !opt.quiet && isTerminal(p.stderr) && (len(opt.command) == 0 || !isTerminal(p.stdout))
}

// showStatus starts a status line.
func (p *process) showStatus(s *session, calls *atomic.Int64) *statusLine {
	line := &statusLine{stop: make(chan struct{}), stopped: make(chan struct{})}
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
				if shown != "" {
					// With blanks: not every terminal knows of another way.
					io.WriteString(p.stderr, "\r"+strings.Repeat(" ", utf8.RuneCountInString(shown))+"\r")
				}
				return
			case <-tick.C:
			}
			now := calls.Load()
			progress := s.tracer.Progress()
			status := report.Status{
				Elapsed:        progress.Elapsed,
				Calls:          uint64(now),
				CallsPerSecond: float64(now-before) / period.Seconds(),
				Processes:      progress.Processes,
				Threads:        progress.Threads,
			}
			if o := s.snapshot(nil).Overhead; o != nil {
				status.Slowdown, _, _ = o.Slowdown()
			}
			before = now
			shown = status.Line(max(look(p.stderr).width-1, 20))
			io.WriteString(p.stderr, "\r"+shown)
		}
	}()
	return line
}

// clear takes the line away.
func (l *statusLine) clear() {
	if l != nil {
		close(l.stop)
		<-l.stopped
	}
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/report"
)

// messages writes sysprof's own lines to stderr.
//
// Where tables go elsewhere and stderr is a pipe, whoever reads it must see its end when the command has closed it. So
// it is kept only for as long as the command has it, too. Then it is let go of but for a descriptor with O_PATH, which
// keeps no pipe open, and opened again for a line that is to be written, should there still be a reader.
type messages struct {
	stderr *os.File
	ascii  bool // nothing else is written

	mu       sync.Mutex
	released int               // the descriptor with O_PATH; -1 while stderr is ours
	held     *bytes.Buffer     // what is to be written when the terminal is free again; nil: it is free
	also     func(line string) // is told of all lines; may be nil
}

func newMessages(stderr *os.File, ascii bool) *messages {
	return &messages{stderr: stderr, ascii: ascii, released: -1}
}

// say writes an error, or each of several ones, as a line of its own, whatever is in the names that it quotes.
func (m *messages) say(err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			m.say(err)
		}
		return
	}
	if err != nil {
		line := report.Printable("sysprof: " + err.Error())
		if m.ascii {
			line = report.ASCII(line)
		}
		io.WriteString(m, line+"\n")
	}
}

// Write writes to stderr, wherever that is.
func (m *messages) Write(data []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.also != nil {
		m.also(string(data))
	}
	if m.held != nil {
		return m.held.Write(data)
	}
	if m.released < 0 {
		return m.stderr.Write(data)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", m.released), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer again.Close()
	return again.Write(data)
}

// to says which file stderr is now.
func (m *messages) to(stderr *os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stderr = stderr
}

// divert tells a function of all lines, until it is ended. If stderr is a terminal, they are written to it only then.
func (m *messages) divert(also func(line string)) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.also = also
	if isTerminal(m.stderr) {
		m.held = new(bytes.Buffer)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.held != nil {
			m.stderr.Write(m.held.Bytes())
		}
		m.also, m.held = nil, nil
	}
}

// share lets go of stderr, if it is a pipe, when a process has closed it, or has ended some time ago. It returns a
// function that ends this.
func (m *messages) share(pid int) (stop func()) {
	var stat unix.Stat_t
	shown, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", m.stderr.Fd()))
	if err != nil || unix.Fstat(int(m.stderr.Fd()), &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return func() {}
	}
	const often = 100 * time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	tick := time.NewTicker(often)
	go func() {
		defer tick.Stop()
		for missed := 0; missed < 2; { // once: it may have ended just now, and with it the run
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if has(pid, shown) {
				missed = 0
			} else {
				missed++
			}
		}
		m.release()
	}()
	return stop
}

// has reports whether a process has a file open that its folder in /proc shows so.
func has(pid int, shown string) bool {
	folder := fmt.Sprintf("/proc/%d/fd/", pid)
	is := func(number string) bool {
		link, err := os.Readlink(folder + number)
		return err == nil && link == shown
	}
	if is("2") {
		return true
	}
	entries, _ := os.ReadDir(folder)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool { return is(e.Name()) })
}

// release lets go of stderr.
func (m *messages) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	path, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", m.stderr.Fd()), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(path)
		return
	}
	unix.Dup3(null, int(m.stderr.Fd()), unix.O_CLOEXEC)
	unix.Close(null)
	m.released = path
}

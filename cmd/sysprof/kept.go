package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kept is what a command writes while a live view has the terminal: a file in the place of its stdout and stderr, as far as
// these are the terminal, which is shown when the terminal is free again.
type kept struct {
	file *os.File
	to   *os.File // the terminal

	mu    sync.Mutex
	shown int64
}

// keepOutput takes the terminal from the command: a file takes its output, and there is no input. What this process has of the
// terminal itself it keeps.
//
// Precondition: this process is ours alone, and has not launched the command.
func (p *process) keepOutput() (*kept, error) {
	if isTerminal(p.stdin) {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		defer unix.Close(null)
		if err := unix.Dup3(null, 0, 0); err != nil {
			return nil, err
		}
	}
	var k *kept
	for fd, file := range []**os.File{1: &p.stdout, 2: &p.stderr} {
		if file == nil || !isTerminal(*file) {
			continue
		}
		if k == nil {
			taken, err := nameless()
			if err != nil {
				return nil, fmt.Errorf("what the command writes while --live has the terminal cannot be kept: %w; redirect it (>FILE 2>&1), or set TMPDIR", err)
			}
			k = &kept{file: taken}
		}
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, err
		}
		*file = os.NewFile(uintptr(own), (*file).Name())
		if err := unix.Dup3(int(k.file.Fd()), fd, 0); err != nil {
			return nil, err
		}
		k.to = *file
	}
	p.messages.to(p.stderr)
	return k, nil
}

// nameless makes a file that is gone with those who have it open. All of them write to its end.
func nameless() (*os.File, error) {
	f, err := os.CreateTemp("", "sysprof-live-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	return os.OpenFile(f.Name(), os.O_RDWR|os.O_APPEND, 0)
}

// show shows what has come. It may be called on nil.
func (k *kept) show() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	n, _ := io.Copy(k.to, io.NewSectionReader(k.file, k.shown, 1<<62))
	k.shown += n
}

// follow shows what comes until it is ended, and then what has come until then. It may be called on nil.
func (k *kept) follow() (end func()) {
	if k == nil {
		return func() {}
	}
	const often = 100 * time.Millisecond
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(often)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				k.show()
			case <-stop:
				k.show()
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
	}
}

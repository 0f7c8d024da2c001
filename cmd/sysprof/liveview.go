package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/report/live"
)

// liveView is the process that has the terminal, from when it is started until it is closed. It is told what there is to see by
// a goroutine that waits for it alone, so that nobody else has to. It ends when there is no more to be told, also because
// sysprof was killed; and when it ends by itself, sysprof does as if it were told to end the tracing.
type liveView struct {
	path string
	tty  *os.File // to put it back as it was, should the process not do that
	was  *unix.Termios

	process  *exec.Cmd
	stderr   bytes.Buffer
	messages *os.File // what it is told
	answers  chan struct{}
	exited   chan struct{} // closed when it has, whyever

	notices    chan string
	asides     chan bool // true: it is to give the terminal back; false: to take it again
	stop, told chan struct{}
}

// How long it may take to give the terminal back.
const liveGrace = time.Second

// newLiveView finds out whether there can be a live view, before anything is traced.
func newLiveView() (*liveView, error) {
	v := &liveView{
		answers: make(chan struct{}, 1), exited: make(chan struct{}), notices: make(chan string, 16), asides: make(chan bool),
		stop: make(chan struct{}), told: make(chan struct{}),
	}
	var err error
	if v.path, err = findBeside(liveProgram, "--live"); err != nil {
		return nil, err
	}
	if term := os.Getenv("TERM"); term == "" || term == "dumb" {
		return nil, fmt.Errorf("--live needs a terminal that can move its cursor; TERM=%s says that this one cannot", term)
	}
	// Without blocking: a terminal that stands still is no reason to wait for it.
	if v.tty, err = os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err != nil {
		return nil, fmt.Errorf("--live needs a terminal, and there is none (by ssh, add -t): %w", err)
	}
	if v.was, err = unix.IoctlGetTermios(int(v.tty.Fd()), unix.TCGETS); err != nil {
		return nil, fmt.Errorf("--live needs a terminal: %w", err)
	}
	unix.SetNonblock(int(v.tty.Fd()), true) // which Fd has undone
	return v, nil
}

// start starts it. next is called for each update.
func (v *liveView) start(begin live.Begin, next func() *live.Update) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	answers, answer, err := os.Pipe()
	if err != nil {
		write.Close()
		return err
	}
	defer answer.Close()
	v.process = &exec.Cmd{Path: v.path, Args: []string{liveProgram}, ExtraFiles: []*os.File{read, answer}, Stderr: &v.stderr}
	if err := v.process.Start(); err != nil {
		write.Close()
		answers.Close()
		return fmt.Errorf("--live: %w", err)
	}
	v.messages = write
	go func() {
		v.process.Wait()
		close(v.exited)
	}()
	go func() {
		defer answers.Close()
		for {
			if _, err := io.ReadFull(answers, make([]byte, 1)); err != nil {
				return
			}
			select {
			case v.answers <- struct{}{}:
			default:
			}
		}
	}()
	go v.tell(begin, next)
	return nil
}

// ended is closed when it has ended; nil if there is none.
func (v *liveView) ended() <-chan struct{} {
	if v == nil || v.messages == nil {
		return nil
	}
	return v.exited
}

// tell writes all messages, until stop is closed, or nobody reads them.
func (v *liveView) tell(begin live.Begin, next func() *live.Update) {
	defer close(v.told)
	w, err := live.NewWriter(v.messages, begin)
	tick := time.NewTicker(liveInterval)
	defer tick.Stop()
	for err == nil {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			err = w.Write(&live.Message{Update: next()})
		case notice := <-v.notices:
			err = w.Write(&live.Message{Notice: notice})
		case aside := <-v.asides:
			err = w.Write(&live.Message{Aside: aside, Back: !aside})
		}
	}
}

// notice shows a line, or not, if there are too many. It may be called on nil.
func (v *liveView) notice(text string) {
	if v == nil {
		return
	}
	select {
	case v.notices <- strings.TrimSuffix(strings.TrimPrefix(text, "sysprof: "), "\n"):
	default:
	}
}

// aside has the terminal given back, for as long as sysprof is stopped. It may be called on nil.
func (v *liveView) aside() (back func()) {
	if v == nil || v.messages == nil {
		return func() {}
	}
	select {
	case <-v.answers: // to what was not waited for
	default:
	}
	tooLong := time.After(liveGrace)
	if v.order(true, tooLong) {
		select {
		case <-v.answers:
			return func() { v.order(false, time.After(liveGrace)) }
		case <-v.exited:
		case <-tooLong:
		}
	}
	v.putBack()
	return func() { v.order(false, time.After(liveGrace)) }
}

// order has it told to go aside, or to come back.
func (v *liveView) order(aside bool, tooLong <-chan time.Time) bool {
	select {
	case v.asides <- aside:
		return true
	case <-v.told:
	case <-tooLong:
	}
	return false
}

// close ends it. It returns what has gone wrong.
func (v *liveView) close() error {
	if v == nil {
		return nil
	}
	defer v.tty.Close()
	if v.messages == nil { // it was not started
		return nil
	}
	close(v.stop)
	v.messages.Close()
	select {
	case <-v.exited:
	case <-time.After(liveGrace):
		// It waits for a terminal that stands still: no word of that, which would have to wait as well.
		v.process.Process.Kill()
		<-v.exited
		v.putBack()
		return nil
	}
	<-v.told
	status := v.process.ProcessState.Sys().(syscall.WaitStatus)
	if status == 0 {
		return nil
	}
	v.putBack()
	said := strings.TrimSpace(v.stderr.String())
	if said == "" && status.Signaled() {
		said = "died of " + unix.SignalName(status.Signal())
	}
	// What a program says that has failed for want of thought is for who mends it.
	first, rest, _ := strings.Cut(strings.ReplaceAll(said, "\r", ""), "\n")
	err := fmt.Errorf("--live: %s: %s", liveProgram, first)
	for line := range strings.SplitSeq(rest, "\n") {
		if line != "" {
			err = errors.Join(err, errors.New("--live: "+line))
		}
	}
	return err
}

// leaveScreen undoes what the program may have asked of the terminal, also where it has not: the alternate screen, a hidden
// cursor, colours, pasted text in brackets, and keys in other encodings.
const leaveScreen = "\x1b[?1049l\x1b[?25h\x1b[m\x1b[?2004l\x1b[>4m\x1b[<u"

// putBack puts the terminal back as it was, unless it is somebody else's now.
func (v *liveView) putBack() {
	fd := int(v.tty.Fd())
	if foreground, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err != nil || foreground != unix.Getpgrp() {
		return
	}
	unix.IoctlSetTermios(fd, unix.TCSETS, v.was)
	unix.SetNonblock(fd, true)
	unix.Write(fd, []byte(leaveScreen))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/ptrace"
)

// caughtSignals are those that catchSignals takes over.
var caughtSignals = [...]syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGXCPU}

const signalsAtATime = 16

// catchBlocked takes over at once those that were blocked when sysprof was started: nobody means to end it by them, and the
// runtime has unblocked them (os/signal, "Changing the behavior of signals in Go programs").
func catchBlocked(origin *ptrace.Origin) chan os.Signal {
	early := make(chan os.Signal, signalsAtATime)
	if origin == nil {
		return early
	}
	for _, sig := range caughtSignals {
		if bit := uint64(1) << (sig - 1); origin.Blocked&bit != 0 && origin.Ignored&bit == 0 {
			signal.Notify(early, sig)
		}
	}
	return early
}

// catchSignals takes over the signals that end a run or ask for a table; SIGXCPU, of the kernel's when this process has had
// the CPU for as long as it may (setrlimit(2), RLIMIT_CPU), ends the tracing and is nobody else's. One that was ignored when
// sysprof was started remains so: nohup means it. But a shell without job control starts all its
// background jobs with SIGINT and SIGQUIT ignored, and a script that sends one of them to a sysprof that is
// only attached means that: there is nothing else that could end it.
//
// early is what catchBlocked has returned, or nil.
func catchSignals(early chan os.Signal, origin *ptrace.Origin, onlyAttached bool) chan os.Signal {
	signals := early
	if signals == nil {
		signals = make(chan os.Signal, signalsAtATime)
	}
	for _, sig := range caughtSignals {
		ignored := signal.Ignored(sig) || origin != nil && origin.Ignored&(1<<(sig-1)) != 0
		if ignored && !(onlyAttached && (sig == syscall.SIGINT || sig == syscall.SIGQUIT)) {
			signal.Ignore(sig) // the runtime has put a handler in its place
			continue
		}
		signal.Notify(signals, sig)
	}
	return signals
}

// catchBrokenPipes keeps this process from being ended when nobody reads stdout or stderr any more, which the Go runtime
// does otherwise: there are other outputs. The writes fail then.
func catchBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// run is a run of an engine, and what signals have to do with it.
type run struct {
	engine   session.Engine
	signals  chan os.Signal
	duration time.Duration // 0: until the end
	interval time.Duration // 0: none is to be written
	attached bool          // to processes, whatever is launched besides
	finish   *finish
	view     *liveView // nil: there is none

	stoppedBy syscall.Signal // the signal that made us stop tracing or writing, 0 if none did

	hurry     context.Context // ends when a signal comes while there is nothing to do but to write
	cutShort  context.CancelFunc
	countedAt time.Time // when the counting was over
}

func newRun(engine session.Engine, signals chan os.Signal, opt *options, finish *finish) *run {
	r := &run{engine: engine, signals: signals, duration: opt.duration, interval: opt.outputs.Interval, attached: opt.attaches(), finish: finish}
	r.hurry, r.cutShort = context.WithCancel(context.Background())
	return r
}

// follow waits until the counting is over, and does meanwhile what signals ask for. soFar writes what has been
// counted until then; its context ends when there is no more time for that. interval writes what has been counted since it
// was called last. Both write, and so wait for each other, and for whoever reads; neither the engine nor signals do.
func (r *run) follow(soFar, interval func(context.Context)) {
	begun := time.Now()
	ticks, stopTicks := r.ticks()
	defer stopTicks()
	var timeUp <-chan time.Time
	if r.duration > 0 {
		timeUp = time.After(r.duration)
	}
	asked, written := make(chan struct{}, 1), make(chan struct{})
	ctx, stopWriting := context.WithCancel(r.hurry)
	defer stopWriting()
	go func() {
		defer close(written)
		for {
			select {
			case _, ok := <-asked:
				if !ok {
					return
				}
				soFar(ctx)
			case at := <-ticks:
				if r.duration == 0 || begun.Add(r.duration).Sub(at) > r.interval/10 { // else it is the last one, which ends with the run
					interval(r.hurry)
				}
			}
		}
	}()
	r.untilCounted(timeUp, asked, stopWriting)
	r.finish.begin()
	close(asked)
	r.countedAt = time.Now()
	r.write(func(context.Context) error { <-written; return nil })
}

// ticks come when intervals are over; stop ends them. An interval that is missed, while one is written, is part of the next.
func (r *run) ticks() (ticks <-chan time.Time, stop func()) {
	if r.interval == 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(r.interval)
	return ticker.C, ticker.Stop
}

// untilCounted is the part of follow that waits.
func (r *run) untilCounted(timeUp <-chan time.Time, asked chan<- struct{}, stopWriting func()) {
	commandEnded := r.commandEnded()
	hasCommand, told := commandEnded != nil, false
	viewEnded := r.view.ended()
	for {
		select {
		case <-r.engine.Counted():
			return
		case <-timeUp:
			r.stop()
		case <-viewEnded: // somebody has asked for that, or sees no more
			viewEnded = nil
			r.stop()
		case <-commandEnded:
			commandEnded = nil
			hasCommand = false
			if told && r.attached {
				r.stop() // the signal was meant for all of it
			}
		case got := <-r.signals:
			sig := got.(syscall.Signal)
			select {
			case <-commandEnded: // both have come, and this came first
				commandEnded, hasCommand = nil, false
			default:
			}
			switch {
			case sig == syscall.SIGUSR1:
				select {
				case asked <- struct{}{}:
				default: // it has been asked for already
				}
			case hasCommand && sig != syscall.SIGXCPU:
				// The command decides what becomes of it, and of the run.
				told = true
				go r.engine.Launched().PassOn(sig, time.Now())
			default:
				r.stoppedBy = sig
				stopWriting()
				r.stop()
			}
		}
	}
}

// stop ends the counting.
func (r *run) stop() {
	r.finish.begin()
	r.engine.Stop()
}

// write runs f, which writes something when the counting is over. A signal that comes meanwhile ends the context, and
// ends sysprof, or goes to the command if there still is one. f has a moment to end then, and is left alone after that.
func (r *run) write(f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(r.hurry) }()
	var tooLate <-chan time.Time
	cutShort := func() {
		r.cutShort()
		tooLate = time.After(session.Grace)
	}
	if r.hurry.Err() != nil {
		cutShort()
	}
	for {
		select {
		case err := <-done:
			return err
		case <-tooLate:
			return errors.New("the outputs were left to themselves")
		case got := <-r.signals:
			sig := got.(syscall.Signal)
			switch {
			case sig == syscall.SIGUSR1: // everything is being written
			case r.commandRuns() && sig != syscall.SIGXCPU:
				cutShort()
				go r.engine.Launched().PassOn(sig, time.Now())
			case r.meantForCommand():
			default:
				r.stoppedBy = sig
				cutShort()
			}
		}
	}
}

// meantForCommand reports whether a signal that comes now was meant for the command, which has just ended, of that
// signal perhaps: the terminal sends it to both at the same time.
//
// Precondition: the command has ended, or there is none.
func (r *run) meantForCommand() bool {
	const atOnce = 50 * time.Millisecond
	return r.engine.Launched() != nil && time.Since(r.countedAt) < atOnce
}

// commandRuns reports whether the end of the launched command has not been seen.
func (r *run) commandRuns() bool {
	ended := r.commandEnded()
	if ended == nil {
		return false
	}
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

// endedByKey reports whether a signal has ended the run that a key at the terminal sends.
func (r *run) endedByKey() bool {
	isKey := func(sig syscall.Signal) bool { return sig == syscall.SIGINT || sig == syscall.SIGQUIT }
	if command := r.engine.Launched(); command != nil {
		if status, ended := command.Status(); ended && status.Signaled() && isKey(status.Signal()) {
			return true
		}
	}
	return isKey(r.stoppedBy)
}

// close lets go of files that nothing is to be written to.
func (r *run) close(files *session.Files) {
	r.write(files.Close) // what is wrong with it is said
}

// commandEnded is closed when the launched command has ended; nil if there is none.
func (r *run) commandEnded() <-chan struct{} {
	if command := r.engine.Launched(); command != nil {
		return command.Ended()
	}
	return nil
}

// awaitFiltered waits, after the counting, for the end of those who have a filter and cannot be detached. It
// gives up when a signal comes and the command has ended, which it would have been meant for: those that are left
// die with sysprof.
func (r *run) awaitFiltered(stderr io.Writer, quiet bool) {
	const soon = 200 * time.Millisecond // the command may have been the last one
	commandEnded := r.commandEnded()
	var stillThere <-chan time.Time
	for {
		select {
		case <-r.engine.Done():
			return
		default:
		}
		select {
		case <-r.engine.Done():
		case <-commandEnded:
			commandEnded = nil
			if !quiet {
				stillThere = time.After(soon)
			}
		case <-stillThere:
			fmt.Fprintf(stderr, "sysprof: waiting for the end of what the command has left (threads: %d): it has a filter in the kernel and cannot be detached; a signal ends sysprof and kills it (--no-seccomp avoids this)\n", r.engine.Progress().Threads)
		case got := <-r.signals:
			sig := got.(syscall.Signal)
			switch {
			case sig == syscall.SIGUSR1, sig == syscall.SIGXCPU: // everything has been written
			case commandEnded != nil:
				go r.engine.Launched().PassOn(sig, time.Now())
			default:
				r.stoppedBy = sig
				return
			}
		}
	}
}

// ending says how sysprof ends: by the signal that made it stop, or as its command did.
func (r *run) ending() ending {
	var status unix.WaitStatus
	ended := false
	if command := r.engine.Launched(); command != nil {
		if status, ended = command.Status(); !ended {
			// It runs on untraced, and is still our child: somebody waits for us to know how it ends.
			status, ended = command.Await(r.signals)
		}
	}
	switch {
	case r.stoppedBy != 0:
		return ending{signal: r.stoppedBy}
	case !ended:
		return ending{}
	case status.Signaled():
		return ending{signal: status.Signal()}
	}
	return ending{status: status.ExitStatus()}
}

package main

import (
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

// catchSignals takes over the signals that end a run or ask for a table. One that was ignored when
// sysprof was started remains so: nohup means it. But a shell without job control starts all its
// background jobs with SIGINT and SIGQUIT ignored, and a script that sends one of them to a sysprof that is
// only attached means that: there is nothing else that could end it.
func catchSignals(origin *ptrace.Origin, onlyAttached bool) chan os.Signal {
	if origin != nil {
		ptrace.DropPending(origin.Pending) // they are the command's, see ptrace.Origin
	}
	signals := make(chan os.Signal, 16)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1} {
		ignored := signal.Ignored(sig) || origin != nil && origin.Ignored&(1<<(sig-1)) != 0
		if ignored && !(onlyAttached && (sig == syscall.SIGINT || sig == syscall.SIGQUIT)) {
			signal.Ignore(sig) // the runtime has put a handler in its place
			continue
		}
		signal.Notify(signals, sig)
	}
	return signals
}

// run is a run of an engine, and what signals have to do with it.
type run struct {
	engine   session.Engine
	signals  chan os.Signal
	duration time.Duration // 0: until the end
	attached bool          // to processes, whatever is launched besides

	stoppedBy syscall.Signal // the signal that made us stop tracing, 0 if none did
}

// follow waits until the counting is over, and does meanwhile what signals ask for. soFar writes what has been
// counted until then.
func (r *run) follow(soFar func()) {
	var timeUp <-chan time.Time
	if r.duration > 0 {
		timeUp = time.After(r.duration)
	}
	commandEnded := r.commandEnded()
	hasCommand, told := commandEnded != nil, false
	for {
		select {
		case <-r.engine.Counted():
			return
		case <-timeUp:
			r.engine.Stop()
		case <-commandEnded:
			commandEnded = nil
			hasCommand = false
			if told && r.attached {
				r.engine.Stop() // the signal was meant for all of it
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
				soFar()
			case hasCommand:
				// The command decides what becomes of it, and of the run.
				told = true
				go r.engine.Launched().PassOn(sig, time.Now())
			default:
				r.stoppedBy = sig
				r.engine.Stop()
			}
		}
	}
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
			case sig == syscall.SIGUSR1: // everything has been written
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

package main

import (
	"fmt"
	"io"
	"syscall"
	"time"

	"sysprof/cmd/sysprof/internal/capture"
	"sysprof/ptrace"
)

// filterMode says whether a command is given a filter in the kernel.
type filterMode uint8

const (
	filterAuto  filterMode = iota // where -e trace= leaves out calls
	filterAsked                   // the same; --seccomp-bpf is strace's word for it
	filterOff
)

// filter is what the command is to be stopped at, nil if at all calls.
func (o *options) filter() *ptrace.Filter {
	switch {
	case o.seccomp == filterOff, o.trace == nil, o.trace.All():
		return nil
	case len(o.command) == 0, len(o.attach) > 0, o.noFollow: // see ptrace.Filter
		return nil
	}
	f := &ptrace.Filter{Calls: o.trace}
	if o.pprof == "" {
		return f
	}
	if o.stacks != stacksOff {
		f.Also = append(f.Also, capture.WatchedForStacks()...)
	}
	if o.labels.comm || o.labels.fd {
		f.Also = append(f.Also, capture.WatchedForLabels()...)
	}
	return f
}

// keep waits, after a stop, for the end of those who have a filter and cannot be left. It gives up when a signal
// comes and the command has ended, which it would have been meant for: those that are left die with sysprof.
func (s *session) keep(stderr io.Writer) {
	const soon = 200 * time.Millisecond // the command may have been the last one
	var commandEnded <-chan struct{}
	if command := s.tracer.Command(); command != nil {
		commandEnded = command.Ended()
	}
	var stillThere <-chan time.Time
	for {
		select {
		case <-s.tracer.Done():
			return
		default:
		}
		select {
		case <-s.tracer.Done():
		case <-commandEnded:
			commandEnded = nil
			if !s.opt.quiet {
				stillThere = time.After(soon)
			}
		case <-stillThere:
			fmt.Fprintf(stderr, "sysprof: waiting for the end of what the command has left (threads: %d): it has a filter in the kernel and cannot be let go; a signal ends sysprof and kills it (--no-seccomp avoids this)\n", s.tracer.Progress().Threads)
		case got := <-s.signals:
			sig := got.(syscall.Signal)
			switch {
			case sig == syscall.SIGUSR1: // everything has been written
			case commandEnded != nil:
				go s.tracer.Command().PassOn(sig, time.Now())
			default:
				s.stoppedBy = sig
				return
			}
		}
	}
}

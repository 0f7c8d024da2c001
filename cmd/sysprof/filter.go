package main

import (
	"fmt"
	"io"
	"syscall"

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

// keep waits for the end of those who have a filter and cannot be left, after a stop. It reports false if there
// are still some: a signal has come that the command cannot be given any more, and they die with sysprof.
func (s *session) keep(stderr io.Writer) bool {
	select {
	case <-s.tracer.Done():
		return true
	default:
	}
	said := s.opt.quiet
	commandEnded := s.tracer.CommandEnded()
	for {
		if commandEnded == nil && !said {
			said = true
			fmt.Fprintf(stderr, "sysprof: waiting for the last of %d threads of the command's, which have a filter in the kernel and cannot be left; a signal ends sysprof and kills them (--no-seccomp avoids this)\n", s.tracer.Tracees())
		}
		select {
		case <-s.tracer.Done():
			return true
		case <-commandEnded:
			commandEnded = nil
		case got := <-s.signals:
			sig := got.(syscall.Signal)
			switch {
			case sig == syscall.SIGUSR1:
			case commandEnded != nil:
				s.tracer.Signal(sig)
			default:
				s.stoppedBy = sig
				return false
			}
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sysprof/cmd/sysprof/internal/capture"
	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/stack/symbol"
	"sysprof/ptrace"
	"sysprof/report"
)

// stackMode says how stacks are captured.
type stackMode uint8

const (
	stacksFull stackMode = iota
	stacksByFramePointer
	stacksOff
)

// labelSet says what makes samples of a profile their own.
type labelSet struct{ pid, tid, comm, errno, latency, fd bool }

// samples is what a profile with stacks is made from.
type samples struct {
	opt      *options
	program  string // the file that is executed
	samples  profile.Samples
	capturer *capture.Capturer // nil: no stacks
	labels   *capture.Labels   // nil: neither names of threads nor of files
}

// newSamples returns nil if no profile is asked for.
func newSamples(opt *options, command *ptrace.Command) *samples {
	if opt.pprof == "" {
		return nil
	}
	s := &samples{opt: opt}
	if command != nil {
		path, _ := filepath.Abs(command.Path) // as mappings have it
		s.program, _ = filepath.EvalSymlinks(path)
	} else {
		s.program, _ = os.Readlink(fmt.Sprintf("/proc/%d/exe", opt.attach[0]))
	}
	if opt.stacks != stacksOff {
		s.capturer = capture.New(opt.stacks == stacksByFramePointer)
	}
	if opt.labels.comm || opt.labels.fd {
		s.labels = capture.NewLabels()
	}
	return s
}

// onEntry returns what the tracer calls at entry-stops, nil if it has nothing to do there. Like add and ended
// it may be called by several threads at once, but for one tracee by one alone.
func (s *samples) onEntry() func(*profile.Call, *ptrace.EntryStop) uint32 {
	if s == nil || s.capturer == nil && !s.opt.labels.fd {
		return nil
	}
	return func(c *profile.Call, at *ptrace.EntryStop) uint32 {
		wanted := s.opt.trace == nil || s.opt.trace.Has(c.ABI, c.Nr)
		if s.opt.labels.fd {
			s.labels.Entered(c, wanted)
		}
		if s.capturer == nil || !wanted {
			return 0
		}
		return s.capturer.Stack(c, at.IP, at.SP, at)
	}
}

// add takes a finished call, and whether it is to be counted.
func (s *samples) add(c *profile.Call, counted bool) {
	if counted {
		by := s.opt.labels
		var k profile.SampleKey
		if by.pid {
			k.PID = c.PID
		}
		if by.tid {
			k.TID = c.TID
		}
		if by.errno {
			k.Errno = c.Errno
		}
		if by.latency {
			k.Latency = cost.LatencyBucket(int64(c.RawLatency()))
		}
		if by.comm {
			k.Comm = s.labels.Comm(c)
		}
		if by.fd {
			k.FD = s.labels.FD(c)
		}
		s.samples.Add(c, k)
	}
	if s.capturer != nil {
		s.capturer.Finished(c)
	}
	if s.labels != nil {
		s.labels.Finished(c)
	}
}

// ended takes the end of a thread.
func (s *samples) ended(pid, tid int32) {
	if s.capturer != nil && tid == pid {
		s.capturer.Ended(pid)
	}
	if s.labels != nil {
		s.labels.Ended(pid, tid)
	}
}

// write writes the profile.
func (s *samples) write(w io.Writer, snapshot *profile.Snapshot, meta report.Meta) error {
	all, lost := s.samples.All()
	located := make(map[uint32][]*report.Location)
	if s.capturer != nil {
		ids := make([]uint32, 0, len(all))
		seen := make(map[uint32]bool)
		for i := range all {
			if id := all[i].Stack; id != 0 && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
		located = s.capturer.Locate(context.Background(), ids, s.symbolOptions())
		lost += s.capturer.Lost()
	}
	if lost > 0 {
		snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.StacksLost, Count: lost})
	}
	by := s.opt.labels
	var latency func(*profile.SampleKey) *uint32
	if by.latency {
		latency = func(k *profile.SampleKey) *uint32 { return &k.Latency }
	}
	return report.Pprof{
		Snapshot: snapshot,
		Samples:  cost.CorrectSamples(snapshot, all, latency),
		Meta:     meta,
		Program:  s.program,
		Stack:    func(id uint32) []*report.Location { return located[id] },
		By:       report.PprofLabels{PID: by.pid, TID: by.tid, Latency: by.latency, Errno: by.errno},
		Label: func(comm, fd uint32) []string {
			var pairs []string
			if comm != 0 {
				pairs = append(pairs, "comm", s.labels.Name(comm))
			}
			if fd != 0 {
				pairs = append(pairs, "fd", s.labels.Name(fd))
			}
			return pairs
		},
	}.Write(w)
}

// symbolOptions says how addresses are to be named.
func (s *samples) symbolOptions() symbol.Options {
	if !s.opt.debuginfod {
		return symbol.Options{}
	}
	const patience = 30 * time.Second
	return symbol.Options{Debuginfod: symbol.DebuginfodFind(patience)}
}

// chooseStacks takes the argument of --stacks.
func (o *options) chooseStacks(s string) error {
	mode, ok := map[string]stackMode{"off": stacksOff, "fp": stacksByFramePointer, "full": stacksFull}[s]
	if !ok {
		return fmt.Errorf("%q is no way to capture stacks; there are off, fp and full", s)
	}
	o.stacks = mode
	return nil
}

// chooseLabels takes the argument of --labels.
func (o *options) chooseLabels(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		flag, ok := map[string]*bool{
			"pid": &o.labels.pid, "tid": &o.labels.tid, "comm": &o.labels.comm,
			"errno": &o.labels.errno, "latency": &o.labels.latency, "fd": &o.labels.fd,
		}[name]
		if !ok {
			return fmt.Errorf("unknown label %q; there are pid, tid, comm, errno, latency and fd", name)
		}
		*flag = true
	}
	if o.labels == (labelSet{}) {
		return errors.New("want a list of labels")
	}
	return nil
}

package session

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/stack/capture"
	"sysprof/profile/stack/symbol"
	"sysprof/report"
	"sysprof/syscalltab"
)

// StackMode says how stacks are captured.
type StackMode uint8

const (
	StacksFull StackMode = iota
	StacksByFramePointer
	StacksOff
)

// samples is what a profile with stacks is made from. A nil one takes nothing.
type samples struct {
	config   *Config
	all      *profile.Samples
	capturer *capture.Capturer // nil: no stacks
}

func newSamples(config *Config) *samples {
	s := &samples{config: config, all: profile.NewSamples(cmp.Or(config.MaxSamples, profile.DefaultSamples), config.Labels.Rest)}
	if config.Stacks != StacksOff {
		s.capturer = capture.New(config.Stacks == StacksByFramePointer, config.MaxDepth)
	}
	return s
}

// watched names the calls that stacks and labels depend on.
func watched(config *Config) []string {
	var stacks []string
	if config.Stacks != StacksOff {
		stacks = capture.Watched()
	}
	return slices.Concat(stacks, config.Labels.Watched())
}

// entered returns what is to be called at entry-stops, nil if there is nothing to do there. Like add and ended,
// it may be called by several threads at once, but for one tracee by one alone.
func (s *samples) entered() Entered {
	if s == nil || s.capturer == nil && !s.config.Labels.Tracks() {
		return nil
	}
	return func(c *profile.Call, ip, sp uint64, thread capture.Thread) uint32 {
		wanted := s.config.counts(c.ABI, c.Nr) || restarts.Of(c.ABI, c.Nr)
		s.config.Labels.Entered(c, wanted)
		if s.capturer == nil || !wanted {
			return 0
		}
		return s.capturer.Stack(c, ip, sp, thread)
	}
}

// restarts are calls that go on with others, which may be counted.
var restarts = syscalltab.NewPerCall(map[string]bool{"restart_syscall": true})

// inFlight takes a call that has not returned, and is to be counted.
func (s *samples) inFlight(f *profile.InFlight) {
	if f.Why != profile.Exited {
		s.all.AddInFlight(f, profile.SampleKey{Values: s.config.Labels.Unfinished(f)})
	}
}

// add takes a finished call, and whether it is to be counted.
func (s *samples) add(c *profile.Call, counted bool) {
	if counted {
		s.all.Add(c, profile.SampleKey{Values: s.config.Labels.Values(c)})
	}
	if s.capturer != nil {
		s.capturer.Finished(c)
	}
	s.config.Labels.Returned(c)
}

// ended takes the end of a thread.
func (s *samples) ended(pid, tid int32) {
	if s.capturer != nil && tid == pid {
		s.capturer.Ended(pid)
	}
	s.config.Labels.Ended(pid, tid)
}

// taken returns the samples so far. If some of them, or of their stacks, are missing, the snapshot says so from then on.
func (s *samples) taken(snapshot *profile.Snapshot) []profile.Sample {
	all, folded := s.all.All()
	if folded > 0 {
		calls := uint64(0)
		for i := range all {
			calls += all[i].Calls + all[i].Unfinished
		}
		snapshot.Warnings = append(snapshot.Warnings,
			profile.Warning{Kind: profile.SamplesFolded, Count: uint64(len(all)), Share: float64(folded) / float64(calls)})
	}
	if s.capturer != nil {
		if lost := s.capturer.Lost(); lost > 0 {
			snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.StacksLost, Count: lost})
		}
		if cut := s.capturer.Cut(); cut > 0 {
			snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.StacksCut, Count: cut})
		}
		if why := s.capturer.Blind(); why != nil {
			missing := uint64(0)
			for i := range all {
				if all[i].Stack == 0 {
					missing += all[i].Calls
				}
			}
			snapshot.Warnings = append(snapshot.Warnings, profile.Warning{Kind: profile.StacksMissing, Count: missing, Text: why.Error()})
		}
	}
	return all
}

// located are stacks with names, by their numbers.
type located map[uint32][]*symbol.Location

// write writes the profile.
func (s *samples) write(w io.Writer, snapshot *profile.Snapshot, meta report.Meta, all []profile.Sample, stacks located) error {
	return report.Pprof{
		Snapshot: snapshot,
		Samples:  cost.CorrectSamples(snapshot, all),
		Meta:     meta,
		Program:  s.config.Program,
		Stack:    func(id uint32) []*symbol.Location { return stacks[id] },
		Labels:   s.config.Labels,
	}.Write(w)
}

// locate puts names to the stacks of samples. When ctx ends, the others remain addresses.
func (s *samples) locate(ctx context.Context, all []profile.Sample) located {
	if s.capturer == nil {
		return nil
	}
	var ids []uint32
	seen := make(map[uint32]bool)
	for i := range all {
		if id := all[i].Stack; id != 0 && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	var options symbol.Options
	if s.config.Debuginfod {
		const patience = 30 * time.Second
		options.Debuginfod = symbol.DebuginfodFind(patience)
	}
	late, cancel := after(ctx, grace)
	defer cancel()
	var stacks located
	if within(late, func() error {
		found := s.capturer.Locate(ctx, ids, options)
		stacks = found
		return nil
	}) == nil {
		return stacks
	}
	// It is stuck in a file that cannot be read: without any names, none is opened.
	return s.capturer.Locate(ctx, ids, symbol.Options{})
}

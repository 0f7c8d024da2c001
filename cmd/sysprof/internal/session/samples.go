package session

import (
	"cmp"
	"context"
	"io"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/profile/stack/capture"
	"sysprof/profile/stack/symbol"
	"sysprof/report"
	"sysprof/report/page"
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
	all      *profile.Samples  // nil: there is no profile, but stacks of slow calls; or only some of the calls are seen, …
	drawn    *drawnSamples     // … which are these
	capturer *capture.Capturer // nil: no stacks
}

func newSamples(config *Config, draws bool) *samples {
	s := &samples{config: config}
	switch {
	case config.Outputs.Pprof != "" && draws:
		s.drawn = newDrawnSamples(config)
	case config.Outputs.Pprof != "":
		s.all = profile.NewSamples(cmp.Or(config.MaxSamples, profile.DefaultSamples), config.Labels.Rest)
	}
	if config.Stacks != StacksOff {
		s.capturer = capture.New(config.Stacks == StacksByFramePointer, config.MaxDepth)
	}
	return s
}

// inFlight takes a call that has not returned, and is to be counted, and its values.
func (s *samples) inFlight(f *profile.InFlight, values *profile.Values) {
	if s != nil && s.all != nil && f.Why != profile.Exited {
		s.all.AddInFlight(f, profile.SampleKey{Values: s.config.Labels.Chosen(*values)})
	}
}

// add takes a finished call that is counted, and its values.
func (s *samples) add(c *profile.Call, values *profile.Values) {
	if s != nil && s.all != nil {
		s.all.Add(c, profile.SampleKey{Values: s.config.Labels.Chosen(*values)})
	}
}

// finished takes any finished call, when it has been added.
func (s *samples) finished(c *profile.Call) {
	if s.capturer != nil {
		s.capturer.Finished(c)
	}
}

// ended takes the end of a thread.
func (s *samples) ended(pid, tid int32) {
	if s.capturer != nil && tid == pid {
		s.capturer.Ended(pid)
	}
}

// taken returns the samples so far, with the calls that have not returned now. If some of them, or of their stacks, are missing,
// the snapshot says so from then on.
func (s *samples) taken(snapshot *profile.Snapshot, now []profile.Unreturned) []profile.Sample {
	var all []profile.Sample
	var folded uint64
	if s.drawn != nil {
		all, folded = s.drawn.all.All(snapshot)
		snapshot.Warnings = append(snapshot.Warnings, s.drawn.warnings(all, s.capturer)...)
	} else {
		all, folded = s.all.All(now...)
	}
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

// corrected returns the samples with what the calls take untraced, also in their labels.
func (s *samples) corrected(snapshot *profile.Snapshot, all []profile.Sample) []cost.Sample {
	return cost.CorrectSamples(snapshot, all, s.config.Labels.Corrected())
}

// write writes the profile.
func (s *samples) write(w io.Writer, snapshot *profile.Snapshot, meta report.Meta, all []cost.Sample, stacks located) error {
	return report.Pprof{
		Snapshot: snapshot,
		Samples:  all,
		Meta:     meta,
		Program:  s.config.Program,
		Stack:    stacks.find,
		Labels:   s.config.Labels,
	}.Write(w)
}

// stacks are the samples for a page.
func (s *samples) stacks(all []cost.Sample, stacks located) *page.Stacks {
	state := s.config.Labels.Index(label.State)
	return &page.Stacks{
		Samples:   all,
		Find:      stacks.find,
		Computing: func(v profile.Values) bool { return state >= 0 && profile.State(v[state]) == profile.Computing },
	}
}

func (l located) find(id uint32) []*symbol.Location { return l[id] }

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

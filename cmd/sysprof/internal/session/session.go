package session

import (
	"errors"
	"sync/atomic"
	"time"

	"sysprof/cmd/sysprof/internal/slow"
	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/profile/paths"
	"sysprof/profile/stack/capture"
	"sysprof/profile/timeline"
	"sysprof/syscalltab"
)

// Config says what a run counts and what is written of it.
type Config struct {
	Trace    *syscalltab.Set // the calls that are counted; nil: all
	Statuses Statuses        // the outcomes that are counted
	Paths    *paths.Choice   // the files that calls are counted of; nil: all calls

	// Raw leaves in the latencies what tracing adds to them. ByHand, if not nil, is taken off each instead of
	// what is measured.
	Raw    bool
	ByHand *time.Duration

	// GapsHaveCalls says that only some calls are traced, so that between two of them a thread may sleep in
	// others.
	GapsHaveCalls bool

	// Open says that what is traced begins before the run, or goes on after it.
	Open bool

	Slower Slower // calls that are written about one by one

	// Program is the file that is profiled, for viewers of profiles; "": not known.
	Program    string
	Stacks     StackMode
	MaxDepth   int               // frames that are kept of a stack; 0: as many as is usual
	Labels     *label.Projection // what is asked of each call; nil: samples of a profile are told apart by their stacks alone
	Groups     *label.Grouping   // of Labels: what groups are told apart by; nil: there are none
	Only       *label.Only       // of Labels: which calls are counted; nil: all
	MaxSamples int               // of a profile, but for those that stand for smaller ones; 0: profile.DefaultSamples
	Debuginfod bool              // fetch debug files

	Singles bool // the slowest calls of each interval are kept, see Session.Singles

	Outputs Outputs
	Meta    Meta

	// BeforeNames, if not nil, is called each time that all has been written but what needs names, which takes longer.
	BeforeNames func()
}

// Statuses says with which outcomes calls are counted and listed.
type Statuses uint8

const (
	Successful  Statuses = 1 << iota
	Failed               // with an errno
	Unfinished           // in flight: the thread ended in the call
	Unavailable          // strace's word for results that it does not know; there are none
	Detached             // in flight: tracing ended first

	AllStatuses = Successful | Failed | Unfinished | Unavailable | Detached
)

// Session is one run. All methods are safe for concurrent use, but for those that say otherwise.
type Session struct {
	config   Config
	engine   Engine
	profile  *profile.Profile
	samples  *samples // nil: no profile with stacks is asked for
	groups   *groups  // nil: none are asked for
	longest  longest
	calls    atomic.Int64
	unknown  atomic.Uint64 // calls of which it is not known whose they are, though that was asked for
	begun    cpuTime       // when the engine was started
	cuts     cuts
	pieces   *pieces        // that are written; nil: none
	slow     *slow.Log      // nil: nothing is written about single calls
	timeline *timelineTaker // nil: nobody asks for it
	later    later
	singles  singles
}

// New prepares a run. It returns an error if the engine cannot do what is asked of it.
func New(config Config, engine Engine) (*Session, error) {
	s := &Session{config: config, engine: engine, profile: profile.New(), longest: make(longest)}
	if can := engine.Can(); config.Paths != nil && !(can.SingleCalls && can.Stacks) {
		return nil, errors.New("-P: this engine stops no threads at their calls, so it cannot tell which files these are about")
	}
	if config.Outputs.Pprof != "" {
		switch can := engine.Can(); {
		case can.Draws:
		case !can.SingleCalls:
			return nil, errors.New("--pprof: this engine sees no single calls, so it cannot write a profile of them")
		case config.Stacks != StacksOff && !can.Stacks:
			return nil, errors.New("--pprof: this engine stops no threads, so it has no stacks; add --stacks=off")
		case config.Labels.Tracks() && !can.Stacks:
			return nil, errors.New("--labels: this engine stops no threads, so it cannot tell their names and files; leave out comm and fd")
		}
	}
	if config.Outputs.Pprof != "" || config.Slower.Stacks {
		s.samples = newSamples(&s.config, engine.Can().Draws)
	}
	if config.Groups != nil || config.Only != nil {
		if err := config.checkGroups(engine.Can()); err != nil {
			return nil, err
		}
	}
	if config.Groups != nil {
		s.groups = newGroups(config.Groups, config.Outputs.Interval > 0 && !config.Outputs.NoGroups)
	}
	if o := &config.Outputs; o.HTML != "" || o.JSON != "" && o.Interval == 0 {
		s.timeline = &timelineTaker{s: s}
		if o.HTML == "" { // nobody may ever look at it
			s.timeline.slices.First = 10 * timeline.First
		}
	}
	return s, nil
}

// Start lets the engine begin.
func (s *Session) Start() error {
	if d, ok := s.engine.(Drawer); ok && s.engine.Can().Draws {
		if err := d.Draw(s.config.Stacks != StacksOff, s.samples.draw); err != nil {
			return err
		}
	}
	s.begun = readCPUTime()
	if err := s.engine.Start(s, s.alsoSlow(s.entered())); err != nil {
		return err
	}
	if s.slow != nil {
		s.slow.Begin()
	}
	if s.config.Outputs.Interval > 0 {
		s.pieces = &pieces{Intervals: s.Intervals()}
	}
	s.timeline.begin()
	return nil
}

// Watched names the calls that have to be seen, whether they are counted or not.
func (c *Config) Watched() (all []string) {
	if (c.Outputs.Pprof != "" || c.Slower.Stacks) && c.Stacks != StacksOff {
		all = capture.Watched()
	}
	return append(all, c.Labels.Watched()...)
}

// entered returns what is to be called at entry-stops, nil if there is nothing to do there. It may be called by several threads at
// once, but for one tracee by one alone.
func (s *Session) entered() Entered {
	captures := s.samples != nil && s.samples.capturer != nil
	if !captures && !s.config.Labels.TracksEntries() && s.config.Paths == nil {
		return nil
	}
	return func(c *profile.Call, ip, sp uint64, thread capture.Thread) uint32 {
		wanted := s.mayBeWanted(c, thread) || restarts.Of(c.ABI, c.Nr)
		s.config.Labels.Entered(c, wanted)
		if !captures || !wanted || !hasStacks(c.ABI) {
			return 0
		}
		return s.samples.capturer.Stack(c, ip, sp, thread)
	}
}

// mayBeWanted reports whether a call that is entered may be one that is asked for, and takes note of whether it is about a
// file that is.
func (s *Session) mayBeWanted(c *profile.Call, thread capture.Thread) bool {
	if !s.config.counts(c.ABI, c.Nr) {
		return false
	}
	match := s.config.Paths.Entered(c, thread)
	c.Unwanted = match != paths.Yes // what a call opens is known when it has returned
	return match != paths.No
}

// isWanted reports whether a finished call is one that is asked for.
func (s *Session) isWanted(c *profile.Call) bool {
	return s.config.counts(c.ABI, c.Nr) && (!c.Unwanted || s.config.Paths.Returned(c))
}

// hasStacks reports whether there are stacks of code that makes calls in an ABI: not of x32's, nor of 32-bit code on arm64.
func hasStacks(abi syscalltab.ABI) bool {
	native := syscalltab.Native()
	return len(native) > 0 && abi == native[0] || abi == syscalltab.I386
}

// restarts are calls that go on with others, which may be counted.
var restarts = syscalltab.NewPerCall(map[string]bool{"restart_syscall": true})

// Feed returns what one tracer thread tells of its calls.
func (s *Session) Feed() profile.Feeder {
	f := &feeder{s: s, shard: s.profile.Shard()}
	if s.config.Singles {
		f.slowest = s.singles.part()
	}
	return f
}

// feeder takes what one tracer thread sees.
type feeder struct {
	s       *Session
	shard   *profile.Shard
	slowest *slowest     // nil: they are not kept
	transit *cost.Stream // nil before the first call: the model is settled when an engine has started
	labels  label.Memo
	groups  groupMemo
}

// stream makes the stream when it is needed first.
func (f *feeder) stream() *cost.Stream {
	if f.transit == nil {
		model := f.s.model()
		f.transit = model.NewStream()
	}
	return f.transit
}

// Call takes a finished call.
func (f *feeder) Call(c *profile.Call) {
	s, config := f.s, &f.s.config
	s.calls.Add(1)
	f.stream().Call(c)
	outcome := Successful
	if c.Errno != 0 {
		outcome = Failed
	}
	counted := config.Statuses&outcome != 0 && s.isWanted(c)
	var values profile.Values
	if counted && config.Labels != nil {
		values = f.labels.Values(config.Labels, c)
		counted = config.Only.Keeps(&values)
	}
	if counted {
		s.groups.begin()
		f.shard.Add(c)
		s.groups.add(c, &values, &f.groups)
		s.groups.end()
		s.samples.add(c, &values)
		f.slowest.add(c)
	} else {
		f.shard.Skip(c)
	}
	if s.samples != nil {
		s.samples.finished(c)
	}
	config.Labels.Returned(c)
	s.slow.Returned(c, counted)
}

// Control takes a control.
func (f *feeder) Control(c *profile.Control) {
	f.shard.Control(c.Condition(), f.stream().Control(c))
}

// counts reports whether a call is one of those that are counted.
func (c *Config) counts(abi syscalltab.ABI, nr uint64) bool {
	return c.Trace == nil || c.Trace.Has(abi, nr)
}

// InFlight takes a call that was never seen to return.
func (s *Session) InFlight(f *profile.InFlight) {
	values, counted := s.inFlight(f)
	if !counted {
		return
	}
	named := *f
	if s.groups != nil || s.longest.is(f) {
		named.Thread = threadName(f)
	}
	s.groups.begin()
	s.profile.AddInFlight(named)
	s.groups.inFlight(&named, &values)
	s.groups.end()
	s.slow.InFlight(f)
	s.samples.inFlight(f, &values)
}

// inFlight returns what tells a call apart that has not returned, and reports whether it is to be counted.
func (s *Session) inFlight(f *profile.InFlight) (values profile.Values, counted bool) {
	outcome := Unfinished
	if f.Why == profile.Detached {
		outcome = Detached
	}
	unwanted := s.config.Paths != nil && f.Unwanted || f.NotStopped && !s.config.Paths.Unfinished(f)
	if s.config.Statuses&outcome == 0 || !s.config.counts(f.ABI, f.Nr) || unwanted {
		return values, false
	}
	values = s.config.Labels.Unfinished(f)
	return values, s.config.Only.Keeps(&values)
}

// Counted takes whole rows.
func (s *Session) Counted(r *profile.Raw) {
	r = s.config.counted(r)
	for c := range r.Calls {
		for _, row := range r.Calls[c].Rows {
			calls, _ := row.Counts()
			s.calls.Add(int64(calls))
		}
	}
	s.profile.AddRaw(r)
}

// counted is what is to be counted of whole rows: the calls with the outcomes that are asked for.
func (c *Config) counted(r *profile.Raw) *profile.Raw {
	if c.Statuses == AllStatuses {
		return r
	}
	kept := new(profile.Raw)
	for condition := range r.Calls {
		for key, row := range r.Calls[condition].Rows {
			to := &profile.RawRow{Key: key}
			if c.Statuses&Successful != 0 {
				to.OK = row.OK
			}
			if c.Statuses&Failed != 0 {
				to.Failed = row.Failed
			}
			for _, o := range append([]profile.RawFailure{{RawOutcome: &to.OK}}, to.Failed...) {
				to.RawNs += int64(o.Latency.Sum())
			}
			if calls, _ := to.Counts(); calls > 0 {
				*kept.Calls[condition].Row(key) = *to
			}
		}
	}
	for _, f := range r.InFlight {
		outcome := Unfinished
		if f.Why == profile.Detached {
			outcome = Detached
		}
		if c.Statuses&outcome != 0 {
			kept.InFlight = append(kept.InFlight, f)
		}
	}
	return kept
}

// Ended takes the end of a thread.
func (s *Session) Ended(pid, tid int32) {
	if s.samples != nil {
		s.samples.ended(pid, tid)
	}
	s.config.Labels.Ended(pid, tid)
	s.slow.Ended(tid)
}

// Snapshot returns what has been counted so far.
func (s *Session) Snapshot() *profile.Snapshot {
	s.handOver()
	raw := s.profile.Raw()
	snapshot := cost.Correct(raw, s.model(), s.ran(s.engine.Progress().Elapsed, readCPUTime().stolenSince(s.begun)))
	if e, ok := s.engine.(interface{ InKernel() *profile.Raw }); ok {
		snapshot.InKernel = s.config.counted(e.InKernel()).Snapshot()
	}
	return snapshot
}

// handOver has an engine that adds calls up itself hand over what has come in.
func (s *Session) handOver() {
	if e, ok := s.engine.(interface{ HandOver() }); ok {
		e.HandOver()
	}
}

// ran says what is known of the run, or of a part of it, that has taken so long.
func (s *Session) ran(wall time.Duration, stolen float64) cost.Run {
	return cost.Run{Wall: wall, CPUs: s.config.Meta.CPUs, Open: s.config.Open, GapsHaveCalls: s.config.GapsHaveCalls, Stolen: stolen}
}

// model is what latencies are corrected by.
func (s *Session) model() cost.Model {
	switch {
	case s.config.Raw:
		return cost.Model{}
	case s.config.ByHand != nil:
		return cost.Model{ByHand: s.config.ByHand}
	}
	return s.engine.Model()
}

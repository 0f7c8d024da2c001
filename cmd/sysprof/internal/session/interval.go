package session

import (
	"sync"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
)

// Interval is a piece of a run.
type Interval struct {
	Snapshot *profile.Snapshot // what was counted in it, corrected as a whole run is
	Number   int               // 1 is the first one
	Start    time.Time         // by the calendar, which may be set meanwhile
	End      time.Time
	Length   time.Duration // by the clock of the run, which stands still when the machine or sysprof does
}

// CallsPerSecond is how many of the calls that are counted returned in a second.
func (i *Interval) CallsPerSecond() float64 {
	if i.Length <= 0 {
		return 0
	}
	return float64(i.Snapshot.Total.Calls) / i.Length.Seconds()
}

// Intervals cut a run into pieces, each of which begins where the one before has ended: no call is in two of them, or in
// none. There may be several, for readers that know nothing of each other.
type Intervals struct {
	s      *Session
	number int
	endAt  time.Time // of the last one
	end    time.Duration
	cpus   cpuTime
	known  profile.Raw // nothing but the controls of all of them

	pending *profile.Raw // what has been counted since the last one, and is known already; guarded by s.cuts
}

// cuts are all Intervals of a session.
type cuts struct {
	mu  sync.Mutex
	all []*Intervals
}

// Intervals returns some that begin with the run.
//
// Precondition: the session has been started.
func (s *Session) Intervals() *Intervals {
	s.cuts.mu.Lock()
	defer s.cuts.mu.Unlock()
	i := &Intervals{s: s, endAt: s.engine.Progress().Start, cpus: s.begun}
	i.pending = s.profile.UntilCut() // what has been counted since comes with the next cut
	s.cuts.all = append(s.cuts.all, i)
	return i
}

// Next ends an interval now. BenchmarkInterval is what that takes, and what writing it does. It is not safe for concurrent
// use, but may be called while another reader's is.
func (i *Intervals) Next() *Interval {
	i.s.handOver()
	return i.next(func() {})
}

// next is Next, of what has been handed over. It calls cut as soon as what is counted belongs to the interval after it.
func (i *Intervals) next(cut func()) *Interval {
	s := i.s
	raw := s.cuts.cut(s.profile, i, cut)
	progress, now, cpus := s.engine.Progress(), time.Now(), readCPUTime()
	i.number++
	next := &Interval{Number: i.number, Start: i.endAt, End: now, Length: max(progress.Elapsed-i.end, 0)}
	ran := s.ran(next.Length, cpus.stolenSince(i.cpus))
	ran.Known = i.learn(raw)
	next.Snapshot = cost.Correct(raw, s.model(), ran)
	i.endAt, i.end, i.cpus = now, max(progress.Elapsed, i.end), cpus // it goes back when a standstill is taken off
	return next
}

// learn takes the controls of an interval, and returns those of all so far.
func (i *Intervals) learn(raw *profile.Raw) *[profile.Conditions]profile.ControlSum {
	var its profile.Raw
	for c := range raw.Calls {
		its.Calls[c].Controls = raw.Calls[c].Controls
	}
	i.known.Merge(&its)
	all := new([profile.Conditions]profile.ControlSum)
	for c := range all {
		all[c] = i.known.Calls[c].Controls
	}
	return all
}

// cut returns what is new for one of them, and keeps it for the others.
func (c *cuts) cut(p *profile.Profile, forWhom *Intervals, done func()) *profile.Raw {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw := p.CutWith(done)
	for _, i := range c.all {
		switch {
		case i != forWhom && i.pending == nil:
			i.pending = raw.Clone()
		case i.pending != nil:
			i.pending.Merge(raw)
		}
	}
	if forWhom.pending != nil {
		raw, forWhom.pending = forWhom.pending, nil
	}
	return raw
}

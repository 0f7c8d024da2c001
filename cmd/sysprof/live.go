package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sysprof/cmd/sysprof/internal/session"
	"sysprof/report/live"
	"sysprof/syscalltab"
)

// liveProgram is the program that has the terminal. Its package comment says why it is another one.
const liveProgram = "sysprof-live"

// liveInterval is how often it is told what was counted.
const liveInterval = time.Second

func (o *options) declareLive(d declarations) {
	d.flag(0, "live", func() { o.live = true })
}

// liveBy is what calls are told apart by in a view, if nothing else is asked for. It is what costs least; with files sysprof takes
// twice the CPU time that it takes with threads alone.
const liveBy = "tid"

// groupForLive has calls told apart for a view.
func (o *options) groupForLive() {
	if o.live && o.groups.by == "" {
		o.groups.by, o.outputs.NoGroups = liveBy, true
	}
}

// checkLive finds what does not go with a live view.
func (o *options) checkLive() error {
	switch {
	case !o.live:
		return nil
	case o.bench.rounds > 0:
		return errors.New("--live does not go with --bench, which compares runs that nobody looks at; leave one of them out")
	case (o.outputs.Interval > 0 || o.slower.AtLeast > 0) && o.outputs.Tables == "":
		return errors.New("--live has the terminal that --interval and --slower would write to; add -o FILE")
	}
	return nil
}

// liveRun is a run that is shown while it goes on. All methods may be called on nil, which is one that is not.
type liveRun struct {
	p           *process
	view        *liveView
	output      *kept // nil: of no command, or it does not go to the terminal
	endMessages func()
	ended       atomic.Bool
	failed      atomic.Bool // the view has, and not the run
}

// prepareLive finds out whether a run can be shown, before anything is traced, and takes the terminal from the command. It
// returns nil if it is not to be shown.
func (p *process) prepareLive(opt *options) (*liveRun, error) {
	if !opt.live {
		return nil, nil
	}
	l := &liveRun{p: p, endMessages: func() {}}
	var err error
	if l.view, err = newLiveView(); err == nil && len(opt.command) > 0 && p.own {
		l.output, err = p.keepOutput()
	}
	return l, err
}

func (l *liveRun) process() *liveView {
	if l == nil {
		return nil
	}
	return l.view
}

// begin shows the run, which has begun.
func (l *liveRun) begin(opt *options, s *session.Session, engine session.Engine) {
	if l == nil {
		return
	}
	l.endMessages = l.p.messages.divert(l.view.notice)
	if l.output != nil {
		l.view.notice("what the command writes to the terminal is kept until the end; it has no input")
	}
	begin := live.Begin{Traced: opt.traced(), Command: len(opt.command) > 0, ASCII: l.p.messages.ascii}
	updates := &liveUpdates{s: s, engine: engine, intervals: s.Intervals()}
	if err := l.view.start(begin, updates.next); err != nil {
		l.p.messages.say(err)
		l.failed.Store(true)
	}
}

// hides reports whether tables that are asked for would go where the view is.
func (l *liveRun) hides(opt *options) bool {
	return l != nil && opt.outputs.Tables == "" && isTerminal(l.p.stderr)
}

// end gives the terminal back, and shows what has been kept from it until now. It may be called twice.
func (l *liveRun) end() {
	if l == nil || l.ended.Swap(true) {
		return
	}
	err := l.view.close()
	l.output.show()
	l.endMessages()
	l.p.messages.say(err)
	if err != nil {
		l.failed.Store(true)
	}
}

// hasFailed reports whether the view has ended otherwise than it should.
func (l *liveRun) hasFailed() bool { return l != nil && l.failed.Load() }

// followOutput shows what the command writes from now on, until it is ended. A signal keeps that from waiting for a terminal
// that stands still.
func (l *liveRun) followOutput() (end func(signals <-chan os.Signal)) {
	if l == nil || l.output == nil {
		return func(<-chan os.Signal) {}
	}
	endFollowing := l.output.follow()
	return func(signals <-chan os.Signal) {
		shown := make(chan struct{})
		go func() {
			endFollowing()
			close(shown)
		}()
		select {
		case <-shown:
		case <-signals:
		}
	}
}

// liveUpdates are what a live view is told.
type liveUpdates struct {
	s         *session.Session
	engine    session.Engine
	intervals *session.Intervals
	groups    live.Groups
}

// next is what was counted since the last time.
func (l *liveUpdates) next() *live.Update {
	interval, progress := l.intervals.Next(), l.engine.Progress()
	u := live.UpdateOf(interval.Snapshot, interval.Length)
	u.Elapsed, u.Processes, u.Threads = progress.Elapsed, progress.Processes, progress.Threads
	singles := l.s.Singles()
	for i := range u.Rows {
		u.Rows[i].Slowest = namedSingles(singles[interval.Snapshot.Rows[i].Key])
	}
	soFar := l.s.Snapshot()
	if l.s.Group(soFar, live.MostGroups); soFar.Groups != nil {
		u.By, u.Groups = soFar.Groups.By, l.groups.Since(soFar.Groups)
	}
	return u
}

// namedSingles says of calls who made them.
func namedSingles(all []session.Single) (named []live.Single) {
	for _, one := range all {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/comm", one.PID, one.TID))
		n := live.Single{Took: one.Took, PID: one.PID, TID: one.TID, Who: strings.TrimSuffix(string(comm), "\n")}
		if one.Errno != 0 {
			n.Ends = syscalltab.Errno(int(one.Errno))
		}
		named = append(named, n)
	}
	return named
}

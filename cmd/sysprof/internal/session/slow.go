package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"sysprof/cmd/sysprof/internal/slow"
	"sysprof/profile"
	"sysprof/profile/inkernel"
	"sysprof/profile/stack/capture"
	"sysprof/profile/stack/symbol"
	"sysprof/syscalltab"
)

// Slower says which calls are written about one by one.
type Slower struct {
	AtLeast time.Duration   // those that take so long; 0: none
	Calls   *syscalltab.Set // of these; nil: all that are counted
	Stacks  bool            // with the stacks of calls that hang, though there is no profile
}

// holder is an engine that tells of calls that take long while their threads still stand at their ends.
type holder interface {
	// OnSlow is called before Start.
	OnSlow(atLeast time.Duration, f func(*profile.Call))
	// Asleep tells of calls that threads are in since before they were attached to, as far as they have not stopped since.
	Asleep(f func(*profile.InFlight))
}

// WriteSlow has lines about slow calls written to where tables go, if they were asked for.
//
// Precondition: the session has not been started.
func (s *Session) WriteSlow(files *Files) error {
	if s.config.Slower.AtLeast == 0 {
		return nil
	}
	if finder, ok := s.engine.(finder); ok && s.engine.Can().TellsSlow {
		s.slow = slow.New(slow.Options{AtLeast: s.config.Slower.AtLeast, Calls: s.config.Slower.Calls, Now: func() int64 { return 0 }, Write: files.writeLine})
		return finder.OnSlow(s.tellSlow, s.slow.LeftOut)
	}
	engine, ok := s.engine.(holder)
	if can := s.engine.Can(); !ok || !can.SingleCalls || !can.Stacks {
		return errors.New("--slower: this engine stops no threads at their calls, so it cannot tell of single ones")
	}
	s.slow = slow.New(slow.Options{
		AtLeast: s.config.Slower.AtLeast, Calls: s.config.Slower.Calls,
		Keeps: s.keeper(),
		Now:   func() int64 { return int64(time.Since(s.engine.Progress().Start)) },
		Asleep: func(f func(*profile.InFlight)) {
			engine.Asleep(func(call *profile.InFlight) {
				if s.config.counts(call.ABI, call.Nr) && s.config.Paths.Unfinished(call) {
					f(call)
				}
			})
		},
		Stack: s.namer(),
		Write: files.writeLine,
	})
	engine.OnSlow(s.config.Slower.AtLeast, s.slow.Held)
	return nil
}

// finder is an engine that finds slow calls by itself.
type finder interface {
	// OnSlow is called before Start. told is called by one goroutine, leftOut with how many calls it was not told of.
	OnSlow(told func(*inkernel.Slow), leftOut func(uint64)) error
}

// tellSlow writes about a call that an engine has found to be slow.
func (s *Session) tellSlow(c *inkernel.Slow) {
	t := slow.Told{Hangs: c.Kind == inkernel.SlowHangs, AtLeast: c.Unseen, Process: c.Process, Thread: c.Thread, Hidden: c.Hidden,
		Call: profile.Call{PID: c.PID, TID: c.TID, ABI: c.ABI, Nr: c.Nr, Args: c.Args, Ret: c.Ret, Errno: c.Errno, EntrySeenNs: int64(c.Since), ExitSeenNs: c.Ns}}
	if c.Kind == inkernel.SlowBrokenOff {
		t.Why = c.Why
	}
	if c.Resumes != 0 {
		t.Resumes, t.AtLeast = c.ABI.Name(c.Resumes), true
	}
	s.slow.Tell(&t)
}

// keeper returns what reports whether a call that has not returned is one that --only keeps; nil if all are kept.
func (s *Session) keeper() func(*profile.InFlight) bool {
	if s.config.Only == nil {
		return nil
	}
	return func(f *profile.InFlight) bool {
		values := s.config.Labels.Unfinished(f)
		return s.config.Only.Keeps(&values)
	}
}

// alsoSlow adds what slow calls need to what is called at entry-stops, which may be nil.
func (s *Session) alsoSlow(entered Entered) Entered {
	if s.slow == nil {
		return entered
	}
	return func(c *profile.Call, ip, sp uint64, thread capture.Thread) (stack uint32) {
		if entered != nil {
			stack = entered(c, ip, sp, thread)
		}
		if s.config.counts(c.ABI, c.Nr) && !c.Unwanted {
			s.slow.Entered(c, stack, resumed(c, thread))
		}
		return stack
	}
}

// resumed names the call that a call goes on with, "" if it is none, or that is not known.
func resumed(c *profile.Call, thread capture.Thread) string {
	if !restarts.Of(c.ABI, c.Nr) {
		return ""
	}
	if t, ok := thread.(interface{ Resumes() (nr uint64, ok bool) }); ok {
		if nr, ok := t.Resumes(); ok {
			return c.ABI.Name(nr)
		}
	}
	return ""
}

// namer returns what puts names to a stack, nil if there are no stacks.
func (s *Session) namer() func(uint32) []string {
	if s.samples == nil || s.samples.capturer == nil {
		return nil
	}
	const kept = 1_000
	known := make(map[uint32][]string)
	return func(id uint32) []string {
		if frames, ok := known[id]; ok {
			return frames
		}
		if len(known) == kept {
			clear(known)
		}
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var frames []string
		found := make(chan []*symbol.Location, 1)
		go func() { found <- s.samples.capturer.Locate(ctx, []uint32{id}, symbol.Options{})[id] }()
		select {
		case located := <-found:
			frames = named(located)
		case <-ctx.Done(): // it is stuck in a file that cannot be read
		}
		known[id] = frames
		return frames
	}
}

// named prints the frames of a stack.
func named(stack []*symbol.Location) (frames []string) {
	for _, l := range stack {
		for _, line := range l.Lines {
			frame := line.Function
			if line.File != "" {
				frame += fmt.Sprintf(" %s:%d", filepath.Base(line.File), line.Line)
			}
			frames = append(frames, frame)
		}
	}
	return frames
}

// writeLine writes a line, or some, between the tables.
func (f *Files) writeLine(ctx context.Context, text []byte) {
	err := f.putTables(ctx, []byte(f.std.Printed(string(text))))
	f.saidOnce(err)
}

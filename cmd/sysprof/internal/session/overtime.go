package session

import (
	"sync"
	"time"

	"sysprof/profile/timeline"
)

// timelineTaker takes a timeline of a run: now and then it asks what has been counted since it asked last, first every ten
// milliseconds, and more and more seldom the longer the run is. A nil one takes nothing.
type timelineTaker struct {
	s *Session

	mu        sync.Mutex // guards what follows
	intervals *Intervals
	slices    timeline.Builder
}

// begin takes slices until nothing more is counted.
func (t *timelineTaker) begin() {
	if t == nil {
		return
	}
	t.intervals = t.s.Intervals()
	go func() {
		timer := time.NewTimer(t.slices.Width())
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				timer.Reset(t.take())
			case <-t.s.engine.Counted():
				return
			}
		}
	}()
}

// take adds a slice that ends now, and returns how long the next one is to be. The run's clock may have been set back since
// the last one, when it turned out that sysprof itself had stood still.
func (t *timelineTaker) take() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.s.engine.Progress().Elapsed
	t.slices.Add(now, t.intervals.Next().Snapshot)
	return t.slices.Width()
}

// upToNow returns the timeline so far.
func (t *timelineTaker) upToNow() *timeline.Timeline {
	if t == nil {
		return nil
	}
	t.take()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slices.Timeline()
}

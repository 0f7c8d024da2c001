package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile/timeline"
)

// TestTimelineOfARun: each slice has what was counted in it, and no call is lost when the clock is set back, as it is when
// it turns out that sysprof itself has stood still.
func TestTimelineOfARun(t *testing.T) {
	engine := &ticker{newAdder(), Progress{}}
	s := started(t, Config{Statuses: AllStatuses, Raw: true, Outputs: Outputs{HTML: "page"}}, engine)
	slices := s.timeline
	s.Counted(counted(3, 1_000))
	engine.progress.Elapsed = 10 * time.Millisecond
	if next := slices.take(); next != timeline.First {
		t.Errorf("the next slice is to be %v long", next)
	}
	s.Counted(counted(2, 1_000))
	s.Counted(counted(1, 1_000_000))
	slices.take() // the clock stands still
	engine.progress.Elapsed = 30 * time.Millisecond
	s.Counted(counted(1, 1_000_000))
	slices.take()
	engine.progress.Elapsed = 20 * time.Millisecond
	slices.take()
	s.Counted(counted(4, 1_000))
	got := slices.upToNow()
	if d := cmp.Diff([]time.Duration{10 * time.Millisecond, 30 * time.Millisecond}, got.Ends); d != "" {
		t.Errorf("ends: %s", d)
	}
	if d := cmp.Diff([]timeline.Cell{{Slice: 0, Bucket: 7, Calls: 5}, {Slice: 0, Bucket: 27, Calls: 1}, {Slice: 1, Bucket: 7, Calls: 4}, {Slice: 1, Bucket: 27, Calls: 1}}, got.All); d != "" {
		t.Errorf("calls: %s", d)
	}
	if without := started(t, Config{}, newAdder()); without.timeline.upToNow() != nil {
		t.Error("a run without a page has a timeline")
	}
}

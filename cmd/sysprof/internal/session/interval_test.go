package session

import (
	"sync"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// ticker is an engine whose clock is set by the test.
type ticker struct {
	*adder
	progress Progress
}

func (t *ticker) Progress() Progress { return t.progress }

func started(t *testing.T, config Config, engine Engine) *Session {
	t.Helper()
	s, err := New(config, engine)
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestIntervals has two readers, one of which is asked more often.
func TestIntervals(t *testing.T) {
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	engine := &ticker{newAdder(counted(1, 500)), Progress{Start: begun}}
	s := started(t, Config{Statuses: AllStatuses, Raw: true}, engine)
	often, once := s.Intervals(), s.Intervals()
	next := func(i *Intervals, number int, calls uint64, sumNs int64, length time.Duration) *Interval {
		t.Helper()
		got := i.Next()
		total := &got.Snapshot.Total
		if got.Number != number || total.Calls != calls || total.SumNs != sumNs || got.Length != length {
			t.Errorf("interval %d has %d calls with %d ns in %v, want %d, %d, %d, %v",
				got.Number, total.Calls, total.SumNs, got.Length, number, calls, sumNs, length)
		}
		if got.Snapshot.Overhead == nil == (length > 0) {
			t.Errorf("an account of what tracing cost: %v, of %v", got.Snapshot.Overhead, length)
		}
		return got
	}
	s.Counted(counted(2, 1_000))
	engine.progress.Elapsed = 2 * time.Second
	first := next(often, 1, 3, 2_500, 2*time.Second)
	if !first.Start.Equal(begun) || first.CallsPerSecond() != 1.5 {
		t.Errorf("the first interval begins at %v, and has %v calls a second", first.Start, first.CallsPerSecond())
	}
	engine.progress.Elapsed = 3 * time.Second
	second := next(often, 2, 0, 0, time.Second)
	if !second.Start.After(begun) {
		t.Errorf("the second interval begins at %v", second.Start)
	}
	s.Counted(counted(4, 300))
	nr, _ := syscalltab.AMD64.Number("pause")
	s.InFlight(&profile.InFlight{ABI: syscalltab.AMD64, Nr: nr, SoFarNs: 7, Why: profile.Killed})
	if last := next(often, 3, 4, 1_200, 0); len(last.Snapshot.InFlight) != 1 {
		t.Errorf("in flight: %v", last.Snapshot.InFlight)
	}
	if all := next(once, 1, 7, 3_700, 3*time.Second); len(all.Snapshot.InFlight) != 1 || all.Snapshot.Rows[0].MaxNs != 1_000 {
		t.Errorf("all at once: %+v", all.Snapshot)
	}
	if whole := s.Snapshot(); whole.Total.Calls != 7 || whole.Total.SumNs != 3_700 {
		t.Errorf("the run: %+v", whole.Total)
	}
	s.Counted(counted(1, 50))
	next(often, 4, 1, 50, 0)
	s.Counted(counted(1, 60))
	next(often, 5, 1, 60, 0)
	next(once, 2, 2, 110, 0)
	engine.progress.Elapsed = 2500 * time.Millisecond // a standstill was found
	next(often, 6, 0, 0, 0)
	engine.progress.Elapsed = 3500 * time.Millisecond
	next(often, 7, 0, 0, 500*time.Millisecond)
	engine.progress.Elapsed = 3 * time.Second
	late := s.Intervals() // begins with the run
	next(late, 1, 9, 3_810, 3*time.Second)
	next(late, 2, 0, 0, 0)
}

// TestIntervalsBeginAtAnyTime: while calls are counted, and others have begun; no call is in two of them, or in none.
func TestIntervalsBeginAtAnyTime(t *testing.T) {
	s := started(t, Config{Statuses: AllStatuses, Raw: true}, newAdder())
	const readers = 200
	calls := uint64(0)
	var counting sync.WaitGroup
	done := make(chan struct{})
	counting.Go(func() {
		shard := s.profile.Shard()
		for ; ; calls++ {
			select {
			case <-done:
				return
			default:
			}
			shard.Add(&profile.Call{ABI: syscalltab.AMD64, ExitSeenNs: 5, CPUNs: -1, GapNs: -1})
		}
	})
	var all []*Intervals
	var seen [readers]uint64
	for i := range readers {
		all = append(all, s.Intervals())
		for j := range all[:min(i, 3)] {
			seen[j] += all[j].Next().Snapshot.Total.Calls
		}
	}
	close(done)
	counting.Wait()
	for i := range all {
		if seen[i] += all[i].Next().Snapshot.Total.Calls; seen[i] != calls {
			t.Errorf("reader %d has %d calls, want %d", i, seen[i], calls)
		}
	}
}

package ptrace

import (
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab/needs"
)

const ms = 1_000_000

// beaten is a heartbeat of a tracer with one worker that beat at these times, in ms. It did not wait for a CPU.
func beaten(times ...int64) *heartbeat {
	h := &heartbeat{workers: make([]runDelay, 1)}
	h.beatAtNs.Store(1)
	for _, at := range times {
		h.beat(at*ms, 0, 0)
	}
	return h
}

func TestStandstillIsTakenOffWhatItHeldUp(t *testing.T) {
	stopped := []int64{50, 100, 1100, 1150} // stopped from 100 to 1100
	for _, test := range []struct {
		name         string
		beats        []int64
		from, to     int64
		waited, held int64
	}{
		{"seen as it ends", stopped, 90, 1101, 1001, 1000},
		{"begun in it", stopped, 120, 1099, 979, 979},
		{"over before it", stopped, 20, 90, 0, 0},
		{"begun after it", stopped, 1110, 1190, 0, 0},
		{"went on after it", stopped, 90, 1160, 0, 1000},
		{"late beats that are none", []int64{50, 100, 290, 500}, 40, 500, 0, 0},
		{"two in a row", []int64{50, 1050, 1090, 2090}, 40, 2091, 2041, 2000},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := beaten(test.beats...)
			if got := h.held(test.from*ms, test.to*ms); got != test.held*ms {
				t.Errorf("%d ms are taken off a hold, want %d", got/ms, test.held)
			}
			h = beaten(test.beats...)
			if got := h.waited(0, test.from*ms, test.to*ms); got != test.waited*ms {
				t.Errorf("%d ms are taken off a call, want %d", got/ms, test.waited)
			}
			if got := h.takenNs.Load(); got != test.waited*ms {
				t.Errorf("%d ms are taken off the run, want %d", got/ms, test.waited)
			}
		})
	}
}

func TestThreadsHeldUpTogetherHoldTheRunUpOnce(t *testing.T) {
	h := beaten(50, 100, 1100)
	for _, from := range []int64{150, 90, 120} {
		h.waited(0, from*ms, 1100*ms)
	}
	if got := h.takenNs.Load(); got != 1000*ms {
		t.Errorf("%d ms are taken off the run, want 1000", got/ms)
	}
}

func TestWantOfACPUIsNoStandstill(t *testing.T) {
	h := beaten(50, 100)
	h.beat(1100*ms, 900*ms, 0)
	if got := h.waited(0, 90*ms, 1101*ms); got != 0 {
		t.Errorf("%d ms are taken off", got/ms)
	}
	if w := h.warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
	h.beat(1150*ms, 0, 300*ms)
	if w := h.warnings(); len(w) != 1 || w[0] != (profile.Warning{Kind: profile.TracerStarved, Count: 1, HighNs: 300 * ms}) {
		t.Errorf("warnings: %v", w)
	}
}

// TestBeatThatDoesNotComeHoldsNobodyUp: who waits for an overdue beat has a tracee stand still meanwhile.
func TestBeatThatDoesNotComeHoldsNobodyUp(t *testing.T) {
	h := beaten(50)
	waited := make(chan int64)
	go func() { waited <- h.waited(0, 60*ms, 5000*ms) }()
	select {
	case ns := <-waited:
		if ns != 0 {
			t.Errorf("%d ms are taken off, although no standstill is known", ns/ms)
		}
	case <-time.After(needs.Patience()):
		h.beat(5000*ms, 5000*ms, 0) // ends it
		t.Error("it waits until a beat comes")
		<-waited
	}
}

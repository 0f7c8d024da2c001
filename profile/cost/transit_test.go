package cost

import (
	"math"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
)

func TestTheCalibrationIsUsable(t *testing.T) {
	m := newMachine(1)
	if !m.calibration().usable() {
		t.Error("5,000 calls are not enough to correct anything")
	}
	if newTransit(profile.Calibrated).usable() {
		t.Error("no calls are enough to correct something")
	}
	few := newTransit(profile.Calibrated)
	th := m.thread(1)
	for range 10 {
		few.add(th.call(getppidNr, 0, cheapNs))
	}
	few.measuredUntraced(nil, 0)
	if few.usable() {
		t.Error("10 calls are enough")
	}
	if !ByHand(0).usable() || !ByHand(time.Second).usable() {
		t.Error("the user's word does not count")
	}
}

// TestAnUnusableCalibrationLeavesLatenciesRaw: no correction is better than one from nothing.
func TestAnUnusableCalibrationLeavesLatenciesRaw(t *testing.T) {
	p := record()
	for range 100 {
		p.Add(call(readNr, 0, 5_000))
	}
	p.correctBy(newTransit(profile.Calibrated), nil)
	s := p.after(time.Second)
	equal(t, "mean", s.Total.Mean(), 5_000)
	equal(t, "source", s.Overhead.Source, profile.Uncorrected)
}

func TestQueuedCallsDoNotMislead(t *testing.T) {
	m := newMachine(7)
	p := record()
	th := m.thread(1)
	const plain, queued = 5_000, 2_000
	for i := range plain + queued {
		c := th.call(readNr, 0, 2_000)
		if c.Queued = i%7 < 2; c.Queued {
			c.ExitSeenNs += 70_000 // in the line
			c.ExitResumedNs += 70_000
			th.nowNs += 70_000
		}
		p.Add(c)
	}
	raw := p.after(th.wall())
	if w := raw.Warnings; len(w) != 1 || w[0].Kind != profile.QueuedRaw || math.Round(100*w[0].Share) != 29 {
		t.Errorf("of raw latencies, this is said: %+v", w)
	}
	p.correctBy(m.calibration(), nil)
	s := p.after(th.wall())
	r := &s.Rows[0]
	equal(t, "calls", r.Calls, plain+queued)
	equal(t, "queued calls", r.Queued, queued)
	equal(t, "calls of the account", s.Overhead.Calls, plain+queued)
	equal(t, "queued calls of the account", s.Overhead.Queued, queued)
	equal(t, "calls of the distribution", r.OK.Count(), plain+queued)
	about(t, "p50", r.OK.Quantile(0.5), 2_000, 0, 300)
	about(t, "p90", r.OK.Quantile(0.9), 2_000, 0, 500)
	about(t, "p99", r.OK.Quantile(0.99), 2_000, 0, 1_000)
	about(t, "the mean", r.Mean(), 2_000, 0, 400)
	if r.OK.Max() > 40_000 {
		t.Errorf("the longest call took %v: that is the time in the line", r.OK.Max())
	}
	if w := kinds(s); !strings.Contains(w, string(profile.QueuedCorrected)) {
		t.Errorf("nothing is said of the 29 %% of calls that were queued: %q", w)
	}
}

// TestOnlyQueuedCalls: there is nothing to tell how long they took.
func TestOnlyQueuedCalls(t *testing.T) {
	m := newMachine(8)
	p := record()
	th := m.thread(1)
	for range 500 {
		c := th.call(readNr, 0, 2_000)
		c.Queued = true
		p.Add(c)
	}
	p.correctBy(m.calibration(), nil)
	s := p.after(th.wall())
	equal(t, "calls", s.Total.Calls, 500)
	equal(t, "queued calls", s.Total.Queued, 500)
	sane(t, s.Rows[0].OK)
}

// TestDrift: the machine is faster or slower than when it was calibrated. The program's own cheap calls
// show it.
func TestDrift(t *testing.T) {
	for _, drift := range []float64{0.8, 1.2} {
		for _, cheap := range []int{50, 2_000} {
			m := newMachine(9)
			transit := m.calibration()
			m.transitNs *= drift
			m.switchNs *= drift
			p := record()
			th := m.thread(1)
			for i := range 5_000 {
				p.Add(th.call(readNr, 0, 2_000))
				if i < cheap {
					p.Add(th.call(getppidNr, 0, cheapNs))
				}
			}
			p.correctBy(transit, nil)
			s := p.after(th.wall())
			r := &s.Rows[0]
			equal(t, "call", r.Nr, readNr)
			about(t, "p50", r.OK.Quantile(0.5), 2_000, 0, 250)
			about(t, "p90", r.OK.Quantile(0.9), 2_000, 0, 400)
			about(t, "the mean", r.Mean(), 2_000, 0, 350)
		}
	}
}

// TestATransitIsNoLongerThanACall: the machine is faster than when it was calibrated, and the program makes
// no cheap call. It can't be known how fast the calls are, but not all of them can take no time.
func TestATransitIsNoLongerThanACall(t *testing.T) {
	m := newMachine(10)
	transit := m.calibration()
	m.transitNs *= 0.5
	p := record()
	th := m.thread(1)
	for range 3_000 {
		p.Add(th.call(readNr, 0, 700))
		p.Add(th.call(writeNr, 0, 30_000))
	}
	p.correctBy(transit, nil)
	s := p.after(th.wall())
	about(t, "the slow calls' median", s.Rows[1].OK.Quantile(0.5), 30_000, 0.06, 0)
	for i := range s.Rows {
		sane(t, s.Rows[i].OK)
	}
}

// TestWhatColdCachesAdd is as the calibration's calls say, in proportion between them and up to what was tried
// elsewhere, and grows more slowly from there on.
func TestWhatColdCachesAdd(t *testing.T) {
	transit := newTransit(profile.Calibrated)
	equal(t, "nothing tried", transit.cold(5_000), 0)
	transit.colder = []coldness{{200, 100}, {1_000, 500}, {1_800, 900}}
	for longerNs, wantNs := range map[float64]float64{
		-50: 0, 0: 0, 100: 50, 200: 100, 600: 300, 1_800: 900,
		2_500:  1_250,             // as far as calls were tried
		3_500:  1_250 + 0.2*1_000, // a cache that is full of the tracer's
		50_000: 2_700,             // and no fuller
	} {
		if got := transit.cold(longerNs); math.Abs(got-wantNs) > 1 {
			t.Errorf("of %v ns, %v are due to cold caches, want %v", longerNs, got, wantNs)
		}
	}
	before := 0.0
	for ns := 0.0; ns < 60_000; ns += 7 {
		cold := transit.cold(ns)
		if cold < before || cold > ns {
			t.Fatalf("of %v ns, %v are due to cold caches, and of less %v", ns, cold, before)
		}
		before = cold
	}
}

// TestADisturbedCalibration: other programs had the CPU while it lasted, and may go on having it. That makes the
// range wider, but where the run itself shows that they don't.
func TestADisturbedCalibration(t *testing.T) {
	for _, c := range []struct {
		name      string
		preempted int // calls of the calibration, for 3 ms each
		cheap     int // calls of the run that do nothing
		wide      bool
	}{
		{"quiet", 0, 0, false},
		{"disturbed", 3, 0, true},
		{"disturbed, and a run that is not", 3, 500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(17)
			transit := m.calibration()
			for range c.preempted {
				transit.add(&profile.Call{EntryResumedNs: 1, ExitSeenNs: 3_000_000, GapNs: -1, CPUNs: -1})
			}
			p := record()
			th := m.thread(1)
			for i := range int64(700) {
				p.Add(th.call(openNr, 40_000, 1_000+i%40*100))
			}
			for range c.cheap {
				p.Add(th.call(getppidNr, 0, cheapNs))
			}
			p.correctBy(transit, nil)
			s := p.after(th.wall())
			promised(t, s, th.untracedNs)
			o := s.Overhead
			if wide := o.TotalNs.HighNs > o.TotalNs.Ns*6/5; wide != c.wide {
				t.Errorf("the overhead is %+v", o.TotalNs)
			}
		})
	}
}

package profile

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sysprof/syscalltab"
)

// These tests replay what a tracer would see of a machine that is made up: there, how long each call,
// each transit and each switch takes is known to the nanosecond.

// machine makes streams of stops.
type machine struct {
	rng       *rand.Rand
	transitNs float64 // most transits are within 10 % of it
	switchNs  float64 // both switches of a call
	holdNs    int64   // at each of the two stops
	jitter    float64 // by what share transits and switches differ
	apart     bool    // tracer and tracee are not held on one CPU
}

const (
	getppidNr, readNr, writeNr, openNr = 110, 0, 1, 2

	cheapNs = 90 // what a getppid takes
)

func newMachine(seed uint64) *machine {
	return &machine{rng: rand.New(rand.NewPCG(seed, 1)), transitNs: 3_000, switchNs: 1_500, holdNs: 400, jitter: 0.04}
}

// noisy is a time as machines have it: near ns, now and then much longer.
func (m *machine) noisy(ns float64) int64 {
	const most = 2.5 // standard deviations
	f := 1 + m.jitter*min(max(m.rng.NormFloat64(), -most), most)
	if m.rng.IntN(100) < 3 {
		f += m.rng.Float64()
	}
	return int64(ns * f)
}

// thread makes calls one after the other.
type thread struct {
	m          *machine
	tid        int32
	nowNs      int64 // of the tracer's clock
	untracedNs int64 // what has been done would have taken this long without a tracer
	started    bool
}

func (m *machine) thread(tid int32) *thread { return &thread{m: m, tid: tid, nowNs: 1_000_000} }

// call computes for workNs and then makes a call that takes ns.
func (th *thread) call(nr uint64, workNs, ns int64) *Call {
	c := &Call{PID: 1, TID: th.tid, ABI: syscalltab.AMD64, Nr: nr, CPUNs: -1, GapNs: -1, CrossCPU: th.m.apart}
	gap := workNs + th.m.noisy(th.m.switchNs)
	if th.started {
		c.GapNs = gap
	}
	th.started = true
	c.EntrySeenNs = th.nowNs + gap
	c.EntryResumedNs = c.EntrySeenNs + th.m.holdNs
	c.ExitSeenNs = c.EntryResumedNs + ns + th.m.noisy(th.m.transitNs)
	c.ExitResumedNs = c.ExitSeenNs + th.m.holdNs
	th.nowNs = c.ExitResumedNs
	th.untracedNs += workNs + ns
	return c
}

// wall is how long the thread has been running.
func (th *thread) wall() time.Duration { return time.Duration(th.nowNs - 1_000_000) }

// calibration is what a calibration on a machine shows.
func (m *machine) calibration() *Transit {
	t := NewTransit()
	child := m.thread(99)
	for range 5_000 {
		t.Add(child.call(getppidNr, 0, cheapNs))
	}
	batches := make([]int64, 24)
	for i := range batches {
		batches[i] = 48 * (cheapNs + int64(i%3)) // some are disturbed
	}
	t.Untraced(batches, 48)
	return t
}

// corrected is the only row of a run in which all latencies are what next returns.
func (m *machine) corrected(calls int, next func() int64) *Row {
	p := New()
	th := m.thread(1)
	for range calls {
		p.Add(th.call(readNr, 0, next()))
	}
	p.Correct(m.calibration(), nil)
	return &p.SnapshotAfter(th.wall()).Rows[0]
}

// about demands got to be within ±max(share·want, ns) of want.
func about(t *testing.T, what string, got time.Duration, want, share, ns float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > max(want*share, ns) {
		t.Errorf("%s is %d ns, want about %.0f", what, int64(got), want)
	}
}

func always(ns int64) func() int64 { return func() int64 { return ns } }

func TestTheCalibrationIsUsable(t *testing.T) {
	m := newMachine(1)
	if !m.calibration().Usable() {
		t.Error("5,000 calls are not enough to correct anything")
	}
	if NewTransit().Usable() {
		t.Error("no calls are enough to correct something")
	}
	few := NewTransit()
	th := m.thread(1)
	for range 10 {
		few.Add(th.call(getppidNr, 0, cheapNs))
	}
	few.Untraced(nil, 0)
	if few.Usable() {
		t.Error("10 calls are enough")
	}
	if !ByHandTransit(0).Usable() || !ByHandTransit(time.Second).Usable() {
		t.Error("the user's word does not count")
	}
}

// TestAnUnusableCalibrationLeavesLatenciesRaw: no correction is better than one from nothing.
func TestAnUnusableCalibrationLeavesLatenciesRaw(t *testing.T) {
	p := New()
	for range 100 {
		p.Add(call(readNr, 0, 5_000))
	}
	p.Correct(NewTransit(), nil)
	s := p.SnapshotAfter(time.Second)
	equal(t, "mean", s.Total.Mean(), 5_000)
	equal(t, "source", s.Overhead.Source, Uncorrected)
}

// TestConstantLatencies: all calls take the same time, and only transits differ. The percentiles must not
// show those of the transit.
// TestFewCallsThatDifferLessThanTransitsDid keep their median: a row of few calls does not show how far its
// transits spread, and those of the calibration must not be taken for them.
// TestTheMiddleOfADistributionIsKnownBest: an eighth of the calibration's transits were shorter. The eighth of
// the run's calls that is taken to have met them must not push those next to it upwards.
// TestNoCallTakesNoTime: the transit of a single call may have been shorter than others, but entering and
// leaving the kernel takes what it takes.
// TestWideLatencies: the calls differ so much that what transits do does not matter, but for how long the
// middle one is.
// TestTwoKindsOfCalls: cheap and dear calls in one row (a page cache that hits and misses).
// TestACorrectionKeepsWhatItMust: whatever comes in, counts are exact, nothing is negative, order is kept,
// and nothing becomes longer than it was seen to be.
// failures is the histogram of the only errno of a row.
func failures(r *Row) *Histogram {
	if len(r.Failed) == 0 {
		return new(Histogram)
	}
	return r.Failed[0].Latency
}

// sane demands of a distribution what is true of any.
func sane(t *testing.T, h *Histogram) {
	t.Helper()
	if h.Count() == 0 {
		return
	}
	last := time.Duration(0)
	for _, q := range []float64{0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		at := h.Quantile(q)
		if at < last {
			t.Errorf("the %v-quantile %v is below %v", q, at, last)
		}
		last = at
	}
	if h.Min() < 0 || h.Quantile(0.5) < h.Min() || h.Quantile(0.5) > h.Max() || h.Mean() < h.Min() || h.Mean() > h.Max() {
		t.Errorf("min %v, median %v, mean %v, max %v", h.Min(), h.Quantile(0.5), h.Mean(), h.Max())
	}
}

// TestSlowerCallsStaySlower compares rows: what takes longer without a tracer does so in the profile.
func TestQueuedCallsDoNotMislead(t *testing.T) {
	m := newMachine(7)
	p := New()
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
	raw := p.SnapshotAfter(th.wall())
	if w := raw.Warnings; len(w) != 1 || w[0].Kind != QueuedRaw || math.Round(100*w[0].Share) != 29 {
		t.Errorf("of raw latencies, this is said: %+v", w)
	}
	p.Correct(m.calibration(), nil)
	s := p.SnapshotAfter(th.wall())
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
	if w := kinds(s); !strings.Contains(w, string(QueuedCorrected)) {
		t.Errorf("nothing is said of the 29 %% of calls that were queued: %q", w)
	}
}

// TestOnlyQueuedCalls: there is nothing to tell how long they took.
func TestOnlyQueuedCalls(t *testing.T) {
	m := newMachine(8)
	p := New()
	th := m.thread(1)
	for range 500 {
		c := th.call(readNr, 0, 2_000)
		c.Queued = true
		p.Add(c)
	}
	p.Correct(m.calibration(), nil)
	s := p.SnapshotAfter(th.wall())
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
			p := New()
			th := m.thread(1)
			for i := range 5_000 {
				p.Add(th.call(readNr, 0, 2_000))
				if i < cheap {
					p.Add(th.call(getppidNr, 0, cheapNs))
				}
			}
			p.Correct(transit, nil)
			s := p.SnapshotAfter(th.wall())
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
	p := New()
	th := m.thread(1)
	for range 3_000 {
		p.Add(th.call(readNr, 0, 700))
		p.Add(th.call(writeNr, 0, 30_000))
	}
	p.Correct(transit, nil)
	s := p.SnapshotAfter(th.wall())
	about(t, "the slow calls' median", s.Rows[1].OK.Quantile(0.5), 30_000, 0.06, 0)
	for i := range s.Rows {
		sane(t, s.Rows[i].OK)
	}
}

// TestWhatColdCachesAdd is as the calibration's calls say, in proportion between them and up to what was tried
// elsewhere, and grows more slowly from there on.
func TestWhatColdCachesAdd(t *testing.T) {
	transit := NewTransit()
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

// TestCPUTimeLosesWhatColdCachesAdd, as latencies do: a call that never sleeps has as much of one as of the
// other.
// TestNothingTakenOffByHand is strace's -O 0.
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
				transit.Add(&Call{EntryResumedNs: 1, ExitSeenNs: 3_000_000, GapNs: -1, CPUNs: -1})
			}
			p := New()
			th := m.thread(1)
			for i := range int64(700) {
				p.Add(th.call(openNr, 40_000, 1_000+i%40*100))
			}
			for range c.cheap {
				p.Add(th.call(getppidNr, 0, cheapNs))
			}
			p.Correct(transit, nil)
			s := p.SnapshotAfter(th.wall())
			promised(t, s, th.untracedNs)
			o := s.Overhead
			if wide := o.TotalNs.HighNs > o.TotalNs.Ns*6/5; wide != c.wide {
				t.Errorf("the overhead is %+v", o.TotalNs)
			}
		})
	}
}

// TestCPUTimeLosesWhatStopsAdd: a sleeping call has no CPU time but that of its stops.

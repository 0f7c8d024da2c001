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
	c := &Call{PID: 1, TID: th.tid, ABI: syscalltab.AMD64, Nr: nr, CPUNs: -1, GapNs: -1, Apart: th.m.apart}
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
func TestConstantLatencies(t *testing.T) {
	for _, ns := range []int64{cheapNs, 300, 2_000, 25_000, 1_000_000} {
		t.Run(time.Duration(ns).String(), func(t *testing.T) {
			r := newMachine(2).corrected(10_000, always(ns))
			equal(t, "calls", r.Calls, 10_000)
			about(t, "the mean", r.Mean(), float64(ns), 0.1, 300)
			about(t, "p50", r.OK.Quantile(0.5), float64(ns), 0.05, 200)
			about(t, "p90", r.OK.Quantile(0.9), float64(ns), 0.05, 300)
			about(t, "p99", r.OK.Quantile(0.99), float64(ns), 0.1, 600)
		})
	}
}

// TestFewCallsThatDifferLessThanTransitsDid keep their median: a row of few calls does not show how far its
// transits spread, and those of the calibration must not be taken for them.
func TestFewCallsThatDifferLessThanTransitsDid(t *testing.T) {
	m := newMachine(13)
	m.jitter = 0.2
	transit := m.calibration()
	m.jitter = 0.01
	p := New()
	th := m.thread(1)
	for range 60 {
		p.Add(th.call(readNr, 0, 2_000))
	}
	p.Correct(transit, nil)
	r := &p.SnapshotAfter(th.wall()).Rows[0]
	about(t, "p10", r.OK.Quantile(0.1), 2_000, 0, 100)
	about(t, "p50", r.OK.Quantile(0.5), 2_000, 0, 50)
	about(t, "p90", r.OK.Quantile(0.9), 2_000, 0, 100)
	about(t, "the mean", r.Mean(), 2_000, 0, 150)
}

// TestTheMiddleOfADistributionIsKnownBest: an eighth of the calibration's transits were shorter. The eighth of
// the run's calls that is taken to have met them must not push those next to it upwards.
func TestTheMiddleOfADistributionIsKnownBest(t *testing.T) {
	m := newMachine(15)
	transit := NewTransit()
	child := m.thread(9)
	for i := range 2_000 {
		c := child.call(getppidNr, 0, cheapNs)
		if i%8 == 0 {
			c.ExitSeenNs -= 1_000
		}
		transit.Add(c)
	}
	transit.Untraced([]int64{cheapNs}, 1)
	p := New()
	th := m.thread(1)
	const calls = 5_000
	for i := range int64(calls) {
		p.Add(th.call(readNr, 0, 2_000+2_500*i/calls))
	}
	p.Correct(transit, nil)
	r := &p.SnapshotAfter(th.wall()).Rows[0]
	about(t, "p20", r.OK.Quantile(0.2), 2_500, 0, 120)
	about(t, "p50", r.OK.Quantile(0.5), 3_250, 0, 120)
}

// TestNoCallTakesNoTime: the transit of a single call may have been shorter than others, but entering and
// leaving the kernel takes what it takes.
func TestNoCallTakesNoTime(t *testing.T) {
	m := newMachine(14)
	p := New()
	th := m.thread(1)
	p.Add(call(openNr, 0, 2_500))
	p.Add(call(openNr, 2, 40)) // clocks have stepped
	for range 300 {
		p.Add(th.call(readNr, 0, 1_000))
	}
	p.Correct(m.calibration(), nil)
	s := p.SnapshotAfter(th.wall())
	equal(t, "the shortest call", s.Rows[1].OK.Min(), cheapNs)
	equal(t, "a call that was seen to take less", s.Rows[1].Failed[0].Latency.Max(), 40)
}

// TestWideLatencies: the calls differ so much that what transits do does not matter, but for how long the
// middle one is.
func TestWideLatencies(t *testing.T) {
	m := newMachine(3)
	var all Histogram
	r := m.corrected(20_000, func() int64 {
		ns := int64(1_000 * math.Exp(m.rng.Float64()*math.Log(10_000))) // 1 µs to 10 ms
		all.Record(ns)
		return ns
	})
	for _, q := range []float64{0.5, 0.75, 0.9, 0.99} {
		about(t, "a quantile", r.OK.Quantile(q), float64(all.Quantile(q)), 0.05, 200)
	}
	about(t, "the mean", r.Mean(), float64(all.Mean()), 0.01, 300)
}

// TestTwoKindsOfCalls: cheap and dear calls in one row (a page cache that hits and misses).
func TestTwoKindsOfCalls(t *testing.T) {
	m := newMachine(4)
	r := m.corrected(20_000, func() int64 {
		if m.rng.IntN(10) < 7 {
			return 500
		}
		return 80_000
	})
	about(t, "p50", r.OK.Quantile(0.5), 500, 0, 300)
	about(t, "p90", r.OK.Quantile(0.9), 80_000, 0.05, 0)
	about(t, "the mean", r.Mean(), 0.7*500+0.3*80_000, 0.1, 0)
}

// TestACorrectionKeepsWhatItMust: whatever comes in, counts are exact, nothing is negative, order is kept,
// and nothing becomes longer than it was seen to be.
func TestACorrectionKeepsWhatItMust(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	transit := newMachine(5).calibration()
	for range 60 {
		p := New()
		var raws [2]Histogram
		var calls [2]uint64
		from := math.Exp(rng.Float64() * 20)
		width := math.Exp(rng.Float64() * 12)
		for range 1 + rng.IntN(3_000) {
			for i := range 2 {
				ns := int64(from * (1 + width*rng.Float64()))
				c := call(openNr, 0, ns)
				c.Errno = int32(i) * 2
				p.Add(c)
				raws[i].Record(ns)
				calls[i]++
				if rng.IntN(3) == 0 {
					break
				}
			}
		}
		p.Correct(transit, nil)
		s := p.SnapshotAfter(time.Hour)
		r := &s.Rows[0]
		equal(t, "calls", r.Calls, calls[0]+calls[1])
		equal(t, "errors", r.Errors, calls[1])
		for i, h := range []*Histogram{r.OK, failures(r)} {
			raw := &raws[i]
			equal(t, "calls of an outcome", h.Count(), raw.Count())
			sane(t, h)
			for q := 0.0; q <= 1; q += 0.05 {
				if h.Quantile(q) > raw.Quantile(q)+raw.Quantile(q)/100+1 {
					t.Errorf("the %.2f-quantile was %v, and is %v once corrected", q, raw.Quantile(q), h.Quantile(q))
				}
			}
		}
	}
}

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
func TestSlowerCallsStaySlower(t *testing.T) {
	m := newMachine(6)
	p := New()
	th := m.thread(1)
	const rows, apartNs = 12, 250
	for range 2_000 {
		for nr := range uint64(rows) {
			p.Add(th.call(300+nr, 0, int64(nr)*apartNs))
		}
	}
	p.Correct(m.calibration(), nil)
	s := p.SnapshotAfter(th.wall())
	for i := 1; i < rows; i++ {
		if a, b := s.Rows[i-1].OK.Quantile(0.5), s.Rows[i].OK.Quantile(0.5); a >= b {
			t.Errorf("calls of %d ns have the median %v, those of %d ns %v", (i-1)*apartNs, a, i*apartNs, b)
		}
	}
}

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
	if w := strings.Join(raw.Warnings, "\n"); !strings.Contains(w, "29 % of the calls ended while the tracer was busy with another thread; the time that they stood in line is part of their latency") {
		t.Errorf("of raw latencies, this is said: %q", w)
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
	if w := strings.Join(s.Warnings, "\n"); !strings.Contains(w, "busy with another thread") {
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
func TestCPUTimeLosesWhatColdCachesAdd(t *testing.T) {
	m := newMachine(16)
	transit := m.calibration()
	transit.cpu.RecordN(cheapNs+1_700, 2_000)
	transit.colder = []coldness{{10_000, 4_000}}
	p := New()
	th := m.thread(1)
	for range 500 {
		c := th.call(readNr, 0, 10_000+cheapNs)
		c.CPUNs = 10_000 + cheapNs + 1_700
		p.Add(c)
	}
	p.Correct(transit, nil)
	r := &p.SnapshotAfter(th.wall()).Rows[0]
	about(t, "latency", r.OK.Quantile(0.5), 6_000+cheapNs, 0, 200)
	about(t, "CPU time", r.CPU.Quantile(0.5), 6_000+cheapNs, 0, 50)
}

func TestByHand(t *testing.T) {
	p := New()
	for i := range int64(1_000) {
		p.Add(call(readNr, 0, 10_000+i))
		p.Add(call(writeNr, 11, 400)) // shorter than what is taken off
	}
	p.Correct(ByHandTransit(3*time.Microsecond), nil)
	s := p.SnapshotAfter(20 * time.Millisecond)
	r, w := &s.Rows[0], &s.Rows[1]
	about(t, "the median", r.OK.Quantile(0.5), 7_500, 0.01, 0)
	about(t, "the mean", r.Mean(), 7_499.5, 0.01, 0)
	about(t, "the minimum", time.Duration(r.MinNs), 7_000, 0.01, 0)
	equal(t, "the raw sum", r.RawNs, 1_000*10_000+999*1_000/2)
	equal(t, "calls shorter than that", w.Totals, Totals{Calls: 1_000, Errors: 1_000, HoldNs: 30_000})
	o := s.Overhead
	equal(t, "source", o.Source, ByHand)
	equal(t, "transit", o.TransitNs.Ns, (3_000+400)/2) // no call has lost more than it took
	equal(t, "hold", o.HoldNs, 60_000)
	const lost = 1_000*(3_000+400) + 60_000
	if want := int64(lost); o.TotalNs.Ns != want {
		t.Errorf("in all %d, want %d", o.TotalNs.Ns, want)
	}
	about(t, "the untraced run", time.Duration(o.UntracedNs.Ns), 20e6-lost, 0.001, 0)
	equal(t, "warnings", s.Warnings, []string{"50 % of the calls took less than the transit given by hand, so that nothing is left of them"})
}

// TestNothingTakenOffByHand is strace's -O 0.
func TestNothingTakenOffByHand(t *testing.T) {
	p := New()
	for i := range int64(500) {
		p.Add(call(readNr, 0, 10_000+i))
	}
	p.Correct(ByHandTransit(0), nil)
	s := p.SnapshotAfter(10 * time.Millisecond)
	about(t, "the mean", s.Total.Mean(), 10_249.5, 0.005, 0)
	equal(t, "calls", s.Total.Calls, 500)
	if o := s.Overhead; o.TransitNs.Ns < 0 || o.TransitNs.Ns > 50 {
		t.Errorf("the transit is %d ns; the user said 0", o.TransitNs.Ns)
	}
}

func TestRaw(t *testing.T) {
	m := newMachine(11)
	p := New()
	th := m.thread(1)
	var raw Histogram
	for range 300 {
		c := th.call(readNr, 100, 2_000)
		p.Add(c)
		raw.Record(int64(c.RawLatency()))
	}
	s := p.SnapshotAfter(th.wall())
	same(t, s.Rows[0].OK, &raw)
	equal(t, "raw sum", s.Rows[0].RawNs, int64(raw.Sum()))
	o := s.Overhead
	equal(t, "source", o.Source, Uncorrected)
	equal(t, "calls", o.Calls, 300)
	equal(t, "hold", o.HoldNs, 300*2*m.holdNs)
	equal(t, "untraced", o.UntracedNs, Estimate{})
	if slowdown, _, _ := o.Slowdown(); slowdown != 0 {
		t.Errorf("a slowdown of %v, and nothing was calibrated", slowdown)
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
func TestCPUTimeLosesWhatStopsAdd(t *testing.T) {
	m := newMachine(12)
	transit := NewTransit()
	child := m.thread(9)
	const stopsNs = 1_700
	for range 2_000 {
		c := child.call(getppidNr, 0, cheapNs)
		c.CPUNs = cheapNs + m.noisy(stopsNs)
		transit.Add(c)
	}
	transit.Untraced([]int64{cheapNs * 10}, 10)
	p := New()
	th := m.thread(1)
	for range 1_000 {
		asleep, busy := th.call(readNr, 0, 500_000), th.call(writeNr, 0, 40_000)
		asleep.CPUNs = m.noisy(stopsNs)
		busy.CPUNs = 40_000 + m.noisy(stopsNs)
		p.Add(asleep)
		p.Add(busy)
	}
	p.Correct(transit, nil)
	s := p.SnapshotAfter(th.wall())
	about(t, "CPU time of a sleeping call", s.Rows[0].CPU.Mean(), 0, 0, 200)
	about(t, "CPU time of a busy call", s.Rows[1].CPU.Mean(), 40_000, 0.05, 0)
	if off, known := s.Rows[0].OffCPU(); !known || off < 450*time.Millisecond {
		t.Errorf("the sleeping calls were off CPU for %v (%v), want about 500 ms", off, known)
	}
	if off, _ := s.Rows[1].OffCPU(); off > 4*time.Millisecond {
		t.Errorf("the busy calls were off CPU for %v", off)
	}
}

package cost

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sysprof/profile"
)

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
	p := record()
	th := m.thread(1)
	for range 60 {
		p.Add(th.call(readNr, 0, 2_000))
	}
	p.correctBy(transit, nil)
	r := &p.after(th.wall()).Rows[0]
	about(t, "p10", r.OK.Quantile(0.1), 2_000, 0, 100)
	about(t, "p50", r.OK.Quantile(0.5), 2_000, 0, 50)
	about(t, "p90", r.OK.Quantile(0.9), 2_000, 0, 100)
	about(t, "the mean", r.Mean(), 2_000, 0, 150)
}

// TestTheMiddleOfADistributionIsKnownBest: an eighth of the calibration's transits were shorter. The eighth of
// the run's calls that is taken to have met them must not push those next to it upwards.
func TestTheMiddleOfADistributionIsKnownBest(t *testing.T) {
	m := newMachine(15)
	transit := newTransit(profile.Calibrated)
	child := m.thread(9)
	for i := range 2_000 {
		c := child.call(getppidNr, 0, cheapNs)
		if i%8 == 0 {
			c.ExitSeenNs -= 1_000
		}
		transit.add(c)
	}
	transit.measuredUntraced([]int64{cheapNs}, 1)
	p := record()
	th := m.thread(1)
	const calls = 5_000
	for i := range int64(calls) {
		p.Add(th.call(readNr, 0, 2_000+2_500*i/calls))
	}
	p.correctBy(transit, nil)
	r := &p.after(th.wall()).Rows[0]
	about(t, "p20", r.OK.Quantile(0.2), 2_500, 0, 120)
	about(t, "p50", r.OK.Quantile(0.5), 3_250, 0, 120)
}

// TestNoCallTakesNoTime: the transit of a single call may have been shorter than others, but entering and
// leaving the kernel takes what it takes.
func TestNoCallTakesNoTime(t *testing.T) {
	m := newMachine(14)
	p := record()
	th := m.thread(1)
	p.Add(call(openNr, 0, 2_500))
	p.Add(call(openNr, 2, 40)) // clocks have stepped
	for range 300 {
		p.Add(th.call(readNr, 0, 1_000))
	}
	p.correctBy(m.calibration(), nil)
	s := p.after(th.wall())
	equal(t, "the shortest call", s.Rows[1].OK.Min(), cheapNs)
	equal(t, "a call that was seen to take less", s.Rows[1].Failed[0].Latency.Max(), 40)
}

// TestWideLatencies: the calls differ so much that what transits do does not matter, but for how long the
// middle one is.
func TestWideLatencies(t *testing.T) {
	m := newMachine(3)
	var all profile.Histogram
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
		p := record()
		var raws [2]profile.Histogram
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
		p.correctBy(transit, nil)
		s := p.after(time.Hour)
		r := &s.Rows[0]
		equal(t, "calls", r.Calls, calls[0]+calls[1])
		equal(t, "errors", r.Errors, calls[1])
		for i, h := range []*profile.Histogram{r.OK, failures(r)} {
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

// TestSlowerCallsStaySlower compares rows: what takes longer without a tracer does so in the profile.
func TestSlowerCallsStaySlower(t *testing.T) {
	m := newMachine(6)
	p := record()
	th := m.thread(1)
	const rows, stepNs = 12, 250
	for range 2_000 {
		for nr := range uint64(rows) {
			p.Add(th.call(300+nr, 0, int64(nr)*stepNs))
		}
	}
	p.correctBy(m.calibration(), nil)
	s := p.after(th.wall())
	for i := 1; i < rows; i++ {
		if a, b := s.Rows[i-1].OK.Quantile(0.5), s.Rows[i].OK.Quantile(0.5); a >= b {
			t.Errorf("calls of %d ns have the median %v, those of %d ns %v", (i-1)*stepNs, a, i*stepNs, b)
		}
	}
}

// TestCPUTimeLosesWhatColdCachesAdd, as latencies do: a call that never sleeps has as much of one as of the
// other.
func TestCPUTimeLosesWhatColdCachesAdd(t *testing.T) {
	m := newMachine(16)
	transit := m.calibration()
	transit.cpu.RecordN(cheapNs+1_700, 2_000)
	transit.colder = []coldness{{10_000, 4_000}}
	p := record()
	th := m.thread(1)
	for range 500 {
		c := th.call(readNr, 0, 10_000+cheapNs)
		c.CPUNs = 10_000 + cheapNs + 1_700
		p.Add(c)
	}
	p.correctBy(transit, nil)
	r := &p.after(th.wall()).Rows[0]
	about(t, "latency", r.OK.Quantile(0.5), 6_000+cheapNs, 0, 200)
	about(t, "CPU time", r.CPU.Quantile(0.5), 6_000+cheapNs, 0, 50)
}

func TestByHand(t *testing.T) {
	p := record()
	for i := range int64(1_000) {
		p.Add(call(readNr, 0, 10_000+i))
		p.Add(call(writeNr, 11, 400)) // shorter than what is taken off
	}
	p.correctBy(ByHand(3*time.Microsecond), nil)
	s := p.after(20 * time.Millisecond)
	r, w := &s.Rows[0], &s.Rows[1]
	about(t, "the median", r.OK.Quantile(0.5), 7_500, 0.01, 0)
	about(t, "the mean", r.Mean(), 7_499.5, 0.01, 0)
	about(t, "the minimum", time.Duration(r.MinNs), 7_000, 0.01, 0)
	equal(t, "the raw sum", r.RawNs, 1_000*10_000+999*1_000/2)
	equal(t, "calls shorter than that", w.Totals, profile.Totals{Calls: 1_000, Errors: 1_000, HoldNs: 30_000})
	o := s.Overhead
	equal(t, "source", o.Source, profile.ByHand)
	equal(t, "transit", o.TransitNs.Ns, (3_000+400)/2) // no call has lost more than it took
	equal(t, "hold", o.HoldNs, 60_000)
	const lost = 1_000*(3_000+400) + 60_000
	if want := int64(lost); o.TotalNs.Ns != want {
		t.Errorf("in all %d, want %d", o.TotalNs.Ns, want)
	}
	about(t, "the untraced run", time.Duration(o.UntracedNs.Ns), 20e6-lost, 0.001, 0)
	equal(t, "warnings", s.Warnings, []profile.Warning{{Kind: profile.ShorterThanByHand, Share: 0.5}})
}

// TestNothingTakenOffByHand is strace's -O 0.
func TestNothingTakenOffByHand(t *testing.T) {
	p := record()
	for i := range int64(500) {
		p.Add(call(readNr, 0, 10_000+i))
	}
	p.correctBy(ByHand(0), nil)
	s := p.after(10 * time.Millisecond)
	about(t, "the mean", s.Total.Mean(), 10_249.5, 0.005, 0)
	equal(t, "calls", s.Total.Calls, 500)
	if o := s.Overhead; o.TransitNs.Ns < 0 || o.TransitNs.Ns > 50 {
		t.Errorf("the transit is %d ns; the user said 0", o.TransitNs.Ns)
	}
}

func TestRaw(t *testing.T) {
	m := newMachine(11)
	p := record()
	th := m.thread(1)
	var raw profile.Histogram
	for range 300 {
		c := th.call(readNr, 100, 2_000)
		p.Add(c)
		raw.Record(int64(c.RawLatency()))
	}
	s := p.after(th.wall())
	same(t, "latencies", s.Rows[0].OK, &raw)
	equal(t, "raw sum", s.Rows[0].RawNs, int64(raw.Sum()))
	o := s.Overhead
	equal(t, "source", o.Source, profile.Uncorrected)
	equal(t, "calls", o.Calls, 300)
	equal(t, "hold", o.HoldNs, 300*2*m.holdNs)
	equal(t, "untraced", o.UntracedNs, profile.Estimate{})
	if slowdown, _, _ := o.Slowdown(); slowdown != 0 {
		t.Errorf("a slowdown of %v, and nothing was calibrated", slowdown)
	}
}

// TestCPUTimeLosesWhatStopsAdd: a sleeping call has no CPU time but that of its stops.
func TestCPUTimeLosesWhatStopsAdd(t *testing.T) {
	m := newMachine(12)
	transit := newTransit(profile.Calibrated)
	child := m.thread(9)
	const stopsNs = 1_700
	for range 2_000 {
		c := child.call(getppidNr, 0, cheapNs)
		c.CPUNs = cheapNs + m.noisy(stopsNs)
		transit.add(c)
	}
	transit.measuredUntraced([]int64{cheapNs * 10}, 10)
	p := record()
	th := m.thread(1)
	for range 1_000 {
		asleep, busy := th.call(readNr, 0, 500_000), th.call(writeNr, 0, 40_000)
		asleep.CPUNs = m.noisy(stopsNs)
		busy.CPUNs = 40_000 + m.noisy(stopsNs)
		p.Add(asleep)
		p.Add(busy)
	}
	p.correctBy(transit, nil)
	s := p.after(th.wall())
	about(t, "CPU time of a sleeping call", s.Rows[0].CPU.Mean(), 0, 0, 200)
	about(t, "CPU time of a busy call", s.Rows[1].CPU.Mean(), 40_000, 0.05, 0)
	if off, known := s.Rows[0].OffCPU(); !known || off < 450*time.Millisecond {
		t.Errorf("the sleeping calls were off CPU for %v (%v), want about 500 ms", off, known)
	}
	if off, _ := s.Rows[1].OffCPU(); off > 4*time.Millisecond {
		t.Errorf("the busy calls were off CPU for %v", off)
	}
}

package cost

import (
	"math"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// workload is a program whose time without a tracer is known.
type workload struct {
	name   string
	calls  int
	nr     uint64
	workNs int64 // between its calls, on average: a third of them has none
	ns     int64 // a call
}

var workloads = []workload{
	{"getppid loop", 20_000, getppidNr, 20, cheapNs},
	{"dd bs=1", 20_000, readNr, 150, 250},
	{"find", 5_000, openNr, 3_000, 900},
	{"tar", 5_000, writeNr, 2_000, 8_000},
	{"computes", 500, readNr, 400_000, 2_000},
	{"sleeps", 300, readNr, 1_000, 2_000_000},
}

// runs hands the calls of a workload on a thread to add.
func (w workload) run(th *thread, add func(*profile.Call)) {
	for i := range w.calls {
		work := int64(0)
		if i%3 > 0 {
			work = w.workNs * 3 / 2
		}
		add(th.call(w.nr, work, w.ns))
	}
}

const isUncertain = "untraced-uncertain"

// kinds lists the kinds of a snapshot's warnings.
func kinds(s *profile.Snapshot) string {
	var all []string
	for _, w := range s.Warnings {
		all = append(all, string(w.Kind))
	}
	return strings.Join(all, " ")
}

// promised demands that the truth lies in the range of the estimate, and that an estimate that is more
// than 10 % wrong comes with a warning.
func promised(t *testing.T, s *profile.Snapshot, untracedNs int64) {
	t.Helper()
	u := s.Overhead.UntracedNs
	if u.LowNs > u.Ns || u.Ns > u.HighNs {
		t.Errorf("the estimate %d is not in its range %d to %d", u.Ns, u.LowNs, u.HighNs)
	}
	const rounding = 0.005
	if float64(untracedNs) < float64(u.LowNs)*(1-rounding) || float64(untracedNs) > float64(u.HighNs)*(1+rounding) {
		t.Errorf("untraced the run takes %d ns; the range is %d to %d", untracedNs, u.LowNs, u.HighNs)
	}
	wrong := math.Abs(float64(u.Ns)-float64(untracedNs)) / float64(untracedNs)
	if wrong > 0.1 && !strings.Contains(kinds(s), isUncertain) {
		t.Errorf("the untraced run is estimated at %d ns and takes %d, and there is no warning: %+v", u.Ns, untracedNs, s.Warnings)
	}
}

func TestUntracedTimeOfASequentialRun(t *testing.T) {
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			m := newMachine(20)
			p := record()
			th := m.thread(1)
			w.run(th, p.Add)
			p.correctBy(m.calibration(), nil)
			s := p.after(th.wall())
			promised(t, s, th.untracedNs)
			o := s.Overhead
			equal(t, "wall time", o.WallNs, int64(th.wall()))
			equal(t, "hold", o.HoldNs, int64(w.calls)*2*m.holdNs)
			perCall := (th.wall().Nanoseconds() - th.untracedNs) / int64(w.calls)
			about(t, "the overhead of a call", o.PerCall(), float64(perCall), 0.1, 0)
			about(t, "the transit", time.Duration(o.TransitNs.Ns), m.transitNs, 0.1, 0)
			about(t, "the switches", time.Duration(o.SwitchesNs.Ns), m.switchNs, 0.2, 0)
			slowdown, low, high := o.Slowdown()
			if !(low <= slowdown && slowdown <= high) || low < 1 {
				t.Errorf("a slowdown of %v (%v to %v)", slowdown, low, high)
			}
		})
	}
}

// TestUntracedTimeAfterDrift: the machine is a bit slower than when it was calibrated.
func TestUntracedTimeAfterDrift(t *testing.T) {
	for _, drift := range []float64{0.93, 1.07} {
		for _, w := range workloads[2:] {
			m := newMachine(21)
			transit := m.calibration()
			m.transitNs *= drift
			m.switchNs *= drift
			p := record()
			th := m.thread(1)
			w.run(th, p.Add)
			for range 500 {
				p.Add(th.call(getppidNr, 0, cheapNs))
			}
			p.correctBy(transit, nil)
			t.Run(w.name, func(t *testing.T) { promised(t, p.after(th.wall()), th.untracedNs) })
		}
	}
}

// TestThreadsThatRunAtOnce lose the time of tracing at once, too.
func TestThreadsThatRunAtOnce(t *testing.T) {
	w := workload{"", 4_000, writeNr, 3_000, 6_000}
	m := newMachine(22)
	p := record()
	a, b := m.thread(1), m.thread(2)
	w.run(a, p.Add)
	w.run(b, p.Add)
	p.correctBy(m.calibration(), nil)
	wall := max(a.wall(), b.wall())
	for cpus, want := range map[int]func(o *profile.Overhead) float64{
		// There they can't have run at once, so what both lost is lost from the wall time; but not what the
		// calls take at least.
		1: func(o *profile.Overhead) float64 { return max(float64(wall)-float64(o.TotalNs.Ns), 0.75*8_000*6_000) },
		2: func(*profile.Overhead) float64 { return float64(max(a.untracedNs, b.untracedNs)) },
		8: func(*profile.Overhead) float64 { return float64(max(a.untracedNs, b.untracedNs)) },
	} {
		p.run.CPUs = cpus
		o := p.after(wall).Overhead
		equal(t, "calls", o.Calls, 8_000)
		about(t, "in all", time.Duration(o.TotalNs.Ns), float64(a.wall()+b.wall())-float64(a.untracedNs+b.untracedNs), 0.1, 0)
		about(t, "the untraced run", time.Duration(o.UntracedNs.Ns), want(o), 0.15, 1e6)
	}
}

// TestAFilterDoesNotChangeTheCost: what is not counted is traced all the same.
func TestAFilterDoesNotChangeTheCost(t *testing.T) {
	account := func(counted func(i int) bool) (*profile.Overhead, *thread) {
		m := newMachine(23)
		p := record()
		th := m.thread(1)
		shard := p.Shard()
		for i := range 9_000 {
			nr := []uint64{readNr, writeNr, openNr}[i%3]
			if c := th.call(nr, 1_000, 2_000); counted(i) {
				shard.Add(c)
			} else {
				shard.Skip(c)
			}
		}
		p.correctBy(m.calibration(), nil)
		return p.after(th.wall()).Overhead, th
	}
	whole, th := account(func(int) bool { return true })
	for name, counted := range map[string]func(int) bool{
		"one call of three": func(i int) bool { return i%3 == 0 },
		"a tenth of all":    func(i int) bool { return i%10 == 0 },
		"none":              func(int) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := account(counted)
			equal(t, "calls", o.Calls, whole.Calls)
			equal(t, "hold", o.HoldNs, whole.HoldNs)
			about(t, "the transit", time.Duration(o.TransitNs.Ns), float64(whole.TransitNs.Ns), 0.05, 0)
			about(t, "the switches", time.Duration(o.SwitchesNs.Ns), float64(whole.SwitchesNs.Ns), 0.1, 0)
			about(t, "in all", time.Duration(o.TotalNs.Ns), float64(whole.TotalNs.Ns), 0.05, 0)
			about(t, "the untraced run", time.Duration(o.UntracedNs.Ns), float64(th.untracedNs), 0.15, 0)
		})
	}
}

func TestNoCallsAtAll(t *testing.T) {
	for name, transit := range map[string]*Transit{
		"raw": nil, "by hand": ByHand(time.Second), "calibrated": newMachine(24).calibration(),
	} {
		t.Run(name, func(t *testing.T) {
			p := record()
			p.correctBy(transit, nil)
			s := p.after(time.Second)
			equal(t, "total", s.Total, profile.Totals{})
			equal(t, "rows", len(s.Rows), 0)
			o := s.Overhead
			equal(t, "a call", o.PerCall(), 0)
			equal(t, "wall time", o.WallNs, int64(time.Second))
			equal(t, "calls", o.Calls, 0)
			if slowdown, low, high := o.Slowdown(); math.IsNaN(slowdown) || slowdown > 1 || low > 1 || high > 1 {
				t.Errorf("a slowdown of %v (%v to %v) by nothing", slowdown, low, high)
			}
			equal(t, "warnings", len(s.Warnings), 0)
		})
	}
}

// TestASnapshotWithoutAWallTime corrects as one with it does, but has no account.
func TestASnapshotWithoutAWallTime(t *testing.T) {
	m := newMachine(25)
	p := record()
	th := m.thread(1)
	workload{"", 2_000, readNr, 500, 2_000}.run(th, p.Add)
	p.correctBy(m.calibration(), nil)
	with, without := p.after(th.wall()), p.after(0)
	if without.Overhead != nil {
		t.Error("an account of a run of unknown length")
	}
	if with.Overhead == nil {
		t.Fatal("no account")
	}
	equal(t, "totals", without.Total, with.Total)
	same(t, "latencies", without.Rows[0].OK, with.Rows[0].OK)

	// Neither changes what has been counted.
	again := p.after(th.wall())
	equal(t, "the totals of a second snapshot", again.Total, with.Total)
	equal(t, "the account of a second snapshot", *again.Overhead, *with.Overhead)
}

// TestOddTimes: clocks step, and what comes in may be nonsense. What goes out is not.
func TestOddTimes(t *testing.T) {
	const end = math.MaxInt64
	times := [][4]int64{
		{100, 110, 50, 60}, {100, 10, 50, 60}, {100, 110, 150, 60}, {4, 3, 2, 1}, {-40, -30, -20, -10},
		{0, 0, 0, 0}, {0, 0, end, end}, {-end, 0, 1, end}, {-end, -end, end, end}, {end, end, -end, -end},
	}
	for name, transit := range map[string]*Transit{
		"raw": nil, "by hand": ByHand(end), "calibrated": newMachine(26).calibration(),
	} {
		for _, wall := range []time.Duration{-5, 0, 1, time.Second, end} {
			t.Run(name, func(t *testing.T) {
				p := record()
				shard := p.Shard()
				for i := range 400 {
					at := times[i%len(times)]
					c := &profile.Call{ABI: syscalltab.AMD64, Nr: uint64(i % 3), Errno: int32(i % 2), Queued: i%5 == 0, CrossCPU: i%7 > 3,
						EntrySeenNs: at[0], EntryResumedNs: at[1], ExitSeenNs: at[2], ExitResumedNs: at[3],
						CPUNs: []int64{-1, 0, end}[i%3], GapNs: []int64{-1, 0, end, 7}[i%4]}
					if i%4 == 0 {
						shard.Skip(c)
					} else {
						shard.Add(c)
					}
				}
				p.correctBy(transit, nil)
				s := p.after(wall)
				equal(t, "calls", s.Total.Calls, 300)
				for i := range s.Rows {
					r := &s.Rows[i]
					sane(t, r.Latency())
					if r.SumNs < 0 || r.RawNs < 0 || r.HoldNs < 0 || r.CPUNs < 0 {
						t.Errorf("a sum is negative: %+v", r.Totals)
					}
					if off, known := r.OffCPU(); known && off < 0 {
						t.Errorf("off CPU for %v", off)
					}
				}
				o := s.Overhead
				if o == nil {
					if wall > 0 {
						t.Error("no account")
					}
					return
				}
				equal(t, "traced calls", o.Calls, 400)
				if o.HoldNs < 0 || o.UntracedNs.Ns < 0 || o.UntracedNs.LowNs < 0 || o.UntracedNs.Ns > int64(wall) {
					t.Errorf("of a run of %d ns: %+v", wall, o)
				}
				for what, e := range map[string]profile.Estimate{"transit": o.TransitNs, "switches": o.SwitchesNs, "total": o.TotalNs, "untraced": o.UntracedNs} {
					if e.LowNs > e.Ns || e.Ns > e.HighNs || e.Ns < 0 || e.LowNs < 0 {
						t.Errorf("%s: %+v", what, e)
					}
				}
				if slowdown, low, high := o.Slowdown(); !(slowdown >= 0 && low <= slowdown && slowdown <= high) {
					t.Errorf("a slowdown of %v (%v to %v)", slowdown, low, high)
				}
			})
		}
	}
}

// TestAClockStepInAGoodRun does not spoil the rest.
func TestAClockStepInAGoodRun(t *testing.T) {
	m := newMachine(27)
	p := record()
	th := m.thread(1)
	for i := range 5_000 {
		c := th.call(readNr, 500, 2_000)
		switch i {
		case 1_000: // back
			c.ExitSeenNs -= 1e9
			c.ExitResumedNs -= 1e9
		case 2_000: // forward
			c.ExitSeenNs += 1e9
			c.ExitResumedNs += 1e9
		}
		p.Add(c)
	}
	p.correctBy(m.calibration(), nil)
	s := p.after(th.wall())
	r := &s.Rows[0]
	equal(t, "calls", r.Calls, 5_000)
	about(t, "p50", r.OK.Quantile(0.5), 2_000, 0, 300)
	about(t, "p99", r.OK.Quantile(0.99), 2_000, 0, 900)
	equal(t, "the longest", time.Duration(r.MaxNs).Round(10*time.Millisecond), time.Second)
}

// TestFailedCallsAreCorrectedAlike: a row of which every call failed.
func TestFailedCallsAreCorrectedAlike(t *testing.T) {
	const eagain, enoent = 11, 2
	m := newMachine(28)
	p := record()
	th := m.thread(1)
	for range 3_000 {
		c := th.call(readNr, 0, 600)
		c.Errno = eagain
		p.Add(c)
		c = th.call(readNr, 0, 9_000)
		c.Errno = enoent
		p.Add(c)
	}
	p.correctBy(m.calibration(), nil)
	r := &p.after(th.wall()).Rows[0]
	equal(t, "errnos", []int32{r.Failed[0].Errno, r.Failed[1].Errno}, []int32{enoent, eagain})
	about(t, "the median of ENOENT", r.Failed[0].Latency.Quantile(0.5), 9_000, 0.05, 0)
	about(t, "the median of EAGAIN", r.Failed[1].Latency.Quantile(0.5), 600, 0, 200)
	equal(t, "successes", r.OK.Count(), 0)
}

// TestGapsThatHaveCalls: where only some calls are traced, a thread that sleeps in the others is not taken for
// one that certainly runs at the same time.
func TestGapsThatHaveCalls(t *testing.T) {
	account := func(tell func(*recording)) (u profile.Estimate, untracedNs int64) {
		m := newMachine(25)
		p := record()
		busy, sleeper := m.thread(1), m.thread(2)
		workload{"", 20_000, writeNr, 3_000, 3_000}.run(busy, p.Add)
		const sleeps = 40
		for range sleeps {
			p.Add(sleeper.call(readNr, int64(busy.wall())/sleeps, 500))
		}
		p.correctBy(m.calibration(), nil)
		tell(p)
		return p.after(busy.wall()).Overhead.UntracedNs, busy.untracedNs
	}
	u, untracedNs := account(func(r *recording) { r.run.GapsHaveCalls = true })
	if untracedNs < u.LowNs || untracedNs > u.HighNs || u.Ns < u.LowNs || u.Ns > u.HighNs {
		t.Errorf("untraced the run takes %d ns; the estimate is %+v", untracedNs, u)
	}
	if u, _ := account(func(*recording) {}); untracedNs >= u.LowNs {
		t.Errorf("without being told: untraced the run takes %d ns; the estimate is %+v", untracedNs, u)
	}
}

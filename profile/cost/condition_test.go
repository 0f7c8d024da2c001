package cost

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
)

// far is a machine on which tracer and tracee are not pinned to one CPU.
func far(seed uint64, jitter float64) *machine {
	m := newMachine(seed)
	m.crossCPU, m.transitNs, m.switchNs, m.jitter = true, 14_000, 8_000, jitter
	return m
}

// shortCalibration is what the second calibration shows: some 140 calls after those for warming up, and no word
// on how long they take untraced.
func (m *machine) shortCalibration() *Transit {
	t := newTransit(profile.Calibrated)
	child := m.thread(98)
	for range 140 {
		t.add(child.call(getppidNr, 0, cheapNs))
	}
	return t
}

// moving is a run that changes between two machines: the first calls of every hundred are made across CPUs.
type moving struct {
	near, far *machine
	crossCPU  int // of a hundred calls
	truth     map[uint64]*profile.Histogram
	p         *recording
	th        *thread
}

func newMoving(seed uint64, crossCPU int, jitter float64) *moving {
	near := newMachine(seed)
	return &moving{near: near, far: far(seed, jitter), crossCPU: crossCPU, truth: make(map[uint64]*profile.Histogram), p: record(), th: near.thread(1)}
}

// run makes calls of three kinds, or of other numbers where they are made across CPUs.
func (r *moving) run(calls int, otherNrs uint64) {
	for i := range calls {
		nr := []uint64{readNr, writeNr, openNr}[i%3]
		ns := map[uint64]int64{readNr: 700, writeNr: 6_000, openNr: 30_000 + int64(i%50)*100}[nr]
		if r.th.m = r.near; i%100 < r.crossCPU {
			r.th.m = r.far
			nr += otherNrs
		}
		if r.truth[nr] == nil {
			r.truth[nr] = new(profile.Histogram)
		}
		r.truth[nr].Record(ns)
		r.p.Add(r.th.call(nr, int64(i%7)*300, ns))
	}
}

// TestEachConditionHasItsOwnTransit: whatever share of the calls was made across CPUs, rows show what calls take.
func TestEachConditionHasItsOwnTransit(t *testing.T) {
	for _, share := range []int{0, 3, 30, 70, 100} {
		r := newMoving(31, share, 0.04)
		r.run(9_000, 0)
		r.p.correctBy(r.near.calibration(), r.far.shortCalibration())
		s := r.p.after(r.th.wall())
		equal(t, "calls", s.Total.Calls, 9_000)
		equal(t, "calls across CPUs", s.Overhead.CrossCPU, uint64(90*share))
		for i := range s.Rows {
			row, want := &s.Rows[i], r.truth[s.Rows[i].Nr]
			equal(t, "calls of a row", row.Calls, want.Count())
			about(t, "the mean", row.Mean(), float64(want.Mean()), 0.05, 600)
			about(t, "p10", row.OK.Quantile(0.1), float64(want.Quantile(0.1)), 0.05, 900)
			about(t, "p50", row.OK.Quantile(0.5), float64(want.Quantile(0.5)), 0.05, 600)
			about(t, "p90", row.OK.Quantile(0.9), float64(want.Quantile(0.9)), 0.05, 1_500)
		}
		promised(t, s, r.th.untracedNs)
		o := s.Overhead
		about(t, "the overhead in all", time.Duration(o.TotalNs.Ns), float64(r.th.wall().Nanoseconds()-r.th.untracedNs), 0.1, 0)
		// A hundredth of the transits is more than twice as long.
		perCall := (float64(share)*14_000 + float64(100-share)*3_000) / 100
		about(t, "the transit", time.Duration(o.TransitNs.Ns), perCall, 0.1, 0)
		if w := kinds(s); strings.Contains(w, "cpu") {
			t.Errorf("%d %% across CPUs, and nothing is amiss: %q", share, w)
		}
	}
}

// TestAConditionThatWasNotCalibrated gets its transit from calls that were made in both, or that take a time
// which is known. Both ways: also if it is the calibration with both on one CPU that failed.
func TestAConditionThatWasNotCalibrated(t *testing.T) {
	for _, c := range []struct {
		name                string
		warning             profile.WarningKind
		affects             float64 // % of the calls; 0: any
		sameCPU, crossCPU   func(r *moving) *Transit
		share, cheap, other int
	}{
		{"calls made in both", profile.CrossCPUInferred, 30,
			func(r *moving) *Transit { return r.near.calibration() }, func(*moving) *Transit { return nil }, 30, 0, 0},
		{"too few calls in the calibration", profile.CrossCPUInferred, 0,
			func(r *moving) *Transit { return r.near.calibration() }, func(*moving) *Transit { return newTransit(profile.Calibrated) }, 30, 0, 0},
		{"calls that do nothing", profile.CrossCPUInferred, 0,
			func(r *moving) *Transit { return r.near.calibration() }, func(*moving) *Transit { return nil }, 30, 25, 300},
		{"the other one", profile.SameCPUInferred, 70,
			func(*moving) *Transit { return nil },
			func(r *moving) *Transit {
				t := r.far.shortCalibration()
				t.measuredUntraced([]int64{cheapNs}, 1)
				return t
			}, 30, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newMoving(32, c.share, 0.04)
			r.run(9_000, uint64(c.other))
			r.th.m = r.far
			for range c.cheap {
				r.p.Add(r.th.call(getppidNr, 0, cheapNs))
			}
			r.p.correctBy(c.sameCPU(r), c.crossCPU(r))
			s := r.p.after(r.th.wall())
			for i := range s.Rows {
				if row, want := &s.Rows[i], r.truth[s.Rows[i].Nr]; want != nil {
					about(t, "the mean", row.Mean(), float64(want.Mean()), 0.1, 1_500)
					about(t, "p50", row.OK.Quantile(0.5), float64(want.Quantile(0.5)), 0.1, 1_500)
				}
			}
			promised(t, s, r.th.untracedNs)
			if w := s.Warnings; !slices.ContainsFunc(w, func(w profile.Warning) bool {
				return w.Kind == c.warning && (c.affects == 0 || math.Round(100*w.Share) == c.affects)
			}) {
				t.Errorf("the warning %v of %v %% is not there: %+v", c.warning, c.affects, w)
			}
			switches := s.Overhead.SwitchesNs
			about(t, "the switches", time.Duration(switches.Ns), 0.7*1_500+0.3*8_000, 0.15, 0)

			r.p.correctBy(r.near.calibration(), r.far.shortCalibration())
			known := r.p.after(r.th.wall()).Overhead.SwitchesNs
			if width := known.HighNs - known.LowNs; switches.HighNs-switches.LowNs < width*3/2 {
				t.Errorf("inferred switches are %+v, calibrated ones %+v", switches, known)
			}
		})
	}
}

// TestNothingShowsATransit of calls across CPUs: then it is that of the others, and the range says how much more
// it may be.
func TestNothingShowsATransit(t *testing.T) {
	for _, calls := range []int{90, 6_000} {
		r := newMoving(33, 30, 0.04)
		r.run(calls, 300)
		r.p.correctBy(r.near.calibration(), nil)
		s := r.p.after(r.th.wall())
		promised(t, s, r.th.untracedNs)
		if lost := int64(r.th.wall()) - r.th.untracedNs; lost < s.Overhead.TotalNs.LowNs || lost > s.Overhead.TotalNs.HighNs {
			t.Errorf("tracing cost %d ns in all; the range is %+v", lost, s.Overhead.TotalNs)
		}
		if w := kinds(s); !strings.Contains(w, "inferred") || !strings.Contains(w, isUncertain) {
			t.Errorf("nothing is said of it: %q", w)
		}
		for i := range s.Rows {
			if row := &s.Rows[i]; row.MinNs == 0 && row.Nr >= 300 {
				t.Errorf("calls of %d are said to take no time", row.Nr)
			}
		}
	}
}

// TestAShortCalibrationLearnsFromTheOther what it was not told.
func TestAShortCalibrationLearnsFromTheOther(t *testing.T) {
	full, short := newMachine(38).calibration(), far(38, 0.04).shortCalibration()
	full.colder = []coldness{{500, 300}}
	before := *short
	completed := short.completed(full)
	equal(t, "the original, unchanged", short.untraced || len(short.colder) > 0 || short.callNs != before.callNs, false)
	short = completed
	equal(t, "an untraced call", short.callNs, full.callNs)
	equal(t, "what it loses by being cold", short.cold(500), 300)
	if short.raw.Quantile(0.5) < 10_000 || !short.usable() {
		t.Error("its own transits are gone")
	}
	a, b := full.fit(observe(new(profile.RawCalls))), short.fit(observe(new(profile.RawCalls)))
	if b.coldOff <= a.coldOff {
		t.Errorf("what was found in the other condition is as certain: ±%v and ±%v", b.coldOff, a.coldOff)
	}
}

// TestAWideTransit comes with a warning if many calls have it.
func TestAWideTransit(t *testing.T) {
	for _, c := range []struct {
		share  int
		jitter float64
		warned bool
	}{
		{40, 0.3, true}, {22, 0.3, true}, {18, 0.3, false}, {40, 0.05, false}, {0, 0.3, false}, {100, 0.3, true},
	} {
		r := newMoving(34, c.share, c.jitter)
		r.run(6_000, 0)
		r.p.correctBy(r.near.calibration(), r.far.shortCalibration())
		s := r.p.after(r.th.wall())
		promised(t, s, r.th.untracedNs)
		if w := kinds(s); strings.Contains(w, string(profile.CrossCPUVaries)) != c.warned {
			t.Errorf("%d %% of the calls across CPUs, transits that differ by %.0f %%: %q", c.share, 100*c.jitter, w)
		}
	}
}

// TestAWordByHandIsForAllCalls, in whatever condition they were made.
func TestAWordByHandIsForAllCalls(t *testing.T) {
	r := newMoving(35, 50, 0.04)
	r.run(3_000, 0)
	r.p.correctBy(ByHand(2*time.Microsecond), nil)
	s := r.p.after(r.th.wall())
	equal(t, "source", s.Overhead.Source, profile.ByHand)
	equal(t, "transit", s.Overhead.TransitNs.Ns, 2_000)
	for i := range s.Rows {
		row := &s.Rows[i]
		about(t, "the mean", row.Mean(), float64(row.RawNs)/float64(row.Calls)-2_000, 0.001, 0)
	}
	equal(t, "warnings", len(s.Warnings), 0)
}

// TestRawLatenciesOfBothConditions are merged as they are.
func TestRawLatenciesOfBothConditions(t *testing.T) {
	r := newMoving(36, 50, 0.04)
	r.run(3_000, 0)
	s := r.p.after(r.th.wall())
	for i := range s.Rows {
		row := &s.Rows[i]
		equal(t, "the sum", row.SumNs, row.RawNs)
		equal(t, "calls", row.Calls, 1_000)
	}
	equal(t, "source", s.Overhead.Source, profile.Uncorrected)
	equal(t, "warnings", len(s.Warnings), 0)
	equal(t, "calls across CPUs", s.Overhead.CrossCPU, 1_500)
}

// TestQueuedAndSkippedCallsAcrossCPUs are in the account as others are.
func TestQueuedAndSkippedCallsAcrossCPUs(t *testing.T) {
	near, farther := newMachine(37), far(37, 0.04)
	p := record()
	shard := p.Shard()
	th := near.thread(1)
	for i := range 3_000 {
		if th.m = near; i%2 == 0 {
			th.m = farther
		}
		c := th.call(readNr, 0, 2_000)
		if c.Queued = i%6 < 2; c.Queued {
			c.ExitSeenNs += 50_000
			c.ExitResumedNs += 50_000
			th.nowNs += 50_000
		}
		if i%10 < 3 {
			shard.Skip(c)
		} else {
			shard.Add(c)
		}
	}
	p.correctBy(near.calibration(), farther.shortCalibration())
	s := p.after(th.wall())
	equal(t, "calls", s.Total.Calls, 2_100)
	equal(t, "traced calls", s.Overhead.Calls, 3_000)
	equal(t, "calls across CPUs", s.Overhead.CrossCPU, 1_500)
	equal(t, "queued", s.Overhead.Queued, 1_000)
	about(t, "p50", s.Rows[0].OK.Quantile(0.5), 2_000, 0, 500)
	about(t, "the mean", s.Rows[0].Mean(), 2_000, 0, 700)
	about(t, "the transit", time.Duration(s.Overhead.TransitNs.Ns), (14_000+3_000)/2, 0.1, 0)
}

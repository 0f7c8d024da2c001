package cost

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
)

var histograms = cmp.Comparer(func(a, b *profile.Histogram) bool { return reflect.DeepEqual(a, b) })

// mixedRun has calls of both conditions, queued and skipped ones, failures, CPU times and calls in flight.
func mixedRun() (*recording, time.Duration) {
	r := newMoving(41, 30, 0.2)
	r.run(9_000, 0)
	shard := r.p.Shard()
	for i := range 2_000 {
		c := r.th.call(readNr, 300, 5_000)
		c.Errno, c.Queued, c.CPUNs = int32(i%3)*11, i%5 == 0, int64(i%4)*2_000-1
		if i%9 == 0 {
			shard.Skip(c)
		} else {
			shard.Add(c)
		}
	}
	r.p.AddInFlight(profile.InFlight{Nr: readNr, Why: profile.Detached, SoFarNs: 70})
	r.p.correctBy(r.near.calibration(), r.far.shortCalibration())
	return r.p, r.th.wall()
}

// TestCorrectIsPure: the same input gives the same snapshot, to the last nanosecond, and is not changed: neither by
// corrections nor by what becomes of the snapshots.
func TestCorrectIsPure(t *testing.T) {
	p, wall := mixedRun()
	raw := p.Raw()
	before := raw.Clone()
	full := p.model
	same := func(what string, got, want any) {
		t.Helper()
		if d := cmp.Diff(want, got, histograms); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	for name, m := range map[string]Model{
		"calibrated": full, "one calibration": {SameCPU: full.SameCPU}, "the other": {CrossCPU: full.CrossCPU},
		"by hand": {SameCPU: ByHand(3_000)}, "raw": {},
	} {
		run := Run{Wall: wall, CPUs: 2, GapsHaveCalls: true}
		modelBefore := Model{m.SameCPU.copied(), m.CrossCPU.copied()}
		want := Correct(raw, m, run)
		kept := profile.Merge(want)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { same(name+": a second time", Correct(raw, m, run), want) })
		}
		all.Wait()
		same(name+": of a copy", Correct(before, m, run), want)
		if !reflect.DeepEqual(modelBefore, m) {
			t.Errorf("%s: the model has changed", name)
		}
		if !reflect.DeepEqual(raw, before) {
			t.Errorf("%s: what was measured has changed", name)
		}
		raw.Merge(before)
		same(name+": a snapshot of what was added to", want.Rows, kept.Rows)
		same(name+": its calls in flight", want.InFlight, kept.InFlight)
		raw = before.Clone()
	}
}

// copied is an independent copy, nil of nil.
func (t *Transit) copied() *Transit {
	if t == nil {
		return nil
	}
	c := *t
	c.raw, c.gap, c.cpu = t.raw.Clone(), t.gap.Clone(), t.cpu.Clone()
	return &c
}

// TestCPUsAreSaid, not asked of the machine that the correction runs on.
func TestCPUsAreSaid(t *testing.T) {
	m := newMachine(42)
	p := record()
	var wall time.Duration
	for tid := range int32(3) {
		th := m.thread(tid)
		for range 2_000 {
			p.Add(th.call(writeNr, 3_000, 6_000))
		}
		wall = max(wall, th.wall())
	}
	p.correctBy(m.calibration(), nil)
	untraced := make(map[int]profile.Estimate)
	for _, cpus := range []int{-1, 0, 1, 2, 3, 400} {
		p.run.CPUs = cpus
		untraced[cpus] = p.after(wall).Overhead.UntracedNs
	}
	equal(t, "none is one", untraced[0], untraced[1])
	equal(t, "less than none is one", untraced[-1], untraced[1])
	equal(t, "more than there are threads", untraced[400], untraced[3])
	if untraced[1] == untraced[2] || untraced[2] == untraced[3] {
		t.Errorf("the number of CPUs makes no difference: %+v", untraced)
	}
}

// TestIntervalsAreCorrectedAlone: a run whose second half is slower shows it in that half's snapshot.
func TestIntervalsAreCorrectedAlone(t *testing.T) {
	m := newMachine(43)
	p := record()
	th := m.thread(1)
	for range 3_000 {
		p.Add(th.call(readNr, 500, 2_000))
	}
	middle, half := p.Raw(), th.wall()
	for range 3_000 {
		p.Add(th.call(readNr, 500, 20_000))
	}
	later := p.Raw()
	later.Subtract(middle)
	model := Model{SameCPU: m.calibration()}
	for _, c := range []struct {
		raw  *profile.Raw
		wall time.Duration
		ns   float64
	}{{middle, half, 2_000}, {later, th.wall() - half, 20_000}} {
		s := Correct(c.raw, model, Run{Wall: c.wall, CPUs: 1})
		equal(t, "calls", s.Total.Calls, 3_000)
		about(t, "p50", s.Rows[0].OK.Quantile(0.5), c.ns, 0.05, 200)
		about(t, "untraced", time.Duration(s.Overhead.UntracedNs.Ns), 3_000*(c.ns+500), 0.1, 0)
	}
}

func BenchmarkCorrect(b *testing.B) {
	p, wall := mixedRun()
	for i := range 100_000 {
		p.Add(call(uint64(i%60), int32(i%7/6), int64(2_000+i%20_000)))
	}
	raw := p.Raw()
	for name, m := range map[string]Model{"calibrated": p.model, "raw": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Correct(raw, m, Run{Wall: wall, CPUs: 2})
			}
		})
	}
}

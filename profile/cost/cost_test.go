package cost

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
)

// TestTransitIsLocal: what stops cost changes during a run, by more than most calls take.
func TestTransitIsLocal(t *testing.T) {
	s := simulate(calibrated())
	s.transitNs = func(nowNs int64) int64 {
		if nowNs/300_000_000%2 == 0 {
			return 5_300
		}
		return 8_800
	}
	s.mixed(8_000)
	s.within(t)
}

// TestAnotherMachine than the calibration's: controls know better.
func TestAnotherMachine(t *testing.T) {
	s := simulate(calibrated())
	s.transitNs = func(int64) int64 { return 31_000 }
	s.mixed(3_000)
	s.within(t)
}

// TestOthersHaveTheCPU: a thread that waits for a CPU while it is traced would not have done so at that moment, and its
// latency is not known. Waiting is not taken for the call's own time.
func TestOthersHaveTheCPU(t *testing.T) {
	s := simulate(calibrated())
	s.noiseNs = func() int64 {
		if s.random.IntN(50) == 0 {
			return 50_000 + s.random.Int64N(3_000_000)
		}
		return 0
	}
	s.mixed(4_000)
	s.within(t)
	o := s.snapshot().Overhead
	if lost := s.nowNs - s.ownNs; float64(o.TotalNs.Ns) < 0.6*float64(lost) || float64(o.TotalNs.Ns) > 1.4*float64(lost) {
		t.Errorf("tracing cost %d ns, in truth %d: waiting for a CPU counts", o.TotalNs.Ns, lost)
	}
}

// TestSwitchesFitIntoGaps: the switches are part of the gaps, whatever a few controls that waited for a CPU say of them.
func TestSwitchesFitIntoGaps(t *testing.T) {
	m := calibrated()
	var raw profile.Raw
	calls := &raw.Calls[profile.SameCPU]
	const n = 1000
	row := calls.Row(profile.Key{Nr: 7})
	row.RawNs = n * 8_000
	for range n {
		row.OK.Latency.Record(1_000)
		calls.Gaps.Record(6_000)
	}
	calls.Controls = profile.ControlSum{Made: 4, Weight: n, Weights2: n * n / 4, Quiet: n / 2, RawNs: n * 40_000, Raw2: n * 4e9}
	o := Correct(&raw, m, Run{Wall: time.Second, CPUs: 2, Open: true}).Overhead
	if o.SwitchesNs.Ns > 6_000 || o.SwitchesNs.HighNs > 6_500 || o.SwitchesNs.LowNs > o.SwitchesNs.Ns {
		t.Errorf("switches of %+v ns a call, of gaps of 6 µs", o.SwitchesNs)
	}
	if s := o.Lost; s.Low > s.Share || s.Share > s.High || s.Share == 0 {
		t.Errorf("a share of %+v was lost", s)
	}
}

// TestCallsThatTakeLong stay as long as they are, though the files are read at each.
func TestCallsThatTakeLong(t *testing.T) {
	s := simulate(calibrated())
	for range 300 {
		s.call(7, 40_000, 0)
		for range 50 {
			s.call(8, nullNs, 0)
		}
		s.call(9, 9_000_000, 100)
	}
	s.within(t)
}

// TestSleepersWaitThemselves: a thread that slept may wait for a CPU when it wakes up, traced or not.
func TestSleepersWaitThemselves(t *testing.T) {
	m := calibrated()
	stream := m.NewStream()
	for range nearest {
		stream.Control(&profile.Control{RawNs: 5_450, Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 13_000, RanNs: 9_000, WaitedNs: 2_000}})
	}
	c := &profile.Call{ExitSeenNs: 3_000_000, Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 3_010_000, RanNs: 10_000, WaitedNs: 2_500_000}}
	stream.Call(c)
	if c.Disturbed {
		t.Error("a thread that slept for 0.5 ms and waited for 2.5 ms was disturbed")
	}
	for _, waitedNs := range []int64{2_990_000, 2_960_000} {
		c.Waits.SinceNs, c.Waits.WaitedNs = 3_010_000, waitedNs
		stream.Call(c)
		if !c.Disturbed {
			t.Errorf("a thread that waited for %d of the 3,000,000 ns of its call was not disturbed", waitedNs)
		}
	}
}

// TestWhoRunsWaitsForNobody: a tracer that waits for the CPU on which a call runs makes the call no shorter.
func TestWhoRunsWaitsForNobody(t *testing.T) {
	m := calibrated()
	stream := m.NewStream()
	for range nearest {
		stream.Control(&profile.Control{RawNs: 5_450, Waits: profile.Waits{TracerStops: 1, TracerNs: 2_000, Known: true, Stops: 2, SinceNs: 18_000, RanNs: 5_000, WaitedNs: 2_000}})
	}
	c := &profile.Call{ExitSeenNs: 242_000, Waits: profile.Waits{TracerNs: 249_000, TracerStops: 5, Known: true, Stops: 3, SinceNs: 265_000, RanNs: 243_500, WaitedNs: 10_900}}
	if stream.Call(c); c.Disturbed || c.NetNs() < 230_000 {
		t.Errorf("of a call that ran for 240 µs, %d ns are left", c.NetNs())
	}
	c = &profile.Call{ExitSeenNs: 40_000, Waits: profile.Waits{TracerNs: 10_000, TracerStops: 3, Known: true, Stops: 2, SinceNs: 55_000, RanNs: 5_200, WaitedNs: 20_000, Overtaken: true}}
	if stream.Call(c); !c.Disturbed || c.NetNs() > 2*nullNs {
		t.Errorf("of a call that hardly ran while others did, %d ns are left", c.NetNs())
	}
	c.Waits.Overtaken = false // so it may have slept for some 12 µs
	if stream.Call(c); c.Disturbed {
		t.Errorf("a call that may have slept was disturbed")
	}
}

// TestWithoutControls: the calibration is all there is.
func TestWithoutControls(t *testing.T) {
	s := simulate(calibrated())
	s.nextNs = 1 << 62
	s.mixed(2_000)
	s.within(t)
	if s.profile.Raw().Calls[0].Controls.Made != 0 {
		t.Fatal("there were controls")
	}
}

func TestByHand(t *testing.T) {
	transit := 5 * time.Microsecond
	s := simulate(Model{ByHand: &transit})
	for range 50 {
		s.call(1, 900, 0)
		s.call(2, -4_000, 0) // less than the transit given
	}
	snapshot := s.snapshot()
	if o := snapshot.Overhead; o.Source != profile.ByHand || o.TransitNs.Ns < 3_000 || o.TransitNs.Ns > 5_000 {
		t.Errorf("%+v", o)
	}
	if ns := snapshot.Rows[0].Latency().Quantile(0.5); ns < 1_000 || ns > 1_400 {
		t.Errorf("900 + 5300 − 5000 ns are %d", ns)
	}
	if w := snapshot.Warnings; len(w) != 1 || w[0] != (profile.Warning{Kind: profile.ShorterThanByHand, Share: 0.5}) {
		t.Errorf("warnings %v", w)
	}
}

func TestRaw(t *testing.T) {
	s := simulate(Model{})
	for range 50 {
		s.call(1, 900, 0)
	}
	snapshot := s.snapshot()
	if r := &snapshot.Rows[0]; r.SumNs != r.RawNs || r.Mean() < 6_000 || r.Mean() > 6_400 {
		t.Errorf("a mean of %v, %d of %d", r.Mean(), r.SumNs, r.RawNs)
	}
	if o := snapshot.Overhead; o.Source != profile.Uncorrected || o.HoldNs == 0 {
		t.Errorf("%+v", o)
	}
}

// TestQueuedAreLikeTheOthers: calls that stood in line, if there are enough others.
func TestQueuedAreLikeTheOthers(t *testing.T) {
	m := calibrated()
	for _, c := range []struct {
		others int
		meanNs int64
	}{{100, 800}, {5, 6_900}} {
		p := profile.New()
		stream := m.NewStream()
		for i := range c.others + 100 {
			call := &profile.Call{Nr: 1, CPUNs: -1, GapNs: -1, EntryResumedNs: 1_000, ExitSeenNs: 1_000 + 5_300 + 1_000, Queued: i >= c.others}
			if call.Queued {
				call.ExitSeenNs += 8_000
			}
			stream.Call(call)
			p.Shard().Add(call)
		}
		s := Correct(p.Raw(), m, Run{Wall: time.Second})
		if r := &s.Rows[0]; r.Calls != uint64(c.others)+100 || r.Queued != 100 || r.Mean() < time.Duration(c.meanNs)*9/10 || r.Mean() > time.Duration(c.meanNs)*11/10 {
			t.Errorf("%d others: %d calls, %d queued, mean %v, want %d", c.others, r.Calls, r.Queued, r.Mean(), c.meanNs)
		}
	}
}

var histograms = cmp.Comparer(func(a, b *profile.Histogram) bool { return reflect.DeepEqual(a, b) })

// TestCorrectIsPure: the same input gives the same snapshot, and is not changed.
func TestCorrectIsPure(t *testing.T) {
	s := simulate(calibrated())
	s.mixed(500)
	raw := s.profile.Raw()
	before := raw.Clone()
	for name, m := range map[string]Model{"calibrated": calibrated(), "raw": {}} {
		run := Run{Wall: time.Second, CPUs: 2, GapsHaveCalls: true}
		want := Correct(raw, m, run)
		if d := cmp.Diff(want, Correct(raw, m, run), histograms); d != "" {
			t.Errorf("%s: a second time (-want +got):\n%s", name, d)
		}
		if !reflect.DeepEqual(raw, before) {
			t.Errorf("%s: what was measured has changed", name)
		}
		raw.Merge(before)
		raw = before.Clone()
	}
}

// TestIntervalsAddUp: of a run that is cut in two, both parts together are corrected as the whole.
func TestIntervalsAddUp(t *testing.T) {
	s := simulate(calibrated())
	s.mixed(500)
	first := s.profile.Raw()
	s.mixed(700)
	whole, second := s.profile.Raw(), s.profile.Raw()
	second.Subtract(first)
	second.Merge(first)
	run := Run{Wall: time.Duration(s.nowNs)}
	a, b := Correct(whole, s.model, run), Correct(second, s.model, run)
	for i := range a.Rows {
		if d := a.Rows[i].SumNs - b.Rows[i].SumNs; d > 100 || d < -100 {
			t.Errorf("call %d: %d and %d", a.Rows[i].Nr, a.Rows[i].SumNs, b.Rows[i].SumNs)
		}
	}
}

// TestSamplesAddUpToRows and take what the table takes.
func TestSamplesAddUpToRows(t *testing.T) {
	s := simulate(calibrated())
	s.mixed(1_000)
	snapshot := s.snapshot()
	all, _ := s.samples.All()
	sums := make(map[profile.Key]int64)
	for _, sample := range CorrectSamples(snapshot, all, nil) {
		sums[sample.Key] += sample.LatencyNs
		if sample.OverheadNs < 0 || sample.LatencyNs < 0 {
			t.Errorf("%+v", sample)
		}
	}
	for i := range snapshot.Rows {
		r := &snapshot.Rows[i]
		if d := sums[r.Key] - r.SumNs; d > int64(r.Calls) || d < -int64(r.Calls) {
			t.Errorf("call %d: samples have %d ns, the row %d", r.Nr, sums[r.Key], r.SumNs)
		}
	}
}

// TestLabelsAgreeWithLatencies, also where a lot was taken off, or added, after the calls had been labelled: as of those that stood
// in line.
func TestLabelsAgreeWithLatencies(t *testing.T) {
	s := simulate(calibrated())
	s.mixed(1_000)
	samples := profile.NewSamples(profile.DefaultSamples, nil)
	for i := range 1_000 {
		call := &profile.Call{Nr: 7, CPUNs: -1, GapNs: -1, EntryResumedNs: 1_000, ExitSeenNs: int64(1_000 + 5_300 + i*i), Queued: i%2 == 0}
		if call.Queued {
			call.ExitSeenNs += 20_000
		}
		s.stream.Call(call)
		s.shard.Add(call)
		samples.Add(call, labelled(call.NetNs()))
	}
	samples.AddInFlight(&profile.InFlight{Nr: 7, SoFarNs: 5_000}, labelled(5_000))
	all, _ := samples.All()
	all = append(all, profile.Sample{SampleKey: profile.SampleKey{Key: all[0].Key, Stack: profile.Others}, Calls: 3, NetNs: 3_000, RawNs: 30_000})
	snapshot := s.snapshot()
	disagree := func(corrected []Sample) (n int) {
		for _, sample := range corrected {
			meanNs := sample.LatencyNs / int64(sample.Calls+sample.Unfinished)
			if meanNs <= 0 {
				t.Errorf("%d calls took no time: %+v", sample.Calls, sample.SampleKey)
			}
			if sample.Stack == profile.Others {
				if sample.Values[0] != 0 {
					t.Errorf("others have a label: %+v", sample)
				}
			} else if sample.SampleKey.Values != labelled(meanNs).Values {
				n++
			}
		}
		return n
	}
	before := CorrectSamples(snapshot, all, nil)
	if disagree(before) == 0 {
		t.Fatal("all agree before")
	}
	after := CorrectSamples(snapshot, all, func(v profile.Values, ns int64) profile.Values {
		if v[0] == 0 {
			return v
		}
		return labelled(ns).Values
	})
	if n := disagree(after); n > 0 {
		t.Errorf("%d of %d samples have another label than their latency", n, len(after))
	}
	total := func(of []Sample) (sum Sample) {
		keys := map[profile.SampleKey]bool{}
		for i := range of {
			if keys[of[i].SampleKey] {
				t.Errorf("two samples of %+v", of[i].SampleKey)
			}
			keys[of[i].SampleKey] = true
			sum.add(&of[i])
		}
		return sum
	}
	if x, y := total(before), total(after); x != y {
		t.Errorf("in all %+v, and before %+v", y, x)
	}
}

// labelled is a key with a label for the latency.
func labelled(ns int64) profile.SampleKey {
	return profile.SampleKey{Values: profile.Values{1 + profile.LatencyBucket(max(ns, 0))}}
}

// TestWakersAreNoSleepers: calls that wake somebody stand in line, and those of the same number that sleep do not. Neither the
// table nor a profile takes the former to have slept.
func TestWakersAreNoSleepers(t *testing.T) {
	const wakeNs, sleepNs, linedNs, wakers, sleepers = 5_000, 20_000_000, 50_000, 1, 2
	m := calibrated()
	p, samples, stream := profile.New(), profile.NewSamples(profile.DefaultSamples, nil), m.NewStream()
	for i := range 300 {
		call := &profile.Call{Nr: 1, CPUNs: -1, GapNs: -1, EntryResumedNs: 1_000, ExitSeenNs: 1_000 + 5_300 + wakeNs, Stack: wakers}
		switch {
		case i%3 == 0:
			call.ExitSeenNs, call.Stack = 1_000+5_300+sleepNs, sleepers
		case i > 30:
			call.ExitSeenNs, call.Queued = call.ExitSeenNs+linedNs, true
		}
		stream.Call(call)
		p.Shard().Add(call)
		samples.Add(call, profile.SampleKey{})
	}
	all, _ := samples.All()
	snapshot := Correct(p.Raw(), m, Run{Wall: time.Second})
	if row := snapshot.Rows[0]; row.SumNs < 99*sleepNs || row.SumNs > 101*sleepNs {
		t.Errorf("%d calls took %v in all, want some %v", row.Calls, time.Duration(row.SumNs), 100*sleepNs*time.Nanosecond)
	}
	for _, s := range CorrectSamples(snapshot, all, nil) {
		mostNs, leastNs := int64(2*(wakeNs+linedNs)), int64(0)
		if s.Stack == sleepers {
			mostNs, leastNs = sleepNs*101/100, sleepNs*99/100
		}
		if meanNs := s.LatencyNs / int64(s.Calls); meanNs > mostNs || meanNs < leastNs {
			t.Errorf("stack %d: %d calls took %d ns each", s.Stack, s.Calls, meanNs)
		}
	}
}

// TestUntracedWhereACPUIsFoughtFor: waits that are rare and long, of which controls have none, are in the range, whether
// the program would have waited untraced or not.
func TestUntracedWhereACPUIsFoughtFor(t *testing.T) {
	s := simulate(calibrated())
	waited, stops := int64(0), 0
	s.noiseNs = func() int64 {
		if stops++; stops%401 != 0 {
			return 0
		}
		waited += 3_000_000
		return 3_000_000
	}
	s.withoutNoise = true
	for range 20_000 {
		s.call(1, 400, 1_000)
	}
	if u := s.snapshot().Overhead.UntracedNs; u.LowNs > s.ownNs || u.HighNs < s.ownNs+waited/2 {
		t.Errorf("%d to %d, in truth %d, and up to %d if it waits untraced", u.LowNs, u.HighNs, s.ownNs, s.ownNs+waited)
	}
}

// TestUntraced: the range of the estimate has the truth in it, and is not all there is.
func TestUntraced(t *testing.T) {
	for name, work := range map[string]int64{"nothing but calls": 0, "some work": 3_000, "much work": 300_000} {
		s := simulate(calibrated())
		for range 30_000 {
			s.call(1, 400, work)
		}
		o := s.snapshot().Overhead
		if u := &o.UntracedNs; u.LowNs > s.ownNs || u.HighNs < s.ownNs {
			t.Errorf("%s: %d to %d, in truth %d of %d", name, u.LowNs, u.HighNs, s.ownNs, s.nowNs)
		}
		if u := &o.UntracedNs; work >= 3_000 && float64(u.HighNs-u.LowNs) > 0.7*float64(s.ownNs) {
			t.Errorf("%s: %d to %d says nothing of %d", name, u.LowNs, u.HighNs, s.ownNs)
		}
	}
}

// TestUpperBound: the time of threads that sleep until another traced thread comes so far is an upper bound; that of others
// is not, even if another one happens to be near at times.
func TestUpperBound(t *testing.T) {
	m := calibrated()
	for share, want := range map[int]bool{100: true, 90: true, 70: false, 0: false} {
		p, stream := profile.New(), m.NewStream()
		for i := range 100 {
			c := &profile.Call{Nr: 1, CPUNs: -1, GapNs: -1, ExitSeenNs: 90_000, Woken: i < share,
				Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 100_000, RanNs: 20_000}}
			stream.Call(c)
			p.Add(c)
			c = &profile.Call{Nr: 2, CPUNs: -1, GapNs: -1, ExitSeenNs: 90_000, Woken: true, // it runs
				Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 100_000, RanNs: 99_000}}
			stream.Call(c)
			p.Add(c)
		}
		s := Correct(p.Raw(), m, Run{Wall: time.Second})
		if s.Rows[0].UpperBound != want || s.Rows[1].UpperBound {
			t.Errorf("%d %%: %v, %v", share, s.Rows[0].UpperBound, s.Rows[1].UpperBound)
		}
		if said := slices.ContainsFunc(s.Warnings, func(w profile.Warning) bool { return w.Kind == profile.ThreadsWait }); said != want {
			t.Errorf("%d %%: warnings %v", share, s.Warnings)
		}
	}
}

// TestCausesAreNamed: what makes the numbers uncertain.
func TestCausesAreNamed(t *testing.T) {
	s := simulate(calibrated())
	s.noiseNs = func() int64 {
		if s.random.IntN(5) == 0 {
			return 3_000_000
		}
		return 0
	}
	s.mixed(300)
	snapshot := Correct(s.profile.Raw(), s.model, Run{Wall: time.Duration(s.nowNs), CPUs: 1, Stolen: 0.25})
	found := make(map[profile.WarningKind]float64)
	for _, w := range snapshot.Warnings {
		found[w.Kind] = w.Share
	}
	if found[profile.CPUsBusy] < 0.1 || found[profile.HostSteals] != 0.25 {
		t.Errorf("warnings %v", snapshot.Warnings)
	}
	if snapshot.Overhead.Known() != profile.About {
		for _, kind := range []profile.WarningKind{profile.UntracedByTracing, profile.UntracedByDoubt} {
			if _, said := found[kind]; said {
				t.Errorf("%s repeats what the line says", kind)
			}
		}
	}
}

// TestServerThatWaitsForCPUs: most of its calls sleep, so that it cannot be told of them how long they waited for a CPU.
// Controls can: that it lost nothing is not said.
func TestServerThatWaitsForCPUs(t *testing.T) {
	s := simulate(calibrated())
	s.noiseNs = func() int64 { return 2_000_000 + s.random.Int64N(2_000_000) }
	for range 300 {
		s.call(7, 5_000_000, 0) // epoll_wait
		s.call(8, 1_000, 20_000)
		s.call(9, 1_000, 20_000)
	}
	o := s.snapshot().Overhead
	if _, _, high := o.Slowdown(); o.Known() == profile.About && high < float64(s.nowNs)/float64(s.ownNs) {
		t.Errorf("a slowdown of %.2f at most, in truth %.2f", high, float64(s.nowNs)/float64(s.ownNs))
	}
	if o.UntracedNs.LowNs > s.ownNs {
		t.Errorf("%d to %d ns without tracing, in truth %d of %d", o.UntracedNs.LowNs, o.UntracedNs.HighNs, s.ownNs, s.nowNs)
	}
}

// TestShortUpperBound: two threads that wait for each other by pipes do so for less than what is looked at.
func TestShortUpperBound(t *testing.T) {
	m := calibrated()
	p, stream := profile.New(), m.NewStream()
	for i := range 100 {
		for nr, netNs := range []int64{9_000, 1_500} { // a read that sleeps, and a write that does not
			c := &profile.Call{Nr: uint64(nr), CPUNs: -1, GapNs: -1, ExitSeenNs: 5_300 + netNs, Woken: i%10 > 0}
			stream.Call(c)
			p.Add(c)
		}
	}
	s := Correct(p.Raw(), m, Run{Wall: time.Second})
	if !s.Rows[0].UpperBound || s.Rows[1].UpperBound {
		t.Errorf("%v, %v", s.Rows[0].UpperBound, s.Rows[1].UpperBound)
	}
	// A sleep of 14 µs is too short to tell by itself, in a call that was looked at for that; but it is most of it.
	stream.Control(&profile.Control{RawNs: 5_450, Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 13_000, RanNs: 5_000, WaitedNs: 2_000}})
	c := &profile.Call{ExitSeenNs: 23_000, Waits: profile.Waits{TracerStops: 1, Known: true, Stops: 2, SinceNs: 30_000, RanNs: 8_000, WaitedNs: 2_000}}
	if stream.Call(c); !c.Slept {
		t.Errorf("a call that slept for most of %d ns ran", c.NetNs())
	}
}

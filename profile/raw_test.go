package profile

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/syscalltab"
)

// someCalls adds n calls of all kinds, counted and not, and some in flight.
func someCalls(p *Profile, rng *rand.Rand, n int) {
	s := p.Shard()
	for range n {
		c := call(rng.Uint64N(40), int32(max(rng.IntN(20)-15, 0)), int64(rng.ExpFloat64()*3000))
		c.Queued = rng.IntN(9) == 0
		c.CrossCPU = rng.IntN(3) == 0
		c.CPUNs = rng.Int64N(2_000) - 1_000 // not measured in half of them
		c.GapNs = rng.Int64N(20_000) - 1
		if rng.IntN(10) == 0 {
			s.Skip(c)
		} else {
			s.Add(c)
		}
		if rng.IntN(50) == 0 {
			p.AddInFlight(InFlight{TID: int32(rng.IntN(9)), ABI: syscalltab.AMD64, Nr: rng.Uint64N(3), Why: Exited, SoFarNs: rng.Int64N(1_000)})
		}
	}
}

// TestIntervalsAddUpToTheRun takes a running profile apart, and puts it together again in another order.
func TestIntervalsAddUpToTheRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	p := newSharded(maxShards)
	sum, before := new(Raw), new(Raw)
	var intervals []*Raw
	calls := uint64(0)
	for _, n := range []int{3_000, 0, 1, 500, 4_000} {
		someCalls(p, rng, n)
		now := p.Raw()
		interval := now.Clone()
		interval.Subtract(before)
		got := interval.Calls[SameCPU].Traced().Calls + interval.Calls[CrossCPU].Traced().Calls
		equal(t, "calls of an interval", got, uint64(n))
		calls += got
		for _, c := range interval.Calls {
			for _, r := range c.Rows {
				if n, _ := r.Counts(); n == 0 {
					t.Errorf("a row without calls: %+v", r)
				}
				for _, f := range r.Failed {
					if f.Latency.Count()+f.Queued.countOrZero() == 0 {
						t.Errorf("an errno without calls: %d", f.Errno)
					}
				}
			}
		}
		intervals = append(intervals, interval)
		before = now
	}
	equal(t, "calls of all", calls, 7_501)
	for i := range intervals {
		sum.Merge(intervals[len(intervals)-1-i])
	}
	sameRaw(t, "all intervals", sum, p.Raw())

	nothing := p.Raw()
	nothing.Subtract(p.Raw())
	sameRaw(t, "what is left of all", nothing, new(Raw))
	nothing.Subtract(p.Raw())
	sameRaw(t, "what is left of less than nothing", nothing, new(Raw))
}

// TestCutsAddUpToTheRun cuts a running profile into pieces, and puts these together again.
func TestCutsAddUpToTheRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	uncut, p := newSharded(maxShards), newSharded(maxShards)
	sum := new(Raw)
	for _, n := range []int{3_000, 0, 1, 500, 4_000} {
		seed := rng.Uint64()
		for _, one := range []*Profile{uncut, p} {
			someCalls(one, rand.New(rand.NewPCG(seed, 1)), n)
		}
		sameRaw(t, "all before a cut", p.Raw(), uncut.Raw())
		alone := newSharded(maxShards)
		someCalls(alone, rand.New(rand.NewPCG(seed, 1)), n)
		piece := p.Cut()
		sameRaw(t, "a piece", piece, alone.Raw()) // with its own extremes
		sum.Merge(piece)
		sameRaw(t, "all after a cut", p.Raw(), uncut.Raw())
	}
	sameRaw(t, "all pieces", sum, uncut.Raw())
	sameRaw(t, "what nothing was added to", p.Cut(), new(Raw))
}

// TestCutWhileCallsAreAdded: each call is in one piece.
func TestCutWhileCallsAreAdded(t *testing.T) {
	const feeders, each = 4, 20_000
	p := New()
	var adding sync.WaitGroup
	for range feeders {
		adding.Go(func() {
			s := p.Shard()
			for i := range each {
				s.Add(call(uint64(i%50), 0, int64(i)))
			}
		})
	}
	done := make(chan struct{})
	go func() { adding.Wait(); close(done) }()
	sum := new(Raw)
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true // the last piece is cut below
		default:
		}
		sum.Merge(p.Cut())
		p.Raw()
	}
	equal(t, "calls of all pieces", sum.Calls[SameCPU].Traced().Calls, uint64(feeders*each))
	sameRaw(t, "all pieces", sum, p.Raw())
}

func TestRawsAreIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	p := New()
	someCalls(p, rng, 2_000)
	raw := p.Raw()
	clone, snapshot := raw.Clone(), raw.Snapshot()
	want := Merge(snapshot)
	sameRaw(t, "a clone", clone, raw)

	other := New()
	someCalls(other, rng, 2_000)
	target := New()
	target.AddRaw(raw)
	into := new(Raw)
	into.Merge(raw)

	someCalls(p, rng, 2_000) // none of these shows in raw
	someCalls(target, rng, 2_000)
	into.Merge(other.Raw())
	into.Subtract(clone)
	sameRaw(t, "a profile's earlier calls", raw, clone)
	sameSnapshot(t, "a snapshot", snapshot, want)
	raw.Merge(other.Raw())
	sameSnapshot(t, "a snapshot of what was added to", snapshot, want)
}

// TestAddRawIsAddingTheCalls: an engine that adds calls up by itself gives the same profile.
func TestAddRawIsAddingTheCalls(t *testing.T) {
	one, engine, two := New(), newSharded(maxShards), newSharded(maxShards)
	for seed := range uint64(3) {
		for _, p := range []*Profile{one, engine} {
			someCalls(p, rand.New(rand.NewPCG(seed, 1)), 1_000)
		}
		since := engine.Raw()
		since.Subtract(two.Raw())
		two.AddRaw(since)
	}
	sameRaw(t, "what was handed over in three parts", two.Raw(), one.Raw())

	built := new(Raw) // as by an engine that has nothing but buckets
	r := built.Calls[SameCPU].Row(Key{syscalltab.AMD64, readNr})
	r.HoldNs = 60
	r.Outcome(0).Latency.Record(100)
	r.Outcome(11).Latency.Record(200)
	built.Calls[CrossCPU].Row(Key{syscalltab.AMD64, writeNr}) // without calls
	p := New()
	p.AddRaw(built)
	p.Add(call(readNr, 11, 300))
	s := p.Raw().Snapshot()
	equal(t, "rows", len(s.Rows), 1)
	equal(t, "total", s.Total, Totals{Calls: 3, Errors: 2, SumNs: 600, MinNs: 100, MaxNs: 300, HoldNs: 90})
}

func TestTracedCallsAreThoseOfRowsAndOthers(t *testing.T) {
	p := New()
	s := p.Shard()
	queued := call(readNr, 0, 500)
	queued.Queued = true
	s.Add(queued)
	s.Add(call(readNr, 2, 500))
	s.Skip(queued)
	s.Skip(call(writeNr, 0, 500))
	equal(t, "traced", p.Raw().Calls[SameCPU].Traced(), Traced{Calls: 4, Queued: 2, HoldNs: 120})
	equal(t, "traced across CPUs", p.Raw().Calls[CrossCPU].Traced(), Traced{})
	equal(t, "counted", p.Raw().Snapshot().Total.Calls, 2)
}

func TestExtremesOfADifference(t *testing.T) {
	record := func(h *Histogram, values ...int64) *Histogram {
		for _, ns := range values {
			h.Record(ns)
		}
		return h
	}
	for _, c := range []struct {
		name                   string
		earlier, later         []int64
		minNs, maxNs, maxError int64
	}{
		{"nothing before", nil, []int64{1_001, 70_001}, 1_001, 70_001, 0},
		{"both are new", []int64{5_000, 6_000}, []int64{1_001, 70_001}, 1_001, 70_001, 0},
		{"neither is new", []int64{10, 1 << 30}, []int64{1_001, 70_001}, 1_001, 70_001, 256},
		{"values that have a bucket each", []int64{10, 1 << 30}, []int64{200, 255}, 200, 255, 0},
		{"the same extremes again", []int64{1_001, 70_001}, []int64{1_001, 70_001}, 1_001, 70_001, 0},
		{"one value more", []int64{1_003}, []int64{1_005}, 1_005, 1_005, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			earlier := record(new(Histogram), c.earlier...)
			h := record(earlier.Clone(), c.later...)
			h.Subtract(earlier)
			want := record(new(Histogram), c.later...)
			equal(t, "buckets", collect(h), collect(want))
			equal(t, "count", h.Count(), want.Count())
			equal(t, "sum", h.Sum(), want.Sum())
			if gotMin, gotMax := int64(h.Min()), int64(h.Max()); gotMin > c.minNs || gotMin < c.minNs-c.maxError || gotMax < c.maxNs || gotMax > c.maxNs+c.maxError {
				t.Errorf("%d to %d ns, want %d to %d within %d ns outwards", gotMin, gotMax, c.minNs, c.maxNs, c.maxError)
			}
			hi, lo := h.Sum128()
			if _, err := RestoreHistogram(collect(h), int64(h.Min()), int64(h.Max()), hi, lo); err != nil {
				t.Errorf("it does not restore: %v", err)
			}
		})
	}
}

// TestDifferencesOfAnything: whatever is subtracted, intervals add up, and nothing is negative.
func TestDifferencesOfAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	value := func() int64 { return int64(math.Exp(rng.Float64() * 43)) }
	for range 300 {
		run, sum := new(Histogram), new(Histogram)
		for range 1 + rng.IntN(4) {
			before := run.Clone()
			for range rng.IntN(20) {
				run.RecordN(value(), 1+rng.Uint64N(3))
			}
			interval := run.Clone()
			interval.Subtract(before)
			sum.Merge(interval)
		}
		same(t, sum, run)

		other := new(Histogram) // which run never was
		for range 20 {
			other.Record(value())
		}
		left := run.Clone()
		left.Subtract(other)
		if left.Count() > run.Count() || left.Sum() > run.Sum() || left.Sum() < 0 || left.Min() > left.Max() {
			t.Errorf("less something else: %d values, sum %d, %d to %d", left.Count(), left.Sum(), left.Min(), left.Max())
		}
	}
	huge := new(Histogram)
	huge.RecordN(math.MaxInt64, math.MaxUint64-1)
	before := huge.Clone()
	huge.Record(5)
	huge.Subtract(before)
	equal(t, "values beside a huge sum", collect(huge), []Bucket{{5, 5, 1}})
	equal(t, "their sum", huge.Sum(), 5)
}

func TestShiftedSumsFit(t *testing.T) {
	h := new(Histogram)
	h.RecordN(1_000, 2)
	h.Record(1_010)
	h.ShiftSum(4)
	equal(t, "the sum, shifted", h.Sum(), 3_014)
	h.ShiftSum(-1_000)
	equal(t, "the least that the extremes allow", h.Sum(), 3_000)
	h.ShiftSum(1_000)
	equal(t, "the most", h.Sum(), 3_030)
}

// sameRaw compares what was measured. The order of errnos says nothing, nor which of two calls in flight that are
// equally long is named.
func sameRaw(t *testing.T, what string, got, want *Raw) {
	t.Helper()
	parts := func(raw *Raw) map[string]any {
		all := make(map[string]any)
		for c := range raw.Calls {
			calls := &raw.Calls[c]
			all[fmt.Sprint(c, " gaps")], all[fmt.Sprint(c, " uncounted")] = &calls.Gaps, calls.Uncounted
			for k, r := range calls.Rows {
				name := fmt.Sprint(c, k)
				all[name+" hold"], all[name+" OK"], all[name+" OK queued"], all[name+" CPU"] = r.HoldNs, &r.OK.Latency, r.OK.Queued, r.CPU
				for _, f := range r.Failed {
					all[fmt.Sprint(name, f.Errno)], all[fmt.Sprint(name, f.Errno, " queued")] = &f.Latency, f.Queued
				}
			}
		}
		for _, f := range raw.InFlight {
			all[fmt.Sprint("in flight ", f.Key, f.Why, f.Resumed)] = fmt.Sprint(f.Count, f.LongestNs)
		}
		return all
	}
	histograms := cmp.Comparer(func(a, b *Histogram) bool { return reflect.DeepEqual(a, b) })
	if d := cmp.Diff(parts(want), parts(got), histograms); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

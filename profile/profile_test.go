package profile

import (
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/syscalltab"
)

const readNr, writeNr, openNr = 0, 1, 2

// call is a finished call that took rawNs, with 10 ns of hold at entry and 20 at exit.
func call(nr uint64, errno int32, rawNs int64) *Call {
	const in = 1_000_000
	return &Call{
		PID: 1, TID: 2, ABI: syscalltab.AMD64, Nr: nr, Errno: errno, CPUNs: -1,
		EntrySeenNs: in - 10, EntryResumedNs: in, ExitSeenNs: in + rawNs, ExitResumedNs: in + rawNs + 20,
	}
}

func TestRowsAddUpByOutcome(t *testing.T) {
	const eagain, enoent = 11, 2
	p := New()
	s := p.Shard()
	s.Add(call(0, 0, 100))
	s.Add(call(0, eagain, 50))
	s.Add(call(0, eagain, 70))
	s.Add(call(0, enoent, 7_000))
	queued := call(0, 0, 300)
	queued.Queued = true
	s.Add(queued)
	s.Add(call(500_000, 0, 9)) // no such call: counted all the same
	s.Add(call(math.MaxUint64, 0, 1))
	s.Add(call(1, 38, 5))
	in386 := call(0, 0, 8)
	in386.ABI = syscalltab.I386
	s.Add(in386)
	strange := call(0, 0, 4)
	strange.ABI = 255
	s.Add(strange)

	got := p.Raw().Snapshot()
	keys := []Key{}
	for _, r := range got.Rows {
		keys = append(keys, r.Key)
	}
	equal(t, "keys", keys, []Key{
		{syscalltab.AMD64, 0}, {syscalltab.AMD64, 1}, {syscalltab.AMD64, 500_000}, {syscalltab.AMD64, math.MaxUint64},
		{syscalltab.I386, 0}, {255, 0},
	})
	r := &got.Rows[0]
	equal(t, "read", r.Totals, Totals{Calls: 5, Errors: 3, SumNs: 7_520, MinNs: 50, MaxNs: 7_000, Queued: 1, HoldNs: 150})
	equal(t, "successes of read", collect(r.OK), []Bucket{{100, 100, 1}, {300, 301, 1}})
	equal(t, "errnos of read", []int32{r.Failed[0].Errno, r.Failed[1].Errno}, []int32{enoent, eagain})
	equal(t, "ENOENTs of read", r.Failed[0].Latency.Sum(), 7_000)
	equal(t, "EAGAINs of read", collect(r.Failed[1].Latency), []Bucket{{50, 50, 1}, {70, 70, 1}})
	equal(t, "all of read", r.Latency().Quantile(0.5), 100)
	equal(t, "mean of read", r.Mean(), 1_504)
	equal(t, "only failures", got.Rows[1].Totals, Totals{Calls: 1, Errors: 1, SumNs: 5, MinNs: 5, MaxNs: 5, HoldNs: 30})
	equal(t, "total", got.Total, Totals{Calls: 10, Errors: 4, SumNs: 7_547, MinNs: 1, MaxNs: 7_000, Queued: 1, HoldNs: 300})
}

func TestClockStepsAreNeverNegative(t *testing.T) {
	for _, c := range []struct {
		name          string
		times         [4]int64
		rawNs, holdNs int64
	}{
		{"steady", [4]int64{1, 3, 10, 15}, 7, 7},
		{"back during the call", [4]int64{100, 110, 50, 60}, 0, 20},
		{"back during the entry-stop", [4]int64{100, 10, 50, 60}, 40, 10},
		{"back during the exit-stop", [4]int64{100, 110, 150, 60}, 40, 10},
		{"always backwards", [4]int64{4, 3, 2, 1}, 0, 0},
		{"below zero", [4]int64{-40, -30, -20, -10}, 10, 20},
		{"a difference that does not fit", [4]int64{0, math.MinInt64, math.MaxInt64, 0}, math.MaxInt64, 0},
		{"a hold that does not fit", [4]int64{math.MinInt64, math.MaxInt64, 0, math.MaxInt64}, 0, math.MaxInt64},
		{"the clock stood still", [4]int64{5, 5, 5, 5}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &Call{Nr: 39, ABI: syscalltab.AMD64, CPUNs: -1,
				EntrySeenNs: c.times[0], EntryResumedNs: c.times[1], ExitSeenNs: c.times[2], ExitResumedNs: c.times[3]}
			equal(t, "raw latency", in.RawLatency(), time.Duration(c.rawNs))
			equal(t, "hold", in.Hold(), time.Duration(c.holdNs))

			p := New()
			p.Add(in)
			equal(t, "added once", p.Raw().Snapshot().Total,
				Totals{Calls: 1, SumNs: c.rawNs, MinNs: c.rawNs, MaxNs: c.rawNs, HoldNs: c.holdNs})
			p.Add(in)
			twice := p.Raw().Snapshot().Total
			if twice.SumNs < c.rawNs || twice.HoldNs < c.holdNs {
				t.Errorf("added twice: %+v, less than once", twice)
			}
		})
	}
}

func TestShardsAndSnapshotsMergeIntoOneProfile(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	one, many, left, right := New(), newSharded(maxShards), New(), New()
	feeders := make([]*Shard, 7)
	for i := range feeders {
		feeders[i] = many.Shard()
	}
	for i := range 20_000 {
		c := call(rng.Uint64N(600), int32(max(rng.IntN(20)-15, 0)), int64(rng.ExpFloat64()*3000))
		c.Queued = rng.IntN(9) == 0
		c.CrossCPU = rng.IntN(3) == 0
		c.CPUNs = rng.Int64N(2_000) - 1_000 // not measured in half of them
		one.Add(c)
		feeders[i%7].Add(c)
		[]*Profile{left, right}[rng.IntN(2)].Add(c)
	}
	sleeping := InFlight{PID: 7, TID: 8, ABI: syscalltab.AMD64, Nr: 232, SoFarNs: 5, Why: "detached", Resumed: true}
	longer := sleeping
	longer.TID, longer.SoFarNs = 9, 500
	for _, p := range []*Profile{one, many, left} {
		p.AddInFlight(sleeping)
	}
	for _, p := range []*Profile{one, many, right} {
		p.AddInFlight(longer)
	}

	want := one.Raw().Snapshot()
	equal(t, "calls", want.Total.Calls, 20_000)
	sameSnapshot(t, "one profile fed by seven", many.Raw().Snapshot(), want)
	sameSnapshot(t, "two profiles merged", Merge(left.Raw().Snapshot(), right.Raw().Snapshot()), want)
	sameSnapshot(t, "nothing merged", Merge(), New().Raw().Snapshot())
}

func TestMergeLeavesItsSourcesAlone(t *testing.T) {
	p := New()
	p.Add(call(1, 0, 10))
	p.Add(call(1, 4, 10))
	p.AddInFlight(InFlight{Nr: 5, Why: "killed"})
	a := p.Raw().Snapshot()
	a.Warnings = []Warning{{Kind: QueuedRaw, Share: 0.25}, {Kind: StacksLost, Count: 3}}
	before := Merge(a)
	sum := Merge(a, a)
	sameSnapshot(t, "the source", a, before)
	equal(t, "calls", sum.Total.Calls, 4)
	equal(t, "warnings", sum.Warnings, []Warning{{Kind: QueuedRaw, Share: 0.25}, {Kind: StacksLost, Count: 3}})
	p.Add(call(1, 0, 10))
	sameSnapshot(t, "a snapshot after more calls", a, before)
}

func TestInFlightCallsAddUpByReason(t *testing.T) {
	p := New()
	epoll := InFlight{PID: 1, TID: 1, ABI: syscalltab.AMD64, Nr: 232, Why: "detached", Resumed: true, SoFarNs: 40}
	p.AddInFlight(epoll)
	epoll.TID, epoll.SoFarNs = 3, 90
	p.AddInFlight(epoll)
	epoll.TID, epoll.SoFarNs = 4, 60
	p.AddInFlight(epoll)
	epoll.Why, epoll.SoFarNs = "killed", -4 // the clock stepped back
	p.AddInFlight(epoll)
	epoll.Resumed = false
	p.AddInFlight(epoll)
	p.AddInFlight(InFlight{PID: 1, TID: 1, ABI: syscalltab.AMD64, Nr: 231, Why: "exited", Resumed: true, SoFarNs: 1})

	k := Key{syscalltab.AMD64, 232}
	equal(t, "in flight", p.Raw().Snapshot().InFlight, []Flight{
		{Key: Key{syscalltab.AMD64, 231}, Why: "exited", Resumed: true, Count: 1, LongestNs: 1, PID: 1, TID: 1},
		{Key: k, Why: "detached", Resumed: true, Count: 3, LongestNs: 90, PID: 1, TID: 3},
		{Key: k, Why: "killed", Resumed: true, Count: 1, PID: 1, TID: 4},
		{Key: k, Why: "killed", Count: 1, PID: 1, TID: 4},
	})
	equal(t, "calls", p.Raw().Snapshot().Total.Calls, 0)
}

// TestSnapshotWhileAdding means most under the race detector; without it, it checks that what was added
// before a snapshot is in it and that no snapshot is torn.
func TestSnapshotWhileAdding(t *testing.T) {
	p := newSharded(maxShards)
	const feeders, calls = 6, 4_000
	var wg sync.WaitGroup
	for f := range feeders {
		s := p.Shard()
		wg.Go(func() {
			for i := range calls {
				c := call(uint64(i%40), int32(i%3), int64(i*f))
				c.CrossCPU = i%7 == 0
				s.Add(c)
				if i%500 == 0 {
					p.AddInFlight(InFlight{Nr: uint64(f), Why: "exited"})
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	last := uint64(0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s := p.Raw().Snapshot()
		if s.Total.Calls < last {
			t.Fatalf("a snapshot has %d calls, an earlier one %d", s.Total.Calls, last)
		}
		last = s.Total.Calls
		for i := range s.Rows {
			if r := &s.Rows[i]; r.Calls != r.Latency().Count() || uint64(r.HoldNs) != 30*r.Calls {
				t.Fatalf("torn row: %+v", r.Totals)
			}
		}
		runtime.Gosched()
	}
	equal(t, "calls in the end", last, feeders*calls)
	equal(t, "in flight in the end", len(p.Raw().Snapshot().InFlight), feeders)
}

// TestRowsOfOneConditionCostNothingInTheOther: most calls are made in one of them.
func TestRowsOfOneConditionCostNothingInTheOther(t *testing.T) {
	p := New()
	s := p.Shard()
	for nr := range uint64(60) {
		s.Add(call(nr, 0, 900))
	}
	c := call(7, 0, 900)
	c.CrossCPU = true
	s.Add(c)
	equal(t, "rows", len(s.tally[SameCPU].rows), 60)
	equal(t, "rows of calls across CPUs", len(s.tally[CrossCPU].rows), 1)
	equal(t, "calls", p.Raw().Snapshot().Total.Calls, 61)
}

func TestAddDoesNotAllocate(t *testing.T) {
	p := New()
	s := p.Shard()
	calls := []*Call{call(0, 0, 900), call(1, 11, 50_000), call(700_000, 0, 900), call(math.MaxUint64, 2, 1<<40)}
	for _, c := range slices.Clone(calls) {
		farther, queued := *c, *c
		farther.CrossCPU, queued.Queued = true, true
		calls = append(calls, &farther, &queued)
	}
	add := func() {
		for _, c := range calls {
			s.Add(c)
		}
	}
	add()
	if n := testing.AllocsPerRun(1000, add); n != 0 {
		t.Errorf("adding %d calls allocates %v times", len(calls), n)
	}
}

// TestMemoryOfALongRun holds the profile to its share of the 25 MB that sysprof may have resident after
// 10⁷ calls of 2,000 threads: 5 MB, on a machine with many CPUs and as many feeders.
func TestMemoryOfALongRun(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := newSharded(maxShards)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 32 {
		s := p.Shard()
		for range 20_000 {
			nr, errno := rng.Uint64N(60), int32(0)
			if nr < 15 && rng.IntN(10) == 0 { // a quarter of the calls fail at times, in two ways
				errno = int32(rng.IntN(2) + 1)
			}
			s.Add(call(nr, errno, int64(math.Exp(rng.NormFloat64()+9)))) // 8 µs, give or take a factor of e
		}
	}
	for tid := range int32(2_000) {
		p.AddInFlight(InFlight{PID: tid / 2, TID: tid, Nr: 202, Why: "detached", SoFarNs: int64(tid)})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d KB", used/1024)
	if used < 100<<10 || used > 5<<20 {
		t.Errorf("a profile of 60 calls takes %d KB, want at most 5 MB", used/1024)
	}
	runtime.KeepAlive(p)
}

func BenchmarkAdd(b *testing.B) {
	for _, bm := range []struct {
		name string
		call *Call
	}{
		{"known", call(39, 0, 5_000)},
		{"failing", call(0, 11, 5_000)},
		{"unknown", call(700_000, 0, 5_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s := New().Shard()
			b.ReportAllocs()
			for b.Loop() {
				s.Add(bm.call)
			}
		})
	}
}

func BenchmarkAddParallel(b *testing.B) {
	p := New()
	b.RunParallel(func(pb *testing.PB) {
		s := p.Shard()
		c := call(39, 0, 5_000)
		for pb.Next() {
			s.Add(c)
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	p := New()
	s := p.Shard()
	for i := range 100_000 {
		s.Add(call(uint64(i%60), int32(i%7/6), int64(math.Exp(rand.NormFloat64()+9))))
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Raw().Snapshot()
	}
}

func sameSnapshot(t *testing.T, what string, got, want *Snapshot) {
	t.Helper()
	histograms := cmp.Comparer(func(a, b *Histogram) bool { return reflect.DeepEqual(a, b) })
	if d := cmp.Diff(want, got, histograms); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

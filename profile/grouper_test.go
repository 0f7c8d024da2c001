package profile

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"sysprof/syscalltab"
)

// added adds a call to a group and returns how many the group has.
func added(g *Grouper, m *GroupMemo, group uint32, c *Call) uint64 {
	key, last := Values{group}, Values{group, uint32(c.TID)}
	return g.Add(c, &key, &last, m)
}

// sums are what all groups have together, by call: calls, errors, net time, and how many latencies.
type sums struct {
	calls, errors, latencies uint64
	failed, failedLatencies  uint64 // by errno
	netNs, holdNs, failedNs  int64
	cpuCalls                 uint64
	cpuNs                    int64
}

func sumsOf(groups []RawGroup) map[Key]sums {
	all := make(map[Key]sums)
	for _, g := range groups {
		for _, r := range g.Rows {
			s := all[r.Key]
			s.calls += r.Calls
			s.errors += r.Errors
			s.netNs += r.NetNs + r.LinedNs
			s.holdNs += r.HoldNs
			s.cpuCalls += r.CPUCalls
			s.cpuNs += r.CPUNs
			for _, b := range slices.Concat(r.Latency, r.InLine) {
				s.latencies += b.Count
			}
			for _, f := range r.Failed {
				if f.Errno != 11 && f.Errno != 22 {
					panic("an errno that there is not")
				}
				s.failed += f.Calls
				s.failedNs += f.NetNs + f.LinedNs
				for _, b := range slices.Concat(f.Latency, f.InLine) {
					s.failedLatencies += b.Count
				}
			}
			all[r.Key] = s
		}
	}
	return all
}

func TestGroupsAddUp(t *testing.T) {
	g, m := NewGrouper(), new(GroupMemo)
	want := make(map[Key]sums)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		c := call(uint64(random.IntN(600)), int32(random.IntN(3)*11), random.Int64N(1_000_000))
		c.Queued = random.IntN(3) == 0
		if random.IntN(4) == 0 {
			c.CPUNs = random.Int64N(1_000)
		}
		added(g, m, uint32(random.IntN(40)), c)
		s := want[Key{c.ABI, c.Nr}]
		s.calls++
		s.latencies++
		s.errors += uint64(min(c.Errno, 1))
		s.netNs += c.NetNs()
		s.holdNs += int64(c.Hold())
		if c.Errno != 0 {
			s.failed++
			s.failedLatencies++
			s.failedNs += c.NetNs()
		}
		if c.CPUNs >= 0 {
			s.cpuCalls++
			s.cpuNs += c.CPUNs
		}
		want[Key{c.ABI, c.Nr}] = s
	}
	for _, most := range []int{math.MaxInt, 40, 7, 1} {
		all := g.All(most)
		others := 0
		if most < 40 {
			others = 1
		}
		equal(t, "groups", len(all), min(most, 40)+others)
		equal(t, "how many the others are", all[len(all)-1].Others, uint64(40-min(most, 40)))
		equalMaps(t, sumsOf(all), want)
	}
	folded, _, _ := g.Folded()
	equal(t, "folded", folded, 0)
}

func equalMaps(t *testing.T, got, want map[Key]sums) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d calls, want %d", len(got), len(want))
	}
	for k, s := range want {
		if got[k] != s {
			t.Errorf("%v: %+v, want %+v", k, got[k], s)
		}
	}
}

func TestTheLargestGroupComesFirst(t *testing.T) {
	g, m := NewGrouper(), new(GroupMemo)
	for group, ns := range []int64{5, 500, 50} {
		equal(t, "calls of the group", added(g, m, uint32(group), call(readNr, 0, ns)), 1)
	}
	equal(t, "calls of the group", added(g, m, 2, call(writeNr, 0, 0)), 2)
	c := call(readNr, 0, 0)
	c.TID = 77
	added(g, m, 2, c)
	all := g.All(2)
	equal(t, "first", all[0].Key, Values{1})
	equal(t, "second", all[1].Key, Values{2})
	equal(t, "what is known of its last call", all[1].Last, Values{2, 77})
	equal(t, "others", all[2].Others, 1)
}

// TestTooManyGroups: the smallest become others, whatever the number of groups, and no call is lost. A group that goes on being large
// stays.
func TestTooManyGroups(t *testing.T) {
	const most, rows = 100, 250
	g, m := newGrouper(most, rows), new(GroupMemo)
	want := make(map[Key]sums)
	add := func(group uint32, nr uint64, ns int64) {
		c := call(nr, int32(nr/4)*11, ns)
		c.CPUNs = int64(nr)
		added(g, m, group, c)
		s := want[Key{c.ABI, c.Nr}]
		s.calls++
		s.latencies++
		s.netNs += c.NetNs()
		s.holdNs += int64(c.Hold())
		if c.Errno != 0 {
			s.errors++
			s.failed++
			s.failedLatencies++
			s.failedNs += c.NetNs()
		}
		s.cpuCalls++
		s.cpuNs += c.CPUNs
		want[Key{c.ABI, c.Nr}] = s
	}
	for i := range uint32(10_000) {
		add(1_000_000, readNr, 1_000)
		for nr := range uint64(5) {
			add(i, nr, 100)
		}
	}
	equalMaps(t, sumsOf(g.All(math.MaxInt)), want)
	if len(g.byRow) > 0 {
		t.Errorf("%d rows are in the map", len(g.byRow))
	}
	if groups, used := g.groups.used(), g.rows.used(); groups > most+1 || used > rows+10 {
		t.Errorf("there are %d groups with %d rows", groups, used)
	}
	equal(t, "rows with CPU time", g.cpus.used(), g.rows.used())
	first := g.All(1)[0]
	equal(t, "the large one", first.Key, Values{1_000_000})
	equal(t, "its calls", first.Rows[0].Calls, 10_000)
	groups, calls, of := g.Folded()
	if groups < 9_000 || calls < 45_000 || of != 60_000 {
		t.Errorf("%d groups of %d calls of %d were folded", groups, calls, of)
	}
}

// TestOneGroupWithTooManyRows has no other group that could make room.
func TestOneGroupWithTooManyRows(t *testing.T) {
	g, m := newGrouper(10, 20), new(GroupMemo)
	for nr := range uint64(1_000) {
		added(g, m, 1, call(nr, 0, 1))
	}
	all := g.All(math.MaxInt)
	equal(t, "groups", len(all), 1)
	equal(t, "rows", len(all[0].Rows), 1_000)
	equal(t, "rows in the map", len(g.byRow), 1_000)
	for group := range uint32(30) {
		for nr := range uint64(100) {
			added(g, m, 2+group, call(nr, 0, 1))
			added(g, m, 1, call(nr, 0, 1_000))
		}
	}
	if len(g.byRow) > 1_200 {
		t.Errorf("%d rows are in the map", len(g.byRow))
	}
}

// TestAListIsAllGroups, also of a copy, to which nothing is added any more.
func TestAListIsAllGroups(t *testing.T) {
	g, m := newGrouper(50, 300), new(GroupMemo)
	random := rand.New(rand.NewPCG(7, 8))
	add := func(n int) {
		for range n {
			added(g, m, uint32(random.IntN(100)), call(uint64(random.IntN(10)), int32(random.IntN(3)*11), random.Int64N(1_000_000)))
		}
	}
	listed := func(g *Grouper) (all []RawGroup) {
		for one := range g.List().All() {
			c := *one
			c.Rows = nil
			for _, r := range one.Rows {
				r.Failed = slices.Clone(r.Failed)
				for i := range r.Failed {
					r.Failed[i].Latency, r.Failed[i].InLine = slices.Clone(r.Failed[i].Latency), slices.Clone(r.Failed[i].InLine)
				}
				r.Latency, r.InLine = slices.Clone(r.Latency), slices.Clone(r.InLine)
				c.Rows = append(c.Rows, r)
			}
			all = append(all, c)
		}
		return all
	}
	add(5_000)
	all := g.All(math.MaxInt)
	equalMaps(t, sumsOf(listed(g)), sumsOf(all))
	if last := listed(g)[len(all)-1]; last.Others == 0 || last.Others != all[len(all)-1].Others {
		t.Errorf("the last one are %d others", last.Others)
	}
	copied := g.Clone()
	add(5_000)
	equalMaps(t, sumsOf(listed(copied)), sumsOf(all))
}

// TestFailuresFitIntoMemory: where there are too many, it is not known how the calls of some rows failed, and all the rest is.
func TestFailuresFitIntoMemory(t *testing.T) {
	g, m := newGrouper(100, 400), new(GroupMemo)
	for group := range uint32(50) {
		for errno := range int32(5) {
			added(g, m, group, call(readNr, 1+errno, 10))
		}
	}
	if used := g.fails.used(); used > 100 {
		t.Errorf("there are %d failures", used)
	}
	known := 0
	for _, one := range g.All(math.MaxInt) {
		r := &one.Rows[0]
		equal(t, "errors", r.Errors, 5)
		if r.Failed != nil {
			equal(t, "failures", len(r.Failed), 5)
			known++
		}
	}
	equal(t, "groups of which they are known", known, 20)
}

func TestGroupsOfCallsInFlight(t *testing.T) {
	g, m := NewGrouper(), new(GroupMemo)
	added(g, m, 1, call(readNr, 0, 10))
	for group, ns := range map[uint32]int64{1: 5, 2: 7} {
		key := Values{group}
		g.AddInFlight(&InFlight{PID: 3, TID: 4, Thread: "waiter", ABI: syscalltab.AMD64, Nr: readNr, SoFarNs: ns, Why: Detached}, &key, &Values{group, 9})
	}
	all := g.All(5)
	equal(t, "groups", len(all), 2)
	equal(t, "rows of the one without calls", len(all[1].Rows), 0)
	equal(t, "what is known of it", all[1].Last, Values{2, 9})
	equal(t, "its call", all[1].InFlight[0].LongestNs, 7)
	equal(t, "its thread", all[1].InFlight[0].Thread, "waiter")
	all = g.All(0)
	equal(t, "together", len(all), 1)
	equal(t, "calls in flight", all[0].InFlight[0].Count, 2)
}

// TestSketch: quantiles are as exact as is said, and become less so when there is little room; no call is lost.
func TestSketch(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, most := range []int{NumBuckets, 100, 30, 16} {
		var pool sketchPool
		var s sketch
		exact := new(Histogram)
		for range 50_000 {
			ns := int64(math.Exp(random.NormFloat64()*2 + 9))
			pool.record(&s, ns, false, 1, most)
			exact.Record(ns)
		}
		r := GroupRow{Totals: Totals{Calls: 50_000, MaxNs: int64(exact.Max()), SumNs: int64(exact.Sum())}}
		for _, w := range pool.words(&s) {
			r.Buckets = append(r.Buckets, s.bucket(w))
		}
		got := r.Latency()
		equal(t, "calls", got.Count(), 50_000)
		equal(t, "maximum", got.Max(), exact.Max())
		equal(t, "sum", got.Sum(), exact.Sum())
		if len(r.Buckets) > max(most, 60) && most < NumBuckets {
			t.Errorf("%d buckets are kept, want %d", len(r.Buckets), most)
		}
		bound := GroupBucketError * float64(int(1)<<s.coarse)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99} {
			if off := math.Abs(float64(got.Quantile(q))/float64(exact.Quantile(q)) - 1); off > bound+0.01 {
				t.Errorf("%d buckets: quantile %v is off by %v, more than %v", most, q, off, bound)
			}
		}
	}
}

// TestSketchesShareAPool: what one lets go of is another's, and none gets what is not its own.
func TestSketchesShareAPool(t *testing.T) {
	var pool sketchPool
	random := rand.New(rand.NewPCG(5, 6))
	sketches := make([]sketch, 300)
	counts := make([]uint64, len(sketches))
	for range 200_000 {
		i := random.IntN(len(sketches))
		if random.IntN(500) == 0 {
			j := random.IntN(len(sketches))
			if i == j {
				continue
			}
			pool.merge(&sketches[j], &pool, &sketches[i])
			counts[j] += counts[i]
			pool.release(&sketches[i])
			counts[i] = 0
			continue
		}
		pool.record(&sketches[i], random.Int64N(1<<uint(random.IntN(40))), random.IntN(4) == 0, 1, 40)
		counts[i]++
	}
	for i := range sketches {
		got, last := uint64(0), uint64(0)
		for _, w := range pool.words(&sketches[i]) {
			if w>>countBits < last {
				t.Fatalf("sketch %d is out of order", i)
			}
			last = w >> countBits
			got += w & countMask
		}
		if got != counts[i] {
			t.Errorf("sketch %d has %d calls, want %d", i, got, counts[i])
		}
	}
	if len(pool.blocks) > 15 { // 13 if all is
		t.Errorf("the pool has %d blocks: what is free is not taken again", len(pool.blocks))
	}
}

// TestGroupsFitIntoMemory: 10,000 processes that make each of 50 calls twice, a quarter of which fail.
func TestGroupsFitIntoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	g, m := NewGrouper(), new(GroupMemo)
	for pid := range uint32(10_000) {
		for i := range 100 {
			c := call(uint64(i%50), int32(i%4/3)*11, int64(i*i*37)+int64(pid))
			added(g, m, pid, c)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 80_000_000 // sysprof itself has some 12 MB
	if took := after.HeapAlloc - before.HeapAlloc; took > most {
		t.Errorf("they take %d bytes", took)
	} else {
		t.Logf("they take %d bytes, %d a row", took, took/500_000)
	}
	// Garbage of growing is what the rest of the process would have to hold besides; it is less than half as much again.
	if made := after.TotalAlloc - before.TotalAlloc; made > most+most/2 {
		t.Errorf("%d bytes were allocated for them", made)
	}
	runtime.KeepAlive(g)
}

// BenchmarkGroups is what a call of a group costs that has been seen before.
func BenchmarkGroups(b *testing.B) {
	for name, groups := range map[string]int{"one": 1, "100": 100, "10000": 10_000} {
		b.Run(name, func(b *testing.B) {
			g, m := NewGrouper(), new(GroupMemo)
			c := call(readNr, 0, 1_000)
			b.ReportAllocs()
			for i := range b.N {
				c.Nr = uint64(i % 7)
				added(g, m, uint32(i%groups), c)
			}
		})
	}
}

package profile

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// manyGroups have latencies whose buckets hardly ever agree, as those of several machines, or of a file that somebody else wrote.
func manyGroups(n int) []Group {
	rng := rand.New(rand.NewPCG(1, 2))
	buckets := func() (list []Bucket, calls uint64) {
		low := int64(100)
		for range 50 {
			width, count := rng.Int64N(40), 1+rng.Uint64N(3000)
			list = append(list, Bucket{low, low + width, count})
			low += width + 1 + rng.Int64N(200)
			calls += count
		}
		return list, calls
	}
	groups := make([]Group, n)
	for i := range groups {
		groups[i].Values = []string{""}
		for nr := range uint64(4) {
			r := GroupRow{Key: Key{ABI: 1, Nr: nr}}
			f := GroupFailure{Errno: int32(1 + rng.IntN(3))}
			r.Buckets, r.Calls = buckets()
			f.Buckets, f.Calls = r.Buckets[:10:10], 0
			for _, b := range f.Buckets {
				f.Calls += b.Count
			}
			r.Errors, r.Failed = f.Calls, []GroupFailure{f}
			groups[i].Rows = append(groups[i].Rows, r)
		}
	}
	return groups
}

// Folded groups have each bucket once, in ascending order, and all calls, by call and by errno.
func TestOthersHaveAllBuckets(t *testing.T) {
	groups := manyGroups(150)
	type which struct {
		nr    uint64
		errno int32
		low   int64
		high  int64
	}
	want := make(map[which]uint64)
	for _, g := range groups[10:] {
		for _, r := range g.Rows {
			for _, b := range r.Buckets {
				want[which{r.Nr, 0, b.LowNs, b.HighNs}] += b.Count
			}
			for _, f := range r.Failed {
				for _, b := range f.Buckets {
					want[which{r.Nr, f.Errno, b.LowNs, b.HighNs}] += b.Count
				}
			}
		}
	}
	before := groups[20].clone()
	top := (&Groups{By: []string{"pid"}, List: groups}).Top(10)
	others := top.List[10]
	if len(top.List) != 11 || others.Others != 140 {
		t.Fatalf("%d groups, the last of them %d others", len(top.List), others.Others)
	}
	take := func(nr uint64, errno int32, buckets []Bucket) {
		if !slices.IsSortedFunc(buckets, func(a, b Bucket) int { return int(a.LowNs - b.LowNs) }) {
			t.Errorf("the buckets of call %d, errno %d, are not in order", nr, errno)
		}
		for _, b := range buckets {
			at := which{nr, errno, b.LowNs, b.HighNs}
			if want[at] != b.Count {
				t.Fatalf("%+v: %d calls, want %d", at, b.Count, want[at])
			}
			delete(want, at)
		}
	}
	for _, r := range others.Rows {
		take(r.Nr, 0, r.Buckets)
		for _, f := range r.Failed {
			take(r.Nr, f.Errno, f.Buckets)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d buckets are missing", len(want))
	}
	if after := groups[20]; !slices.Equal(before.Rows[0].Buckets, after.Rows[0].Buckets) {
		t.Error("a group that was added has changed")
	}
}

// What adding groups up takes is a matter of how much they have, not of its square. Memory shows that on a busy machine, too.
func TestAddingGroupsUpIsLinear(t *testing.T) {
	took := func(n int) uint64 {
		groups := manyGroups(n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mergeGroups(groups)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := took(50), took(400)
	if many > 16*few {
		t.Errorf("50 groups take %d bytes, 400 take %d: %.1f times as much", few, many, float64(many)/float64(few))
	}
}

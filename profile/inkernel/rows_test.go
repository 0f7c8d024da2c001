package inkernel

import (
	"testing"
	"time"

	"sysprof/profile"
)

// Each bucket begins where the one before ends, and is a union of a Histogram's.
func TestBuckets(t *testing.T) {
	next := int64(0)
	for b := range buckets {
		low, high := bounds(b)
		if low != next || high < low {
			t.Fatalf("bucket %d has %d to %d, and is to begin with %d", b, low, high, next)
		}
		first, _ := profile.BucketBounds(profile.BucketIndex(low))
		_, last := profile.BucketBounds(profile.BucketIndex(high))
		if first != low || last != high {
			t.Fatalf("bucket %d has %d to %d, and a Histogram's %d to %d", b, low, high, first, last)
		}
		next = high + 1
	}
	if next > 0 {
		t.Errorf("latencies from %d on have no bucket", next)
	}
}

func TestRowsFor(t *testing.T) {
	for cpus, want := range map[int]uint32{1: 256, 2: 256, 32: 256, 64: 221, 240: 96, 4096: 96} {
		if got := rowsFor(cpus); got != want {
			t.Errorf("%d CPUs: %d rows, want %d", cpus, got, want)
		}
	}
}

func TestIndexOfNumbers(t *testing.T) {
	for i, abi := range kernelABIs() {
		for n := range uint32(numbers) {
			index, ok := indexOf(uint32(i), numberAt(abi, n))
			if want := uint32(i*numbers) + n; !ok || index != want {
				t.Errorf("%v %d: index %d, want %d", abi, n, index, want)
			}
		}
		if index, ok := indexOf(uint32(i), numberOfNone); ok {
			t.Errorf("a number of no call has index %d", index)
		}
	}
}

// rowOf is a row as the programs make it.
func rowOf(weight uint32, ns ...int64) *row {
	r := new(row)
	for _, v := range ns {
		r.Calls += uint64(weight)
		r.Sum += uint64(v) * uint64(weight)
		r.Max = max(r.Max, uint64(v))
		r.Below = max(r.Below, ^uint64(v))
		for b := range buckets {
			if low, high := bounds(b); v >= low && v <= high {
				r.Bucket[b] += weight
			}
		}
	}
	return r
}

func plus(a, b *row) *row {
	sum := *a
	sum.Calls += b.Calls
	sum.Sum += b.Sum
	sum.Max, sum.Below = max(a.Max, b.Max), max(a.Below, b.Below)
	for i, n := range b.Bucket {
		sum.Bucket[i] += n
	}
	return &sum
}

// Count, sum and extremes of what has come in are exact; quantiles are those of 32 buckets an octave.
func TestIncrement(t *testing.T) {
	before := rowOf(1, 100, 5000, 7)
	before.Bucket[3] = 1<<32 - 1 // it has gone around nearly
	later := plus(before, rowOf(1, 3, 3, 200, 1000, 90_000))
	h := since(before, later, 1, rowKey{}).histogram(5)
	if h.Count() != 5 || h.Sum() != 91_206 || h.Min() != 3 || h.Max() != 90_000 {
		t.Errorf("count %d, sum %d, min %d, max %d", h.Count(), h.Sum(), h.Min(), h.Max())
	}
	if p := h.Quantile(0.5); p < 197 || p > 203 {
		t.Errorf("median %v, want 200", p)
	}
	// Extremes that are not new are those of the buckets.
	h = since(before, plus(before, rowOf(1, 1000, 2000)), 1, rowKey{}).histogram(2)
	if h.Min() < 992 || h.Min() > 1000 || h.Max() < 2000 || h.Max() > 2047 || h.Sum() != 3000 {
		t.Errorf("min %d, max %d, sum %d", h.Min(), h.Max(), h.Sum())
	}
}

// Calls of which one in so many was timed are shared out as those that were.
func TestWeighed(t *testing.T) {
	r := rowOf(16, 100, 100, 100, 1000)
	r.Calls = 100 // of which 4 were timed, for 64
	h := since(new(row), r, 1, rowKey{}).histogram(100)
	if h.Count() != 100 || h.Quantile(0.7) > 102 || h.Quantile(0.8) < 990 {
		t.Errorf("%d calls, 70 %% within %v, 80 %% within %v", h.Count(), h.Quantile(0.7), h.Quantile(0.8))
	}
	if want := time.Duration(32_500); h.Sum() < want-100 || h.Sum() > want+100 {
		t.Errorf("sum %v, want %v", h.Sum(), want)
	}
}

func TestPaces(t *testing.T) {
	all := make(totals)
	add := func(nr int64, calls, weight uint64, meanNs uint64) {
		all.add(rowKey{Nr: nr}, calls, weight, weight*meanNs)
	}
	add(1, 10_000, 10_000, 200)
	add(2, 100, 100, 200)
	add(3, 10_000, 10_000, 50_000)
	add(4, 10_000, 0, 0)
	got := all.paces(time.Second, 16)
	for nr, want := range map[uint32]uint32{1: 16, 2: 1, 3: 1, 4: 16} {
		if got[nr] != want {
			t.Errorf("of call %d one of %d is timed, want %d", nr, got[nr], want)
		}
	}
}

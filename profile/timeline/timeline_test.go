package timeline

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// slice is a snapshot of calls of one number, each with one latency.
func slice(nr uint64, latenciesNs ...int64) *profile.Snapshot {
	h := new(profile.Histogram)
	for _, ns := range latenciesNs {
		h.Record(ns)
	}
	return profile.NewSnapshot([]*profile.Row{{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr}, OK: h}}, nil)
}

func TestCallsAreInTheirSliceAndBucket(t *testing.T) {
	var b Builder
	b.Add(10*time.Millisecond, slice(0, 100, 120, 1000))
	b.Add(20*time.Millisecond, slice(1, 100))
	b.Add(30*time.Millisecond, slice(0, 0, math.MaxInt64))
	got := b.Timeline()
	top := uint16(profile.NumBuckets/perBucket - 1)
	want := &Timeline{
		Ends: []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond},
		All:  []Cell{{0, 1, 2}, {0, 7, 1}, {1, 1, 1}, {2, 0, 1}, {2, top, 1}},
		Rows: []Row{
			{profile.Key{ABI: syscalltab.AMD64, Nr: 0}, 5, math.MaxInt64, []Cell{{0, 1, 2}, {0, 7, 1}, {2, 0, 1}, {2, top, 1}}},
			{profile.Key{ABI: syscalltab.AMD64, Nr: 1}, 1, 100, []Cell{{1, 1, 1}}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want (-), got (+):\n%s", d)
	}
	if low, high := Bounds(7); low != 768 || high != 1023 {
		t.Errorf("bucket 7 is from %d to %d ns, want 768 to 1023", low, high)
	}
}

// TestClockThatWentBack: what has no time of its own is in the slice before.
func TestClockThatWentBack(t *testing.T) {
	var b Builder
	b.Add(20, slice(0, 100))
	b.Add(10, slice(0, 100, 10))
	b.Add(20, slice(1, 10))
	got := b.Timeline()
	if d := cmp.Diff([]Cell{{0, 0, 2}, {0, 1, 2}}, got.All); d != "" || len(got.Ends) != 1 {
		t.Errorf("%v: %s", got.Ends, d)
	}
	if d := cmp.Diff([]Cell{{0, 0, 1}, {0, 1, 2}}, got.Rows[0].Cells); d != "" {
		t.Error(d)
	}
}

// TestLongRunsAreHalved: the memory stays bounded, no call is lost, and slices become longer.
func TestLongRunsAreHalved(t *testing.T) {
	var b Builder
	const adds = 10*MaxSlices + 1
	for i := range adds {
		b.Add(time.Duration(i+1), slice(uint64(i%2), 1000, 2000))
	}
	got := b.Timeline()
	if n := len(got.Ends); n > MaxSlices || n < MaxSlices/2 || got.Ends[n-1] != adds {
		t.Errorf("there are %d slices, which end at %v", n, got.Ends)
	}
	if b.Width() <= First {
		t.Errorf("the next slice is to be %v long", b.Width())
	}
	for _, cells := range [][]Cell{got.All, got.Rows[0].Cells} {
		for i, c := range cells {
			if i > 0 && compareCells(cells[i-1], c) >= 0 || int(c.Slice) >= len(got.Ends) {
				t.Fatalf("cell %v stands behind %v", c, cells[max(i-1, 0)])
			}
		}
	}
	calls := uint64(0)
	for _, c := range got.All {
		calls += c.Calls
	}
	if calls != 2*adds {
		t.Errorf("there are %d calls, want %d", calls, 2*adds)
	}
}

// TestBusiestRowsAreKept: whatever comes before and after them.
func TestBusiestRowsAreKept(t *testing.T) {
	var b Builder
	for i := range uint64(300) {
		b.Add(time.Duration(2*i+1), slice(1000+i, 50))
		b.Add(time.Duration(2*i+2), slice(i%3, 1_000_000))
	}
	got := b.Timeline()
	if len(got.Rows) != MaxRows {
		t.Fatalf("there are %d rows, want %d", len(got.Rows), MaxRows)
	}
	for i, r := range got.Rows[:3] {
		if r.Nr != uint64(i) || r.Calls != 100 {
			t.Errorf("row %d is of call %d with %d calls", i, r.Nr, r.Calls)
		}
	}
}

// TestTimelineIsAValue: what is added later changes nothing of it.
func TestTimelineIsAValue(t *testing.T) {
	var b Builder
	for i := range MaxSlices - 1 {
		b.Add(time.Duration(i+1), slice(0, 100))
	}
	before := b.Timeline()
	for i := range MaxSlices {
		b.Add(time.Duration(MaxSlices+i), slice(0, 100))
	}
	for _, cells := range [][]Cell{before.All, before.Rows[0].Cells} {
		for i, c := range cells {
			if c != (Cell{uint16(i), 1, 1}) || before.Ends[i] != time.Duration(i+1) {
				t.Fatalf("cell %d has become %v, and its slice ends at %v", i, c, before.Ends[i])
			}
		}
	}
}

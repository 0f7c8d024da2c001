package profile

import (
	"math"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// maxError is what Histogram promises for a value read from its buckets.
const maxError = 0.004

func TestEveryValueLiesInItsBucket(t *testing.T) {
	var values []int64
	for shift := range 63 {
		for _, d := range []int64{-2, -1, 0, 1, 2} {
			values = append(values, 1<<shift+d, 1<<shift+1<<shift/3+d, 1<<shift+1<<shift/128+d)
		}
	}
	values = append(values, math.MaxInt64, math.MaxInt64-1)
	for _, v := range values {
		v = max(v, 0)
		i := BucketIndex(v)
		if i < 0 || i >= NumBuckets {
			t.Fatalf("BucketIndex(%d) = %d, outside 0…%d", v, i, NumBuckets-1)
		}
		low, high := BucketBounds(i)
		if v < low || v > high {
			t.Errorf("%d is in bucket %d, which is %d…%d", v, i, low, high)
		}
		mid := low + (high-low)/2
		if v > 0 && math.Abs(float64(mid-v))/float64(v) > maxError {
			t.Errorf("%d: the middle %d of its bucket is too far away", v, mid)
		}
	}
}

func TestBucketsTileTheRange(t *testing.T) {
	next := int64(0)
	for i := range NumBuckets {
		low, high := BucketBounds(i)
		if low != next || high < low {
			t.Fatalf("bucket %d is %d…%d, want it to start at %d", i, low, high, next)
		}
		if BucketIndex(low) != i || BucketIndex(high) != i {
			t.Fatalf("bucket %d: its bounds are in buckets %d and %d", i, BucketIndex(low), BucketIndex(high))
		}
		next = high + 1
	}
	if next != math.MinInt64 { // MaxInt64 + 1, wrapped
		t.Errorf("the last bucket ends at %d, want MaxInt64", next-1)
	}
}

func TestQuantilesOfKnownDistributions(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 50_000
	for _, d := range []struct {
		name  string
		value func() int64
	}{
		{"constant", func() int64 { return 87 }},
		{"uniform small", func() int64 { return rng.Int64N(300) }},
		{"uniform", func() int64 { return rng.Int64N(10_000_000) }},
		{"exponential", func() int64 { return int64(rng.ExpFloat64() * 5_000) }},
		{"log-normal", func() int64 { return int64(math.Exp(rng.NormFloat64()*2 + 9)) }},
		{"heavy tail", func() int64 { return int64(math.Min(100/math.Pow(1-rng.Float64(), 2), math.MaxInt64/2)) }},
		{"two peaks", func() int64 {
			if rng.IntN(100) == 0 {
				return 1_000_000_000 + rng.Int64N(1000)
			}
			return 500 + rng.Int64N(10)
		}},
	} {
		t.Run(d.name, func(t *testing.T) {
			var h Histogram
			values := make([]int64, n)
			sum, squares := new(big.Int), 0.0
			for i := range values {
				values[i] = d.value()
				h.Record(values[i])
				sum.Add(sum, big.NewInt(values[i]))
			}
			slices.Sort(values)
			mean, _ := new(big.Float).Quo(new(big.Float).SetInt(sum), big.NewFloat(n)).Float64()
			for _, v := range values {
				squares += (float64(v) - mean) * (float64(v) - mean)
			}

			for _, q := range []float64{0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999} {
				want := values[int(math.Ceil(q*n))-1]
				if got := int64(h.Quantile(q)); math.Abs(float64(got-want)) > maxError*float64(want) {
					t.Errorf("quantile %v = %d, exactly %d", q, got, want)
				}
			}
			equal(t, "count", h.Count(), uint64(n))
			equal(t, "min", h.Min(), time.Duration(values[0]))
			equal(t, "max", h.Max(), time.Duration(values[n-1]))
			equal(t, "quantile 0", h.Quantile(0), h.Min())
			equal(t, "quantile 1", h.Quantile(1), h.Max())
			equal(t, "sum", h.Sum(), time.Duration(sum.Int64()))
			equal(t, "mean", h.Mean(), time.Duration(math.Round(mean)))
			sd := math.Sqrt(squares / n)
			if got := float64(h.StdDev()); math.Abs(got-sd) > 0.01*sd+1 {
				t.Errorf("standard deviation = %v, exactly %v", got, sd)
			}
		})
	}
}

func TestMergeIsRecordingTogether(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var all Histogram
	parts := make([]Histogram, 5) // the last stays empty
	for range 20_000 {
		v := int64(math.Exp(rng.Float64() * 43))
		all.Record(v)
		parts[rng.IntN(4)].Record(v)
	}
	var merged Histogram
	for i := range parts {
		merged.Merge(&parts[i])
	}
	same(t, &merged, &all)
	same(t, merged.Clone(), &all)

	clone := all.Clone()
	clone.Record(1)
	if clone.Count() == all.Count() {
		t.Error("recording into a clone changed the original")
	}
	same(t, &merged, &all)
}

func TestRecordNIsRecordNTimes(t *testing.T) {
	var one, many Histogram
	for _, v := range []int64{-7, 0, 1, 90, 4096, 1 << 40, math.MaxInt64} {
		many.RecordN(v, 37)
		many.RecordN(v, 0)
		for range 37 {
			one.Record(v)
		}
	}
	same(t, &many, &one)
}

func TestAnEmptyHistogramIsZero(t *testing.T) {
	var h Histogram
	h.RecordN(5, 0)
	h.Merge(&Histogram{})
	for name, d := range map[string]time.Duration{
		"sum": h.Sum(), "min": h.Min(), "max": h.Max(), "mean": h.Mean(), "sd": h.StdDev(), "median": h.Quantile(0.5),
	} {
		equal(t, name, d, 0)
	}
	for b := range h.Buckets() {
		t.Errorf("an empty histogram has the bucket %v", b)
	}
}

func TestNegativeValuesCountAsZero(t *testing.T) {
	var h Histogram
	h.Record(math.MinInt64)
	h.Record(-1)
	h.RecordN(-5, 2)
	equal(t, "buckets", collect(&h), []Bucket{{0, 0, 4}})
	equal(t, "sum", h.Sum(), 0)
	equal(t, "min", h.Min(), 0)
	equal(t, "max", h.Max(), 0)
}

func TestABillionRecords(t *testing.T) {
	var h Histogram
	h.RecordN(1_000, 900_000_000)
	h.RecordN(1_000_000, 99_000_000)
	h.RecordN(3_600_000_000_000, 1_000_000) // an hour each
	equal(t, "count", h.Count(), 1_000_000_000)
	equal(t, "sum", h.Sum(), 900_000_000*1_000+99_000_000*1_000_000+3_600_000_000_000*1_000_000)
	equal(t, "mean", h.Mean(), (900_000_000*1_000+99_000_000*1_000_000+3_600_000_000_000*1_000_000+500_000_000)/1_000_000_000)
	near(t, "p50", h.Quantile(0.5), 1_000)
	near(t, "p90", h.Quantile(0.9), 1_000)
	near(t, "p99", h.Quantile(0.99), 1_000_000)
	near(t, "p99.9", h.Quantile(0.999), 1_000_000)
	near(t, "p99.99", h.Quantile(0.9999), time.Hour)
}

func TestHugeSumsDoNotWrap(t *testing.T) {
	var h Histogram
	h.RecordN(math.MaxInt64, 1_000_000_000)
	h.Record(math.MaxInt64)
	equal(t, "sum", h.Sum(), math.MaxInt64)
	equal(t, "mean", h.Mean(), math.MaxInt64)
	equal(t, "median", h.Quantile(0.5), math.MaxInt64)
	equal(t, "sd", h.StdDev(), 0)

	h.RecordN(0, 1_000_000_001) // the mean is exact although the sum no longer fits
	equal(t, "mean", h.Mean(), math.MaxInt64/2+1)
}

func TestCountsStopAtTheirMaximum(t *testing.T) {
	var h Histogram
	h.RecordN(10, math.MaxUint64)
	h.RecordN(10, 5)
	h.Merge(h.Clone())
	equal(t, "count", h.Count(), math.MaxUint64)
	equal(t, "buckets", collect(&h), []Bucket{{10, 10, math.MaxUint64}})
	h.RecordN(math.MaxInt64, math.MaxUint64)
	h.RecordN(math.MaxInt64, math.MaxUint64)
	h.RecordN(math.MaxInt64, math.MaxUint64)
	equal(t, "sum", h.Sum(), math.MaxInt64)
	equal(t, "mean", h.Mean(), math.MaxInt64)
}

func TestTheSumStopsAtItsMaximum(t *testing.T) {
	h := Histogram{count: math.MaxUint64, sumHi: math.MaxUint64, sumLo: math.MaxUint64 - 5}
	h.RecordN(7, 1)
	equal(t, "sum", h.Sum(), math.MaxInt64)
	equal(t, "mean", h.Mean(), math.MaxInt64)
}

func TestOddQuantilesAreTheExtremes(t *testing.T) {
	var h Histogram
	for _, v := range []int64{100, 150, 200} {
		h.Record(v)
	}
	equal(t, "NaN", h.Quantile(math.NaN()), 100)
	equal(t, "-1", h.Quantile(-1), 100)
	equal(t, "2", h.Quantile(2), 200)
	equal(t, "tiny", h.Quantile(math.SmallestNonzeroFloat64), 100)
	equal(t, "one third", h.Quantile(1.0/3), 100)
	equal(t, "a little more", h.Quantile(0.34), 150)
	equal(t, "nearly 1", h.Quantile(math.Nextafter(1, 0)), 200)

	var narrow Histogram // all in one bucket: its middle is outside the exact extremes
	narrow.RecordN(1<<20+1, 3)
	equal(t, "narrow", narrow.Quantile(0.5), 1<<20+1)
}

func TestMemoryIsPaidForByTheOctave(t *testing.T) {
	var h Histogram
	h.RecordN(1_000_000, 1000)
	used := 0
	for _, o := range h.octave {
		if o != nil {
			used++
		}
	}
	equal(t, "octaves of one latency", used, 1)
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	for shift := range 63 {
		h.Record(1 << shift)
	}
	v := int64(0)
	if n := testing.AllocsPerRun(1000, func() { v += 12345; h.Record(v); h.RecordN(v, 3) }); n != 0 {
		t.Errorf("Record allocates %v times", n)
	}
}

// FuzzBucketIndex checks the shifts against the definition of a log-linear bucket.
func FuzzBucketIndex(f *testing.F) {
	for _, v := range []int64{math.MinInt64, -1, 0, 127, 128, 255, 256, 1 << 40, math.MaxInt64} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v int64) {
		low, high := BucketBounds(BucketIndex(v))
		v = max(v, 0)
		if v < low || v > high {
			t.Fatalf("%d is not in %d…%d", v, low, high)
		}
		if width := uint64(high-low) + 1; v >= 256 && width != 1<<(bits.Len64(uint64(v))-8) {
			t.Fatalf("the bucket of %d is %d wide", v, width)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for _, bm := range []struct {
		name   string
		values func(i int) int64
	}{
		{"same", func(int) int64 { return 5_000 }},
		{"spread", func(i int) int64 { return int64(math.Exp(rand.NormFloat64() + 8)) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			values := make([]int64, 4096)
			for i := range values {
				values[i] = bm.values(i)
			}
			var h Histogram
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.Record(values[i&4095])
			}
		})
	}
}

func BenchmarkQuantile(b *testing.B) {
	var h Histogram
	for range 100_000 {
		h.Record(int64(math.Exp(rand.NormFloat64() + 8)))
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Quantile(0.99)
	}
}

func collect(h *Histogram) []Bucket { return slices.Collect(h.Buckets()) }

func same(t *testing.T, got, want *Histogram) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the histograms differ: %v\nwant %v", collect(got), collect(want))
	}
}

func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if math.Abs(float64(got-want)) > maxError*float64(want) {
		t.Errorf("%s = %v, want %v within 0.4 %%", what, got, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

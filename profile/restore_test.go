package profile

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestRestoredHistogramsAreTheSame(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	histograms := map[string]*Histogram{"empty": {}, "one zero": {}, "one second": {}, "everything": {}, "huge": {}, "full": {}}
	histograms["one zero"].Record(0)
	histograms["one second"].Record(1_000_000_000)
	for range 10_000 {
		histograms["everything"].Record(int64(math.Exp(rng.Float64() * 43)))
	}
	histograms["huge"].RecordN(math.MaxInt64, math.MaxUint64-1)
	histograms["full"].RecordN(7, math.MaxUint64)
	histograms["full"].RecordN(math.MaxInt64, math.MaxUint64)
	for name, h := range histograms {
		t.Run(name, func(t *testing.T) {
			hi, lo := h.Sum128()
			got, err := RestoreHistogram(collect(h), int64(h.Min()), int64(h.Max()), hi, lo)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, h)
		})
	}
}

func TestImpossibleHistogramsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		buckets      []Bucket
		minNs, maxNs int64
		sumHi, sumLo uint64
		want         string
	}{
		"a sum of nothing":            {nil, 0, 0, 0, 1, "without buckets"},
		"a high sum of nothing":       {nil, 0, 0, 1, 0, "without buckets"},
		"a maximum of nothing":        {nil, 0, 1, 0, 0, "without buckets"},
		"bounds below zero":           {[]Bucket{{-2, -1, 1}}, 0, 0, 0, 0, "no bucket of -2 to -1"},
		"a bucket of another width":   {[]Bucket{{256, 258, 1}}, 256, 256, 0, 256, "no bucket of 256 to 258"},
		"a bucket that starts inside": {[]Bucket{{257, 257, 1}}, 257, 257, 0, 257, "no bucket of 257"},
		"an empty bucket":             {[]Bucket{{5, 5, 0}}, 5, 5, 0, 0, "is empty"},
		"the same twice":              {[]Bucket{{5, 5, 1}, {5, 5, 1}}, 5, 5, 0, 10, "out of order"},
		"descending":                  {[]Bucket{{6, 6, 1}, {5, 5, 1}}, 5, 6, 0, 11, "out of order"},
		"a negative minimum":          {[]Bucket{{5, 5, 1}}, -5, 5, 0, 5, "do not fit the buckets"},
		"minimum above maximum":       {[]Bucket{{256, 257, 2}}, 257, 256, 0, 513, "do not fit the buckets"},
		"minimum above the buckets":   {[]Bucket{{5, 5, 1}, {7, 7, 1}}, 6, 7, 0, 12, "do not fit the buckets"},
		"maximum below the buckets":   {[]Bucket{{5, 5, 1}, {7, 7, 1}}, 5, 6, 0, 12, "do not fit the buckets"},
		"a sum that is too small":     {[]Bucket{{5, 5, 2}}, 5, 5, 0, 9, "sum does not fit"},
		"a sum that is too large":     {[]Bucket{{5, 5, 2}}, 5, 5, 0, 11, "sum does not fit"},
		"a sum far too large":         {[]Bucket{{5, 5, 2}}, 5, 5, 1, 10, "sum does not fit"},
	} {
		h, err := RestoreHistogram(c.buckets, c.minNs, c.maxNs, c.sumHi, c.sumLo)
		if err == nil || !strings.Contains(err.Error(), c.want) || h != nil {
			t.Errorf("%s: %v, %v; want an error with %q", name, h, err, c.want)
		}
	}
}

// TestCorrectedHistogramsRestore: a correction may move the sum and the extremes by less than a bucket
// out of the buckets, and such a histogram has to be read back.
func TestCorrectedHistogramsRestore(t *testing.T) {
	h, err := RestoreHistogram([]Bucket{{4096, 4127, 10}}, 4090, 4130, 0, 40_910)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "min", h.Min(), 4090)
	equal(t, "max", h.Max(), 4130)
	equal(t, "mean", h.Mean(), 4091)
}

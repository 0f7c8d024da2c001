package profile

import (
	"iter"
	"math"
	"math/bits"
	"time"
)

// The buckets are log-linear: values below 2·subBuckets ns have a bucket each, and every power of two
// above is cut into subBuckets equal buckets. A bucket is thus at most 1/128 of its lower bound wide,
// and its midpoint at most 1/256 = 0.39 % away from any value in it.
const (
	subBits    = 7
	subBuckets = 1 << subBits

	// octaves is how many groups of subBuckets the non-negative int64 need: the first is 0…127 ns, the
	// second 128…255, and each later one is twice as wide as the one before: 63 bits − 7 + 1.
	octaves = 63 - subBits + 1

	// BucketsAnOctave is into how many buckets the times from one power of two to the next are cut.
	BucketsAnOctave = subBuckets

	// NumBuckets is how many buckets there are: bucket numbers are 0 ≤ i < NumBuckets.
	NumBuckets = octaves * subBuckets
)

// Histogram is a distribution of durations in nanoseconds: exact count, sum, minimum and maximum, and
// log-linear buckets from which quantiles are read with a relative error of at most 0.4 %.
//
// The zero value is an empty histogram of about 0.5 KB; each power of two that receives a first value
// allocates 1 KB, and nothing else ever allocates. A Histogram must not be copied after first use (see
// Clone) and is not safe for concurrent use.
type Histogram struct {
	count        uint64
	sumHi, sumLo uint64 // 128 bits: 2⁶⁴ values below 2⁶³ cannot overflow it
	max          int64
	headroom     int64 // MaxInt64 − minimum, so that the zero value starts at the largest minimum
	octave       [octaves]*[subBuckets]uint64
}

// Bucket is one non-empty bucket: Count values, all in LowNs … HighNs inclusive.
type Bucket struct {
	LowNs, HighNs int64
	Count         uint64
}

// BucketIndex returns the number of the bucket that holds ns nanoseconds; a negative value counts as 0.
// It is one count of leading zeros, shifts and masks, so that an aggregator in the kernel can use the
// very same buckets.
func BucketIndex(ns int64) int {
	v := uint64(max(ns, 0))
	shift := uint(bits.Len64(v|(2*subBuckets-1))) - (subBits + 1)
	return int(uint64(shift)<<subBits + v>>(shift&63))
}

// BucketBounds returns the smallest and the largest value, in nanoseconds, of bucket i.
// Precondition: 0 ≤ i < NumBuckets.
func BucketBounds(i int) (lowNs, highNs int64) {
	shift := max(i>>subBits-1, 0)
	lowNs = int64(i-shift<<subBits) << shift
	return lowNs, lowNs + (1<<shift - 1)
}

// Record adds one value; a negative one, which only a clock that stepped back can produce, counts as 0.
func (h *Histogram) Record(ns int64) {
	ns = max(ns, 0)
	i := BucketIndex(ns)
	o := h.octave[i>>subBits]
	if o == nil {
		o = h.grow(i >> subBits)
	}
	o[i&(subBuckets-1)]++
	h.count++
	var carry uint64
	h.sumLo, carry = bits.Add64(h.sumLo, uint64(ns), 0)
	h.sumHi += carry
	h.max = max(h.max, ns)
	h.headroom = max(h.headroom, math.MaxInt64-ns)
}

// RecordN adds the same value n times. Counts stop at MaxUint64 rather than wrap.
func (h *Histogram) RecordN(ns int64, n uint64) {
	if n == 0 {
		return
	}
	ns = max(ns, 0)
	i := BucketIndex(ns)
	o := h.octave[i>>subBits]
	if o == nil {
		o = h.grow(i >> subBits)
	}
	b := &o[i&(subBuckets-1)]
	*b = addSaturating(*b, n)
	h.count = addSaturating(h.count, n)
	hi, lo := bits.Mul64(uint64(ns), n)
	h.addSum(hi, lo)
	h.max = max(h.max, ns)
	h.headroom = max(h.headroom, math.MaxInt64-ns)
}

// Merge adds all values of other; the result is that of having recorded all values in h.
func (h *Histogram) Merge(other *Histogram) {
	if other.count == 0 {
		return
	}
	for i, from := range &other.octave {
		if from == nil {
			continue
		}
		to := h.octave[i]
		if to == nil {
			*h.grow(i) = *from
			continue
		}
		if h.count+other.count >= h.count { // so no bucket has more than fits into it either
			for j, n := range from {
				to[j] += n
			}
			continue
		}
		for j, n := range from {
			to[j] = addSaturating(to[j], n)
		}
	}
	h.count = addSaturating(h.count, other.count)
	h.addSum(other.sumHi, other.sumLo)
	h.max = max(h.max, other.max)
	h.headroom = max(h.headroom, other.headroom)
}

// Subtract takes off what an earlier state of h held, as Clone gave it: what is left are the values that have been
// added since then. The count, the sum and the buckets are exact. The minimum is exact if it is below the
// earlier one, and so is the maximum if it is above. Otherwise they are bounds of what they were: those of the
// outermost buckets that are left, within the extremes of h.
//
// Of a histogram that h never was, no more than all is taken off.
func (h *Histogram) Subtract(earlier *Histogram) {
	left := Histogram{octave: h.octave}
	lowNs, highNs := int64(-1), int64(0) // of the outermost buckets
	for i, o := range &left.octave {
		if o == nil {
			continue
		}
		before := left.count
		for j := range o {
			if from := earlier.octave[i]; from != nil {
				o[j] = subtractSaturating(o[j], from[j])
			}
			if o[j] == 0 {
				continue
			}
			low, high := BucketBounds(i<<subBits + j)
			if lowNs < 0 {
				lowNs = low
			}
			highNs = high
			left.count = addSaturating(left.count, o[j])
		}
		if left.count == before {
			left.octave[i] = nil
		}
	}
	if left.count > 0 {
		left.setExtremes(h, earlier, lowNs, highNs)
		left.sumHi, left.sumLo = subtract128(h.sumHi, h.sumLo, earlier.sumHi, earlier.sumLo)
	}
	*h = left
}

// setExtremes sets the extremes of h, which is later less earlier, and has values in buckets from lowNs to highNs.
func (h *Histogram) setExtremes(later, earlier *Histogram, lowNs, highNs int64) {
	minNs, maxNs := int64(later.Min()), later.max
	if earlier.count > 0 && minNs == int64(earlier.Min()) {
		minNs = max(minNs, lowNs)
	}
	if earlier.count > 0 && maxNs == earlier.max {
		maxNs = min(maxNs, highNs)
	}
	h.max, h.headroom = maxNs, math.MaxInt64-minNs
}

// Clone returns an independent copy.
func (h *Histogram) Clone() *Histogram {
	c := new(Histogram)
	c.Merge(h)
	return c
}

// Count returns how many values were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Sum returns the exact sum of all values. A sum beyond 292 years, the longest time.Duration, is
// returned as that; Mean is exact even then.
func (h *Histogram) Sum() time.Duration {
	if h.sumHi != 0 || h.sumLo > math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(h.sumLo)
}

// Min returns the exact smallest value, 0 if there is none.
func (h *Histogram) Min() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(math.MaxInt64 - h.headroom)
}

// Max returns the exact largest value, 0 if there is none.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean returns the exact arithmetic mean, rounded to the nearest nanosecond; 0 if there are no values.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	if h.sumHi >= h.count { // only after the count stopped at MaxUint64
		return math.MaxInt64
	}
	q, r := bits.Div64(h.sumHi, h.sumLo, h.count)
	if r > (h.count-1)/2 {
		q++
	}
	return time.Duration(min(q, math.MaxInt64))
}

// StdDev returns the standard deviation of the recorded values (of the population, not an estimate from
// a sample), read from the buckets: a spread below 0.4 % of the values is within its error.
func (h *Histogram) StdDev() time.Duration {
	if h.count == 0 {
		return 0
	}
	mean := (float64(h.sumHi)*(1<<64) + float64(h.sumLo)) / float64(h.count)
	var squares float64
	for b := range h.Buckets() {
		d := float64(h.Middle(b)) - mean
		squares += d * d * float64(b.Count)
	}
	return time.Duration(math.Round(math.Sqrt(squares / float64(h.count))))
}

// Quantile returns the smallest recorded value that at least the share q of all values does not exceed
// (nearest rank), with a relative error of at most 0.4 %. It never lies outside Min … Max, which are
// what q ≤ 0 and q ≥ 1 return exactly; 0 if there are no values.
func (h *Histogram) Quantile(q float64) time.Duration {
	if !(q > 0) || h.count == 0 { // so that NaN is taken as 0
		return h.Min()
	}
	if q >= 1 {
		return h.Max()
	}
	rank := uint64(math.Ceil(q * float64(h.count)))
	var seen uint64
	for i, o := range &h.octave {
		if o == nil {
			continue
		}
		for j, n := range o {
			if seen = addSaturating(seen, n); seen >= rank {
				low, high := BucketBounds(i<<subBits + j)
				return time.Duration(h.Middle(Bucket{low, high, n}))
			}
		}
	}
	return h.Max()
}

// Buckets yields the non-empty buckets, smallest values first.
func (h *Histogram) Buckets() iter.Seq[Bucket] {
	return func(yield func(Bucket) bool) {
		for i, o := range &h.octave {
			if o == nil {
				continue
			}
			for j, n := range o {
				if n == 0 {
					continue
				}
				low, high := BucketBounds(i<<subBits + j)
				if !yield(Bucket{low, high, n}) {
					return
				}
			}
		}
	}
}

// Middle stands for all values of b, which is a bucket of h: the bucket's midpoint, unless the exact extremes know better.
func (h *Histogram) Middle(b Bucket) int64 {
	mid := b.LowNs + (b.HighNs-b.LowNs)/2
	return min(max(mid, int64(h.Min())), h.max)
}

// grow allocates octave i. It stays out of line so that Record remains small.
//
//go:noinline
func (h *Histogram) grow(i int) *[subBuckets]uint64 {
	h.octave[i] = new([subBuckets]uint64)
	return h.octave[i]
}

// ShiftSum adds ns to the sum of all values and changes nothing else. It is for recorded values of which only the sum
// is known to be wrong. The sum stays within what the count and the extremes allow.
func (h *Histogram) ShiftSum(ns int64) {
	least, low := bits.Mul64(h.count, uint64(h.Min()))
	most, high := bits.Mul64(h.count, uint64(h.Max()))
	if least != 0 || most != 0 || h.sumHi != 0 {
		return // of 500 years the nanoseconds do not matter
	}
	if ns < 0 {
		h.sumLo -= min(uint64(-ns), h.sumLo-low)
	} else {
		h.sumLo += min(uint64(ns), high-h.sumLo)
	}
}

// octaves is how many powers of two have values. h may be nil.
func (h *Histogram) octaves() (n int) {
	if h == nil {
		return 0
	}
	for _, o := range &h.octave {
		if o != nil {
			n++
		}
	}
	return n
}

// countOrZero is Count for a histogram that may be nil.
func (h *Histogram) countOrZero() uint64 {
	if h == nil {
		return 0
	}
	return h.count
}

func (h *Histogram) addSum(hi, lo uint64) {
	var carry uint64
	h.sumLo, carry = bits.Add64(h.sumLo, lo, 0)
	h.sumHi, carry = bits.Add64(h.sumHi, hi, carry)
	if carry != 0 { // only after the count stopped at MaxUint64
		h.sumHi, h.sumLo = math.MaxUint64, math.MaxUint64
	}
}

func addSaturating(a, b uint64) uint64 {
	if s := a + b; s >= a {
		return s
	}
	return math.MaxUint64
}

func subtractSaturating(a, b uint64) uint64 { return a - min(a, b) }

// subtract128 is a − b of two numbers of 128 bits, and 0 if b is larger.
func subtract128(aHi, aLo, bHi, bLo uint64) (hi, lo uint64) {
	lo, borrow := bits.Sub64(aLo, bLo, 0)
	hi, borrow = bits.Sub64(aHi, bHi, borrow)
	if borrow != 0 {
		return 0, 0
	}
	return hi, lo
}

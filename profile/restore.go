package profile

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// Sum128 returns the exact sum of all values in nanoseconds, as the high and the low 64 bits of a
// 128-bit number. Only a Histogram whose counts stopped at MaxUint64 has less than the exact one.
func (h *Histogram) Sum128() (hi, lo uint64) { return h.sumHi, h.sumLo }

// RestoreHistogram makes the histogram again that had these buckets (all that Buckets yields, in its
// order), these extremes and this sum (see Sum128). What comes from a file may be anything: numbers that
// no histogram can have had are an error.
func RestoreHistogram(buckets []Bucket, minNs, maxNs int64, sumHi, sumLo uint64) (*Histogram, error) {
	h := new(Histogram)
	if len(buckets) == 0 {
		if minNs != 0 || maxNs != 0 || sumHi != 0 || sumLo != 0 {
			return nil, errors.New("a histogram without buckets has a minimum, a maximum or a sum")
		}
		return h, nil
	}
	last := -1
	for _, b := range buckets {
		i := BucketIndex(b.LowNs)
		if low, high := BucketBounds(i); b.LowNs != low || b.HighNs != high {
			return nil, fmt.Errorf("there is no bucket of %d to %d ns", b.LowNs, b.HighNs)
		}
		if b.Count == 0 {
			return nil, fmt.Errorf("the bucket of %d to %d ns is empty", b.LowNs, b.HighNs)
		}
		if i <= last {
			return nil, fmt.Errorf("the bucket of %d to %d ns is out of order", b.LowNs, b.HighNs)
		}
		last = i
		o := h.octave[i>>subBits]
		if o == nil {
			o = h.grow(i >> subBits)
		}
		o[i&(subBuckets-1)] = b.Count
		h.count = addSaturating(h.count, b.Count)
	}
	// A correction shifts the sum and the extremes exactly, but whole buckets by their middle: so these
	// need not agree to the nanosecond.
	if minNs < 0 || minNs > maxNs || minNs > buckets[0].HighNs || maxNs < buckets[len(buckets)-1].LowNs {
		return nil, fmt.Errorf("a minimum of %d ns and a maximum of %d ns do not fit the buckets", minNs, maxNs)
	}
	if h.count < math.MaxUint64 && !sumFits(h.count, minNs, maxNs, sumHi, sumLo) {
		return nil, errors.New("the sum does not fit the count, the minimum and the maximum")
	}
	h.sumHi, h.sumLo, h.max, h.headroom = sumHi, sumLo, maxNs, math.MaxInt64-minNs
	return h, nil
}

// sumFits says whether count values of minNs to maxNs can have the sum.
func sumFits(count uint64, minNs, maxNs int64, sumHi, sumLo uint64) bool {
	lowHi, lowLo := bits.Mul64(count, uint64(minNs))
	highHi, highLo := bits.Mul64(count, uint64(maxNs))
	notBelow := sumHi > lowHi || sumHi == lowHi && sumLo >= lowLo
	notAbove := sumHi < highHi || sumHi == highHi && sumLo <= highLo
	return notBelow && notAbove
}

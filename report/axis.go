package report

import (
	"math"
	"strings"

	"sysprof/profile"
)

// axis is a logarithmic time axis. All distributions of a table are drawn over the same one, so that they can
// be compared by eye. Its ends are round numbers of nanoseconds, and 0 < lowNs < highNs.
type axis struct {
	lowNs, highNs int64
	below         bool // there are values below lowNs, which are drawn at the low end
}

// leastAxisNs is the least low end of an axis. Latencies below it differ only by the error of the transit that
// was subtracted, and decades for them would take room from the others.
const leastAxisNs = 10

// sparks are the blocks that spark draws with, from the lowest to the highest.
var sparks = [...]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}

// axisOf is an axis for all these distributions. It begins at the least of their 1st percentiles and ends at
// the slowest call.
func axisOf(distributions []*profile.Histogram) axis {
	low, high, fastest := int64(math.MaxInt64), int64(0), int64(math.MaxInt64)
	for _, h := range distributions {
		if h.Count() == 0 {
			continue
		}
		low = min(low, int64(h.Quantile(0.01)))
		fastest = min(fastest, int64(h.Min()))
		high = max(high, int64(h.Max()))
	}
	a := axis{lowNs: roundDown(min(max(low, leastAxisNs), max(high, leastAxisNs)))}
	a.highNs = max(roundUp(high), roundUp(a.lowNs+1))
	a.below = fastest < a.lowNs
	return a
}

// bin is the index of the part of the axis that a time falls into, if the axis has n parts of equal width.
// Times outside the axis are in the first or the last part.
func (a axis) bin(ns int64, n int) int {
	if ns <= a.lowNs {
		return 0
	}
	low, high := math.Log(float64(a.lowNs)), math.Log(float64(a.highNs))
	i := int(float64(n) * (math.Log(float64(ns)) - low) / (high - low))
	return min(max(i, 0), n-1)
}

// surelyUntil is a time up to which part i of n goes at least.
func (a axis) surelyUntil(i, n int) int64 {
	const less = 0.999 // than the exact end, which is rounded one way or the other
	low, high := math.Log(float64(a.lowNs)), math.Log(float64(a.highNs))
	return int64(less * math.Exp(low+(high-low)*float64(i+1)/float64(n)))
}

// spark draws a distribution in n characters, one for each part of the axis. A part's height is its number of
// calls relative to that of the part with the most. A part without calls is blank; any other has at least
// the lowest block.
func (a axis) spark(h *profile.Histogram, n int) string {
	counts := make([]float64, n)
	most := 0.0
	i, until := 0, int64(-1) // times up to that are in part i
	for b := range h.Buckets() {
		if ns := middle(b); ns > until { // else no logarithm is needed
			i = a.bin(ns, n)
			until = a.surelyUntil(i, n)
		}
		counts[i] += float64(b.Count)
		most = max(most, counts[i])
	}
	var s strings.Builder
	for _, c := range counts {
		if c == 0 {
			s.WriteByte(' ')
			continue
		}
		s.WriteString(sparks[min(int(c/most*float64(len(sparks))), len(sparks)-1)])
	}
	return s.String()
}

// labels are the two ends of the axis as text. The low one is marked where faster calls are drawn there too.
func (a axis) labels() (low, high string) {
	low, high = shortTime(a.lowNs), shortTime(a.highNs)
	if a.below {
		low = "≤" + low
	}
	return low, high
}

// heading is n characters wide, with the labels at both ends. Precondition: n >= headingWidth().
func (a axis) heading(n int) string {
	low, high := a.labels()
	return low + " " + strings.Repeat("·", n-textWidth(low)-textWidth(high)-2) + " " + high
}

// headingWidth is the least width of heading: the labels, two blanks and a dot.
func (a axis) headingWidth() int {
	low, high := a.labels()
	return textWidth(low) + textWidth(high) + 3
}

// middle is the time that stands for all calls of a bucket.
func middle(b profile.Bucket) int64 { return b.LowNs + (b.HighNs-b.LowNs)/2 }

// roundUp is the least number of the series 1, 2, 5, 10, 20, 50, 100 and so on that is not below ns, or
// MaxInt64 if that number overflows.
func roundUp(ns int64) int64 {
	for ten := int64(1); ; ten *= 10 {
		for _, digit := range [...]int64{1, 2, 5} {
			if digit*ten >= ns {
				return digit * ten
			}
		}
		if ten > math.MaxInt64/10 {
			return math.MaxInt64
		}
	}
}

// roundDown is the greatest number of the series 1, 2, 5, 10, 20, 50, 100 and so on that is not above ns.
// Precondition: ns > 0.
func roundDown(ns int64) int64 {
	best := int64(1)
	for ten := int64(1); ; ten *= 10 {
		for _, digit := range [...]int64{1, 2, 5} {
			if digit*ten > ns {
				return best
			}
			best = digit * ten
		}
		if ten > math.MaxInt64/10 {
			return best
		}
	}
}

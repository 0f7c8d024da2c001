package trials

import (
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// Ratio estimates how many times as much as what olds are of the things are that values are of, where both were measured
// independently, not in rounds: the median of all quotients of a value and an old one, with the interval of Hodges and
// Lehmann at RatioLevel. That lacks 1 just where the test of Mann and Whitney, which package benchmath compares two samples
// by, finds a difference. Where there are too few for it, the interval is as wide as can be, and its confidence 0. 0 ÷ 0
// is 1.
func Ratio(values, olds []float64) Estimate {
	if len(values) == 0 || len(olds) == 0 {
		return Of(nil)
	}
	quotients := make([]float64, 0, len(values)*len(olds))
	for _, v := range values {
		for _, old := range olds {
			if v == old {
				quotients = append(quotients, 1)
			} else {
				quotients = append(quotients, v/old)
			}
		}
	}
	slices.Sort(quotients)
	n := len(quotients)
	median := quotients[n/2]
	if n%2 == 0 && !math.IsInf(median, 1) {
		median = (quotients[n/2-1] + median) / 2
	}
	outside, confidence := leastRanks(len(values), len(olds))
	if confidence == 0 {
		return Estimate{Median: median, Lo: 0, Hi: math.Inf(1)}
	}
	return Estimate{Median: median, Lo: quotients[outside], Hi: quotients[n-1-outside], Confidence: confidence}
}

// EnoughForRatio is how many values of each side Ratio needs for an interval.
const EnoughForRatio = 4

// RatioLevel is the confidence that the interval of n and m values is chosen for: 0.99 where they suffice for it, which five
// of each do, or else Level. Who looks at many ratios finds one in a hundred, or in twenty, that is chance.
func RatioLevel(n, m int) float64 {
	const strict, enough = 0.99, 5
	if min(n, m) >= enough {
		return strict
	}
	return Level
}

// leastRanks is how many of the sorted quotients of n and m values may be left out at either end, with the confidence of what
// remains; 0 if all of them together do not reach RatioLevel.
func leastRanks(n, m int) (outside int, confidence float64) {
	const exact = 40 // beyond so many values of each side, the normal distribution is as good
	tail := (1 - RatioLevel(n, m)) / 2
	if n > exact || m > exact {
		mean, variance := float64(n)*float64(m)/2, float64(n)*float64(m)*float64(n+m+1)/12
		z := -stats.StdNormal.InvCDF(tail)
		return max(int(mean-z*math.Sqrt(variance))-1, 0), 1 - 2*tail
	}
	u := stats.UDist{N1: n, N2: m}
	below := u.CDF(0)
	if below > tail {
		return 0, 0
	}
	for {
		more := u.CDF(float64(outside + 1))
		if more > tail {
			return outside, 1 - 2*below
		}
		outside, below = outside+1, more
	}
}

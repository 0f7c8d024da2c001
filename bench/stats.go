package main

import (
	"math"
	"slices"
)

// estimate is a median with an interval that holds the true median with at least the confidence
// given, whatever the distribution.
type estimate struct {
	Median     float64 `json:"median"`
	Lo         float64 `json:"lo"`
	Hi         float64 `json:"hi"`
	Confidence float64 `json:"confidence"`
}

// wantConfidence is the confidence that intervals are chosen for. Fewer than six values cannot give
// it; their interval is their whole range, with the confidence that it has.
const wantConfidence = 0.95

// estimateOf returns the median of values and its interval. It is NaN for no values.
func estimateOf(values []float64) estimate {
	n := len(values)
	if n == 0 {
		nan := math.NaN()
		return estimate{nan, nan, nan, 0}
	}
	sorted := slices.Sorted(slices.Values(values))
	median := sorted[n/2]
	if n%2 == 0 {
		median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	// The interval from the k-th smallest to the k-th largest value misses the median only if fewer
	// than k values fell on one side of it, each with probability 1/2: a binomial distribution.
	k, outside := 1, 2*binomialHalf(n, 0)
	for k < n/2 {
		next := outside + 2*binomialHalf(n, k)
		if next > 1-wantConfidence {
			break
		}
		k, outside = k+1, next
	}
	return estimate{median, sorted[k-1], sorted[n-k], 1 - min(outside, 1)}
}

// binomialHalf is the probability of k heads in n throws of a fair coin.
func binomialHalf(n, k int) float64 {
	nFact, _ := math.Lgamma(float64(n + 1))
	kFact, _ := math.Lgamma(float64(k + 1))
	rest, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(nFact - kFact - rest - float64(n)*math.Ln2)
}

// holds reports whether v is in the interval.
func (e estimate) holds(v float64) bool { return e.Lo <= v && v <= e.Hi }

// pairwise applies f to the values of the same index.
func pairwise(a, b []float64, f func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = f(a[i], b[i])
	}
	return out
}

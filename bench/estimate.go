package main

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// estimate is the median of what the rounds gave, with an interval. The true median lies in the interval
// with at least the confidence given, whatever the distribution is.
type estimate struct {
	Median     float64 `json:"median"`
	Lo         float64 `json:"lo"`
	Hi         float64 `json:"hi"`
	Confidence float64 `json:"confidence"`

	warnings []error // what benchmath says of the values; results.warnings collects them
}

// confidenceLevel is the confidence that intervals are chosen for.
const confidenceLevel = 0.95

// estimateOf returns the median of values and its interval, and NaN where there are no values. Fewer
// than six values do not suffice for confidenceLevel. Package benchmath makes their interval infinite,
// with a warning; here it is their range, with the lower confidence that the range has.
func estimateOf(values []float64) estimate {
	n := len(values)
	if n == 0 {
		return estimate{Median: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}
	}
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds) // sorts its argument
	s := benchmath.AssumeNothing.Summary(sample, confidenceLevel)
	e := estimate{s.Center, s.Lo, s.Hi, s.Confidence, slices.Concat(sample.Warnings, s.Warnings)}
	if math.IsInf(s.Lo, -1) || math.IsInf(s.Hi, 1) {
		// The range lacks the true median if all values are above it, or all below it. Each value is so
		// with probability 1/2.
		e.Lo, e.Hi = sample.Values[0], sample.Values[n-1]
		e.Confidence = 1 - 2*math.Exp2(-float64(n))
	}
	return e
}

// contains reports whether v is in the interval.
func (e *estimate) contains(v float64) bool { return e.Lo <= v && v <= e.Hi }

// warningsOf lists the warnings about the estimates. Each is listed once, with the number of estimates
// that it is about. An estimate may be nil.
func warningsOf(estimates []*estimate) []string {
	counts := make(map[string]int)
	total := 0
	for _, e := range estimates {
		if e == nil {
			continue
		}
		total++
		for _, w := range e.warnings {
			counts[w.Error()]++
		}
	}
	var list []string
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s (%d of %d estimates)", text, counts[text], total))
	}
	return list
}

// pairwise applies f to the values of the same round. Package benchmath has no counterpart: it compares
// two samples as if their values were independent. Here the values of a round belong together, since
// all that is measured in a round meets the same load of the machine.
func pairwise(a, b []float64, f func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = f(a[i], b[i])
	}
	return out
}

// quotients returns a ÷ b, round by round.
func quotients(a, b []float64) []float64 {
	return pairwise(a, b, func(a, b float64) float64 { return a / b })
}

// Package trials sums up what was measured several times: the median, with an interval that says how much of it may be
// chance. What is compared is measured in rounds, each thing once in each round, and compared within a round: all of a
// round meets the same load of the machine.
//
// It is arithmetic. It does not run anything and does not know what the values are of.
package trials

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// Estimate is the median of what the rounds gave, with an interval. The true median lies in the interval
// with at least the confidence given, whatever the distribution is.
type Estimate struct {
	Median     float64 `json:"median"`
	Lo         float64 `json:"lo"`
	Hi         float64 `json:"hi"`
	Confidence float64 `json:"confidence"`

	warnings []error // what benchmath says of the values; Warnings collects them
}

// Level is the confidence that intervals are chosen for.
const Level = 0.95

// Of returns the median of values and its interval, and NaN where there are no values. Fewer than six values do not
// suffice for Level. Package benchmath makes their interval infinite, with a warning; here it is their range, with the
// lower confidence that the range has.
func Of(values []float64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{Median: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}
	}
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds) // sorts its argument
	s := benchmath.AssumeNothing.Summary(sample, Level)
	e := Estimate{s.Center, s.Lo, s.Hi, s.Confidence, slices.Concat(sample.Warnings, s.Warnings)}
	if math.IsInf(s.Lo, -1) || math.IsInf(s.Hi, 1) {
		// The range lacks the true median if all values are above it, or all below it. Each value is so
		// with probability 1/2.
		e.Lo, e.Hi = sample.Values[0], sample.Values[n-1]
		e.Confidence = 1 - 2*math.Exp2(-float64(n))
	}
	return e
}

// Contains reports whether v is in the interval.
func (e *Estimate) Contains(v float64) bool { return e.Lo <= v && v <= e.Hi }

// Noise is what is printed instead of a median that may be chance.
const Noise = "~"

// Cells returns what tables show of the estimate: the median, and the two ends of the interval, none for a single value,
// which has no interval. The median is Noise if the interval contains same, the value that the estimate would have if
// there was no difference. Numbers are written by format.
func (e *Estimate) Cells(same float64, format func(float64) string) (median, lo, hi string) {
	if e.Confidence == 0 {
		return format(e.Median), "", ""
	}
	median = format(e.Median)
	if e.Contains(same) {
		median = Noise
	}
	return median, format(e.Lo), format(e.Hi)
}

// Warnings lists the warnings about the estimates. Each is listed once, with the number of estimates
// that it is about. An estimate may be nil.
func Warnings(estimates []*Estimate) []string {
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

// Pairwise applies f to the values of the same round. Package benchmath has no counterpart: it compares
// two samples as if their values were independent.
func Pairwise(a, b []float64, f func(a, b float64) float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = f(a[i], b[i])
	}
	return out
}

// Differences returns a − b, round by round.
func Differences(a, b []float64) []float64 {
	return Pairwise(a, b, func(a, b float64) float64 { return a - b })
}

// Quotients returns a ÷ b, round by round.
func Quotients(a, b []float64) []float64 {
	return Pairwise(a, b, func(a, b float64) float64 { return a / b })
}

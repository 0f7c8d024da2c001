package main

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Fewer values than the confidence level needs have their range as the interval, and a warning. More
// values have the interval of package benchmath.
func TestEstimateOf(t *testing.T) {
	downFrom := func(n int) (values []float64) {
		for i := n; i > 0; i-- {
			values = append(values, float64(i))
		}
		return values
	}
	for _, test := range []struct {
		name   string
		values []float64
		want   estimate
		warned bool
	}{
		{"none", nil, estimate{Median: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}, false},
		{"one", downFrom(1), estimate{Median: 1, Lo: 1, Hi: 1, Confidence: 0}, true},
		{"two", downFrom(2), estimate{Median: 1.5, Lo: 1, Hi: 2, Confidence: 0.5}, true},
		{"five are too few", downFrom(5), estimate{Median: 3, Lo: 1, Hi: 5, Confidence: 0.9375}, true},
		{"six", downFrom(6), estimate{Median: 3.5, Lo: 1, Hi: 6, Confidence: 0.96875}, false},
		{"ten", downFrom(10), estimate{Median: 5.5, Lo: 2, Hi: 9, Confidence: 0.978515625}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.values)
			got := estimateOf(test.values)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-5), cmpopts.IgnoreUnexported(got)); diff != "" {
				t.Error(diff)
			}
			if warned := len(got.warnings) > 0; warned != test.warned {
				t.Errorf("warnings %v, want some: %v", got.warnings, test.warned)
			}
			if !slices.Equal(before, test.values) {
				t.Errorf("the argument was changed to %v", test.values)
			}
		})
	}
}

func TestWarningsAreCounted(t *testing.T) {
	few, enough := estimateOf([]float64{1, 2}), estimateOf([]float64{1, 2, 3, 4, 5, 6})
	want := []string{"need >= 6 samples for confidence interval at level 0.95 (2 of 3 estimates)"}
	if diff := cmp.Diff(want, warningsOf([]*estimate{&few, nil, &enough, &few})); diff != "" {
		t.Error(diff)
	}
}

// Ratios are taken within a round. A machine that becomes twice as slow half-way changes none of them.
func TestRatioIsPaired(t *testing.T) {
	s := &series{NsPerOp: map[string][]float64{
		untraced: {100, 100, 200, 200},
		floorGo:  {1100, 1100, 2200, 2200},
		sysprofC: {1300, 1300, 2600, 2600},
	}}
	want := &estimate{Median: 1.2, Lo: 1.2, Hi: 1.2, Confidence: 0.875}
	if diff := cmp.Diff(want, s.NsPerOp.compared(sysprofC, floorGo), cmpopts.EquateApprox(0, 1e-9), cmpopts.IgnoreUnexported(*want)); diff != "" {
		t.Error(diff)
	}
	if got := s.NsPerOp.compared(sysprofC, straceC); got != nil {
		t.Errorf("compared with what was not measured: %v", got)
	}
	if diff := cmp.Diff([]float64{11, 11, 11, 11}, s.NsPerOp.slowdown(floorGo)); diff != "" {
		t.Error(diff)
	}
}

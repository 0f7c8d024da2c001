package main

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestEstimateOf(t *testing.T) {
	upTo := func(n int) (values []float64) {
		for i := n; i > 0; i-- { // from the greatest down: it has to sort
			values = append(values, float64(i))
		}
		return values
	}
	// The intervals are those of the tables of order-statistic intervals for the median.
	for _, test := range []struct {
		name   string
		values []float64
		want   estimate
	}{
		{"none", nil, estimate{math.NaN(), math.NaN(), math.NaN(), 0}},
		{"one", upTo(1), estimate{1, 1, 1, 0}},
		{"two", upTo(2), estimate{1.5, 1, 2, 0.5}},
		{"five are too few", upTo(5), estimate{3, 1, 5, 0.9375}},
		{"six", upTo(6), estimate{3.5, 1, 6, 0.96875}},
		{"nine", upTo(9), estimate{5, 2, 8, 0.9609375}},
		{"ten", upTo(10), estimate{5.5, 2, 9, 0.978515625}},
		{"twenty", upTo(20), estimate{10.5, 6, 15, 0.95861}},
		{"a hundred", upTo(100), estimate{50.5, 40, 61, 0.96480}},
		{"equal", []float64{4, 4, 4, 4, 4, 4}, estimate{4, 4, 4, 0.96875}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := estimateOf(test.values)
			if diff := cmp.Diff(test.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-5)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEstimateOfLeavesItsArgument(t *testing.T) {
	values := []float64{3, 1, 2}
	estimateOf(values)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Error(diff)
	}
}

// Ratios are taken within a round: a machine that gets twice as slow half-way changes none.
func TestRatioIsPaired(t *testing.T) {
	s := &series{NsPerOp: map[string][]float64{
		untraced: {100, 100, 200, 200},
		floorGo:  {1100, 1100, 2200, 2200},
		sysprofC: {1300, 1300, 2600, 2600},
	}}
	if diff := cmp.Diff(&estimate{1.2, 1.2, 1.2, 0.875}, s.NsPerOp.compared(sysprofC, floorGo), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
	if got := s.NsPerOp.compared(sysprofC, straceC); got != nil {
		t.Errorf("compared with what was not measured: %v", got)
	}
	if diff := cmp.Diff([]float64{11, 11, 11, 11}, s.NsPerOp.slowdown(floorGo)); diff != "" {
		t.Error(diff)
	}
}

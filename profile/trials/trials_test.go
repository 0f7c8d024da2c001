package trials

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Fewer values than the confidence level needs have their range as the interval, and a warning. More
// values have the interval of package benchmath.
func TestOf(t *testing.T) {
	downFrom := func(n int) (values []float64) {
		for i := n; i > 0; i-- {
			values = append(values, float64(i))
		}
		return values
	}
	for _, test := range []struct {
		name   string
		values []float64
		want   Estimate
		warned bool
	}{
		{"none", nil, Estimate{Median: math.NaN(), Lo: math.NaN(), Hi: math.NaN()}, false},
		{"one", downFrom(1), Estimate{Median: 1, Lo: 1, Hi: 1, Confidence: 0}, true},
		{"two", downFrom(2), Estimate{Median: 1.5, Lo: 1, Hi: 2, Confidence: 0.5}, true},
		{"five are too few", downFrom(5), Estimate{Median: 3, Lo: 1, Hi: 5, Confidence: 0.9375}, true},
		{"six", downFrom(6), Estimate{Median: 3.5, Lo: 1, Hi: 6, Confidence: 0.96875}, false},
		{"ten", downFrom(10), Estimate{Median: 5.5, Lo: 2, Hi: 9, Confidence: 0.978515625}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.values)
			got := Of(test.values)
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
	few, enough := Of([]float64{1, 2}), Of([]float64{1, 2, 3, 4, 5, 6})
	want := []string{"need >= 6 samples for confidence interval at level 0.95 (2 of 3 estimates)"}
	if diff := cmp.Diff(want, Warnings([]*Estimate{&few, nil, &enough, &few})); diff != "" {
		t.Error(diff)
	}
}

func TestCells(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   [3]string
	}{
		{"above", []float64{2, 3, 4, 5, 6, 7}, [3]string{"4.5", "2.0", "7.0"}},
		{"below", []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, [3]string{"0.3", "0.1", "0.6"}},
		{"it may be 1", []float64{0.5, 3, 4, 5, 6, 7}, [3]string{Noise, "0.5", "7.0"}},
		{"it may just be 1", []float64{1, 3, 4, 5, 6, 7}, [3]string{Noise, "1.0", "7.0"}},
		{"one value has no interval", []float64{1}, [3]string{"1.0", "", ""}},
		{"none", nil, [3]string{"NaN", "", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := Of(test.values)
			median, lo, hi := e.Cells(1, func(v float64) string { return fmt.Sprintf("%.1f", v) })
			if got := [3]string{median, lo, hi}; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Values of one round are compared with each other, and those without a partner are left out.
func TestPairwise(t *testing.T) {
	a, b := []float64{10, 20, 30}, []float64{5, 4}
	if got := Differences(a, b); !slices.Equal(got, []float64{5, 16}) {
		t.Errorf("differences %v", got)
	}
	if got := Quotients(a, b); !slices.Equal(got, []float64{2, 5}) {
		t.Errorf("quotients %v", got)
	}
}

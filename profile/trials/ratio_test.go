package trials

import (
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/perf/benchmath"
)

// TestRatioAgreesWithBenchmath: the interval lacks 1 just where benchmath finds a difference.
func TestRatioAgreesWithBenchmath(t *testing.T) {
	const rounds = 100
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{4, 4}, {5, 5}, {4, 9}, {10, 10}, {12, 20}, {45, 60}} {
		differ := 0
		for i := range rounds {
			var values, olds []float64
			for range size[0] {
				values = append(values, 100*(1+0.1*r.NormFloat64())*(1+float64(i%10)/50))
			}
			for range size[1] {
				olds = append(olds, 100*(1+0.1*r.NormFloat64()))
			}
			e := Ratio(values, olds)
			if e.Lo > e.Median || e.Median > e.Hi {
				t.Fatalf("%v: %v is not in its interval", size, e)
			}
			thresholds := benchmath.DefaultThresholds
			thresholds.CompareAlpha = 1 - RatioLevel(size[0], size[1])
			c := benchmath.AssumeNothing.Compare(benchmath.NewSample(values, &thresholds), benchmath.NewSample(olds, &thresholds))
			// Two ranks that the normal distribution rounds otherwise: at the very limit they may disagree.
			if limit := math.Abs(c.P/thresholds.CompareAlpha - 1); (c.P < thresholds.CompareAlpha) == e.Contains(1) && limit > 0.1 {
				t.Errorf("%v: benchmath's p is %v, the interval %v to %v", size, c.P, e.Lo, e.Hi)
			}
			if !e.Contains(1) {
				differ++
			}
		}
		if differ < 2 || differ > rounds-2 {
			t.Errorf("%v: %d of %d differ, so that this shows nothing", size, differ, rounds)
		}
	}
}

func TestRatio(t *testing.T) {
	same := []float64{7, 7, 7, 7, 7}
	if e := Ratio(same, same); e.Median != 1 || e.Lo != 1 || e.Hi != 1 {
		t.Errorf("of equal values: %+v", e)
	}
	zero := []float64{0, 0, 0, 0, 0}
	if e := Ratio(zero, zero); e.Median != 1 || e.Lo != 1 || e.Hi != 1 {
		t.Errorf("of nothing: %+v", e)
	}
	if e := Ratio(same, zero); !math.IsInf(e.Median, 1) || e.Contains(1) {
		t.Errorf("of something and nothing: %+v", e)
	}
	if e := Ratio(zero, same); e.Median != 0 || e.Contains(1) {
		t.Errorf("of nothing and something: %+v", e)
	}
	if e := Ratio([]float64{9, 9, 9}, []float64{1, 1, 1}); e.Median != 9 || !e.Contains(1) || e.Confidence != 0 {
		t.Errorf("of three values: %+v", e)
	}
	if e := Ratio(nil, same); !math.IsNaN(e.Median) {
		t.Errorf("of no values: %+v", e)
	}
}

package chart

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSlowdownsIsSVG(t *testing.T) {
	var out bytes.Buffer
	err := Slowdowns(&out, []Row{
		{"batch/find", []Point{{"sysprof", 4, 3, 5}, {"strace", 20, 19, 30}}},
		{"batch/xz", []Point{{"sysprof", 1.01, 0.99, 1.02}, {"strace", 1, 1, 1}, {"perf", math.Inf(1), 1, math.Inf(1)}}},
		{"batch/none", nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	svg := out.String()
	for parse := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := parse.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"<svg", ">batch/find<", ">batch/xz<", ">sysprof<", ">strace<", "Sans,Arial"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the SVG lacks %q", want)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error("it has a coordinate that is not a number")
	}
}

func TestNothingToDraw(t *testing.T) {
	if err := Slowdowns(io.Discard, nil); err == nil {
		t.Error("no error")
	}
}

func TestLimitsHaveAllFigures(t *testing.T) {
	low, high := limits([]Row{{"a", []Point{{"s", 4, 3, 50}, {"t", 0.9, 0.06, 1}, {"u", 0.9, 0.01, math.Inf(1)}, {"v", 1, -1, 99}}}})
	if low >= 0.06 || low < 0.03 || high <= 50 || high > 100 {
		t.Errorf("%v to %v, want a little more than 0.06 to 50", low, high)
	}
}

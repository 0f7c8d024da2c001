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
			t.Errorf("it lacks %q", want)
		}
	}
	if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error("it has numbers that are none")
	}
}

func TestNothingToDraw(t *testing.T) {
	if err := Slowdowns(io.Discard, nil); err == nil {
		t.Error("no error")
	}
}

func TestLimits(t *testing.T) {
	low, high := limits([]Row{{"a", []Point{{"s", 4, 3, 50}, {"t", 0.9, 0.8, math.Inf(1)}}}})
	if low != 0.4 || high != 400 {
		t.Errorf("%v to %v, want 0.4 to 400", low, high)
	}
}

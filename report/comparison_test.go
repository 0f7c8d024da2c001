package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"sysprof/profile"
	"sysprof/profile/trials"
)

// TestComparison draws comparisons of fixed figures. A golden file is named by the comparison and the flags that made it.
func TestComparison(t *testing.T) {
	comparisons := map[string]*Comparison{"compared": compared(), "once": once(), "quarrel": quarrel()}
	for _, name := range []string{
		"compared --bench=10", "compared --bench=10 -q", "compared --bench=10 COLUMNS=80", "compared --bench=10 COLUMNS=60 COLOR",
		"once --bench=1", "quarrel --bench=10 COLUMNS=100",
	} {
		t.Run(name, func(t *testing.T) {
			what, options, _ := strings.Cut(name, " ")
			width := 0
			if _, columns, ok := strings.Cut(options, "COLUMNS="); ok {
				fmt.Sscan(columns, &width)
			}
			var out bytes.Buffer
			if err := comparisons[what].Write(&out, width, strings.HasSuffix(options, "COLOR"), strings.HasSuffix(options, "-q")); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.String())
			for line := range strings.Lines(out.String()) {
				if bare := strings.TrimRight(line, "\n"); strings.TrimRight(bare, " ") != bare {
					t.Errorf("blanks at the end of %q", line)
				}
			}
		})
	}
}

// scaled has ten values around one.
func scaled(v float64) trials.Estimate {
	var values []float64
	for i := range 10 {
		values = append(values, v*(1+float64(i-4)/100))
	}
	return trials.Of(values)
}

// around is an estimate that has a value in it.
func around(v, spread float64) trials.Estimate {
	var values []float64
	for i := range 10 {
		values = append(values, v+spread*float64(i-4))
	}
	return trials.Of(values)
}

// compared is a comparison with all that there usually is.
func compared() *Comparison {
	calls := CallsCounted{12345, 12345, 12345}
	return &Comparison{
		Rounds:    10,
		Untraced:  Compared{Name: "untraced", Time: scaled(12.3e6)},
		Estimated: &Estimated{Time: scaled(12.5e6), ToMeasured: around(1.01, 0.01), Held: 9, Runs: 10},
		Tracers: []Compared{
			{"sysprof", scaled(85.1e6), scaled(6.92), scaled(5.9e3), calls},
			{"strace -f -c", scaled(612e6), scaled(49.8), scaled(48.6e3), calls},
			{"perf trace -s", scaled(12.4e6), around(1, 0.01), around(10, 20), CallsCounted{12340, 12345, 12345}},
		},
		Sysprof: &OwnTime{scaled(23e6), scaled(4.03e3)},
		Endings: []RunsEnded{{"untraced", Succeeded, 10}, {"sysprof", Succeeded, 10}, {"strace -f -c", Succeeded, 10}},
		Warnings: []RunsWarned{
			{profile.Warning{Kind: profile.UntracedByTracing}, 3, 10},
		},
	}
}

// once is of one round, with no other tracer and no estimate.
func once() *Comparison {
	one := func(v float64) trials.Estimate { return trials.Of([]float64{v}) }
	return &Comparison{
		Rounds:     1,
		Untraced:   Compared{Name: "untraced", Time: one(812e3)},
		Tracers:    []Compared{{"sysprof", one(24.6e6), one(30.3), trials.Of(nil), CallsCounted{}}},
		Sysprof:    &OwnTime{one(22e6), trials.Of(nil)},
		Endings:    []RunsEnded{{"untraced", "exit status 1", 1}, {"sysprof", "exit status 1", 1}},
		Unmeasured: []string{"strace", "perf"},
	}
}

// quarrel is of runs that differ in all that they can differ in.
func quarrel() *Comparison {
	c := compared()
	c.Tracers[0].Calls = CallsCounted{9_000, 12_345, 13_000}
	c.Tracers[1].Calls = CallsCounted{8_000, 8_000, 8_000}
	c.Tracers = c.Tracers[:2]
	c.Endings = []RunsEnded{{"untraced", Succeeded, 10}, {"sysprof", Succeeded, 9}, {"sysprof", "died of SIGSEGV", 1}, {"strace -f -c", "died of SIGSEGV", 10}}
	c.LeftOut = []LeftOut{{"perf trace -s", "No permissions to read /sys/kernel/tracing\x1b[2J/events"}}
	c.Warnings = nil
	return c
}

func TestDashed(t *testing.T) {
	for _, test := range []struct{ lo, hi, want string }{
		{"240 ms", "280 ms", "240–280 ms"},
		{"980 µs", "1.02 ms", "980 µs–1.02 ms"},
		{"-20 ns", "140 ns", "-20 to 140 ns"},
		{"-2.1 µs", "-140 ns", "-2.1 µs to -140 ns"},
		{"1.02", "1.07", "1.02–1.07"},
		{"1.02", "1.02", "1.02"},
	} {
		if got := dashed(test.lo, test.hi); got != test.want {
			t.Errorf("%q and %q: %q, want %q", test.lo, test.hi, got, test.want)
		}
	}
}

func TestComparisonProgress(t *testing.T) {
	for _, test := range []struct {
		progress ComparisonProgress
		width    int
		want     string
	}{
		{ComparisonProgress{Round: 0, Rounds: 10, Tracer: "untraced"}, 80, "a round that is not counted · untraced"},
		{ComparisonProgress{Round: 3, Rounds: 10, Tracer: "strace -f -c", LeftNs: 90e9}, 80, "round 3 of 10 · strace -f -c · about 90 s left"},
		{ComparisonProgress{Round: 3, Rounds: 10, Tracer: "sysprof"}, 15, "round 3 of 10 ·"},
	} {
		got := test.progress.Line(test.width)
		if got != test.want || utf8.RuneCountInString(got) > test.width {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

package report

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

func TestHumanTimes(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "0 ns", 1: "1 ns", 87: "87 ns", 999: "999 ns",
		1_000: "1.00 µs", 1_004: "1.00 µs", 9_994: "9.99 µs", 9_995: "10.0 µs", 12_345: "12.3 µs",
		99_949: "99.9 µs", 99_951: "100 µs", 999_499: "999 µs", 999_500: "1.00 ms",
		4_560_000: "4.56 ms", 41_000_000: "41.0 ms", 999_700_000: "1.00 s",
		59_000_000_000: "59.0 s", 999_000_000_000: "999 s", 1_000_000_000_000: "16.7 min",
		3_599_000_000_000: "1.00 h", 86_399_000_000_000: "1.00 d", 10 * 86_400_000_000_000: "10.0 d",
		math.MaxInt64: "292 y", -5_000: "-5.00 µs", math.MinInt64: "-292 y",
	} {
		if got := humanTime(ns); got != want {
			t.Errorf("%d ns = %q, want %q", ns, got, want)
		}
	}
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		part, whole float64
		want        string
	}{
		{0, 5, "0.0"}, {5, 0, "0.0"}, {-1, 5, "0.0"}, {1, 10_000, "<0.1"}, {1, 2_000, "0.1"}, {1, 3, "33.3"},
		{9_999, 10_000, "99.9"}, {5, 5, "100.0"}, {7, 2, "350.0"},
	} {
		if got := percent(c.part, c.whole); got != c.want {
			t.Errorf("%v of %v = %s, want %s", c.part, c.whole, got, c.want)
		}
	}
	for f, want := range map[float64]string{1: "1.00", 1.994: "1.99", 1.996: "2.0", 4.14: "4.1", 9.96: "10", 1234.4: "1,234", 1e15: "1e+15"} {
		if got := factor(f); got != want {
			t.Errorf("%v times = %s, want %s", f, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0", 999: "999", 1_000: "1,000", 1_234_567: "1,234,567", math.MaxUint64: "18,446,744,073,709,551,615"} {
		if got := humanCount(n); got != want {
			t.Errorf("%d = %s, want %s", n, got, want)
		}
	}
}

func TestWhatTracingCost(t *testing.T) {
	calibrated := *mixed().Overhead
	threads := calibrated
	threads.TotalNs.Ns = 2_000_000_000
	certain := calibrated
	certain.UntracedNs.LowNs, certain.UntracedNs.HighNs, certain.Queued = 76_700_000, 76_700_000, 0
	narrow := certain
	narrow.UntracedNs.HighNs++
	units := certain
	units.UntracedNs.LowNs, units.UntracedNs.HighNs = 900_000, 87_000_000
	nothing := certain
	nothing.UntracedNs.LowNs, nothing.UntracedNs.HighNs = 900_000, 320_000_000
	unknown := calibrated
	unknown.UntracedNs, unknown.InLineNs, unknown.Queued = profile.Estimate{}, profile.Estimate{}, 1
	byHand := profile.Overhead{Source: profile.ByHand, Calls: 10, TransitNs: profile.Estimate{Ns: 2_000}, HoldNs: 12_000,
		TotalNs: profile.Estimate{Ns: 32_000}, WallNs: 1_000_000, UntracedNs: profile.Estimate{Ns: 968_000}}
	raw := profile.Overhead{Calls: 10, HoldNs: 12_000, WallNs: 1_000_000}
	const parts = "of the 7.27 µs a call, 4.21 µs are transit (taken off the latencies) and 1.87 µs switches, both calibrated, and 1.19 µs hold\n"

	for name, c := range map[string]struct {
		o    *profile.Overhead
		want string
	}{
		"not looked at": {nil, ""},
		"no calls":      {&profile.Overhead{Source: profile.Calibrated, WallNs: 5}, ""},
		"calibrated": {&calibrated, `tracing cost 7.27 µs a call; without it the run would have taken 76.7 ms (66.0 to 87.0 ms): a slowdown of 4.2 (3.7 to 4.9)
that is 244 ms in all, 76.1 % of the 321 ms that the run took
` + parts + "17 calls (0.1 %) waited while the tracer was busy with another thread; entries and exits stood in line for about 120 µs in all\n"},
		"threads": {&threads, `tracing cost 59.5 µs a call; without it the run would have taken 76.7 ms (66.0 to 87.0 ms): a slowdown of 4.2 (3.7 to 4.9)
that is 2.00 s in all, all threads added up, in the 321 ms that the run took
` + strings.Replace(parts, "7.27", "59.5", 1) + "17 calls (0.1 %) waited while the tracer was busy with another thread; entries and exits stood in line for about 120 µs in all\n"},
		"no range": {&certain, `tracing cost 7.27 µs a call; without it the run would have taken 76.7 ms: a slowdown of 4.2
that is 244 ms in all, 76.1 % of the 321 ms that the run took
` + parts},
		"a narrow range": {&narrow, `tracing cost 7.27 µs a call; without it the run would have taken 76.7 ms: a slowdown of 4.2
that is 244 ms in all, 76.1 % of the 321 ms that the run took
` + parts},
		"a wide range": {&units, `tracing cost 7.27 µs a call; without it the run would have taken 87.0 ms at most: a slowdown of at least 3.7
that is 244 ms in all, 76.1 % of the 321 ms that the run took
` + parts},
		"nothing known": {&nothing, "tracing cost 7.27 µs a call; how long the run would have taken without it is unknown\nthat is 244 ms in all, 76.1 % of the 321 ms that the run took\n" + parts},
		"no estimate": {&unknown, "tracing cost 7.27 µs a call\nthat is 244 ms in all, 76.1 % of the 321 ms that the run took\n" +
			parts + "1 call (<0.1 %) waited while the tracer was busy with another thread\n"},
		"by hand": {&byHand, `tracing cost 3.20 µs a call, with the transit as given by hand; without it the run would have taken 968 µs: a slowdown of 1.03
that is 32.0 µs in all, 3.2 % of the 1.00 ms that the run took
of the 3.20 µs a call, 2.00 µs are transit, as given by hand (taken off the latencies), and 1.20 µs hold
`},
		"raw": {&raw, `the tracer held each call up for 1.20 µs, and made it slower in ways that were not measured; latencies are raw: transit is still in them
that is 12.0 µs in all, 1.2 % of the 1.00 ms that the run took
`},
	} {
		var out bytes.Buffer
		if err := Overhead(&out, &profile.Snapshot{Overhead: c.o}, true); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(c.want, out.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if err := Notes(new(bytes.Buffer), gigantic(), Meta{}, 0, true); err != nil { // and nothing is divided by zero
		t.Error(err)
	}
}

func TestNotesCannotCommandTheTerminal(t *testing.T) {
	s := &profile.Snapshot{Warnings: []profile.Warning{{Kind: profile.Sentence, Text: "thread \x1b[2J\n of µs"}}, InFlight: []profile.Flight{{Why: "\x1b]0;x\a", Count: 1}}}
	var out bytes.Buffer
	if err := Notes(&out, s, Meta{}, 0, true); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\a") || strings.Count(out.String(), "\n") != 3 || !strings.Contains(out.String(), "of µs") {
		t.Errorf("printed %q", out.String())
	}
	if err := (Distribution{Name: "\x1b[2J", Calls: new(syscalltab.Set)}).Write(&out, s); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestStatusLines(t *testing.T) {
	full := Status{Elapsed: 65_900 * time.Millisecond, Calls: 1_234_567, CallsPerSecond: 45_678.4, Processes: 1, Threads: 12, Slowdown: 4.14}
	for _, c := range []struct {
		s     Status
		width int
		want  string
	}{
		{full, 90, "1:05 · 45,678 calls/s · slowdown 4.1 · 1 process · 12 threads · 1,234,567 calls           "},
		{full, 79, "1:05 · 45,678 calls/s · slowdown 4.1 · 1 process · 12 threads · 1,234,567 calls"},
		{full, 78, "1:05 · 45,678 calls/s · slowdown 4.1 · 1 process · 12 threads                 "},
		{full, 36, "1:05 · 45,678 calls/s · slowdown 4.1"},
		{full, 20, "1:05                "},
		{full, 3, "   "},
		{full, 0, ""},
		{full, -1, ""},
		{Status{}, 30, "0 s · 0 calls/s · 0 calls     "},
		{Status{Elapsed: -5, Calls: 1, CallsPerSecond: math.NaN()}, 28, "0 s · 0 calls/s · 1 call    "},
		{Status{Elapsed: 59 * time.Second, CallsPerSecond: 0.25}, 18, "59 s · 0.2 calls/s"},
		{Status{Elapsed: 26*time.Hour + 3*time.Minute + 4*time.Second, CallsPerSecond: math.Inf(1), Processes: 3}, 40,
			"26:03:04 · +Inf calls/s · 3 processes   "},
	} {
		if got := c.s.Line(c.width); got != c.want {
			t.Errorf("%+v in %d columns:\n got %q\nwant %q", c.s, c.width, got, c.want)
		}
	}
	for width := 1; width < 200; width++ {
		if got := textWidth(full.Line(width)); got != width {
			t.Errorf("a line of %d columns has %d", width, got)
		}
	}
}

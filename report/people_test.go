package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// TestGoldenForPeople compares what people see. A golden file is named by the snapshot, the flags, and the
// terminal that made it: COLUMNS=80, and COLOR if it takes escape sequences.
func TestGoldenForPeople(t *testing.T) {
	snapshots := map[string]*profile.Snapshot{
		"nothing": {}, "mixed": mixed(), "busy": busy(), "sleeping": sleeping(), "endless": endless(), "measured": measured(),
		"attached": attached(),
	}
	for _, name := range []string{
		"mixed", "mixed -S calls", "mixed -S name -q", "mixed -v", "attached", "attached -v", "mixed COLUMNS=40", "mixed COLUMNS=80", "mixed COLUMNS=100", "mixed COLUMNS=200",
		"mixed COLUMNS=100 COLOR", "nothing", "busy", "sleeping", "endless", "measured", "measured COLUMNS=80",
		"mixed --histogram", "mixed --histogram=read COLUMNS=80", "mixed --histogram=read COLUMNS=40 COLOR",
		"mixed --histogram=%desc", "mixed --histogram=mkdir", "nothing --histogram", "busy --histogram=close", "endless --histogram",
		"mixed --errors", "mixed --errors COLUMNS=40 COLOR", "nothing --errors", "endless --errors", "busy --errors",
	} {
		t.Run(name, func(t *testing.T) {
			what, flags, _ := strings.Cut(name, " ")
			golden(t, name, printFor(t, snapshots[what], flags))
		})
	}
}

// printFor prints as the command line and the terminal say.
func printFor(t *testing.T, s *profile.Snapshot, flags string) string {
	t.Helper()
	var table Table
	quiet, verbose := false, false
	out := new(bytes.Buffer)
	print := func() error { return table.Write(out, s) }
	args := strings.Fields(flags)
	for i, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "-S":
			table.Sort = must(ParseSortKey(args[i+1]))(t)
		case "-q":
			quiet = true
		case "-v":
			verbose = true
		case "COLUMNS":
			if _, err := fmt.Sscan(value, &table.Width); err != nil {
				t.Fatal(err)
			}
		case "COLOR":
			table.Color = true
		case "--histogram":
			quiet = true
			var set *syscalltab.Set
			if value != "" {
				set = must(syscalltab.ParseSet(value, syscalltab.AMD64))(t)
			}
			print = func() error { return Distribution{value, set, table.Width, table.Color}.Write(out, s) }
		case "--errors":
			quiet = true
			print = func() error { return Failures{table.Width, table.Color}.Write(out, s) }
		}
	}
	if err := print(); err != nil {
		t.Fatal(err)
	}
	if !quiet {
		if err := Notes(out, s, meta, 0, verbose); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// spread adds n calls of low to high ns, the more the faster, by integer arithmetic: a golden file must not
// depend on a machine's floating point.
func spread(p *profile.Profile, n int64, nr uint64, errno int32, low, high int64) {
	for i := range n {
		ns := low + (high-low)*i/n*i/n
		p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, Errno: errno, ExitSeenNs: ns, CPUNs: -1, GapNs: -1})
	}
}

// mixed is like a real program: many fast calls, few slow ones, some that fail.
func mixed() *profile.Snapshot {
	p := profile.New()
	spread(p, 20_000, 0, 0, 600, 2_500)
	spread(p, 90, 0, 0, 1_000_000, 90_000_000)
	spread(p, 300, 0, 11, 250, 450)
	spread(p, 12_000, 1, 0, 1_500, 9_000)
	spread(p, 3, 1, 32, 700, 900)
	spread(p, 700, 257, 0, 3_000, 12_000)
	spread(p, 450, 257, 2, 1_200, 3_500)
	spread(p, 60, 232, 0, 80_000, 2_400_000_000)
	spread(p, 4, 204, 0, 1_500, 1_700)
	spread(p, 1, 12, 0, 210, 210)
	p.AddInFlight(profile.InFlight{PID: 7, TID: 8, ABI: syscalltab.AMD64, Nr: 232, SoFarNs: 1_500_000_000, Why: "detached"})
	s := p.Raw().Snapshot()
	s.Overhead = &profile.Overhead{
		Source: profile.Calibrated, Calls: 33_608, CrossCPU: 2_400, Queued: 17,
		TransitNs:  profile.Estimate{Ns: 4_210, LowNs: 4_000, HighNs: 4_420},
		SwitchesNs: profile.Estimate{Ns: 1_870, LowNs: 1_800, HighNs: 1_940},
		InLineNs:   profile.Estimate{Ns: 120_000, LowNs: 60_000, HighNs: 180_000},
		HoldNs:     40_000_000, TotalNs: profile.Estimate{Ns: 244_300_000, LowNs: 234_000_000, HighNs: 255_000_000},
		WallNs: 321_000_000, UntracedNs: profile.Estimate{Ns: 76_700_000, LowNs: 66_000_000, HighNs: 87_000_000},
	}
	s.Warnings = []profile.Warning{{Kind: profile.Sentence, Text: "the clock was stepped"}}
	return s
}

// attached is of a server that went on afterwards.
func attached() *profile.Snapshot {
	s := mixed()
	s.Overhead.UntracedNs = profile.Estimate{}
	s.Overhead.Lost = profile.Share{Share: 0.62, Low: 0.55, High: 0.7}
	s.Overhead.Controls, s.Overhead.ControlsNs = 153, 1_100_000
	s.InFlight = append(s.InFlight, profile.Flight{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 231}, Why: profile.Exited, Count: 3, LongestNs: 200_000})
	return s
}

// measured has CPU times of all calls of one row, of none of another, and of some of a third.
func measured() *profile.Snapshot {
	p := profile.New()
	for i := range int64(30) {
		for nr, cpuNs := range []int64{900, -1, 2_000_000*(i%2) - 1} {
			p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: uint64(nr), ExitSeenNs: 1_000_000 * (i + 1), CPUNs: cpuNs, GapNs: -1})
		}
	}
	return p.Raw().Snapshot()
}

// gigantic has the largest counts and times there can be.
func gigantic() *profile.Snapshot {
	h := new(profile.Histogram)
	h.RecordN(math.MaxInt64, math.MaxUint64)
	h.RecordN(0, 1)
	row := func(nr uint64) profile.Row {
		return profile.Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr}, OK: h, CPU: h,
			Failed: []profile.Outcome{{Errno: 1, Latency: h}, {Errno: 4095, Latency: h}}}
	}
	s := profile.Merge(&profile.Snapshot{Rows: []profile.Row{row(0), row(math.MaxUint64)}})
	s.Overhead = &profile.Overhead{Source: profile.Calibrated, Calls: math.MaxUint64, Queued: math.MaxUint64, HoldNs: math.MaxInt64,
		TotalNs: profile.Estimate{Ns: math.MaxInt64, LowNs: math.MinInt64, HighNs: math.MaxInt64},
		WallNs:  math.MaxInt64, UntracedNs: profile.Estimate{Ns: 1, LowNs: 1, HighNs: math.MaxInt64}}
	return s
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestWidths holds every output for people to its width: what can be dropped is, before a line is too
// long; colours change nothing but colours; and a wider terminal never shows less.
func TestWidths(t *testing.T) {
	for name, s := range map[string]*profile.Snapshot{
		"nothing": {}, "mixed": mixed(), "busy": busy(), "measured": measured(), "endless": endless(), "gigantic": gigantic(), "grouped": grouped(),
	} {
		for what, print := range map[string]func(out *bytes.Buffer, width int, color bool) error{
			"table":    func(out *bytes.Buffer, w int, c bool) error { return Table{Width: w, Color: c}.Write(out, s) },
			"drawing":  func(out *bytes.Buffer, w int, c bool) error { return Distribution{Width: w, Color: c}.Write(out, s) },
			"failures": func(out *bytes.Buffer, w int, c bool) error { return Failures{Width: w, Color: c}.Write(out, s) },
			"groups": func(out *bytes.Buffer, w int, c bool) error {
				return Groups{Top: 2, Table: Table{Width: w, Color: c}}.Write(out, s)
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				least, columns := 0, 0
				for width := 1; width <= 204; width += 7 {
					var plain, coloured bytes.Buffer
					if err := print(&plain, width, false); err != nil {
						t.Fatal(err)
					}
					if err := print(&coloured, width, true); err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(plain.String(), escapes.ReplaceAllString(coloured.String(), "")); d != "" {
						t.Fatalf("at %d columns, colours change the text:\n%s", width, d)
					}
					widest, shown := 0, 0
					for line := range strings.Lines(plain.String()) {
						if strings.HasPrefix(line, "──") {
							widest = max(widest, textWidth(strings.TrimRight(line, "\n")))
							shown += len(strings.Fields(line))
						}
					}
					if width == 1 {
						least = widest
					}
					if widest > max(width, least) {
						t.Fatalf("at %d columns a line has %d:\n%s", width, widest, &plain)
					}
					if shown < columns {
						t.Fatalf("at %d columns less is shown than at %d:\n%s", width, width-7, &plain)
					}
					columns = shown
				}
				const enoughForAll = 200
				var all, fitted bytes.Buffer
				if err := print(&all, 0, false); err != nil {
					t.Fatal(err)
				}
				if err := print(&fitted, enoughForAll, false); err != nil {
					t.Fatal(err)
				}
				if name != "gigantic" && all.String() != fitted.String() {
					t.Errorf("any width:\n%s%d columns:\n%s", &all, enoughForAll, &fitted)
				}
			})
		}
	}
}

// TestColumnsLineUp checks that every line of a table has its gaps where the rule has them.
func TestColumnsLineUp(t *testing.T) {
	for _, flags := range []string{"-q", "-q COLUMNS=90", "-q COLUMNS=100", "-q COLUMNS=60", "--errors", "--histogram"} {
		text := printFor(t, mixed(), flags)
		var rule []rune
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "──") {
				rule = []rune(line)
			}
			heads := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "──")
			if rule == nil || heads || line == "" || strings.Contains(line, "all calls") {
				continue
			}
			for at, r := range []rune(line) {
				if at < len(rule) && rule[at] == ' ' && r != ' ' {
					t.Errorf("%s: %q where columns are apart, at %d of\n%s\n%s", flags, r, at, string(rule), line)
				}
			}
		}
		if rule == nil {
			t.Errorf("%s: no rule in\n%s", flags, text)
		}
	}
}

// TestLocaleDoesNotMoveColumns: libraries take block characters for twice as wide in an East Asian locale, which they look
// up when the program starts.
func TestLocaleDoesNotMoveColumns(t *testing.T) {
	if *update {
		return // the golden files are being written
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGoldenForPeople$")
	cmd.Env = append(os.Environ(), "LC_ALL=ja_JP.UTF-8", "LANG=ja_JP.UTF-8", "RUNEWIDTH_EASTASIAN=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in Japan: %v\n%s", err, out)
	}
}

func TestDrawingsShareOneAxis(t *testing.T) {
	fast, slow := new(profile.Histogram), new(profile.Histogram)
	fast.RecordN(1_000, 100)
	fast.RecordN(100_000, 1)
	slow.RecordN(1_000_000, 9)
	slow.RecordN(10_000_000, 18)
	a := axisOf([]*profile.Histogram{fast, new(profile.Histogram), slow})
	if want := (axis{lowNs: 1_000, highNs: 10_000_000}); a != want {
		t.Fatalf("axis = %+v, want %+v", a, want)
	}
	for want, h := range map[string]*profile.Histogram{"█ ▁ ": fast, "   █": slow, "    ": new(profile.Histogram)} {
		if got := a.spark(h, 4); got != want {
			t.Errorf("drawn as %q, want %q", got, want)
		}
	}
	if got, want := a.heading(20), "1 µs ········· 10 ms"; got != want {
		t.Errorf("heading %q, want %q", got, want)
	}
	if got := textWidth(a.heading(a.headingWidth())); got != a.headingWidth() {
		t.Errorf("the least heading has %d characters, want %d", got, a.headingWidth())
	}
}

func TestAxesOfExtremes(t *testing.T) {
	for _, c := range []struct {
		values []int64
		want   axis
	}{
		{nil, axis{10, 20, false}},
		{[]int64{0}, axis{10, 20, true}},
		{[]int64{10}, axis{10, 20, false}},
		{[]int64{210}, axis{200, 500, false}},
		{[]int64{5_000}, axis{5_000, 10_000, false}},
		{[]int64{math.MaxInt64}, axis{5_000_000_000_000_000_000, math.MaxInt64, false}},
		{[]int64{3, math.MaxInt64}, axis{10, math.MaxInt64, true}},
	} {
		h := new(profile.Histogram)
		for _, v := range c.values {
			h.Record(v)
		}
		a := axisOf([]*profile.Histogram{h})
		if a != c.want {
			t.Errorf("axis of %d = %+v, want %+v", c.values, a, c.want)
		}
		if got := a.spark(h, 10); textWidth(got) != 10 || strings.Count(got, "█") == 0 != (c.values == nil) {
			t.Errorf("%d are drawn as %q", c.values, got)
		}
	}
	// A few fast calls among many do not stretch the axis.
	h := new(profile.Histogram)
	h.RecordN(5_000, 1_000)
	h.Record(20)
	a := axisOf([]*profile.Histogram{h})
	if low, _ := a.labels(); low != "≤5 µs" || a.bin(20, 10) != 0 {
		t.Errorf("low end %q, and 20 ns in part %d", low, a.bin(20, 10))
	}
}

// TestLinesOfADistribution checks the grid for spans of all sizes: it covers, its lines are as many as an
// eye takes in, and the bounds that are printed are the ones that were used.
func TestLinesOfADistribution(t *testing.T) {
	for minNs := int64(0); minNs < math.MaxInt64/3; minNs += minNs/2 + 1 {
		for _, maxNs := range []int64{minNs, minNs + 1, minNs + minNs/20, minNs * 2, minNs + minNs/100*900, 1e6, 1e12, math.MaxInt64} {
			if maxNs < minNs {
				continue
			}
			edges := edgesOf(minNs, maxNs, mostLines)
			lines := len(edges) - 1
			if lines < 1 || lines > mostLines {
				t.Fatalf("%d…%d: %d lines", minNs, maxNs, lines)
			}
			if maxNs/2 >= max(minNs, 100) && lines < 8 {
				t.Errorf("%d…%d: only %d lines: %d", minNs, maxNs, lines, edges)
			}
			if !slices.IsSorted(edges) || len(slices.Compact(slices.Clone(edges))) != len(edges) {
				t.Fatalf("%d…%d: bounds are not ascending: %d", minNs, maxNs, edges)
			}
			if edges[0] > minNs || edges[lines] <= maxNs && edges[lines] != math.MaxInt64 {
				t.Fatalf("%d…%d: not covered by %d", minNs, maxNs, edges)
			}
			if edges[1] <= minNs || edges[lines-1] > maxNs {
				t.Errorf("%d…%d: an empty line at an end: %d", minNs, maxNs, edges)
			}
			for _, e := range edges {
				if e < 1e12 && parseTime(t, shortTime(e)) != e {
					t.Errorf("%d…%d: the bound %d is printed as %s", minNs, maxNs, e, shortTime(e))
				}
			}
		}
	}
}

// TestFewCallsHaveFewLines: two calls do not fill a screen with empty lines, however far they are apart.
func TestFewCallsHaveFewLines(t *testing.T) {
	for _, c := range []struct {
		maxNs int64
		want  int // lines at most
	}{{1_010, leastLines}, {10_000, leastLines}, {10_000_000, leastLines}, {math.MaxInt64, 20}} {
		edges := edgesOf(1_000, c.maxNs, leastLines)
		if lines := len(edges) - 1; lines > c.want || edges[lines] < c.maxNs {
			t.Errorf("1 µs to %d ns: bounds %d, want at most %d lines", c.maxNs, edges, c.want)
		}
	}
}

// TestCallsCorrectedToNothing: the few calls of which the correction leaves nothing are one line, not the
// ten that the decades below 10 ns would take from the others.
func TestCallsCorrectedToNothing(t *testing.T) {
	for maxNs, want := range map[int64][]int64{
		0:   {0, 10},
		9:   {0, 10},
		12:  {0, 10, 11, 13},
		900: {0, 10, 20, 50, 100, 200, 500, 1_000},
	} {
		lines := max(len(want)-1, 1)
		if got := edgesOf(0, maxNs, lines); !slices.Equal(got, want) {
			t.Errorf("0 to %d ns: bounds %d, want %d", maxNs, got, want)
		}
	}
}

// TestEmptyOutcomesAreNotShown: rows and outcomes without calls, which a snapshot put together by hand can
// have, are in no output.
func TestEmptyOutcomesAreNotShown(t *testing.T) {
	s := mixed()
	want := printFor(t, s, "") + printFor(t, s, "--histogram") + printFor(t, s, "--errors") + writeJSON(t, s, meta) + writeCSV(t, s)
	s.Rows = append(slices.Clone(s.Rows), profile.Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 100}})
	for i := range s.Rows[:3] {
		s.Rows[i].Failed = append(s.Rows[i].Failed, profile.Outcome{Errno: 99, Latency: new(profile.Histogram)})
	}
	got := printFor(t, s, "") + printFor(t, s, "--histogram") + printFor(t, s, "--errors") + writeJSON(t, s, meta) + writeCSV(t, s)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("with empty ones (-without +with):\n%s", d)
	}
}

func parseTime(t *testing.T, text string) int64 {
	t.Helper()
	var v float64
	var unit string
	if _, err := fmt.Sscan(text, &v, &unit); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(timeUnits[:], func(u timeUnit) bool { return u.symbol == unit })
	return int64(math.Round(v * timeUnits[i].ns))
}

func TestABarOfAnyCountIsSeen(t *testing.T) {
	for want, count := range map[string]uint64{"": 0, "▏": 1, "█████": 1 << 62, "██▌": 1 << 61} {
		if got := barOf(count, 1<<62, 5); got != want {
			t.Errorf("bar of %d = %q, want %q", count, got, want)
		}
	}
	if got := barOf(math.MaxUint64, math.MaxUint64, 5); got != "█████" {
		t.Errorf("the longest bar = %q", got)
	}
}

// TestHowFastWithoutTracing: what cannot be known is not given as a number.
func TestHowFastWithoutTracing(t *testing.T) {
	for _, test := range []struct {
		share profile.Share
		want  string
	}{
		{profile.Share{Share: 0.62, Low: 0.55, High: 0.70}, "; without it their calls could have come 2.6 times as fast (2.2 to 3.3)"},
		{profile.Share{Share: 0.97, Low: 0.90, High: 0.99}, "; without it their calls could have come at least 10 times as fast"},
		{profile.Share{Share: 0.9997, Low: 0.9996, High: 0.9998}, "; how fast their calls could have come without it is unknown"},
		{profile.Share{}, ""},
	} {
		if got := lost(&test.share); !strings.HasSuffix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%v: %q, want %q at its end", test.share, got, test.want)
		}
	}
}

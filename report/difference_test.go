package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/profile/changes"
	"sysprof/syscalltab"
)

// TestDifference draws differences of fixed runs. A golden file is named by the runs and the flags that made it.
func TestDifference(t *testing.T) {
	differences := map[string]*Difference{
		"slower": slower(1), "slower of 5": slower(5), "same": differenceOf(1, mixed, mixed), "unlike": unlike(),
		"nothing": differenceOf(1, empty, empty),
	}
	for _, name := range []string{
		"slower --against", "slower --against -q", "slower --against COLUMNS=80", "slower --against COLUMNS=40 COLOR", "slower --against COLUMNS=120",
		"slower of 5 --against COLUMNS=120", "same --against COLUMNS=80", "unlike --against COLUMNS=80", "nothing --against",
	} {
		t.Run(name, func(t *testing.T) {
			what, options, _ := strings.Cut(name, " --against")
			width := 0
			if _, columns, ok := strings.Cut(options, "COLUMNS="); ok {
				fmt.Sscan(columns, &width)
			}
			var out bytes.Buffer
			if err := differences[what].Write(&out, width, strings.HasSuffix(options, "COLOR"), strings.HasSuffix(options, "-q")); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.String())
			for line := range strings.Lines(out.String()) {
				if width >= 80 && textWidth(strings.TrimRight(line, "\n")) > width {
					t.Errorf("wider than %d: %q", width, line)
				}
			}
		})
	}
}

func empty() *profile.Snapshot { return new(profile.Snapshot) }

// differenceOf compares so many equal runs of each side.
func differenceOf(runs int, news, olds func() *profile.Snapshot) *Difference {
	of, before := new(changes.Side), new(changes.Side)
	var a, b DifferenceSide
	for i := range runs {
		of.Add(news(), 2*time.Second)
		before.Add(olds(), 2*time.Second)
		a.Files, b.Files = append(a.Files, fmt.Sprintf("after%d.json", i)), append(b.Files, fmt.Sprintf("before%d.json", i))
		a.Metas, b.Metas = append(a.Metas, meta), append(b.Metas, meta)
		a.Sources, b.Sources = append(a.Sources, SourceOf(news())), append(b.Sources, SourceOf(olds()))
	}
	return DifferenceOf(of, before, a, b)
}

// slower has calls that have become slower, more, less, faster, that are new and gone, and chance.
func slower(runs int) *Difference {
	return differenceOf(runs, func() *profile.Snapshot {
		p := profile.New()
		spread(p, 20_000, 0, 0, 900, 4_500)
		spread(p, 2_000, 1, 0, 1_500, 9_000)
		spread(p, 700, 257, 0, 3_000, 12_000)
		spread(p, 60, 232, 0, 80_000, 2_900_000_000)
		spread(p, 100_000, 20, 0, 3_000, 5_000)
		spread(p, 4, 204, 0, 1_500, 1_700)
		return p.Raw().Snapshot()
	}, func() *profile.Snapshot {
		p := profile.New()
		spread(p, 20_000, 0, 0, 600, 2_500)
		spread(p, 12_000, 1, 0, 1_500, 9_000)
		spread(p, 700, 257, 0, 3_000, 12_000)
		spread(p, 58, 232, 0, 80_000, 2_400_000_000)
		spread(p, 500, 3, 0, 3_000, 5_000)
		spread(p, 7, 20, 0, 3_000, 5_000)
		return p.Raw().Snapshot()
	})
}

// unlike is of runs that were not run alike, for other times, and whose text wants to do harm.
func unlike() *Difference {
	d := slower(1)
	d.New.DurationNs, d.Old.DurationNs = 10e9, 2e9
	d.New.Files = []string{"evil\x1b[2J\n.json"}
	d.New.Metas = []Meta{{Version: "sysprof v2", Host: "one\x1b]0;x\a", Command: []string{"redis-benchmark", strings.Repeat("x", 1000)}, CPUs: 2}}
	d.Old.Metas = []Meta{{Version: "sysprof v1", Host: "other\u202e", Command: []string{"redis-benchmark", "-P", "16"}, CPUs: 8, Kernel: "6.1"}}
	d.New.Sources, d.Old.Sources = []string{"calibrated"}, []string{"uncorrected"}
	return d
}

// TestDifferenceInHand: all text is printable, and there is nothing that does not fit.
func TestDifferenceInHand(t *testing.T) {
	var out bytes.Buffer
	if err := unlike().Write(&out, 80, false, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\a\u202e") {
		t.Errorf("control characters in\n%s", out.String())
	}
	for _, want := range []string{"not alike", "uncorrected", "sysprof v2 (was sysprof v1)", "CPUs: 2 (was 8)", "calls/s"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}

// TestManyCallsDiffer: 2,000 rows are laid out.
func TestManyCallsDiffer(t *testing.T) {
	run := func(ns int64) func() *profile.Snapshot {
		return func() *profile.Snapshot {
			p := profile.New()
			for nr := range uint64(2000) {
				p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: 1000 + nr, ExitSeenNs: ns, CPUNs: -1, GapNs: -1})
			}
			return p.Raw().Snapshot()
		}
	}
	var out bytes.Buffer
	if err := differenceOf(1, run(1e3), run(1e6)).Write(&out, 80, false, false); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "syscall_0x"); n != 2000 {
		t.Errorf("%d rows", n)
	}
}

// TestDifferenceFormats: JSON and CSV are well-formed, and have the same figures.
func TestDifferenceFormats(t *testing.T) {
	d := slower(1)
	var text, table bytes.Buffer
	if err := d.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteCSV(&table); err != nil {
		t.Fatal(err)
	}
	var j struct {
		Format string
		Rows   []struct {
			Name    string
			Metrics map[string]struct {
				New, Old, Ratio *float64
				Noise           bool
			}
		}
	}
	if err := json.Unmarshal(text.Bytes(), &j); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if j.Format != "sysprof-difference" || len(j.Rows) != len(d.Rows) || len(lines) != len(d.Rows)+1 {
		t.Fatalf("format %q, %d rows, %d lines, want %d", j.Format, len(j.Rows), len(lines), len(d.Rows))
	}
	for i, r := range j.Rows {
		c := d.Rows[i].Change[changes.Total]
		cell := func(name string) string {
			for k, heading := range lines[0] {
				if heading == name {
					return lines[i+1][k]
				}
			}
			t.Fatalf("there is no column %s", name)
			return ""
		}
		if m := r.Metrics["total"]; m.New == nil || *m.New != c.New || m.Noise != c.Noise || cell("call") != r.Name || cell("total_new") != fmt.Sprint(c.New) && cell("total_new") != csvFloat(c.New) {
			t.Errorf("row %d: %+v, %s", i, m, cell("total_new"))
		}
		if p50 := r.Metrics["p50"]; (p50.Ratio == nil) != math.IsNaN(d.Rows[i].Change[changes.P50].Ratio) {
			t.Errorf("row %d: %+v", i, p50)
		}
	}
	if _, _, err := ReadJSON(&text); err == nil {
		t.Error("a difference is read as a run")
	}
}

func TestRelative(t *testing.T) {
	for ratio, want := range map[float64]string{
		1.2: "+20.0 %", 0.955: "-4.50 %", 9.9: "+890 %", 10.1: "×10.1", 1234: "×1,234", 1e9: "×1e+09", 0: "-100 %", 0.0001: "-99.9 %", math.Inf(1): "new", 1.0001: "+0.01 %",
	} {
		if got := relative(ratio); got != want {
			t.Errorf("%v: %q, want %q", ratio, got, want)
		}
	}
}

func TestViolation(t *testing.T) {
	rules, err := changes.ParseRules("p99:+20%,total:+1%,p50(openat):+0%")
	if err != nil {
		t.Fatal(err)
	}
	d := slower(1)
	for i, want := range []string{"p99:+20%: read: +80.5 %", ", and ", ""} {
		got := d.Violation(&rules[i])
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", rules[i].Text, got, want)
		}
	}
}

func TestASCII(t *testing.T) {
	for text, want := range map[string]string{
		"12.3 µs ≤ 4 – 5 × 6 ÷ 7…": "12.3 us < 4 - 5 x 6 / 7...",
		"7 s · 3 calls":            "7 s | 3 calls",
		"10 ns ····· 5 µs":         "10 ns ..... 5 us",
		"naïve \xff 語":             "na?ve ? ?",
	} {
		if got := ASCII(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	// All that tables are drawn with has something of the same width that stands for it, and blocks grow.
	var out bytes.Buffer
	if err := (Table{Width: 80}).Write(&out, mixed()); err != nil {
		t.Fatal(err)
	}
	if err := (Distribution{}).Write(&out, mixed()); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	ascii := ASCII(text)
	if strings.Contains(ascii, "?") || textWidth(text) != len(ascii) {
		t.Errorf("in ASCII:\n%s", ascii)
	}
	golden(t, "mixed COLUMNS=80 LC_ALL=C", ascii)
}

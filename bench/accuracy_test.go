package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The times of a step of two calls come in turn.
func TestParseTarget(t *testing.T) {
	steps := []step{
		{name: "one", kinds: []kind{{name: "single"}}},
		{name: "two", kinds: []kind{{name: "first"}, {name: "second"}}},
	}
	var out bytes.Buffer
	binary.Write(&out, binary.NativeEndian, []int64{3, 5, 1, 9, 4, 10, 100, 20, 300})
	got, err := parseTarget(out.Bytes(), steps)
	want := callTimings{"single": {5, 5}, "first": {20, 15}, "second": {300, 200}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range [][]int64{nil, {-1}, {1 << 40}, {2, 1}, {0}, {3, 5, 1, 9}} {
		var out bytes.Buffer
		binary.Write(&out, binary.NativeEndian, bad)
		if _, err := parseTarget(out.Bytes(), steps); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}

func TestForeignRows(t *testing.T) {
	if ns, calls := straceRow(strings.Fields("newfstatat 0.001464 102")); ns != 1_464_000 || calls != 102 {
		t.Errorf("strace: %v ns in %d calls", ns, calls)
	}
	if ns, calls := perfRow(strings.Fields("newfstatat 102 0 1.5 0.014 0.016 0.038 2.60%")); ns != 1_500_000 || calls != 102 {
		t.Errorf("perf: %v ns in %d calls", ns, calls)
	}
	rows, err := foreignRows(straceRow)([]byte("syscall seconds calls\n------- --- ---\nread 0.000002 2\n"))
	if want := []tableRow{{"read", 2, timing{Mean: 1000}}}; !slices.Equal(rows, want) || err != nil {
		t.Errorf("%v, %v; want %v", rows, err, want)
	}
}

// A call may have another name on another machine, and a few calls of a library beside it. Rows of several
// threads are put together.
func TestTimingIn(t *testing.T) {
	rows := []tableRow{{"fstat", 2, timing{1, 1}}, {"newfstatat", 100, timing{7, 8}}, {"read", 10, timing{Mean: 10}}, {"read", 30, timing{Mean: 20}}}
	if got, ok := timingIn(rows, []string{"newfstatat", "fstat"}, 50); !ok || got != (timing{7, 8}) {
		t.Errorf("fstat: %v, %v", got, ok)
	}
	if got, ok := timingIn(rows, []string{"read"}, 1); !ok || got.Mean != 17.5 {
		t.Errorf("read: %v, %v", got, ok)
	}
	if _, ok := timingIn(rows, []string{"read"}, 50); ok {
		t.Error("a row of too few calls is taken")
	}
}

func TestConditions(t *testing.T) {
	all := &accuracyOptions{conditions: regexp.MustCompile("")}
	if n := len(all.chosen(2)); n != 6*8 {
		t.Errorf("%d conditions", n)
	}
	if slices.ContainsFunc(all.chosen(1), func(c condition) bool { return c.load == loadOther }) {
		t.Error("with one CPU there is no other one")
	}
	names := make(map[string]bool)
	for _, c := range all.chosen(2) {
		names[c.String()] = true
	}
	for _, c := range (&accuracyOptions{conditions: all.conditions, quick: true}).chosen(2) {
		if !names[c.String()] {
			t.Errorf("%s is only quick", c)
		}
	}
	for load, want := range map[string][]int{loadQuiet: nil, loadOther: {0, 2}, loadAll: {0, 1, 2}} {
		if got := (condition{load: load}).spinners([]int{0, 1, 2}, 1); !slices.Equal(got, want) {
			t.Errorf("%s: CPUs %v compute, want %v", load, got, want)
		}
	}
}

func TestStepsOfConditions(t *testing.T) {
	names := func(c condition, only string) (runs []string) {
		for _, steps := range c.targets(regexp.MustCompile(only)) {
			var words []string
			for _, s := range steps {
				words = append(words, s.name)
			}
			runs = append(runs, strings.Join(words, " "))
		}
		return runs
	}
	for _, test := range []struct {
		part, only string
		want       []string
	}{
		{partBlocks, "^(getppid|close|poll)$", []string{"getppid open+close poll"}},
		{partNoCheap, "^(getppid|close|poll)$", []string{"open+close poll"}},
		{partNoCheap, "^getppid$", nil},
		{partApart, "", []string{"pingpong", "fsync"}},
		{partBlocks, "^fsync$", nil},
	} {
		if got := names(condition{part: test.part}, test.only); !slices.Equal(got, test.want) {
			t.Errorf("%s of %s: %q, want %q", test.part, test.only, got, test.want)
		}
	}
}

func TestParseVersions(t *testing.T) {
	got, err := parseVersions("old=/a/sysprof,/b/sysprof")
	if want := []version{{"old", "/a/sysprof"}, {"/b/sysprof", "/b/sysprof"}}; !slices.Equal(got, want) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "=x", "x=", "a=/x,a=/y", "/x,/x"} {
		if _, err := parseVersions(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func call(kind string, before, after, got float64) *judged {
	same := func(v float64) timing { return timing{v, v} }
	return &judged{Kind: kind, Before: same(before), After: same(after), Got: same(got)}
}

// The goal is the greater one of a share and of a time, on both sides.
func TestGoals(t *testing.T) {
	for _, test := range []struct {
		row       *judged
		p50, mean bool
	}{
		{call("short", 100, 100, 300), true, true},
		{call("short", 100, 100, 301), false, true},
		{call("short", 1000, 1000, 701), false, true},
		{call("short", 1000, 1000, 699), false, false},
		{call("long", 100_000, 100_000, 105_000), true, true},
		{call("long", 100_000, 100_000, 94_000), false, true},
		{call("long", 90_000, 110_000, 111_000), false, false},
	} {
		if p50, mean := figures[0].within(test.row), figures[1].within(test.row); p50 != test.p50 || mean != test.mean {
			t.Errorf("%+v: p50 %v, mean %v", test.row, p50, mean)
		}
	}
	if row := call("", 1000, 1201, 1100); figures[0].steady(row) || !figures[1].steady(row) {
		t.Error("a truth that has moved by 0.201 µs: want its mean alone steady")
	}
	meanOnly := &judged{Before: timing{100, 100}, After: timing{100, 100}, Got: timing{Mean: 100}}
	if got := tallyOf(&figures[0], []*judged{meanOnly}); got.of != 0 {
		t.Errorf("a p50 that is not known is judged: %v", got)
	}
}

func TestOutside(t *testing.T) {
	rows := []*judged{
		call("poll", 100, 100, 900), call("poll", 100, 100, 100), call("open", 1000, 1000, 400), call("open", 1000, 1000, 500),
		call("getppid", 100, 100, 110), call("pread-1M", 50_000, 50_000, 60_000), call("pread-1M", 50_000, 50_000, 40_000),
	}
	want := "pread-1M -10…+10 µs (2 of 2), open -0.50 µs, -50 % (2 of 2), poll +0.80 µs, +800 % (1 of 2)"
	if got := outside(&figures[0], rows); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := outside(&figures[0], rows[1:2]); got != "none" {
		t.Errorf("got %s, want none", got)
	}
}

func TestRunTally(t *testing.T) {
	var got runTally
	for _, run := range []runTime{
		{Estimate: 105, Low: 90, High: 120},
		{Estimate: 120, Low: 110, High: 130},
		{Estimate: 120, Low: 90, High: 150, Warned: true},
	} {
		got.add(&judged{Before: timing{P50: 95}, After: timing{P50: 105}, Run: &run})
	}
	if want := (runTally{inRange: tally{2, 3}, near: tally{1, 3}, warned: tally{1, 3}, silent: tally{1, 3}, steady: tally{3, 3}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What a load would have taken of a service's time without tracing goes by the share that tracing took of it.
func TestEstimated(t *testing.T) {
	text := []byte(`{"overhead": {"wall_ns": 1000, "untraced": {"ns": 700, "low_ns": 600, "high_ns": 800},
		"total": {"ns": 400}, "lost_share": {"estimate": 0.5, "low": 0.25, "high": 0.75}},
		"warning_kinds": [{"kind": "untraced-uncertain-others"}]}`)
	alone, err := estimated(text, 0)
	if want := (runTime{Traced: 1000, Estimate: 700, Low: 600, High: 800, Warned: true}); err != nil || *alone != want {
		t.Errorf("%+v, %v; want %+v", alone, err, want)
	}
	loaded, err := estimated(text, 10)
	if want := (runTime{Traced: 800, Estimate: 400, Low: 200, High: 600, Warned: true, Units: 10}); err != nil || *loaded != want {
		t.Errorf("%+v, %v; want %+v", loaded, err, want)
	}
	if _, err := estimated([]byte(`{"overhead": {"wall_ns": 1000}}`), 10); err == nil {
		t.Error("nothing was traced, no error")
	}
	if _, err := estimated([]byte("{}"), 0); err == nil {
		t.Error("no overhead, no error")
	}
}

// The tables can be made again from files that several runs have left, one of them cut short.
func TestTablesOfRawFiles(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i, condition := range []string{"free/quiet/blocks/1", "pinned/quiet/blocks/1"} {
		file := filepath.Join(dir, condition[:4])
		files = append(files, file)
		to, err := newRecorder(file)
		if err != nil {
			t.Fatal(err)
		}
		row := call("open", 1000, 1000, 1000+float64(i)*500)
		row.Condition, row.By = condition, "new"
		run := judged{Condition: strings.Replace(condition, "blocks/1", "programs", 1), Kind: "run find", By: "new",
			Before: timing{1e6, 1e6}, After: timing{1e6, 1e6}, Run: &runTime{Traced: 9e6, Estimate: 1.05e6, Low: 5e5, High: 2e6}}
		for _, err := range []error{to.header(header{Sysprofs: []string{"new"}, Calls: 100, Rounds: 1}), to.row(*row), to.row(run),
			to.condition(conditionLoad{Condition: condition}), to.failure("it failed"), to.close()} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	f, err := os.OpenFile(files[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"row": {"in": "pin`)
	f.Close()
	files[0] = compressed(t, files[0])
	var stdout, stderr bytes.Buffer
	if status := run([]string{"bench", "-accuracy-tables", strings.Join(files, ",")}, nil, &stdout, &stderr); status != statusOK {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	text := stdout.String()
	for _, want := range []string{"1 of 2, 50 %", "failed: it failed", "- pinned/quiet/blocks/1, new, p50: open +0.50 µs, +50 % (1 of 1)", "0.5–2.0", "+5.0"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if strings.Index(text, "pinned/quiet/blocks/1") > strings.Index(text, "free/quiet/blocks/1") {
		t.Error("the conditions are not in the order in which they are measured")
	}
	stdout.Reset()
	run([]string{"bench", "-accuracy-tables", strings.Join(files, ","), "-accuracy-conditions", "^free/", "-accuracy-only", "^open$"}, nil, &stdout, &stderr)
	if text := stdout.String(); !strings.Contains(text, "free/quiet/blocks/1") || strings.Contains(text, "pinned/quiet/") || strings.Contains(text, "find") {
		t.Errorf("of free calls alone:\n%s", text)
	}
	if status := run([]string{"bench", "-accuracy-tables", filepath.Join(dir, "nosuch")}, nil, &stdout, &stderr); status != statusFailure {
		t.Errorf("a file that is not there: status %d", status)
	}
}

// compressed compresses a file and returns the name of the other one.
func compressed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(text)
	w.Close()
	if err := os.WriteFile(name+".gz", out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name + ".gz"
}

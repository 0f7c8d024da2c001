package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"

	"github.com/google/go-cmp/cmp"
)

// pageData is what these tests need of what a page holds.
type pageData struct {
	Line  string
	Cost  []string
	Total pageRow
	Rows  []pageRow
	Time  *struct {
		Ends []int64
		All  []int64
		Rows [][]int64
	}
	Flame *struct {
		Names []string
		N, C  []int64
		L, W  []int64
	}
}

type pageRow struct {
	N   string
	C   int64
	E   int64
	S   int64
	P50 int64
	F   []struct {
		E string
		C int64
	}
	T *int
}

func readPage(t *testing.T, text string) (data pageData) {
	t.Helper()
	_, rest, _ := strings.Cut(text, `id="data">`)
	facts, _, ok := strings.Cut(rest, "</script>")
	if !ok || !strings.HasPrefix(text, "<!DOCTYPE html>") {
		t.Fatalf("it is no page: %.300s", text)
	}
	drive.Check(t, json.Unmarshal([]byte(facts), &data))
	return data
}

// callsOf adds up what stands in triples of slice, bucket and count.
func callsOf(triples []int64) (calls int64) {
	for i := 2; i < len(triples); i += 3 {
		calls += triples[i]
	}
	return calls
}

// TestPageHasTheRun: what the JSON of a run says stands on its page, and on one that is made of the JSON. Each call is in its
// timeline, and in its flame graph.
func TestPageHasTheRun(t *testing.T) {
	dir := t.TempDir()
	saved, page, again := filepath.Join(dir, "json"), filepath.Join(dir, "html"), filepath.Join(dir, "again")
	o := drive.Run(t, drive.As(drive.Plain(t, "--html", page, "--json", saved, "--pprof", filepath.Join(dir, "pprof"), drive.Self()), "outcomes"))
	o.Exited(t, 0)
	want, got := readSaved(t, saved), readPage(t, drive.Read(page))
	if len(got.Rows) != len(want.Rows) || got.Total.C != want.Total.Calls || got.Total.S != want.Total.Latency.Sum || len(want.Rows) == 0 {
		t.Fatalf("the page has %d rows with %d calls, %d ns; want %d with %d, %d", len(got.Rows), got.Total.C, got.Total.S, len(want.Rows), want.Total.Calls, want.Total.Latency.Sum)
	}
	failed := false
	for i, w := range want.Rows {
		g := got.Rows[i]
		if g.N != w.Name || g.C != w.Calls || g.E != w.Errors || g.S != w.Latency.Sum || g.P50 != w.Latency.P50 {
			t.Errorf("the page has %+v, want %+v", g, w)
		}
		if g.T == nil || callsOf(got.Time.Rows[*g.T]) != w.Calls {
			t.Errorf("not all %d calls of %s are in the timeline", w.Calls, w.Name)
		}
		errors := int64(0)
		for _, f := range g.F {
			failed = failed || f.E == "ESRCH"
			errors += f.C
		}
		if errors != w.Errors {
			t.Errorf("%s has %d errors by errno, want %d", w.Name, errors, w.Errors)
		}
	}
	if !failed {
		t.Error("no call failed with ESRCH")
	}
	if n := callsOf(got.Time.All); n != want.Total.Calls {
		t.Errorf("the timeline has %d calls, want %d", n, want.Total.Calls)
	}
	if f := got.Flame; f == nil || f.C[0] < want.Total.Calls || f.W[0] > f.L[0] || !strings.Contains(strings.Join(f.Names, " "), "sys_getpgid") {
		t.Errorf("the flame graph: %+v", f)
	}
	for _, line := range got.Cost {
		if !strings.Contains(o.Stderr, got.Cost[0]) {
			t.Errorf("under the table there is no %q", line)
		}
	}

	drive.Succeed(t, drive.Plain(t, "--from-json", saved, "--html", again))
	of := readPage(t, drive.Read(again))
	if of.Flame != nil {
		t.Error("a saved run has what is not saved")
	}
	if d := cmp.Diff(got.Time, of.Time); d != "" {
		t.Errorf("over time, of the run (-), of what was saved (+):\n%s", d)
	}
	if d := cmp.Diff(got.Rows, of.Rows); d != "" || of.Line == "" {
		t.Errorf("of the run (-), of what was saved (+):\n%s", d)
	}
}

// TestPageOverTime: a run of some time is cut into slices.
func TestPageOverTime(t *testing.T) {
	page := readPage(t, drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--html", "-", "sleep", "0.3")))
	ends := page.Time.Ends
	if len(ends) < 2 || !slices.IsSorted(ends) { // on a busy machine the run's clock may have stood still for most of it
		t.Errorf("the slices end at %v", ends)
	}
	if page.Flame != nil {
		t.Error("there is a flame graph, and no --pprof")
	}
}

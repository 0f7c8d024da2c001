package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The files in testdata are what the programs of Debian 12 wrote.
func TestParse(t *testing.T) {
	both := func(f func(string, string) (Sample, error)) func(string) (Sample, error) {
		return func(text string) (Sample, error) { return f(text, text) }
	}
	for _, test := range []struct {
		file  string
		parse func(string) (Sample, error)
		want  Sample
	}{
		{"dd.txt", both(ddElapsed), Sample{Ns: 6_619_060, Units: 1}},
		{"perf-bench-pipe.txt", both(perfBench), Sample{Ns: 124e6, Units: 1}},
		{"perf-bench-messaging.txt", both(perfBench), Sample{Ns: 83e6, Units: 1}},
		{"sysbench.txt", both(sysbench), Sample{Ns: 674.7e6, P99Ns: 45.79e6, Units: 1}},
		{"fio.json", both(fio), Sample{Ns: 333e6, P99Ns: 160768, Units: 1}},
		{"redis-benchmark.csv", func(text string) (Sample, error) { return redisBenchmark(text, 20_000) },
			Sample{Ns: 16_000, P99Ns: 3_791_000, Units: 20_000}},
		{"wrk.txt", wrk, Sample{Ns: 1e9 / 26125.28, P99Ns: 31.16e6, Units: 26348}},
		{"pgbench.txt", pgbench, Sample{Ns: 1e9 / 11953.502187, Units: 8210}},
	} {
		t.Run(test.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", test.file))
			if err != nil {
				t.Fatal(err)
			}
			got, err := test.parse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
				t.Error(diff)
			}
			for _, part := range []string{"", string(text[:len(text)/8])} {
				if got, err := test.parse(part); err == nil {
					t.Errorf("%q: %v, want an error", part, got)
				}
			}
		})
	}
}

// Requests that failed do not count as throughput.
func TestFailedRequestsAreNoThroughput(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got, err := wrk(read("wrk.txt") + "  Non-2xx or 3xx responses: 7\n"); err == nil {
		t.Errorf("wrk: %v, want an error", got)
	}
	if got, err := pgbench(strings.Replace(read("pgbench.txt"), "failed transactions: 0", "failed transactions: 3", 1)); err == nil {
		t.Errorf("pgbench: %v, want an error", got)
	}
}

func TestPgbenchLatencies(t *testing.T) {
	const log = "0 1 310 0 1795552127 47210\n3 1 1250 0 1795552127 47999\nx\n"
	if diff := cmp.Diff([]float64{310e3, 1250e3}, pgbenchLatencies(log)); diff != "" {
		t.Error(diff)
	}
}

func TestQuantile(t *testing.T) {
	var hundred []float64
	for i := 200; i > 0; i-- {
		hundred = append(hundred, float64(i))
	}
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{3, 1, 2}, 3}, {hundred, 198}} {
		if got := quantile(test.values, 0.99); got != test.want {
			t.Errorf("of %d values: %v, want %v", len(test.values), got, test.want)
		}
	}
}

func TestShellQuotes(t *testing.T) {
	want := []string{"/bin/sh", "-c", `ls '/a b' 'it'\''s'`}
	if diff := cmp.Diff(want, shell("ls %s %s", "/a b", "it's")); diff != "" {
		t.Error(diff)
	}
}

// A missing program is named together with the package to install.
func TestMissing(t *testing.T) {
	w := Workload{Needs: []Need{{"sh", "dash"}, {"no-such-program", "a-package"}}, NeedsC: true}
	want := "no-such-program is not installed (package a-package); nothing compiles C (package gcc): cc: not found"
	if got := w.Missing("cc: not found"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	there := Workload{Needs: []Need{{"sh", "dash"}}}
	if got := there.Missing("cc: not found"); got != "" {
		t.Errorf("%q, want nothing", got)
	}
}

// The names are unique, and have a group. -only, the tables and the targets find workloads by name.
func TestAllAreWhole(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range All() {
		if seen[w.Name] || w.What == "" || (w.Command == nil) == (w.Serve == nil) {
			t.Errorf("%s: it is there twice, or lacks a description, or has not exactly one of Command and Serve", w.Name)
		}
		seen[w.Name] = true
		if group := w.Group(); group != Batch && group != Attached && group != Filter && group != Crowd {
			t.Errorf("%s: no such group", w.Name)
		}
		if (w.Group() == Filter) != (w.Filter != "") {
			t.Errorf("%s: filter %q", w.Name, w.Filter)
		}
	}
	for _, name := range []string{BusyAlone, BusyBesideIdle, HerdOneCPU, HerdTwoCPUs, HerdAttached} {
		if !seen[name] {
			t.Errorf("%s is not there", name)
		}
	}
}

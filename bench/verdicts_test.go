package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sysprof/bench/workload"
)

// matrixOf returns a run of two rounds. The numbers of a workload are the nanoseconds untraced, under
// sysprof, and under strace.
func matrixOf(rows map[string][3]float64) *results {
	r := new(results)
	for name, ns := range rows {
		r.Matrix = append(r.Matrix, &row{Workload: name, w: workload.Workload{Name: name}, Calls: 1, Ns: timings{
			untraced: {ns[0], ns[0]}, sysprofC: {ns[1], ns[1]}, floorPinned: {ns[0] + 10, ns[0] + 10}, straceC: {ns[2], ns[2]}}})
	}
	return r
}

// Each target is just reached once, and just missed once.
func TestTargets(t *testing.T) {
	for _, test := range []struct {
		name            string
		target          string // the start of its name
		reached, missed map[string][3]float64
	}{
		{"call-bound", "sysprof ÷ strace, added on batch/find",
			map[string][3]float64{"batch/find": {100, 120, 200}}, map[string][3]float64{"batch/find": {100, 121, 200}}},
		{"geometric mean", "sysprof ÷ strace, added, geometric mean over 2",
			map[string][3]float64{"batch/a": {0, 10, 100}, "batch/b": {0, 100, 100}},  // 0.32
			map[string][3]float64{"batch/a": {0, 20, 100}, "batch/b": {0, 100, 100}}}, // 0.45
		{"worst", "sysprof ÷ strace, added, the worst",
			map[string][3]float64{"batch/a": {0, 100, 100}}, map[string][3]float64{"batch/a": {0, 101, 100}, "batch/b": {0, 1, 100}}},
		{"parallel", "sysprof ÷ strace, added on attached/pgbench-S-postmaster",
			map[string][3]float64{"attached/pgbench-S-postmaster": {100, 180, 200}}, map[string][3]float64{"attached/pgbench-S-postmaster": {100, 181, 200}}},
		{"floor", "sysprof ÷ floor-c pinned, added on batch/getppid",
			map[string][3]float64{"batch/getppid": {0, 11.5, 100}}, map[string][3]float64{"batch/getppid": {0, 11.6, 100}}},
		{"throughput", "throughput under sysprof ÷ under strace, attached/nginx",
			map[string][3]float64{"attached/nginx": {1, 10, 30}}, map[string][3]float64{"attached/nginx": {1, 10, 29}}},
		{"computing", "sysprof ÷ untraced on batch/sysbench-cpu",
			map[string][3]float64{"batch/sysbench-cpu": {100, 103, 103}}, map[string][3]float64{"batch/sysbench-cpu": {100, 103.1, 103}}},
		{"filter", "sysprof ÷ untraced on filter/nothing",
			map[string][3]float64{"filter/nothing": {100, 150, 103}}, map[string][3]float64{"filter/nothing": {100, 151, 103}}},
		{"idle threads", "1,000 idle threads",
			map[string][3]float64{workload.BusyAlone: {0, 10, 1}, workload.BusyBesideIdle: {0, 13, 1}},
			map[string][3]float64{workload.BusyAlone: {0, 10, 1}, workload.BusyBesideIdle: {0, 13.1, 1}}},
		{"processes attached to", "200 processes attached",
			map[string][3]float64{workload.BusyAlone: {1, 15, 1}, workload.HerdAttached: {1, 10, 1}},
			map[string][3]float64{workload.BusyAlone: {1, 14.9, 1}, workload.HerdAttached: {1, 10, 1}}},
		{"processes", "200 processes launched",
			map[string][3]float64{workload.HerdOneCPU: {1, 15, 1}, workload.HerdTwoCPUs: {1, 10, 1}},
			map[string][3]float64{workload.HerdOneCPU: {1, 14.9, 1}, workload.HerdTwoCPUs: {1, 10, 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for want, rows := range map[bool]map[string][3]float64{true: test.reached, false: test.missed} {
				found := false
				for _, v := range matrixOf(rows).verdicts() {
					if strings.HasPrefix(v.Target, test.target) {
						found = true
						if v.Measured == nil || v.Reached != want {
							t.Errorf("%v: want reached %v", &v, want)
						}
					}
				}
				if !found {
					t.Errorf("%q is not judged", test.target)
				}
			}
		})
	}
}

// A program has no ratio if what strace adds to it is noise. A ratio below 0 is replaced, since a geometric
// mean needs positive values.
func TestMeanOverPrograms(t *testing.T) {
	r := &results{Matrix: []*row{
		{Workload: "batch/a", w: workload.Workload{Name: "batch/a"}, Ns: timings{untraced: {10, 10}, sysprofC: {14, 9}, straceC: {110, 110}}},
		{Workload: "batch/noise", w: workload.Workload{Name: "batch/noise"}, Ns: timings{untraced: {10, 10}, sysprofC: {90, 90}, straceC: {9, 11}}},
		{Workload: "attached/b", w: workload.Workload{Name: "attached/b"}, Ns: timings{untraced: {10, 10}, sysprofC: {90, 90}, straceC: {90, 90}}},
		{Workload: "batch/failed", w: workload.Workload{Name: "batch/failed"}, Ns: timings{untraced: {10, 10}, straceC: {90, 90}}},
	}}
	m := r.overPrograms()
	if diff := cmp.Diff([]float64{0.04, 0.01}, m.rounds, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if want := "left out, since what strace adds is noise: batch/noise; taken as 0.01 in some round: batch/a"; m.programs != 1 || m.note() != want {
		t.Errorf("%d programs, %q", m.programs, m.note())
	}
}

func TestGeometricMeans(t *testing.T) {
	got := geometricMeans([][]float64{{1, 2, 3}, {4, 8}})
	if diff := cmp.Diff([]float64{2, 4}, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if got := geometricMeans(nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

// A target that was not measured is not reached.
func TestTargetNotMeasured(t *testing.T) {
	r := &results{Matrix: []*row{{Workload: "batch/find", w: workload.Workload{Name: "batch/find"}, Ns: timings{untraced: {1}, sysprofC: {2}}}}}
	v := r.verdicts()[0]
	if v.Reached || v.Measured != nil || !strings.HasSuffix(v.String(), "not measured") {
		t.Errorf("%v", &v)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sysprof/bench/process"
	"sysprof/bench/workload"
)

// A round of some of each group, at the smallest size, by the command line.
func TestMatrixOnce(t *testing.T) {
	needPtrace(t)
	dir := t.TempDir()
	goFormat, jsonFile, svg := filepath.Join(dir, "go"), filepath.Join(dir, "json"), filepath.Join(dir, "svg")
	var stdout, stderr bytes.Buffer
	status := run([]string{"bench", "-n", "1", "-scale", "0.01", "-only", "^(batch/(dd-1|python|tar)|attached/redis|filter/nothing|crowd/.*)$",
		"-tracers", "floor-c,floor-c pinned,floor,sysprof,sysprof --pprof,strace,strace pinned,strace --seccomp-bpf",
		"-o", goFormat, "-json", jsonFile, "-svg", svg}, nil, &stdout, &stderr)
	if status != statusOK {
		t.Fatalf("status %d\n%s%s", status, stdout.String(), stderr.String())
	}
	var got struct {
		Matrix []struct {
			Workload string
			Calls    float64              `json:"calls_per_unit"`
			Ns       map[string][]float64 `json:"ns_per_unit"`
		}
		Targets []struct{ Target string }
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	tracers := map[string]int{"batch/dd-1": 8, "batch/python": 8, "batch/tar": 8, "attached/redis": 5, "filter/nothing": 4,
		"crowd/busy": 5, "crowd/busy+1000-idle": 5, "crowd/200-on-1-cpu": 4, "crowd/200-on-2-cpus": 4,
		"crowd/200-attached": 5}
	for _, row := range got.Matrix {
		if len(row.Ns) != tracers[row.Workload] {
			t.Errorf("%s: under %d tracers, want %d: %v", row.Workload, len(row.Ns), tracers[row.Workload], row.Ns)
		}
		for tracer, ns := range row.Ns {
			if len(ns) != 1 || ns[0] <= 0 {
				t.Errorf("%s under %s: %v", row.Workload, tracer, ns)
			}
		}
		if row.Calls < 0.5 {
			t.Errorf("%s: %v calls", row.Workload, row.Calls)
		}
		delete(tracers, row.Workload)
	}
	if delete(tracers, "crowd/200-on-2-cpus"); len(tracers) > 0 { // that needs two
		t.Errorf("not measured: %v\n%s", tracers, stdout.String())
	}
	if len(got.Targets) < 6 || !strings.Contains(stdout.String(), "throughput under sysprof ÷ under strace, attached/redis ≥ 3.00: ") {
		t.Errorf("targets %v\n%s", got.Targets, stdout.String())
	}
	for file, want := range map[string]string{goFormat: "BenchmarkMatrix/group=batch/workload=dd-1/tracer=strace_pinned 1 ", svg: "<svg"} {
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: lacks %q, %v", file, want, err)
		}
	}
}

// A tracer that fails is named, and the others are compared without it.
func TestFailingTracerIsLeftOut(t *testing.T) {
	r := newRow(workload.Workload{Name: "batch/a"}, []tracer{{name: untraced, matrix: true}, {name: straceC, matrix: true}, {name: sysprofC, matrix: true}})
	r.fail(&tracer{name: straceC}, errors.New("it hangs"))
	if len(r.tracers) != 2 || r.tracers[1].name != sysprofC {
		t.Errorf("goes on with %v", r.tracers)
	}
	if diff := cmp.Diff([]string{"strace: it hangs"}, r.Failed); diff != "" {
		t.Error(diff)
	}
	if r.fail(&tracer{name: untraced}, errors.New("no")); len(r.tracers) != 0 {
		t.Errorf("without the untraced run, goes on with %v", r.tracers)
	}
}

func TestFits(t *testing.T) {
	tracers := allTracers(&toolkit{}, 1)
	for i := range tracers { // bpftrace need not be there
		if tracers[i].name == "bpftrace" {
			tracers[i].observer = []string{"bpftrace"}
		}
	}
	serve := func(context.Context, *workload.Env) (workload.Service, error) { return nil, nil }
	for _, test := range []struct {
		w    workload.Workload
		want string
	}{
		{workload.Workload{Name: "batch/a"}, "untraced floor-c floor-c pinned floor sysprof sysprof --pprof strace strace pinned perf trace -s bpftrace"},
		{workload.Workload{Name: "filter/a", Filter: "acct"}, "untraced sysprof strace strace --seccomp-bpf"},
		{workload.Workload{Name: "attached/a", Serve: serve}, "untraced sysprof sysprof --pprof strace strace pinned perf trace -s bpftrace"},
		{workload.Workload{Name: "crowd/a", CPUs: 2}, "untraced sysprof sysprof --pprof strace perf trace -s bpftrace"},
	} {
		var got []string
		for _, tr := range tracers {
			if tr.fits(&test.w) {
				got = append(got, tr.name)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", test.w.Name, diff)
		}
	}
}

func TestTracerWords(t *testing.T) {
	strace := tracer{prefix: []string{"strace", "-c", "--"}}
	for _, test := range []struct {
		got  []string
		want string
	}{
		{strace.launch(""), "strace -c --"},
		{strace.launch("acct"), "strace -c -e trace=acct --"},
		{strace.attach(), "strace -c -p"},
		{(&tracer{}).launch("acct"), ""},
	} {
		if got := strings.Join(test.got, " "); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if got := strings.Join(strace.prefix, " "); got != "strace -c --" {
		t.Errorf("they changed the tracer: %q", got)
	}
}

func TestLoadIsMean(t *testing.T) {
	r := new(row)
	r.addLoad(load{OtherCPUs: 1}, time.Second)
	r.addLoad(load{OtherCPUs: 0, Steal: 0.4}, 3*time.Second)
	if diff := cmp.Diff(load{OtherCPUs: 0.25, Steal: 0.3}, r.Load, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

func TestPerCall(t *testing.T) {
	r := &row{Calls: 10, Ns: timings{untraced: {100, 100}, sysprofC: {150, 200}}}
	if diff := cmp.Diff([]float64{5, 10}, r.perCall(sysprofC)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{10 / 150e-9, 10 / 200e-9}, r.callRate(sysprofC), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if r.Calls = 0; r.perCall(sysprofC) != nil {
		t.Error("calls that nobody counted")
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{87.25: "87.2 ns", 1500: "1.5 µs", 2.5e6: "2.5 ms", 12.345e9: "12.3 s"} {
		if got := duration(ns); got != want {
			t.Errorf("%v: %q, want %q", ns, got, want)
		}
	}
}

// An interrupt ends the bench, and all that it has started.
func TestInterruptLeavesNothing(t *testing.T) {
	needPtrace(t)
	progress := make(interrupting, 1)
	var stdout bytes.Buffer
	status := run([]string{"bench", "-n", "1000", "-scale", "0.01", "-only", "^attached/redis$", "-tracers", "sysprof,strace"}, nil, &stdout, progress)
	if status != statusFailure || stdout.Len() > 0 {
		t.Errorf("status %d, output %q", status, stdout.String())
	}
	if !strings.Contains(<-progress, "interrupted") {
		t.Error("it does not say why it ended")
	}
	if err := process.Until(t.Context(), "no child is left", 20*time.Second, func() bool { return len(process.Family(os.Getpid())) == 1 }); err != nil {
		t.Error(err)
	}
}

// interrupting interrupts this process once the bench says that it has measured a round. It keeps the
// last line.
type interrupting chan string

func (c interrupting) Write(b []byte) (int, error) {
	select {
	case <-c:
	default:
	}
	c <- string(b)
	if strings.Contains(string(b), "attached/redis, round 1 ") {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
	}
	return len(b), nil
}

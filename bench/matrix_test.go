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

var strace = workload.Need{Program: "strace", Package: "strace"}

// Some workloads of each group are measured once, at the smallest size, by the command line.
func TestMatrixOnce(t *testing.T) {
	needPtrace(t)
	t.Run("Go alone", func(t *testing.T) {
		text := matrixOnce(t, "^(batch/(getppid|dd-1)|filter/nothing)$", "floor,sysprof,sysprof --pprof",
			map[string]int{"batch/getppid": 4, "batch/dd-1": 4, "filter/nothing": 2})
		if want := "sysprof ÷ untraced on filter/nothing ≤ 1.50: "; !strings.Contains(text, want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	})
	t.Run("everything", func(t *testing.T) {
		needPrograms(t, strace, workload.Need{Program: "cc", Package: "gcc"}, workload.Need{Program: "python3", Package: "python3"},
			workload.Need{Program: "tar", Package: "tar"}, workload.Need{Program: "taskset", Package: "util-linux"},
			workload.Need{Program: "redis-server", Package: "redis-server"}, workload.Need{Program: "redis-benchmark", Package: "redis-tools"})
		needTwoCPUs(t)
		text := matrixOnce(t, "^(batch/(dd-1|python|tar)|attached/redis|filter/nothing|crowd/.*)$",
			"floor-c,floor-c pinned,floor,sysprof,sysprof --pprof,strace,strace pinned,strace --seccomp-bpf",
			map[string]int{"batch/dd-1": 8, "batch/python": 8, "batch/tar": 8, "attached/redis": 5, "filter/nothing": 4,
				"crowd/busy": 5, "crowd/busy+1000-idle": 5, "crowd/200-on-1-cpu": 4, "crowd/200-on-2-cpus": 4, "crowd/200-attached": 5})
		if want := "throughput under sysprof ÷ under strace, attached/redis ≥ 3.00: "; !strings.Contains(text, want) {
			t.Errorf("the tables lack %q:\n%s", want, text)
		}
	})
}

// matrixOnce measures the workloads that match only and returns the tables. tracers says under how many
// tracers each workload has to be measured, untraced included.
func matrixOnce(t *testing.T, only, list string, tracers map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	goFormat, jsonFile, svg := filepath.Join(dir, "go"), filepath.Join(dir, "json"), filepath.Join(dir, "svg")
	var stdout, stderr bytes.Buffer
	status := run([]string{"bench", "-n", "1", "-scale", "0.01", "-only", only, "-tracers", list,
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
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
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
	if len(tracers) > 0 {
		t.Errorf("not measured: %v\n%s", tracers, stdout.String())
	}
	for file, want := range map[string]string{goFormat: "BenchmarkMatrix/group=batch/workload=dd-1/tracer=sysprof_--pprof 1 ", svg: "<svg"} {
		if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: lacks %q, %v", file, want, err)
		}
	}
	return stdout.String()
}

// A tracer that fails is named, and the others are measured without it.
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

func TestMeasures(t *testing.T) {
	tracers := allTracers(&toolkit{}, 1)
	for i := range tracers { // these may not be installed
		if tracers[i].name == "bpftrace" || tracers[i].name == "syscount -L" {
			tracers[i].observer = []string{tracers[i].name}
		}
	}
	serve := func(context.Context, *workload.Env) (workload.Service, error) { return nil, nil }
	for _, test := range []struct {
		w    workload.Workload
		want string
	}{
		{workload.Workload{Name: "batch/a"}, "untraced floor-c floor-c pinned floor sysprof sysprof --pprof strace strace pinned perf trace -s bpftrace syscount -L sysprof-kernel sysprof-kernel-1/16"},
		{workload.Workload{Name: "filter/a", Filter: "acct"}, "untraced sysprof strace strace --seccomp-bpf sysprof-kernel sysprof-kernel-1/16"},
		{workload.Workload{Name: "attached/a", Serve: serve}, "untraced sysprof sysprof --pprof strace strace pinned perf trace -s bpftrace syscount -L sysprof-kernel sysprof-kernel-1/16"},
		{workload.Workload{Name: "crowd/a", CPUs: 2}, "untraced sysprof sysprof --pprof strace perf trace -s bpftrace syscount -L sysprof-kernel sysprof-kernel-1/16"},
	} {
		var got []string
		for _, tr := range tracers {
			if tr.measures(&test.w) {
				got = append(got, tr.name)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", test.w.Name, diff)
		}
	}
}

func TestTracerWords(t *testing.T) {
	counting := tracer{prefix: []string{"strace", "-c", "--"}}
	for _, test := range []struct {
		got  []string
		want string
	}{
		{counting.launch(""), "strace -c --"},
		{counting.launch("acct"), "strace -c -e trace=acct --"},
		{counting.attach(), "strace -c -p"},
		{(&tracer{}).launch("acct"), ""},
	} {
		if got := strings.Join(test.got, " "); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if got := strings.Join(counting.prefix, " "); got != "strace -c --" {
		t.Errorf("the tracer was changed: %q", got)
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
		t.Error("there are times per call without a number of calls")
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{87.25: "87.2 ns", 1500: "1.5 µs", 2.5e6: "2.5 ms", 12.345e9: "12.3 s"} {
		if got := duration(ns); got != want {
			t.Errorf("%v: %q, want %q", ns, got, want)
		}
	}
}

// An interrupt ends the bench and all that it has started.
func TestInterruptLeavesNothing(t *testing.T) {
	needPtrace(t)
	needPrograms(t, workload.Need{Program: "redis-server", Package: "redis-server"}, workload.Need{Program: "redis-benchmark", Package: "redis-tools"})
	progress := make(interrupting, 1)
	var stdout bytes.Buffer
	status := run([]string{"bench", "-n", "1000", "-scale", "0.01", "-only", "^attached/redis$", "-tracers", "sysprof"}, nil, &stdout, progress)
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

// interrupting takes the progress of the bench and keeps its last line. Once a round has been measured it
// sends SIGINT to this process.
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

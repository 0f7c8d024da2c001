package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/bench/workload"
	"sysprof/profile/trials"
)

// recorded returns a run with round numbers. On getppid, sysprof adds 1.1 times what the floor adds, and
// strace was not measured. On dd, sysprof adds as much as strace, within noise. In the matrix, sysprof
// adds a tenth of what strace adds on find, and nothing but noise on xz.
func recorded() *results {
	return &results{
		Format: 1,
		Machine: machine{
			Time: time.Date(2026, 11, 23, 9, 57, 0, 0, time.UTC), CPUModel: "Fast CPU", CPUs: 2, CPU: 1,
			Kernel: "Linux 6.18", GOARCH: "amd64", Go: "go1.26.0", Target: "C",
			Tracers: []string{"sysprof (devel) linux/amd64 go1.26.0", "strace -- version 6.1"},
		},
		Missing: []string{"floor-c is left out: cc: not found"},
		tracers: []tracer{{name: untraced}, {name: floorGo}, {name: floorPinned}, {name: sysprofC}, {name: straceC}},
		Timed: []*series{
			{Workload: "getppid", Calls: 1000, Load: load{0.01, 0.5, 0}, NsPerOp: map[string][]float64{
				untraced: {100, 100, 100, 100, 100, 100},
				floorGo:  {5100, 5100, 5100, 5100, 5100, 5100},
				sysprofC: {5600, 5600, 5600, 5600, 5600, 5650},
			}},
			{Workload: "dd-bs1", Calls: 1000, Load: load{0, 0, 0.02}, NsPerOp: map[string][]float64{
				untraced: {200, 200, 200, 200, 200, 200},
				floorGo:  {5200, 5200, 5200, 5200, 5200, 5200},
				sysprofC: {6700, 6500, 6700, 6500, 6700, 6700},
				straceC:  {6600, 6600, 6600, 6600, 6600, 6600},
			}},
		},
		Memory: &growth{Calls: 10, Processes: 20, Threads: 30, Phases: []growthPhase{
			{"start", 5120, 5120}, {"threads", 8192, 9216}, {"again", 8704, 9216},
		}},
		Pauses: []*crowdPauses{
			{"pauses/20x50", untraced, []pauseRound{{500e6, 1e6, 600e6, 2e6}, {550e6, 3e6, 600e6, 2e6}}},
			{"pauses/20x50", sysprofC, []pauseRound{{700e6, 90e6, 600e6, 80e6}, {800e6, 70e6, 600e6, 80e6}}},
		},
		Matrix: []*row{
			{Workload: "batch/find", What: "find", Unit: "run", Calls: 10_000, Load: load{OtherCPUs: 0.25, Steal: 0.05},
				w: workload.Workload{Name: "batch/find"},
				Ns: timings{
					untraced:    {100e6, 100e6, 100e6},
					floorPinned: {140e6, 140e6, 140e6},
					sysprofC:    {150e6, 160e6, 150e6},
					straceC:     {600e6, 600e6, 700e6},
				}},
			{Workload: "batch/xz", What: "xz", Unit: "run", Calls: 100,
				w:  workload.Workload{Name: "batch/xz"},
				Ns: timings{untraced: {1e9, 1.01e9, 1e9}, sysprofC: {1.001e9, 1e9, 1e9}, straceC: {1.002e9, 1e9, 1e9}}},
			{Workload: "attached/redis", What: "redis", Unit: "request", Calls: 2,
				w:     workload.Workload{Name: "attached/redis"},
				Ns:    timings{untraced: {10e3, 10e3, 10e3}, sysprofC: {25e3, 20e3, 25e3}, straceC: {100e3, 100e3, 100e3}},
				P99Ns: timings{untraced: {1e6, 1e6, 1e6}, sysprofC: {2e6, 2e6, 2.5e6}, straceC: {9e6, 9e6, 9e6}}},
			{Workload: "crowd/busy", What: "busy", Unit: "call", Calls: 1,
				w:      workload.Workload{Name: "crowd/busy"},
				Ns:     timings{untraced: {100}},
				Failed: []string{"sysprof: timed out\nand more"}},
		},
	}
}

func TestOutputs(t *testing.T) {
	r := recorded()
	for name, write := range map[string]func(io.Writer) error{
		"tables.md": r.writeTables,
		"o.txt":     r.writeGoFormat,
		"json.json": r.writeJSON,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("(-update rewrites it)\n%s", diff)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		e    trials.Estimate
		want string
	}{
		{trials.Estimate{Median: 1.10, Lo: 1.05, Hi: 1.15}, "reached"},
		{trials.Estimate{Median: 1.19, Lo: 1.15, Hi: 1.25}, "reached, within noise"},
		{trials.Estimate{Median: 1.21, Lo: 1.15, Hi: 1.25}, "missed, within noise"},
		{trials.Estimate{Median: 1.40, Lo: 1.35, Hi: 1.45}, "missed"},
	} {
		if got := verdictOn(&test.e, 1.20); got != test.want {
			t.Errorf("%v: %q, want %q", test.e, got, test.want)
		}
	}
}

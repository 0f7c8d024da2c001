package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDDElapsed(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       time.Duration
		fails      bool
	}{
		{name: "seconds", text: "9+0 records in\n9+0 records out\n100000 bytes (100 kB, 98 KiB) copied, 1.50217 s, 66.6 kB/s\n", want: 1502170 * time.Microsecond},
		{name: "small", text: "9 bytes copied, 9.4e-05 s, 96 kB/s\n", want: 94 * time.Microsecond},
		{name: "silent", text: "9+0 records in\n", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ddElapsed(test.text)
			if got.Round(time.Nanosecond) != test.want || (err != nil) != test.fails {
				t.Errorf("%v, %v; want %v, failure %v", got, err, test.want, test.fails)
			}
		})
	}
}

const statBefore = `cpu  300 0 300 5000 0 0 0 0 0 0
cpu0 100 0 100 2500 0 0 0 0 0 0
cpu1 200 0 200 2500 0 0 0 0 0 0
intr 12345 0 9
`

const statAfter = `cpu  300 0 300 5000 0 0 0 0 0 0
cpu0 120 10 110 2510 50 5 5 20 0 0
cpu1 250 0 240 2510 0 0 0 0 0 0
intr 23456 0 9
`

// In these two seconds CPU 1 was busy for 0.9 s, of which bench's own children took 0.8 s, and CPU 0 was
// busy for 0.5 s.
func TestLoadLeavesOwnWorkOut(t *testing.T) {
	start := time.Unix(1e9, 0)
	begin := &loadMeter{cpu: 1, start: start, busy: parseStat(statBefore), own: time.Second}
	end := &loadMeter{cpu: 1, start: start.Add(2 * time.Second), busy: parseStat(statAfter), own: 1800 * time.Millisecond}
	want := load{SameCPU: 0.05, OtherCPUs: 0.25, Steal: 0.1}
	if diff := cmp.Diff(want, begin.until(end), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
	everywhere := &loadMeter{cpu: allCPUs, start: start, busy: begin.busy, own: begin.own}
	want = load{OtherCPUs: 0.3, Steal: 0.1} // both CPUs were busy for 1.4 s, of which bench took 0.8 s
	if diff := cmp.Diff(want, everywhere.until(end), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Error(diff)
	}
	end.own = 10 * time.Second // ticks are samples, and may miss work
	if got := begin.until(end).SameCPU; got != 0 {
		t.Errorf("load %v, want 0", got)
	}
}

func TestStatusKB(t *testing.T) {
	const status = "Name:\tsysprof\nVmHWM:\t    5124 kB\nVmRSS:\t    5100 kB\nThreads:\t7\n"
	for name, want := range map[string]int{"VmHWM": 5124, "VmRSS": 5100, "VmSwap": 0} {
		if got := statusKB(status, name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestCPUModel(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel\t\t: 167\nmodel name\t: Fast CPU @ 1 GHz\n": "Fast CPU @ 1 GHz",
		"processor\t: 0\nBogoMIPS\t: 50.00\n":                              "unknown",
	} {
		if got := cpuModel(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

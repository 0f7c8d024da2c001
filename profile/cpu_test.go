package profile

import (
	"math"
	"testing"
	"time"
)

func TestCPUTimeIsKeptWhereItWasMeasured(t *testing.T) {
	p := New()
	add := func(nr uint64, errno int32, rawNs, cpuNs int64) {
		c := call(nr, errno, rawNs)
		c.CPUNs = cpuNs
		p.Add(c)
	}
	add(0, 0, 1_000, 300)
	add(0, 11, 1_000, 0) // measured, and none was used
	add(0, 0, 4_000, -1)
	add(1, 0, 9_000, -1)
	add(2, 0, 100, 150)

	for name, s := range map[string]*Snapshot{"live": p.Raw().Snapshot(), "merged": Merge(p.Raw().Snapshot(), New().Raw().Snapshot())} {
		t.Run(name, func(t *testing.T) {
			read, write, open := &s.Rows[0], &s.Rows[1], &s.Rows[2]
			equal(t, "CPU times of read", collect(read.CPU), []Bucket{{0, 0, 1}, {300, 301, 1}})
			equal(t, "calls of read measured", read.CPUCalls, 2)
			equal(t, "CPU time of read", read.CPUNs, 300)
			offCPU(t, "read", &read.Totals, 4_000-300, true) // two thirds of 6,000 ns

			if write.CPU != nil {
				t.Errorf("write has CPU times that nobody measured: %v", collect(write.CPU))
			}
			equal(t, "calls of write measured", write.CPUCalls, 0)
			offCPU(t, "write", &write.Totals, 0, false)

			offCPU(t, "open", &open.Totals, 0, true) // more CPU time than latency: not below 0
			equal(t, "calls measured", s.Total.CPUCalls, 3)
			equal(t, "CPU time", s.Total.CPUNs, 450)
		})
	}
	twice := Merge(p.Raw().Snapshot(), p.Raw().Snapshot())
	equal(t, "CPU time of two", twice.Total.CPUNs, 900)
	equal(t, "CPU times of two", twice.Rows[0].CPU.Count(), 4)
	if twice.Rows[1].CPU != nil {
		t.Error("merging made CPU times up")
	}
}

func TestOffCPUTimeOfHugeSums(t *testing.T) {
	offCPU(t, "no calls", &Totals{}, 0, false)
	offCPU(t, "all measured", &Totals{Calls: math.MaxUint64, CPUCalls: math.MaxUint64, SumNs: math.MaxInt64}, math.MaxInt64, true)
	offCPU(t, "half measured", &Totals{Calls: 1 << 63, CPUCalls: 1 << 62, SumNs: 1 << 62, CPUNs: 1}, 1<<61-1, true)
	offCPU(t, "all on CPU", &Totals{Calls: 1, CPUCalls: 1, SumNs: 5, CPUNs: math.MaxInt64}, 0, true)
}

func TestCPUTimeDoesNotAllocatePerCall(t *testing.T) {
	s := New().Shard()
	c := call(0, 0, 900)
	c.CPUNs = 400
	s.Add(c)
	if n := testing.AllocsPerRun(1000, func() { s.Add(c) }); n != 0 {
		t.Errorf("adding a call with CPU time allocates %v times", n)
	}
}

func offCPU(t *testing.T, what string, totals *Totals, want time.Duration, wantKnown bool) {
	t.Helper()
	if got, known := totals.OffCPU(); got != want || known != wantKnown {
		t.Errorf("off-CPU time of %s = %d, %t; want %d, %t", what, got, known, want, wantKnown)
	}
}

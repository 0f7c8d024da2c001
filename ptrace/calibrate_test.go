package ptrace_test

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// calls are the calls of a calibration, as they come.
type calls struct {
	byCPU map[bool]int // those that are timed, by profile.Call.CrossCPU
	clock int          // those that read the clock
}

func (c *calls) Call(call *profile.Call) {
	switch call.Nr {
	case ptrace.CalibrationCall:
		c.byCPU[call.CrossCPU]++
	case unix.SYS_CLOCK_GETTIME:
		c.clock++
	}
}

func (c *calls) Control(*profile.Control) {}

// TestCalibration: what is handed over are as many calls as the child says it has made, of either condition, and those that it
// reads the clock with. With a filter it is the same.
func TestCalibration(t *testing.T) {
	for _, cpu := range []ptrace.CPU{ptrace.CPUAuto, ptrace.CPUOff} {
		for _, filter := range []*ptrace.Filter{nil, {Calls: setOf(t, "getpid")}} {
			t.Run(fmt.Sprintf("CPU %d, filter %v", cpu, filter != nil), func(t *testing.T) {
				seen := &calls{byCPU: make(map[bool]int)}
				want := make(map[bool]int)
				batches := 0
				fastest, fastestTraced := int64(math.MaxInt64), int64(math.MaxInt64)
				tracer, _ := trace(t, ptrace.Options{
					Command: targetCommand(filepath.Join(t.TempDir(), "ledger"), "registers"), Follow: true, CPU: cpu, Filter: filter, Calibration: seen,
					Calibrated: func(all []*ptrace.Calibration) {
						for _, c := range all {
							want[c.CrossCPU] += len(c.TracedNs) * c.BatchCalls
							batches += len(c.TracedNs)
							for i, ns := range c.TracedNs {
								if c.UntracedNs[i] <= 0 || ns <= 0 {
									t.Errorf("a batch took %d ns traced, and %d untraced", ns, c.UntracedNs[i])
								}
								fastest, fastestTraced = min(fastest, c.UntracedNs[i]), min(fastestTraced, ns)
							}
						}
					},
				})
				finish(t, tracer)
				if fastestTraced <= fastest { // any one of them may have lost the CPU
					t.Errorf("the fastest batch took %d ns traced, and %d untraced", fastestTraced, fastest)
				}
				conditions := 1
				if cpu == ptrace.CPUAuto && mayRunOn(t) > 1 {
					conditions = 2
				}
				if len(want) != conditions {
					t.Errorf("%d conditions, want %d", len(want), conditions)
				}
				// On a machine that is slow, or busy, the child may have been let go before its time.
				if got := seen.byCPU[false] + seen.byCPU[true]; got != want[false]+want[true] || seen.byCPU[true] < want[true] {
					t.Errorf("%d calls on the tracer's CPU and %d across CPUs, want %d and %d", seen.byCPU[false], seen.byCPU[true], want[false], want[true])
				}
				if want[false] > 0 && seen.byCPU[false] == 0 {
					t.Error("no call on the tracer's CPU")
				}
				if seen.clock != 2*batches {
					t.Errorf("the clock was read %d times in %d batches", seen.clock, batches)
				}
			})
		}
	}
}

// mayRunOn is on how many CPUs this process may run.
func mayRunOn(t *testing.T) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return set.Count()
}

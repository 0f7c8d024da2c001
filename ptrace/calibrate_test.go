package ptrace_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// calls are calls of one number, as they come.
type calls struct {
	nr     uint64
	byCPU  map[bool]int // by profile.Call.CrossCPU
	others int          // that are no calls of that number
}

func (c *calls) Call(call *profile.Call) {
	if call.Nr != c.nr {
		c.others++
		return
	}
	c.byCPU[call.CrossCPU]++
}

func (c *calls) Control(*profile.Control) {}

// TestCalibration: what is handed over are as many calls as the child says it has made, of either condition, and no others
// than it reads the clock with. With a filter it is the same.
func TestCalibration(t *testing.T) {
	for _, cpu := range []ptrace.CPU{ptrace.CPUAuto, ptrace.CPUOff} {
		for _, filter := range []*ptrace.Filter{nil, {Calls: setOf(t, "getpid")}} {
			t.Run(fmt.Sprintf("CPU %d, filter %v", cpu, filter != nil), func(t *testing.T) {
				seen := &calls{nr: ptrace.CalibrationCall, byCPU: make(map[bool]int)}
				want := make(map[bool]int)
				batches := 0
				tracer, _ := trace(t, ptrace.Options{
					Command: targetCommand(filepath.Join(t.TempDir(), "ledger"), "registers"), Follow: true, CPU: cpu, Filter: filter, Calibration: seen,
					Calibrated: func(all []*ptrace.Calibration) {
						for _, c := range all {
							want[c.CrossCPU] += len(c.TracedNs) * c.BatchCalls
							batches += len(c.TracedNs)
							for i, ns := range c.TracedNs {
								if c.UntracedNs[i] <= 0 || ns <= c.UntracedNs[i] {
									t.Errorf("a batch took %d ns traced, and %d untraced", ns, c.UntracedNs[i])
								}
							}
						}
					},
				})
				finish(t, tracer)
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
				if seen.others > 3*batches {
					t.Errorf("%d other calls in %d batches", seen.others, batches)
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

// Package bounded holds what reads foreign bytes to a bound on time and memory, in tests. What bytes cost is bounded in the
// readers, by budgets of their own; this only notices when such a budget has been forgotten.
package bounded

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hangsNs is how much CPU time is too much. What takes longest, a bomb of 64 MB, takes a hundredth of it, and a tenth with
// the race detector. It is CPU time since a busy machine may have anything wait: it took 32 s to do what takes 8 alone.
// What waits for ever runs into the bound on the tests of a package.
const hangsNs = 80 * int64(time.Second)

// Run runs f, which nothing else may run beside, and fails t if f has taken too long or allocated more than a number of
// megabytes.
func Run(t testing.TB, megabytes uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	startNs := cpuNs(t)
	f()
	tookNs := cpuNs(t) - startNs
	runtime.ReadMemStats(&after)
	if tookNs > hangsNs {
		t.Errorf("took %v of CPU time", time.Duration(tookNs))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > megabytes<<20 {
		t.Errorf("allocated %d MB, want no more than %d", n>>20, megabytes)
	}
}

// cpuNs is the CPU time of this process.
func cpuNs(t testing.TB) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}

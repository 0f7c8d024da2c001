package ptrace

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// TestUrgently: a thread gets the CPU before others for as long as it is urgent, unless it was made nice.
func TestUrgently(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread ends with this
		within := func() (nice int) {
			urgently(func() { nice, _ = niceness() })
			return nice
		}
		allowed := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -1) == nil
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0)
		if needs.That(t, allowed, "the right to raise a priority", "run the tests as root"); !allowed {
			return
		}
		if got := within(); got != -20 {
			t.Errorf("the nice value is %d, want -20", got)
		}
		if got, err := niceness(); got != 0 || err != nil {
			t.Errorf("the nice value is %d after that (%v), want 0", got, err)
		}
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 5)
		if got := within(); got != 5 {
			t.Errorf("the nice value is %d, want 5 as it was", got)
		}
	}()
	<-done
}

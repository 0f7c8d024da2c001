package raw_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// page is what a forked child shares with the test.
type page struct {
	phase raw.Futex
	_     [3 * 4096]byte
	last  uint32
}

//go:noinline
//go:norace
//go:nocheckptr
func forkChild(p *page) (int32, unix.Errno) {
	pid, errno := raw.Fork()
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	p.phase.ChildWait(0)
	p.last = 42
	p.phase.ChildSet(2)
	raw.ChildExit(7)
	return 0, 0
}

func TestFork(t *testing.T) {
	for range 200 {
		p, err := raw.MapShared[page]()
		if err != nil {
			t.Fatal(err)
		}
		pid, errno := forkChild(p)
		if errno != 0 {
			t.Fatal(errno)
		}
		if p.phase.Wait(0, time.Microsecond); p.phase.Load() != 0 || p.last != 0 {
			t.Fatal("the child did not wait")
		}
		p.phase.Set(1)
		for p.phase.Load() == 1 {
			p.phase.Wait(1, time.Second)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(int(pid), &status, 0, nil); err != nil || status.ExitStatus() != 7 || p.last != 42 {
			t.Fatalf("the child's end is %#x, %v; it wrote %d", status, err, p.last)
		}
		raw.UnmapShared(p)
	}
}

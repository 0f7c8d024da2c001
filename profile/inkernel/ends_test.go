package inkernel

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab/needs"
)

// TestNothingAfterTheEnd: what is in flight at the end is not counted as well when it returns.
func TestNothingAfterTheEnd(t *testing.T) {
	p := startTarget(t, "getppid 4 100")
	c := load(t, Options{})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	check(t, c.programs.Over.Set(uint32(1))) // as End does, while the programs are still attached
	barrier()
	p.makesCalls(t)
	check(t, c.End())
	raw, err := c.TakeLast()
	check(t, err)
	if s := raw.Snapshot(); len(s.Rows) != 0 {
		t.Errorf("counted: %+v", s.Rows)
	}
}

// TestEverybodyButUs: where everybody is counted we are not, and others are.
func TestEverybodyButUs(t *testing.T) {
	p := startTarget(t, "getppid 1 100")
	c := load(t, Options{Everybody: true, By: ByPID})
	check(t, c.Begin())
	p.makesCalls(t)
	check(t, c.End())
	groups, err := c.TakeGroups(true)
	check(t, err)
	target := uint64(0)
	for i := range groups {
		switch g := &groups[i]; int(g.PID) {
		case os.Getpid():
			t.Errorf("we are counted: %+v", g.Rows)
		case p.cmd.Process.Pid:
			target = getppids(g)
		}
	}
	if target != 100 {
		t.Errorf("the target has %d calls of getppid, want 100", target)
	}
}

// TestLongestInFlight: of threads in the same call the one is named that has been there longest.
func TestLongestInFlight(t *testing.T) {
	p := startTarget(t, "waits")
	c := load(t, Options{})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	pid, first := p.cmd.Process.Pid, p.makesCalls(t)
	reading := 0
	for end := time.Now().Add(needs.Patience()); reading < 2; {
		if time.Now().After(end) {
			t.Fatal("the target does not wait")
		}
		reading = 0
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, thread := range threads {
			if tid, _ := strconv.Atoi(thread.Name()); isReading(pid, tid) {
				reading++
			}
		}
	}
	check(t, c.End())
	flights, err := c.InFlight()
	check(t, err)
	for _, f := range flights {
		if f.Nr == unix.SYS_READ && !f.Resumed {
			if f.Count != 2 || uint64(f.TID) != first {
				t.Errorf("%+v, want 2, of which %d is the first", f, first)
			}
			return
		}
	}
	t.Errorf("%+v", flights)
}

// TestSignalsOfOthers: it is known whether somebody else than us has sent the command a signal.
func TestSignalsOfOthers(t *testing.T) {
	p := startTarget(t, "getppid 1 1")
	c := load(t, Options{Signals: true})
	pid := p.cmd.Process.Pid
	check(t, c.AddCommand(pid))
	check(t, c.Begin())
	begin := time.Now()
	check(t, unix.Kill(pid, unix.SIGWINCH)) // which nobody minds
	if c.SignalledSince(unix.SIGWINCH, begin) {
		t.Error("our own signal is taken for another's")
	}
	check(t, exec.Command("/bin/sh", "-c", fmt.Sprint("kill -WINCH ", pid)).Run())
	if !c.SignalledSince(unix.SIGWINCH, begin) {
		t.Error("a signal of another process is not noted")
	}
}

// TestTimedAtRandom: a program's own rhythm has no part in which calls are timed.
func TestTimedAtRandom(t *testing.T) {
	const rhythm, longNs = 16, 5_000 // 4 MiB of zeros at 100 GB/s take 40 µs, and none 0.1
	p := startTarget(t, fmt.Sprintf("rhythm %d %d", rhythm, 1000*rhythm))
	c := load(t, Options{Timed: rhythm})
	check(t, c.Add(p.cmd.Process.Pid))
	check(t, c.Begin())
	c.pace.end() // it is known already that these are frequent and short
	index, _ := indexOf(0, unix.SYS_PREAD64)
	c.pace.set(totals{index: {calls: 1e6}}, time.Second, rhythm)
	p.makesCalls(t)
	check(t, c.End())
	_, err := c.TakeLast()
	check(t, err)
	var long, all uint64
	for at, key := range c.rows.keys {
		if r := c.rows.taken[at]; r != nil && key.Nr == unix.SYS_PREAD64 && key.Errno == 0 {
			for b, n := range r.Bucket {
				low, _ := bounds(b)
				if all += uint64(n); low >= longNs {
					long += uint64(n)
				}
			}
		}
	}
	if share := float64(long) / float64(all); share < 0.3/rhythm || share > 3./rhythm {
		t.Errorf("of %d calls %d are long, want one of %d", all, long, rhythm)
	}
}

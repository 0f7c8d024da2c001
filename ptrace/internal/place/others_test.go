package place

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// setCPUs sets where a thread may run, as somebody else.
func setCPUs(t *testing.T, tid int32, cpus ...int) {
	t.Helper()
	m := new(raw.CPUMask)
	for _, cpu := range cpus {
		m.Add(cpu)
	}
	if err := raw.SetAffinity(tid, m); err != nil {
		t.Fatal(err)
	}
}

// otherThan is a CPU that the test may use, other than the Home's.
func otherThan(h *Home) int {
	for cpu := range 1024 {
		if cpu != h.cpu && h.machine.own.Has(cpu) {
			return cpu
		}
	}
	return -1
}

func still(int32) int64 { return 0 }

// What others do to a pinned thread lasts, and it is not pinned again unless it sets something itself.
func TestOthersWishLasts(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave func(h *Home, th *Thread)
		again bool // it may be pinned again
	}{
		{"at the end", func(h *Home, th *Thread) { h.RestoreAll() }, false},
		{"at a tick", func(h *Home, th *Thread) { h.Tick(false, still) }, false},
		{"it creates a thread", func(h *Home, th *Thread) { h.Reveal(th, Creates, 0); h.Returned(th) }, false},
		{"it asks for its CPUs", func(h *Home, th *Thread) { h.Reveal(th, AsksFor, 0); h.Returned(th) }, false},
		{"it sets its policy", func(h *Home, th *Thread) { h.Reveal(th, Sets, 0) }, true},
		{"this process is killed", func(h *Home, th *Thread) { h.machine.guard.ledger.childRestoreAll(); h.Restore(th) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tid, end := sleeper()
			defer end()
			onMachine(t, func(m *Machine, h *Home) {
				var th Thread
				h.Added(&th, tid, tid)
				if !h.Pin(&th) {
					t.Fatal("the thread is not pinned")
				}
				other := otherThan(h)
				setCPUs(t, tid, other)
				test.leave(h, &th)
				got := new(raw.CPUMask)
				if err := raw.Affinity(tid, got); err != nil || !got.Has(other) || got.Count() != 1 {
					t.Errorf("it may run on %x (%v), want CPU %d", got[0], err, other)
				}
				if th.unplaceable == test.again {
					t.Errorf("it may be pinned again: %v", !th.unplaceable)
				}
				if th.slot >= 0 {
					t.Error("it is said to be pinned")
				}
			})
		})
	}
}

// A thread that may run wherever its cpuset lets it is noted to get all CPUs back, and another one what it had.
func TestMaskToGiveBack(t *testing.T) {
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var th Thread
		h.Added(&th, tid, tid)
		h.Pin(&th)
		masks := &m.guard.ledger.masks
		if noted := m.guard.ledger.slots[th.slot].Load(); maskOf(noted) != allCPUs || masks[allCPUs].Count() != 1024 {
			t.Errorf("it gets mask %d back, %x", maskOf(noted), masks[maskOf(noted)])
		}
		if m.wide != masks[allCPUs] {
			t.Errorf("the tracer thread gets %x back", m.wide)
		}
		home := h.cpu
		h.Restore(&th)
		setCPUs(t, tid, home)
		if !h.Pin(&th) {
			t.Fatal("the thread is not pinned")
		}
		noted := m.guard.ledger.slots[th.slot].Load()
		if mask := masks[maskOf(noted)]; !mask.Has(home) || mask.Count() != 1 || noted&beingPinned != 0 {
			t.Errorf("it gets mask %d back, %x", maskOf(noted), mask)
		}
	})
}

// A thread that is being pinned while this process is killed has none of the masks that tell something.
func TestKilledWhilePinning(t *testing.T) {
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		had := new(raw.CPUMask)
		had.Add(otherThan(h))
		mask := m.guard.numberOf(had)
		m.guard.ledger.slots[0].Store(packSlot(tid, 0, mask) | beingPinned)
		m.guard.ledger.childRestoreAll()
		m.guard.ledger.slots[0].Store(0)
		if n := cpus(t, tid); n != 1 {
			t.Errorf("it may run on %d CPUs, want the one that it had", n)
		}
	})
}

// setPolicy gives a thread a policy.
func setPolicy(t *testing.T, tid int32, policy uint32) {
	t.Helper()
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if policy == unix.SCHED_FIFO {
		attr.Priority = 1
	}
	if err := unix.SchedSetAttr(int(tid), attr, 0); err != nil {
		t.Skipf("no real-time policy here: %v", err)
	}
}

func TestRealTimeIsNotPinned(t *testing.T) {
	all := cpus(t, 0)
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var th Thread
		h.Added(&th, tid, tid)
		setPolicy(t, tid, unix.SCHED_FIFO)
		if h.Pin(&th) || cpus(t, tid) != all {
			t.Fatal("a thread with SCHED_FIFO is pinned")
		}
		setPolicy(t, tid, unix.SCHED_NORMAL)
		h.Added(&th, tid, tid)
		if !h.Pin(&th) {
			t.Fatal("a thread with SCHED_NORMAL is not pinned")
		}
		setPolicy(t, tid, unix.SCHED_FIFO)
		h.Tick(false, still)
		if n := cpus(t, tid); n != all || h.Pin(&th) {
			t.Errorf("a thread that has got SCHED_FIFO is still pinned, to %d CPUs", n)
		}
	})
}

// The guard gets a CPU before others, where that is permitted.
func TestGuardComesFirst(t *testing.T) {
	probe, end := sleeper()
	defer end()
	setPolicy(t, probe, unix.SCHED_FIFO)
	m, err := New(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.OneCPU() {
		t.Skip("there is one CPU only")
	}
	if is, err := unix.SchedGetAttr(m.guard.pid, 0); err != nil || is.Policy != unix.SCHED_RR {
		t.Errorf("the guard has policy %+v (%v)", is, err)
	}
}

// All have their CPUs back when the guard has died, and nothing is pinned from then on.
func TestGuardDies(t *testing.T) {
	all := cpus(t, 0)
	m, err := New(-1)
	if err != nil {
		t.Fatal(err)
	}
	if m.OneCPU() {
		t.Skip("there is one CPU only")
	}
	tid, end := sleeper()
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: its affinity is not for others
		h := NewHome(m, func() {})
		var th Thread
		h.Added(&th, tid, tid)
		if !h.Pin(&th) {
			t.Error("the thread is not pinned")
			return
		}
		h.Tick(false, still)
		if !h.isPinned(&th) {
			t.Error("it is not pinned while there is a guard")
		}
		unix.Kill(m.guard.pid, unix.SIGKILL)
		unix.Waitid(unix.P_PID, m.guard.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		h.Tick(false, still)
		if n := cpus(t, tid); n != all || h.HasCPU() || cpus(t, 0) != all {
			t.Errorf("the thread may run on %d CPUs, the tracer on %d, want %d", n, cpus(t, 0), all)
		}
		if h.Pin(&th) || h.HasCPU() {
			t.Error("it is pinned again")
		}
	}()
	<-done
	if err := m.Close(); err != ErrGuardDied {
		t.Errorf("Close: %v", err)
	}
}

// When a tracer thread dies all have their CPUs back before its process is gone: the tracees are let go as early.
func TestTracerThreadDies(t *testing.T) {
	all := cpus(t, 0)
	m, err := New(-1)
	if err != nil {
		t.Fatal(err)
	}
	if m.OneCPU() {
		t.Skip("there is one CPU only")
	}
	tid, end := sleeper()
	defer end()
	pinned := make(chan bool)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this
		h := NewHome(m, func() {})
		var th Thread
		h.Added(&th, tid, tid)
		pinned <- h.Pin(&th)
	}()
	if !<-pinned {
		t.Fatal("the thread is not pinned")
	}
	for begin := time.Now(); cpus(t, tid) != all; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("the thread may run on %d CPUs, want %d", cpus(t, tid), all)
		}
	}
	m.guard.restoreThread(0) // the slots
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// What pinning a thread and giving it its CPUs back takes.
func BenchmarkPin(b *testing.B) {
	m, err := New(-1)
	if err != nil || m.OneCPU() {
		b.Skip("there is one CPU only")
	}
	tid, end := sleeper()
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		h := NewHome(m, func() {})
		var th Thread
		h.Added(&th, tid, tid)
		for b.Loop() {
			h.Pin(&th)
			h.Restore(&th)
		}
		h.RestoreAll()
	}()
	<-done
	m.Close()
}

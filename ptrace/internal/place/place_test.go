package place

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// run is a run between two calls of a thread: how long it took, how many stops of others came meanwhile, and what is
// to follow.
type run struct {
	gapNs  int64
	others uint64
	want   verdict
}

const (
	ms   = 1_000_000
	wake = 40_000
)

func runs(n int, r run) (all []run) {
	for range n {
		all = append(all, r)
	}
	return all
}

func TestJudge(t *testing.T) {
	short, long := run{gapNs: 5_000}, run{gapNs: 3 * ms}
	join := func(parts ...[]run) (all []run) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	for _, test := range []struct {
		name   string
		leader bool
		runs   []run
	}{
		{"the first thread of a process is pinned soon", true,
			[]run{{gapNs: -1}, short, {5_000, 0, pin}, short}},
		{"another thread has to be bound for longer", false,
			join([]run{{gapNs: -1}}, runs(otherRunsToPin-1, short), []run{{5_000, 0, pin}})},
		{"a run of middle length begins anew", false,
			join(runs(otherRunsToPin-1, short), []run{{gapNs: ms / 2}}, runs(otherRunsToPin-1, short), []run{{5_000, 0, pin}})},
		{"waking is no running", true,
			[]run{{gapNs: wake + shortRunNs - 1}, {wake + shortRunNs - 1, 0, pin}}},
		{"more than waking is", true,
			[]run{{gapNs: wake + shortRunNs}, {gapNs: wake + shortRunNs}, {gapNs: wake + shortRunNs}}},
		{"others had the CPU meanwhile", true,
			[]run{{gapNs: 2 * ms, others: 2 * ms / stopNs}, {2 * ms, 2 * ms / stopNs, pin}}},
		{"a pinned thread that computes in others' way", true,
			[]run{short, {5_000, 0, pin}, {3 * ms, fewStops + 1, restore}}},
		{"a pinned thread that computes in nobody's way", true,
			[]run{short, {5_000, 0, pin}, {gapNs: 3 * ms, others: fewStops}, {aloneNs + fewStops*stopNs, fewStops, restore}}},
		{"a thread that is not pinned computes", false,
			join(runs(otherRunsToPin-1, short), []run{long}, runs(otherRunsToPin-1, short), []run{{5_000, 0, pin}})},
		{"each time it computes it takes twice as long to be pinned again", true, join(
			[]run{short, {5_000, 0, pin}, {3 * ms, 9, restore}},
			runs(3, short), []run{{5_000, 0, pin}, {3 * ms, 9, restore}},
			runs(7, short), []run{{5_000, 0, pin}, {3 * ms, 9, restore}},
			runs(15, short), []run{{5_000, 0, pin}})},
		{"until that is forgiven", true, join(
			[]run{short, {5_000, 0, pin}, {3 * ms, 9, restore}},
			runs(3, short), []run{{5_000, 0, pin}}, runs(forgiveAfter, short),
			[]run{{3 * ms, 9, restore}}, // 4 had become 2, which is now 4 again
			runs(3, short), []run{{5_000, 0, pin}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := NewHome(nil, func() {})
			var th Thread
			pid := int32(8)
			if test.leader {
				pid = 7
			}
			h.Added(&th, 7, pid)
			pinned := false
			for i, r := range test.runs {
				got := th.judge(pinned, r.gapNs, r.others, wake)
				if got != r.want {
					t.Fatalf("run %d, of %d ns among %d stops: verdict %d, want %d (%+v)", i, r.gapNs, r.others, got, r.want, th)
				}
				switch got {
				case pin:
					pinned = true
				case restore:
					pinned = false
				}
			}
		})
	}
}

// What it takes has bounds.
func TestRunsToPinHasBounds(t *testing.T) {
	th := Thread{runsToPin: leaderRunsToPin}
	for range 20 {
		th.computes()
	}
	if th.runsToPin != mostRunsToPin {
		t.Errorf("it takes %d short runs, want %d at most", th.runsToPin, mostRunsToPin)
	}
	for range 20 * forgiveAfter {
		th.judge(true, 5_000, 0, wake)
	}
	if th.runsToPin != leaderRunsToPin {
		t.Errorf("it takes %d short runs, want %d at least", th.runsToPin, leaderRunsToPin)
	}
}

// onMachine runs f on a thread of its own, with a Machine and a Home. It skips the test where there is one CPU.
func onMachine(t *testing.T, f func(m *Machine, h *Home)) {
	t.Helper()
	m, err := New(-1)
	if err != nil {
		t.Fatal(err)
	}
	if m.OneCPU() {
		t.Skip("there is one CPU only")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: its affinity is not for others
		h := NewHome(m, func() {})
		f(m, h)
		h.RestoreAll()
	}()
	<-done
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

// sleeper is a thread of this process that can be pinned. end ends it.
func sleeper() (tid int32, end func()) {
	ids, over := make(chan int32), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		ids <- int32(unix.Gettid())
		<-over
	}()
	return <-ids, func() { close(over) }
}

func cpus(t *testing.T, tid int32) int {
	t.Helper()
	m := new(raw.CPUMask)
	if err := raw.Affinity(tid, m); err != nil {
		t.Fatal(err)
	}
	return m.Count()
}

func TestPinAndRestore(t *testing.T) {
	all := cpus(t, 0)
	tid, end := sleeper()
	defer end()
	other, endOther := sleeper()
	defer endOther()
	for _, test := range []struct {
		name    string
		restore func(h *Home, th, asker *Thread)
		again   bool // it is pinned again when its call has returned
	}{
		{"at its end", func(h *Home, th, _ *Thread) { h.RestoreAll() }, false},
		{"by itself", func(h *Home, th, _ *Thread) { h.Restore(th) }, false},
		{"it computes", func(h *Home, th, _ *Thread) { h.CountStop(0, false); h.stops += 100; h.Entered(th, 1000*ms) }, false},
		{"it creates a thread", func(h *Home, th, _ *Thread) { h.Reveal(th, Creates, 0) }, true},
		{"it asks for its CPUs", func(h *Home, th, _ *Thread) { h.Reveal(th, AsksFor, 0) }, true},
		{"it asks for its CPUs by its id", func(h *Home, th, _ *Thread) { h.Reveal(th, AsksFor, th.tid) }, true},
		{"another thread asks for its CPUs", func(h *Home, th, asker *Thread) { h.Reveal(asker, AsksFor, th.tid) }, false},
		{"another thread asks for those of an unknown id", func(h *Home, th, asker *Thread) { h.Reveal(asker, AsksFor, 1<<22+1) }, false},
		{"nobody stops", func(h *Home, th, _ *Thread) { h.Tick(true, func(int32) int64 { return 0 }) }, false},
		{"it runs for long", func(h *Home, th, _ *Thread) { h.Tick(false, func(int32) int64 { return aloneNs + 1 }) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			onMachine(t, func(m *Machine, h *Home) {
				var th, asker Thread
				h.Added(&th, tid, tid)
				h.Added(&asker, other, other)
				if !h.Pin(&th) || !h.Entered(&th, -1) {
					t.Fatal("the thread is not pinned")
				}
				if cpus(t, tid) != 1 || cpus(t, 0) != 1 || !h.HasCPU() {
					t.Errorf("the thread may run on %d CPUs, the tracer on %d", cpus(t, tid), cpus(t, 0))
				}
				test.restore(h, &th, &asker)
				if n := cpus(t, tid); n != all {
					t.Fatalf("it may run on %d CPUs, want %d", n, all)
				}
				if h.Entered(&th, -1) {
					t.Error("it is said to be pinned")
				}
				if asker.asking && h.Pin(&th) {
					t.Error("it is pinned while another thread asks for its CPUs")
				}
				h.Returned(&asker)
				h.Returned(&th)
				if again := cpus(t, tid) == 1; again != test.again {
					t.Errorf("pinned again: %v", again)
				}
				h.RestoreAll()
				if n := cpus(t, tid); n != all || cpus(t, 0) != all || h.HasCPU() {
					t.Errorf("at the end it may run on %d CPUs, the tracer on %d, want %d", n, cpus(t, 0), all)
				}
			})
		})
	}
}

func TestTickLeavesThoseInCalls(t *testing.T) {
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var th Thread
		h.Added(&th, tid, tid)
		h.Pin(&th)
		h.Tick(false, func(int32) int64 { return 0 })
		h.stops += fewStops
		h.Tick(false, func(int32) int64 { return longRunNs + 1 }) // it is alone
		if !h.Entered(&th, -1) || th.runsToPin != leaderRunsToPin {
			t.Errorf("the thread is not pinned any more: %+v", th)
		}
		h.stops++
		h.Tick(false, func(int32) int64 { return longRunNs + 1 }) // it is not
		if h.Entered(&th, -1) || th.runsToPin != 2*leaderRunsToPin {
			t.Errorf("the thread is still pinned: %+v", th)
		}
	})
}

func TestRenamed(t *testing.T) {
	leader, endLeader := sleeper()
	defer endLeader()
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var first, caller Thread
		h.Added(&first, leader, leader)
		h.Added(&caller, tid, leader)
		if !h.Pin(&caller) || !h.Pin(&first) {
			t.Fatal("the threads are not pinned")
		}
		h.Restore(&first)
		h.Removed(&first)
		h.Renamed(&caller, &first) // caller has the id of first now
		if !h.isPinned(&first) || first.tid != leader || h.isPinned(&caller) {
			t.Errorf("renamed: %+v, %+v", first, caller)
		}
		h.Removed(&caller)
		if len(h.pinned) != 1 || h.pinned[0] != &first || !m.guard.has(first.slot, leader) {
			t.Errorf("pinned are %v", h.pinned)
		}
		h.Removed(&first)
		if len(h.pinned) != 0 || len(m.guard.free) != mostPinned {
			t.Errorf("%d threads are pinned, %d slots are free", len(h.pinned), len(m.guard.free))
		}
	})
}

func TestNeverPin(t *testing.T) {
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var th Thread
		h.Added(&th, tid, tid)
		th.NeverPin()
		for range 10 {
			if h.Entered(&th, 5_000) || h.Pin(&th) {
				t.Fatal("the thread is pinned")
			}
		}
		h.Born(&th, tid)
		if h.HasCPU() || cpus(t, tid) == 1 {
			t.Error("it has a CPU")
		}
	})
}

func TestCPUThatIsNotAllowed(t *testing.T) {
	m, err := New(1023)
	if refused, ok := err.(*NotAllowedError); !ok || refused.CPU != 1023 || m == nil {
		t.Fatalf("New: %v, %v", m, err)
	}
	m.Close()
}

// A stop costs no allocation.
func TestEnteredDoesNotAllocate(t *testing.T) {
	tid, end := sleeper()
	defer end()
	onMachine(t, func(m *Machine, h *Home) {
		var th Thread
		h.Added(&th, tid, tid)
		h.Pin(&th)
		if n := testing.AllocsPerRun(1000, func() { h.CountStop(0, false); h.Entered(&th, 5_000); h.Returned(&th) }); n > 0 {
			t.Errorf("%v allocations a call", n)
		}
	})
}

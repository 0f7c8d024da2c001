package ptrace_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// severalCPUs skips a test where there is nothing to choose.
func severalCPUs(t *testing.T) unix.CPUSet {
	t.Helper()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if all.Count() < 2 {
		t.Skip("there is one CPU only")
	}
	return all
}

// cpusOf is where a thread may run, as the kernel lists it.
func cpusOf(tid int) string { return status(tid, "Cpus_allowed_list") }

// isPinned reports whether a thread of a process may run on one CPU only.
func isPinned(pid int) bool { return slices.ContainsFunc(threads(pid), isThreadPinned) }

func isThreadPinned(tid int) bool {
	list := cpusOf(tid)
	return list != "" && !strings.ContainsAny(list, ",-")
}

// The target tells on which CPUs a process that it was started as may run.
var _ = target("cpus", func(*ledger, []string) { fmt.Print(affinity(0)) })

func affinity(tid int) string {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		return err.Error()
	}
	return fmt.Sprint(set)
}

// The target is bound by its calls, and looks at its CPUs in all the ways that there are.
var _ = target("affinity", func(l *ledger, _ []string) {
	all := affinity(0)
	expect := func(who, got, want string) {
		if got != want {
			l.fault("%s: %v, want %v", who, got, want)
		}
	}
	var sibling atomic.Int64
	var over atomic.Bool
	go func() {
		runtime.LockOSThread()
		sibling.Store(int64(unix.Gettid()))
		for !over.Load() {
			unix.Getppid()
		}
	}()
	runtime.LockOSThread()
	for sibling.Load() == 0 {
		runtime.Gosched()
	}
	calls := func() {
		for range 300 {
			l.call(unix.SYS_GETPPID)
		}
	}
	for range 5 {
		calls()
		if status, _ := os.ReadFile("/proc/thread-self/status"); !strings.Contains(string(status), "Cpus_allowed_list:\t0-") {
			l.Notes["pinned"]++
		}
		expect("own CPUs", affinity(0), all)
		calls()
		expect("own CPUs, by number", affinity(unix.Gettid()), all)
		calls()
		expect("a sibling's CPUs", affinity(int(sibling.Load())), all)
		calls()
		child := exec.Command(self())
		child.Env = append(environ(), targetEnv+"=cpus")
		out, err := child.Output()
		must(err)
		expect("a child's CPUs", string(out), all)
		calls()
		born := make(chan string)
		for range 4 {
			go func() {
				runtime.LockOSThread() // it ends with its thread
				born <- affinity(0)
			}()
		}
		for range 4 {
			expect("a new thread's CPUs", <-born, all)
		}
	}
	over.Store(true)
	var own unix.CPUSet
	own.Set(firstOf(all))
	must(unix.SchedSetaffinity(0, &own))
	calls()
	expect("CPUs that it has set", affinity(0), fmt.Sprint(own))
	calls()
	l.Notes["end"] = unix.Gettid()
	expect("CPUs that it has set", affinity(0), fmt.Sprint(own))
})

// firstOf is the first CPU of the caller's.
func firstOf(string) int {
	var set unix.CPUSet
	must(unix.SchedGetaffinity(0, &set))
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	return 0
}

func TestPlacementIsNotSeen(t *testing.T) {
	severalCPUs(t)
	l, r, result := launch(t, "affinity")
	for _, fault := range l.Faults {
		t.Error(fault)
	}
	if len(result.Warnings) > 0 {
		t.Errorf("warnings: %+v", result.Warnings)
	}
	const soonNs = 100_000 // who makes the next call within this is bound by its calls
	calls, soon, pinned := 0, 0, 0
	for i := range r.calls {
		c := &r.calls[i]
		if c.Nr != unix.SYS_GETPPID {
			continue
		}
		calls++
		if c.GapNs >= 0 && c.GapNs < soonNs {
			soon++
		}
		if !c.CrossCPU {
			pinned++
		}
	}
	if soon < calls/10 {
		t.Skipf("this machine is too slow: %d of %d calls came soon after the one before", soon, calls)
	}
	// Two threads call at a time, which may be faster apart from the tracer. But if none is with it nothing is tried here.
	if pinned < soon/10 {
		t.Errorf("%d calls were made on the tracer's CPU, and %d of %d came soon after the one before", pinned, soon, calls)
	}
}

// The target makes calls until it is told to end.
var _ = target("calling", func(*ledger, []string) {
	fmt.Println("ready")
	var over atomic.Bool
	for range 2 {
		go func() {
			runtime.LockOSThread()
			for !over.Load() {
				unix.Getppid()
			}
		}()
	}
	fmt.Scanln()
	over.Store(true)
})

func TestPinnedAreRestored(t *testing.T) {
	severalCPUs(t)
	all := cpusOf(os.Getpid())
	restored := func(t *testing.T, pid int) bool {
		for _, tid := range threads(pid) {
			if list := cpusOf(tid); list != all && list != "" {
				return false
			}
		}
		return true
	}
	t.Run("stop", func(t *testing.T) {
		p := start(t, "calling")
		p.line()
		for range 10 {
			tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
			eventually(t, "a thread is pinned", func() bool { return isPinned(p.pid) })
			stop(t, tracer)
			if !restored(t, p.pid) {
				t.Fatalf("a thread still may run on some CPUs only\n%s", processes(p.pid))
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		for range 5 {
			p := start(t, "calling")
			p.line()
			by := start(t, "tracer", strconv.Itoa(p.pid))
			by.line()
			eventually(t, "a thread is pinned", func() bool { return isPinned(p.pid) })
			unix.Kill(by.pid, unix.SIGKILL)
			eventually(t, "the threads have their CPUs back", func() bool { return restored(t, p.pid) && tracedBy(p.pid) == 0 })
		}
	})
	t.Run("off", func(t *testing.T) {
		p := start(t, "calling")
		p.line()
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true, CPU: ptrace.CPUOff})
		eventually(t, "calls are counted", func() bool { return r.counted.Load() > 2000 })
		if isPinned(p.pid) {
			t.Error("a thread is pinned")
		}
		stop(t, tracer)
		for i := range r.calls {
			if !r.calls[i].CrossCPU {
				t.Fatal("a call is said to have been made on the tracer's CPU")
			}
		}
	})
}

// The target's threads are bound by their calls, handle signals, and ask again and again where they may run. It tells how
// often the answer was another one than at first, once it is told to end.
var _ = target("asking", func(*ledger, []string) {
	all := affinity(0)
	var over atomic.Bool
	var wrong atomic.Int64
	var tids [2]atomic.Int64
	var group sync.WaitGroup
	for i := range tids {
		group.Go(func() {
			runtime.LockOSThread()
			tids[i].Store(int64(unix.Gettid()))
			for !over.Load() {
				for range 5 {
					unix.Getppid()
				}
				if affinity(0) != all {
					wrong.Add(1)
				}
			}
		})
	}
	go func() {
		for !over.Load() {
			for i := range tids {
				unix.Tgkill(unix.Getpid(), int(tids[i].Load()), unix.SIGURG)
			}
		}
	}()
	fmt.Println("ready")
	fmt.Scanln()
	over.Store(true)
	group.Wait()
	fmt.Println(wrong.Load())
})

func TestEndOfPinningIsNotSeen(t *testing.T) {
	severalCPUs(t)
	p := start(t, "asking")
	p.line()
	for range 20 {
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		eventually(t, "a thread is pinned", func() bool { return isPinned(p.pid) })
		stop(t, tracer)
	}
	p.say("end")
	if wrong := p.line(); wrong != "0" {
		t.Errorf("%s times a thread was not told all of its CPUs", wrong)
	}
}

// A thread of the target, which it names, is bound by its calls until the target is told to compute. Another one calls
// all the time.
var _ = target("computing", func(*ledger, []string) {
	runtime.LockOSThread()
	fmt.Println(unix.Gettid())
	var told atomic.Bool
	go func() {
		fmt.Scanln()
		told.Store(true)
		for {
			unix.Getppid()
		}
	}()
	for !told.Load() {
		unix.Getppid()
	}
	for begin := time.Now(); time.Since(begin) < 2*patience; {
	}
})

func TestComputingIsNotPinned(t *testing.T) {
	severalCPUs(t)
	p := start(t, "computing")
	tid, err := strconv.Atoi(p.line())
	if err != nil {
		t.Fatal(err)
	}
	tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	eventually(t, "a thread is pinned", func() bool { return isThreadPinned(tid) })
	p.say("compute")
	// Others of its threads may be pinned for as long as they sleep, if somebody stops at calls.
	eventually(t, "a thread that computes has its CPUs", func() bool { return !isThreadPinned(tid) })
	unix.Kill(p.pid, unix.SIGKILL)
	finish(t, tracer)
}

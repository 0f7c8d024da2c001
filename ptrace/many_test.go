package ptrace_test

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// busyChild is a child that numbers its calls, and writes down how many it has made. It dies with the thread that has
// made it.
//
//go:norace
//go:noinline
func busyChild(made *uint64) (pid int) {
	r, _, _ := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if r == 0 {
		syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
	}
	for i := uint64(0); r == 0; i++ {
		syscall.RawSyscall(unix.SYS_GETPGID, uintptr(1<<30+i), 0, 0)
		*made = i + 1
	}
	return int(r)
}

// yield has the calling thread, and children that it makes, leave the CPUs to whatever else there is to do.
func yield() { must(unix.Setpriority(unix.PRIO_PROCESS, 0, 19)) }

// The target has so many children that are never idle. It tells who they are, and, asked, how many calls each has made.
var _ = target("many busy", func(_ *ledger, args []string) {
	runtime.LockOSThread()
	yield()
	n, err := strconv.Atoi(args[0])
	must(err)
	shared, err := unix.Mmap(-1, 0, n*8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	must(err)
	made := unsafe.Slice((*uint64)(unsafe.Pointer(&shared[0])), n)
	pids := make([]int, n)
	for i := range pids {
		pids[i] = busyChild(&made[i])
	}
	reply(pids)
	serve(func(string) any { return made })
})

// The target has so many threads that are never idle. It tells who they are, and, asked, how many calls each has made.
var _ = target("many busy threads", func(_ *ledger, args []string) {
	debug.SetGCPercent(-1)
	n, err := strconv.Atoi(args[0])
	must(err)
	runtime.GOMAXPROCS(n + 2)
	made, tids := make([]uint64, n), make([]int, n)
	var there sync.WaitGroup
	there.Add(n)
	for i := range n {
		locked(func() {
			yield()
			tids[i] = unix.Gettid()
			there.Done()
			countedCalls(&made[i])
		})
	}
	there.Wait()
	reply(tids)
	serve(func(string) any { return made })
})

//go:norace
func countedCalls(made *uint64) {
	for i := uint64(0); ; i++ {
		syscall.Syscall(unix.SYS_GETPGID, uintptr(1<<30+i), 0, 0) // not a raw one: the runtime has to be able to stop it
		*made = i + 1
	}
}

// TestManyBusyThreads: many more threads than there are CPUs, never idle, are attached to and left again. Each is traced, and
// none of its calls is missed in between; then each runs on, untraced, on the CPUs that it had before. How long they stand
// still for it is measured by ../bench (pauses).
func TestManyBusyThreads(t *testing.T) {
	for _, shape := range []struct {
		name, target     string
		targets, threads int
	}{
		{"processes", "many busy", 1, 50},
		{"processes of several threads", "many busy threads", 3, 10},
	} {
		t.Run(shape.name, func(t *testing.T) {
			var peers []*peer
			var tids, pids []int
			for range shape.targets {
				p := startWith(t, noPreemption, shape.target, strconv.Itoa(shape.threads))
				var some []int
				p.answerLine(&some)
				peers, tids = append(peers, p), append(tids, some...)
				if shape.targets > 1 {
					some = []int{p.pid}
				}
				pids = append(pids, some...)
			}
			before := make(map[int]string)
			for _, tid := range tids {
				before[tid] = cpusOf(tid)
			}
			for range 2 {
				attachToMany(t, pids, tids)
				for _, tid := range tids {
					if tracer, is := status(tid, "TracerPid"), state(tid); tracer != "0" || strings.ContainsAny(is, "tT") || is == "" {
						t.Fatalf("thread %d is traced by %s in state %q", tid, tracer, is)
					}
					if now := cpusOf(tid); now != before[tid] {
						t.Fatalf("thread %d may run on CPUs %s, formerly %s", tid, now, before[tid])
					}
				}
				runOn(t, peers)
			}
		})
	}
}

// attachToMany attaches to processes until some calls of each thread have been counted, and leaves them.
func attachToMany(t *testing.T, pids, tids []int) {
	t.Helper()
	const some = 5
	var mu sync.Mutex
	last, counted := make(map[int32]uint64), make(map[int32]int)
	tracer, err := ptrace.Start(ptrace.Options{Attach: pids, Follow: true, Sink: each(func(c *profile.Call) {
		if c.Nr != unix.SYS_GETPGID {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if counted[c.TID]++; counted[c.TID] > 1 && c.Args[0] != last[c.TID]+1 {
			t.Errorf("thread %d: call %d comes after call %d", c.TID, c.Args[0], last[c.TID])
		}
		last[c.TID] = c.Args[0]
	})})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		tracer.Stop()
		<-tracer.Done()
	}()
	eventually(t, "calls of each thread are counted", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, tid := range tids {
			if counted[int32(tid)] < some {
				return false
			}
		}
		return true
	})
	if result := stop(t, tracer); len(result.Warnings) > 0 {
		t.Errorf("warnings: %+v", result.Warnings)
	}
}

// runOn demands that all threads make calls.
func runOn(t *testing.T, peers []*peer) {
	t.Helper()
	for _, p := range peers {
		var before, now []uint64
		p.answer("", &before)
		eventually(t, "all threads make calls", func() bool {
			p.answer("", &now)
			for i := range now {
				if now[i] == before[i] {
					return false
				}
			}
			return true
		})
	}
}

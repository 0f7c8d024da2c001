package ptrace_test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// endedOnce demands that the sink was told of the end of every thread that made a call, once, and of no others'.
func (r *record) endedOnce(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	times := map[[2]int32]int{}
	for _, thread := range r.ended {
		times[thread]++
	}
	seen := map[[2]int32]bool{}
	for i := range r.calls {
		seen[[2]int32{r.calls[i].PID, r.calls[i].TID}] = true
	}
	for thread := range seen {
		if times[thread] != 1 {
			t.Errorf("thread %d of process %d has ended %d times", thread[1], thread[0], times[thread])
		}
	}
	for thread, n := range times {
		if n != 1 {
			t.Errorf("thread %d of process %d has ended %d times", thread[1], thread[0], n)
		}
	}
}

// The target runs in its own code for ever, in two threads.
var _ = target("spinning", func(*ledger, []string) {
	runtime.LockOSThread()
	spin := func() {
		for n := 1; n != 0; n += 2 {
		}
	}
	there := make(chan struct{})
	locked(func() {
		close(there)
		spin()
	})
	<-there
	fmt.Println("ready")
	spin()
})

// A process that is killed in its own code ends for the sink, although it was in no call.
func TestKilledInItsOwnCodeEnds(t *testing.T) {
	p := startWith(t, []string{"GOMAXPROCS=3", "GODEBUG=asyncpreemptoff=1", "GOGC=off"}, "spinning")
	p.line()
	tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	tids := threads(p.pid)
	unix.Kill(p.pid, unix.SIGKILL)
	finish(t, tracer)
	r.endedOnce(t)
	for _, tid := range tids {
		if !slices.Contains(r.ended, [2]int32{int32(p.pid), int32(tid)}) {
			t.Errorf("the sink was not told of the end of thread %d of process %d: %v", tid, p.pid, r.ended)
		}
	}
}

// Threads that exit, children, and those that an execve of another thread does away with all end once.
func TestEachThreadEndsOnce(t *testing.T) {
	for _, name := range []string{"threads", "forks", "vforks", "execs", "exec-thread"} {
		t.Run(name, func(t *testing.T) {
			_, r, _ := launch(t, name)
			r.endedOnce(t)
			if len(r.ended) == 0 {
				t.Error("nobody has ended")
			}
		})
	}
}

// The target has four threads that make calls, and tells their ids. The one whose id it is told executes a server.
var _ = target("callers", func(*ledger, []string) {
	const callers = 4
	var chosen atomic.Int64
	tids := make(chan int)
	for range callers {
		locked(func() {
			tids <- unix.Gettid()
			for int(chosen.Load()) != unix.Gettid() {
			}
			must(unix.Exec(self(), []string{"server"}, append(environ(), targetEnv+"=server")))
		})
	}
	var all []int
	for range callers {
		all = append(all, <-tids)
	}
	reply(all)
	var tid int64
	fmt.Scan(&tid)
	chosen.Store(tid)
	select {}
})

// kill kills processes.
func kill(pids []int) {
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// The first thread of a process ends when the process does, and not when another thread, which another tracer thread
// traces, takes its id by an execve.
func TestReplacedLeaderDoesNotEnd(t *testing.T) {
	severalCPUs(t)
	for _, test := range []struct {
		name string
		more bool // the tracer thread of the leader has other tracees, too
	}{{"the tracer thread has nothing else to do", false}, {"it has", true}} {
		t.Run(test.name, func(t *testing.T) {
			const tries = 10 // who traces whom is as the threads are found
			var (
				p         *peer
				attach    []int
				tracer    *ptrace.Tracer
				r         *record
				elsewhere int
			)
			for range tries {
				p = startWith(t, []string{"GOMAXPROCS=8"}, "callers") // each of its threads runs when it can
				var tids []int
				p.answerLine(&tids)
				attach = []int{p.pid}
				if test.more {
					q := start(t, "server")
					q.line()
					attach = append(attach, q.pid)
				}
				tracer, r = trace(t, ptrace.Options{Attach: attach, Follow: true})
				if i := slices.IndexFunc(tids, func(tid int) bool { return status(tid, "TracerPid") != status(p.pid, "TracerPid") }); i >= 0 {
					elsewhere = tids[i]
					break
				}
				t.Logf("all callers have the tracer of the first thread: %v", tracersOf(p.pid))
				kill(attach)
				finish(t, tracer)
			}
			if elsewhere == 0 {
				t.Fatal("each time")
			}
			p.say(strconv.Itoa(elsewhere))
			p.line()
			p.alive()
			all := func() (n int) {
				for _, pid := range attach {
					n += len(threads(pid))
				}
				return n
			}
			eventually(t, "only the threads of what was executed are left", func() bool { return tracer.Progress().Threads == all() })
			r.mu.Lock()
			if leader := [2]int32{int32(p.pid), int32(p.pid)}; slices.Contains(r.ended, leader) {
				t.Errorf("the sink was told that process %d has ended, which runs", p.pid)
			}
			r.mu.Unlock()
			kill(attach)
			finish(t, tracer)
			r.endedOnce(t)
		})
	}
}

// Commands are launched while this process allocates and collects garbage, so that the children are forked in all
// states of its heap.
func TestLaunchWhileCollecting(t *testing.T) {
	var over atomic.Bool
	defer over.Store(true)
	for range 2 {
		go func() {
			var list *[2]any
			for n := 0; !over.Load(); n++ {
				if list = &[2]any{list, n}; n%1000 == 0 {
					list = nil
				}
				if n%20_000 == 0 {
					runtime.GC()
				}
			}
		}()
	}
	const launches = 60
	origin := &ptrace.Origin{Ignored: 1 << (unix.SIGUSR1 - 1), NoFile: unix.Rlimit{Cur: 100, Max: 200}}
	for range launches {
		tracer, r := trace(t, ptrace.Options{
			Command: &ptrace.Command{Path: "/bin/true", Args: []string{"true"}, Origin: origin}, Follow: true,
		})
		if result := finish(t, tracer); result.Command != 0 || r.counted.Load() == 0 {
			t.Fatalf("wait status %#x after %d calls", result.Command, r.counted.Load())
		}
	}
}

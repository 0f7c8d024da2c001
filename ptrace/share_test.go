package ptrace_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// The target has many threads that sleep, and others that call. Told to, one of them executes a server.
var _ = target("crowd", func(*ledger, []string) {
	var sleeping [2]int
	must(unix.Pipe(sleeping[:]))
	var there sync.WaitGroup
	there.Add(302)
	for range 300 {
		locked(func() {
			there.Done()
			unix.Read(sleeping[0], make([]byte, 1))
		})
	}
	for range 2 {
		locked(func() {
			there.Done()
			for {
				unix.Getppid()
				runtime.Gosched() // the signal that would make it do so mostly comes in a call, and is of no use there
			}
		})
	}
	there.Wait()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if lines.Text() != "execute" {
			fmt.Println(lines.Text())
			continue
		}
		locked(func() { // not the first thread
			must(unix.Exec(self(), []string{"server"}, append(environ(), targetEnv+"=server")))
		})
	}
})

// tracersOf are the threads that trace those of a process.
func tracersOf(pid int) map[string]int {
	by := map[string]int{}
	for _, tid := range threads(pid) {
		by[status(tid, "TracerPid")]++
	}
	return by
}

// Threads of one process are shared among several tracer threads. An execve in one of them does away with those
// of all others, whose deaths nobody reports.
func TestExecuteInACrowd(t *testing.T) {
	for range 5 {
		p := start(t, "crowd")
		p.line()
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		eventually(t, "calls are counted", func() bool { return r.counted.Load() > 1000 })
		by := tracersOf(p.pid)
		if len(by) < 3 || by["0"] > 0 {
			t.Fatalf("the threads are traced by %v, want three tracer threads or more", by)
		}
		for tracer, n := range by {
			if n > 200 {
				t.Errorf("%d threads are traced by thread %s", n, tracer)
			}
		}
		p.alive()
		p.say("execute")
		if got := p.line(); got != "ready" {
			t.Fatalf("what was executed says %q", got)
		}
		p.alive()
		eventually(t, "only the threads of what was executed are left", func() bool { return tracer.Progress().Threads == len(threads(p.pid)) })
		if by := tracersOf(p.pid); by["0"] > 0 {
			t.Errorf("the threads are traced by %v", by)
		}
		stop(t, tracer)
		p.alive()
	}
}

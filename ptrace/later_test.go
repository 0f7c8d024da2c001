package ptrace_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// told is what a tracer says of processes that end.
type told struct {
	mu   sync.Mutex
	ends []ptrace.End
}

func (e *told) add(end ptrace.End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ends = append(e.ends, end)
}

// of returns the ends of a process.
func (e *told) of(pid int) (of []ptrace.End) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, end := range e.ends {
		if end.PID == pid {
			of = append(of, end)
		}
	}
	return of
}

// isTraced reports whether all threads of a process are traced. One that ends while it is looked at looks as if it were not.
func isTraced(pid int) bool {
	return !slices.ContainsFunc(threads(pid), func(tid int) bool { return tracedBy(tid) != os.Getpid() })
}

func attachLater(t *testing.T, tracer *ptrace.Tracer, pid int) int {
	t.Helper()
	n, err := tracer.Attach(pid)
	if err != nil {
		t.Fatalf("Attach: %v", err)
	}
	return n
}

// TestAttachLater attaches to a process that makes calls in many threads, and starts threads all the time, while another is
// traced, and demands its ledger.
func TestAttachLater(t *testing.T) {
	first, other := start(t, "server"), start(t, "spawner")
	first.line()
	other.alive()
	tracer, r := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
	if n := attachLater(t, tracer, other.pid); n < 10 {
		t.Errorf("attached to %d threads", n)
	}
	eventually(t, "all of it is traced", func() bool { return isTraced(other.pid) })
	if n := attachLater(t, tracer, other.pid); n != 0 {
		t.Errorf("attached again to %d threads", n)
	}
	var l ledger
	other.answer("go", &l)
	first.alive()
	stop(t, tracer)
	r.demand(t, native(), &l)
	other.alive()
}

// TestAttachLaterToSleepers demands that no call returns because of it.
func TestAttachLaterToSleepers(t *testing.T) {
	first := start(t, "server")
	first.line()
	p, all := startSleepers(t)
	asleep(t, all, 0)
	for range 5 {
		tracer, _ := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
		attachLater(t, tracer, p.pid)
		asleep(t, all, os.Getpid())
		stop(t, tracer)
		asleep(t, all, 0)
		var returned []string
		if p.answer("returned", &returned); len(returned) > 0 {
			t.Fatalf("calls have returned to the program: %q", returned)
		}
	}
}

// TestGrowing goes on when nothing is left, until it is said that there will be no more.
func TestGrowing(t *testing.T) {
	first := start(t, "server")
	first.line()
	ends := &told{}
	tracer, r := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true, OnEnded: ends.add})
	unix.Kill(first.pid, unix.SIGKILL)
	eventually(t, "nothing is traced any more", func() bool { return tracer.Progress().Threads == 0 })
	for range 3 {
		next := start(t, "family")
		var tid int
		next.answerLine(&tid)
		attachLater(t, tracer, next.pid)
		before := r.counted.Load()
		var x int
		next.answer("go", &x)
		eventually(t, "its calls are counted", func() bool { return r.counted.Load() >= before+60 })
		unix.Kill(next.pid, unix.SIGKILL)
		eventually(t, "its end is told", func() bool { return len(ends.of(next.pid)) == 1 })
	}
	select {
	case <-tracer.Done():
		t.Fatal("tracing has ended before it was said that there would be no more")
	default:
	}
	tracer.NoMore()
	finish(t, tracer)
	if n, err := tracer.Attach(os.Getpid() + 1); n != 0 {
		t.Errorf("attached to %d threads when it was over: %v", n, err)
	}
}

// TestAttachLaterAtAnyMoment ends the run, or the process, while it is attached to.
func TestAttachLaterAtAnyMoment(t *testing.T) {
	first := start(t, "server")
	first.line()
	for round := range 20 {
		p := startWith(t, []string{"GODEBUG=asyncpreemptoff=1"}, "heavy")
		var before, now heavy
		p.answer("", &before)
		tracer, _ := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
		done := make(chan struct{})
		go func() {
			defer close(done)
			tracer.Attach(p.pid)
		}()
		if round%2 == 0 {
			unix.Kill(p.pid, unix.SIGKILL)
			<-done
			stop(t, tracer)
			continue
		}
		stop(t, tracer)
		<-done
		if p.answer("", &now); len(now.Faults) > 0 {
			t.Fatalf("the target was disturbed: %q", now.Faults)
		}
		for _, tid := range threads(p.pid) {
			if tracedBy(tid) != 0 {
				t.Fatalf("thread %d is left traced", tid)
			}
		}
	}
	first.alive()
}

// TestAttachLaterEndsWithItsAlarms: when the run ends while sleepers are attached to, each of their alarms is removed once.
func TestAttachLaterEndsWithItsAlarms(t *testing.T) {
	needAlarms(t)
	first := start(t, "server")
	first.line()
	p, all := startWaiters(t, 1000*time.Second)
	attached := map[bool]int{}
	for round := range 8 {
		tracer, _ := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
		before := tracer.Progress().Threads
		done := make(chan int)
		go func() {
			n, _ := tracer.Attach(p.pid)
			done <- n
		}()
		switch round % 3 {
		case 0:
			eventually(t, "alarms are set", func() bool { return tracer.AlarmsCounted() > 0 })
		case 1:
			eventually(t, "some are seized", func() bool { return tracer.Progress().Threads > before })
		}
		stop(t, tracer)
		attached[<-done > 0]++
		if _, _, left := tracer.Alarms(); len(left) > 0 || tracer.AlarmsCounted() != 0 {
			t.Fatalf("%d alarms are left, %d are counted", len(left), tracer.AlarmsCounted())
		}
	}
	sleep(t, all, 0)
	t.Logf("attached or not: %v", attached)
}

// TestAttachLaterWhileItExecutes attaches to a process that executes programs again and again, from another thread than the
// first one.
func TestAttachLaterWhileItExecutes(t *testing.T) {
	first := start(t, "server")
	first.line()
	for range 20 {
		p := start(t, "executes for ever")
		p.line()
		tracer, _ := trace(t, ptrace.Options{Attach: []int{first.pid}, Follow: true, Grows: true})
		if _, err := tracer.Attach(p.pid); err != nil {
			t.Errorf("Attach: %v", err)
		}
		eventually(t, "all of it is traced", func() bool { return isTraced(p.pid) })
		first.alive()
		stop(t, tracer)
		unix.Kill(p.pid, unix.SIGKILL)
	}
}

// The target executes itself from a thread that is not the first one.
var _ = target("executes for ever", func(_ *ledger, args []string) {
	if len(args) == 0 {
		fmt.Println("ready")
	}
	locked(func() { must(syscall.Exec(self(), []string{"executes", "again"}, os.Environ())) })
	select {}
})

func TestFoundOnes(t *testing.T) {
	p, dead := start(t, "server"), exec.Command("true")
	p.line()
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	zombie := start(t, "server")
	zombie.line()
	unix.Kill(zombie.pid, unix.SIGKILL)
	eventually(t, "it is a zombie", func() bool { return state(zombie.pid) == "Z" })
	debugged := start(t, "server")
	debugged.line()
	other, _ := trace(t, ptrace.Options{Attach: []int{debugged.pid}, Follow: true})
	var failed []error
	attached := ""
	tracer, _ := trace(t, ptrace.Options{
		Attach: []int{p.pid}, Found: []int{p.pid, dead.Process.Pid, zombie.pid, 2, 3, debugged.pid}, Follow: true,
		OnAttachFailed: func(err error) { failed = append(failed, err) },
		OnAttached:     func(n, processes int) { attached = fmt.Sprint(n == len(threads(p.pid)), " ", processes) },
	})
	for _, err := range failed {
		t.Log(err)
	}
	if len(failed) != 2 || attached != "true 1" {
		t.Errorf("attached: %s; failed: %v; want two: threads of the kernel, and one that is traced already", attached, failed)
	}
	stop(t, tracer)
	stop(t, other)
	if _, _, err := tryTrace(t, ptrace.Options{Found: []int{dead.Process.Pid, zombie.pid}, Follow: true}); err == nil {
		t.Error("there is no error when all have ended")
	}
}

// TestEnds tells how processes end: by themselves, by signals, whoever of them is traced.
func TestEnds(t *testing.T) {
	for _, test := range []struct {
		name   string
		target string
		args   []string
		end    func(p *peer)
		want   func(unix.WaitStatus) bool
	}{
		{"killed", "server", nil, func(p *peer) { unix.Kill(p.pid, unix.SIGKILL) },
			func(s unix.WaitStatus) bool { return s.Signaled() && s.Signal() == unix.SIGKILL }},
		{"exits", "server", nil, func(p *peer) { p.in.Close() }, func(s unix.WaitStatus) bool { return s.Exited() && s.ExitStatus() == 0 }},
		{"its first thread has ended", "headless", []string{"say"}, func(p *peer) { unix.Kill(p.pid, unix.SIGTERM) },
			func(s unix.WaitStatus) bool { return s.Signaled() && s.Signal() == unix.SIGTERM }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, test.target, test.args...)
			p.line()
			if test.target == "headless" {
				eventually(t, "its first thread has ended", func() bool { return state(p.pid) == "Z" })
			}
			ends := &told{}
			tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true, OnEnded: ends.add})
			test.end(p)
			finish(t, tracer)
			of := ends.of(p.pid)
			if len(of) != 1 || !test.want(of[0].Status) || of[0].Name == "" {
				t.Errorf("its end was told so: %+v", of)
			}
		})
	}
	for _, name := range []string{"forks", "vforks", "execs", "exec-thread", "threads"} {
		t.Run(name, func(t *testing.T) {
			ends := &told{}
			tracer, r := trace(t, ptrace.Options{Command: targetCommand("", name), Follow: true, OnEnded: ends.add})
			finish(t, tracer)
			var processes []int
			for _, e := range r.ended {
				if e[0] == e[1] && !slices.Contains(processes, int(e[0])) {
					processes = append(processes, int(e[0]))
				}
			}
			for _, pid := range processes {
				if n := len(ends.of(pid)); n != 1 {
					t.Errorf("process %d has ended %d times", pid, n)
				}
			}
			if len(ends.ends) != len(processes) {
				t.Errorf("%d ends of %d processes were told", len(ends.ends), len(processes))
			}
		})
	}
}

package ptrace_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// The target makes calls from several threads until it is killed.
var _ = target("busy", func(_ *ledger, args []string) {
	for range 4 {
		locked(func() {
			for {
				syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
		})
	}
	for { // and threads and children come and go
		done := make(chan bool)
		locked(func() { close(done) })
		<-done
		if pid := fork(2, false, false); pid > 0 {
			unix.Wait4(pid, nil, 0, nil)
		}
	}
})

func TestKilledAtAnyMoment(t *testing.T) {
	for range 20 {
		tracer, r := trace(t, ptrace.Options{Command: targetCommand("", "busy"), Follow: true})
		enough := int64(rand.IntN(3000))
		eventually(t, "calls are counted", func() bool { return r.counted.Load() >= enough })
		unix.Kill(tracer.Command().PID(), unix.SIGKILL)
		result := finish(t, tracer)
		if !result.CommandEnded || !result.Command.Signaled() || result.Command.Signal() != unix.SIGKILL {
			t.Errorf("wait status %#x, ended: %v; want killed by SIGKILL", result.Command, result.CommandEnded)
		}
		if n := tracer.Progress().Threads; n != 0 {
			t.Errorf("%d tracees are left in the table", n)
		}
	}
}

// The target waits until it is told to go on.
var _ = target("server", func(_ *ledger, args []string) {
	fmt.Println("ready")
	serve(func(line string) any {
		if line == "ppid" {
			return unix.Getppid()
		}
		return line
	})
})

// The target is a tracer in a process of its own, which launches a server on its own stdin and
// stdout, or attaches to the process named.
var _ = target("tracer", func(_ *ledger, args []string) {
	o := ptrace.Options{Follow: true}
	switch args[0] {
	case "launch":
		o.Command = targetCommand("", "server")
	case "launch, kill on exit":
		o.Command, o.KillOnExit = targetCommand("", "server"), true
	default:
		pid, err := strconv.Atoi(args[0])
		must(err)
		o.Attach = []int{pid}
	}
	tracer, err := ptrace.Start(o)
	must(err)
	if o.Command == nil {
		fmt.Println("attached")
	} else {
		must(os.WriteFile(args[1], []byte(strconv.Itoa(tracer.Command().PID())), 0o666))
	}
	tracer.Wait()
})

func TestTracerIsKilled(t *testing.T) {
	for _, test := range []struct {
		name string
		dies bool
	}{{"launch", false}, {"launch, kill on exit", true}} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			p := start(t, "tracer", test.name, file)
			if got := p.line(); got != "ready" {
				t.Fatalf("the command says %q", got)
			}
			var command int
			eventually(t, "the command's process is known", func() bool {
				data, _ := os.ReadFile(file)
				command, _ = strconv.Atoi(string(data))
				return command != 0
			})
			defer unix.Kill(command, unix.SIGKILL)
			p.alive()
			if tracedBy(command) != p.pid {
				t.Fatalf("the command is traced by %d, want %d", tracedBy(command), p.pid)
			}
			unix.Kill(p.pid, unix.SIGKILL)
			if test.dies {
				eventually(t, "the command is gone", func() bool { s := state(command); return s == "" || s == "Z" })
				return
			}
			eventually(t, "the command is not traced", func() bool { return tracedBy(command) == 0 })
			for range 100 {
				p.alive()
			}
		})
	}
}

func TestAttachToStopped(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGTSTP} {
		t.Run(sig.String(), func(t *testing.T) {
			p := start(t, "server")
			p.line()
			unix.Kill(p.pid, sig)
			eventually(t, "the target is stopped", func() bool { return allIn(p.pid, "T") })
			for range 5 {
				tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
				eventually(t, "the traced target is stopped", func() bool { return allIn(p.pid, "Tt") })
				stop(t, tracer)
				eventually(t, "the target is stopped after the detach", func() bool { return allIn(p.pid, "T") })
			}
			unix.Kill(p.pid, unix.SIGCONT)
			p.alive()

			// The same, but it is stopped, continued and stopped while it is traced.
			tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
			p.alive()
			for range 3 {
				unix.Kill(p.pid, sig)
				eventually(t, "the traced target is stopped", func() bool { return allIn(p.pid, "Tt") })
				unix.Kill(p.pid, unix.SIGCONT)
				p.alive()
			}
			unix.Kill(p.pid, sig)
			eventually(t, "the traced target is stopped", func() bool { return allIn(p.pid, "Tt") })
			stop(t, tracer)
			eventually(t, "the target is stopped after the detach", func() bool { return allIn(p.pid, "T") })
			unix.Kill(p.pid, unix.SIGCONT)
			p.alive()
		})
	}
}

// allIn reports whether all threads of a process are in one of states. A tracee that is stopped by
// job control is in state t, not T, while it is traced.
func allIn(pid int, states string) bool {
	for _, tid := range threads(pid) {
		if s := state(tid); s == "" || !strings.Contains(states, s) {
			return false
		}
	}
	return true
}

func TestAttachFails(t *testing.T) {
	zombie := exec.Command("/bin/true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	eventually(t, "the child is a zombie", func() bool { return state(zombie.Process.Pid) == "Z" })

	traced := start(t, "server")
	traced.line()
	other := start(t, "tracer", strconv.Itoa(traced.pid))
	if got := other.line(); got != "attached" {
		t.Fatalf("the other tracer says %q", got)
	}

	type failure struct {
		name string
		pid  int
		want error
		hint string
	}
	failures := []failure{
		{"no such process", 1<<22 + 1, unix.ESRCH, ""},
		{"traced already", traced.pid, unix.EPERM, "traces it already"},
		{"a zombie", zombie.Process.Pid, unix.EPERM, "it has ended"},
		{"this process itself", os.Getpid(), unix.EPERM, "cannot trace itself"},
	}
	if tid := kernelThread(); tid != 0 {
		failures = append(failures, failure{"a thread of the kernel", tid, unix.EPERM, "thread of the kernel"})
	}
	for _, test := range failures {
		for _, follow := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, follow %v", test.name, follow), func(t *testing.T) {
				tracer, _, err := tryTrace(t, ptrace.Options{Attach: []int{test.pid}, Follow: follow})
				if tracer != nil {
					t.Fatal("Start succeeds")
				}
				var attach *ptrace.AttachError
				if !errors.As(err, &attach) || attach.PID != test.pid || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.hint) {
					t.Errorf("Start: %v; want an AttachError of %d: %v, %q", err, test.pid, test.want, test.hint)
				}
			})
		}
	}
	traced.alive()
}

// kernelThread finds a thread of the kernel, 0 where none is to be seen (in a container).
func kernelThread() int {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && status(pid, "Kthread") == "1" {
			return pid
		}
	}
	return 0
}

func TestAttachTwiceToTheSameProcess(t *testing.T) {
	for _, follow := range []bool{true, false} {
		p := start(t, "server")
		p.line()
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid, p.pid}, Follow: follow})
		p.alive()
		if result := stop(t, tracer); len(result.Warnings) > 0 {
			t.Errorf("follow %v: warnings: %+v", follow, result.Warnings)
		}
	}
}

// The target starts and ends many threads, then many children, and tells when.
var _ = target("churn", func(_ *ledger, args []string) {
	serve(func(line string) any {
		for range 300 {
			done := make(chan bool)
			locked(func() { close(done) })
			<-done
			if pid := fork(1, false, false); pid > 0 {
				unix.Wait4(pid, nil, 0, nil)
			}
		}
		return 0
	})
})

func TestTableDoesNotGrow(t *testing.T) {
	p := start(t, "churn")
	p.alive()
	tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	for range 3 {
		var x int
		p.answer("go", &x)
		eventually(t, "the table holds the threads that there are", func() bool {
			return tracer.Progress().Threads == len(threads(p.pid)) && tracer.Progress().Processes == 1
		})
	}
	stop(t, tracer)
	p.alive()
}

// TestNoAllocations compares the number of allocations before and after many stops.
func TestNoAllocations(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls int
		sends string // signals
	}{
		{"calls", 50_000, ""},
		{"calls and signals", 10_000, "signals"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			n := 0
			tracer, err := ptrace.Start(ptrace.Options{
				Command: targetCommand("", "getppid", strconv.Itoa(test.calls), test.sends), Follow: true,
				Sink: each(func(c *profile.Call) {
					if c.Nr != unix.SYS_GETPPID {
						return
					}
					switch n++; n {
					case 1000: // whatever grows at the beginning has grown
						runtime.ReadMemStats(&before)
					case test.calls:
						runtime.ReadMemStats(&after)
					}
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			finish(t, tracer)
			if n != test.calls {
				t.Fatalf("counted %d calls, want %d", n, test.calls)
			}
			// The rest of the process allocates now and then, too.
			few := uint64(test.calls / 100)
			if got := after.Mallocs - before.Mallocs; got > few {
				t.Errorf("%d allocations in %d calls", got, test.calls)
			}
		})
	}
}

// The target makes calls, and sends itself a signal with each.
var _ = target("getppid", func(l *ledger, args []string) {
	runtime.LockOSThread()
	calls, err := strconv.Atoi(args[0])
	must(err)
	for range calls {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		if args[1] != "" {
			unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGWINCH)
		}
	}
})

// TestStopLeavesNothingBehind demands that tracing gives back its threads and descriptors.
func TestStopLeavesNothingBehind(t *testing.T) {
	p := start(t, "server")
	p.line()
	count := func() int {
		fds, _ := os.ReadDir("/proc/self/fd")
		return len(fds)
	}
	before := count()
	for range 10 {
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		stop(t, tracer)
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	stacks := make([]byte, 1<<20)
	eventually(t, "no goroutine of a tracer is left", func() bool {
		n := runtime.Stack(stacks, true)
		return !bytes.Contains(stacks[:n], []byte("ptrace.(*Tracer)"))
	})
}

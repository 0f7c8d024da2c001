package ptrace_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// sleeper is a thread of the target "sleepers", which sleeps in one call for ever.
type sleeper struct {
	Name string
	TID  int
	Nr   int
}

// The target has a thread in each of many calls that sleep. Asked, it tells which of them returned.
var _ = target("sleepers", func(_ *ledger, args []string) {
	debug.SetGCPercent(-1)
	if len(args) > 0 {
		ignoreSignals()
	}
	var (
		word     uint32
		pipe, sv [2]int
		none     uintptr
		byte1    = make([]byte, 64)
		long     = unix.Timespec{Sec: 1000}
		event    [16]byte
		set      = uint64(1) << (unix.SIGUSR2 - 1)
		op       = struct {
			num    uint16
			op, fl int16
		}{0, -1, 0}
	)
	call := func(nr uintptr, args ...uintptr) (uintptr, error) {
		var a [6]uintptr
		copy(a[:], args)
		r, _, errno := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return r, errno
		}
		return r, nil
	}
	made := func(nr uintptr, args ...uintptr) uintptr {
		r, err := call(nr, args...)
		must(err)
		return r
	}
	must(unix.Pipe2(pipe[:], 0))
	sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.SetsockoptTimeval(sv[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1000}))
	plain, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	ep, err := unix.EpollCreate1(0)
	must(err)
	sem := made(unix.SYS_SEMGET, 0, 1, 0o600)
	msg := made(unix.SYS_MSGGET, 0, 0o600)
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(listener, &unix.SockaddrUnix{}))
	must(unix.Listen(listener, 1))
	null, err := unix.Open(os.DevNull, unix.O_WRONLY, 0)
	must(err)
	child, err := syscall.ForkExec("/bin/cat", []string{"cat"}, &syscall.ProcAttr{Files: []uintptr{uintptr(pipe[0]), uintptr(null)}})
	must(err)
	pollfd := unix.PollFd{Fd: int32(pipe[0]), Events: unix.POLLIN}
	var fds unix.FdSet
	fds.Set(pipe[0])

	in, out := uintptr(pipe[0]), addressOf(&byte1[0])
	ts := addressOf(&long)
	calls := []struct {
		name string
		args []uintptr // with the number first
	}{
		{"read", []uintptr{unix.SYS_READ, in, out, 1}},
		{"recvfrom", []uintptr{unix.SYS_RECVFROM, uintptr(plain[0]), out, 1}},
		{"recvfrom with SO_RCVTIMEO", []uintptr{unix.SYS_RECVFROM, uintptr(sv[0]), out, 1}},
		{"epoll_pwait", []uintptr{unix.SYS_EPOLL_PWAIT, uintptr(ep), addressOf(&event), 1, ^none}},
		{"epoll_pwait with a timeout", []uintptr{unix.SYS_EPOLL_PWAIT, uintptr(ep), addressOf(&event), 1, 1000_000}},
		{"rt_sigtimedwait", []uintptr{unix.SYS_RT_SIGTIMEDWAIT, addressOf(&set), 0, 0, 8}},
		{"rt_sigtimedwait with a timeout", []uintptr{unix.SYS_RT_SIGTIMEDWAIT, addressOf(&set), 0, ts, 8}},
		{"semtimedop", []uintptr{unix.SYS_SEMTIMEDOP, sem, addressOf(&op), 1, ts}},
		{"semtimedop without a timeout", []uintptr{unix.SYS_SEMTIMEDOP, sem, addressOf(&op), 1, 0}},
		{"msgrcv", []uintptr{unix.SYS_MSGRCV, msg, out, 8}},
		{"nanosleep", []uintptr{unix.SYS_NANOSLEEP, ts}},
		{"clock_nanosleep", []uintptr{unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, ts}},
		{"ppoll", []uintptr{unix.SYS_PPOLL, addressOf(&pollfd), 1}},
		{"ppoll with a timeout", []uintptr{unix.SYS_PPOLL, addressOf(&pollfd), 1, ts}},
		{"pselect6", []uintptr{unix.SYS_PSELECT6, uintptr(pipe[0] + 1), addressOf(&fds), 0, 0, ts}},
		{"futex", []uintptr{unix.SYS_FUTEX, addressOf(&word), 0}},
		{"futex with a timeout", []uintptr{unix.SYS_FUTEX, addressOf(&word), 0, 0, ts}},
		{"accept4", []uintptr{unix.SYS_ACCEPT4, uintptr(listener)}},
		{"wait4", []uintptr{unix.SYS_WAIT4, uintptr(child)}},
	}
	var mu sync.Mutex
	var returned []string
	var all []sleeper
	var calling []sleepingCall
	var started sync.WaitGroup
	for _, c := range calls {
		started.Add(1)
		locked(func() {
			mu.Lock()
			all = append(all, sleeper{c.name, unix.Gettid(), int(c.args[0])})
			calling = append(calling, sleepingCall{tid: unix.Gettid(), line: fmt.Sprintf("%d %#x ", c.args[0], c.args[1])})
			i := len(calling) - 1
			mu.Unlock()
			started.Done()
			r, err := call(c.args[0], c.args[1:]...)
			mu.Lock()
			calling[i].told = true
			returned = append(returned, c.name+": "+strconv.Itoa(int(r))+" "+errString(err))
			mu.Unlock()
			select {}
		})
	}
	started.Wait()
	reply(all)
	serve(func(line string) any {
		if line == "ipc" {
			return []uintptr{sem, msg}
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range calling {
			for deadline := time.Now().Add(patience); !calling[i].told && !calling[i].goesOn(); {
				mu.Unlock()
				if time.Now().After(deadline) {
					panic("neither in its call nor told to have returned: " + all[i].Name)
				}
				time.Sleep(200 * time.Microsecond)
				mu.Lock()
			}
		}
		return slices.Clone(returned)
	})
	runtime.KeepAlive([]any{&word, &op, &pollfd, &long, &fds, &event, &set, byte1})
})

// sleepingCall is what a thread of the target sleeps in, as /proc/TID/syscall begins. Its call may have returned before that is
// told: the thread then waits for one of the runtime's CPUs.
type sleepingCall struct {
	tid  int
	line string
	told bool
}

func (c sleepingCall) goesOn() bool {
	nr := sleepsIn(c.tid)
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", c.tid))
	return nr == unix.SYS_RESTART_SYSCALL || nr >= 0 && strings.HasPrefix(string(data), c.line)
}

func errString(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// asleep waits until all sleepers sleep in their calls, traced by tracer or by nobody (0).
func asleep(t *testing.T, all []sleeper, tracer int) {
	t.Helper()
	for _, s := range all {
		eventually(t, s.Name+" sleeps", func() bool {
			nr := sleepsIn(s.TID)
			return tracedBy(s.TID) == tracer && (nr == s.Nr || nr == unix.SYS_RESTART_SYSCALL)
		})
	}
}

// startSleepers starts the target "sleepers".
func startSleepers(t *testing.T, args ...string) (p *peer, all []sleeper) {
	t.Helper()
	p = startWith(t, []string{"GODEBUG=asyncpreemptoff=1"}, "sleepers", args...)
	p.answerLine(&all)
	var ipc []uintptr // these outlive the target
	p.answer("ipc", &ipc)
	t.Cleanup(func() {
		const remove = 0 // IPC_RMID
		syscall.Syscall(unix.SYS_SEMCTL, ipc[0], 0, remove)
		syscall.Syscall(unix.SYS_MSGCTL, ipc[1], remove, 0)
	})
	return p, all
}

func TestAttachToSleepers(t *testing.T) {
	p, all := startSleepers(t)
	asleep(t, all, 0)
	for round := range 20 {
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		asleep(t, all, os.Getpid())
		result := stop(t, tracer)
		asleep(t, all, 0)
		if len(result.Warnings) > 0 {
			t.Errorf("warnings: %+v", result.Warnings)
		}
		var returned []string
		p.answer("returned", &returned)
		if len(returned) > 0 {
			t.Fatalf("round %d: calls have returned to the program: %q", round, returned)
		}
		for _, s := range all {
			i := slices.IndexFunc(r.flights, func(f profile.InFlight) bool { return int(f.TID) == s.TID })
			if i < 0 {
				t.Errorf("round %d: %s is not reported as in flight", round, s.Name)
				continue
			}
			f := r.flights[i]
			// The second time the kernel itself no longer knows what restart_syscall restarts.
			named := int(f.Nr) == s.Nr || round > 0 && f.Nr == unix.SYS_RESTART_SYSCALL
			if !named || f.Why != profile.Detached || !f.Resumed || int(f.PID) != p.pid || f.ABI != native() || f.SoFarNs <= 0 {
				t.Errorf("round %d: %s is reported as %s: %+v", round, s.Name, native().Name(f.Nr), f)
			}
			for _, c := range r.calls {
				if int(c.TID) == s.TID {
					t.Errorf("round %d: %s is counted as a call: %+v", round, s.Name, c)
				}
			}
		}
	}
}

// heavy is what the threads of the target "heavy" have found out.
type heavy struct {
	Done   int64
	Faults []string
}

// The target makes calls as fast as it can and checks every result: positions that it sets, and
// tokens that go through a pipe in order.
var _ = target("heavy", func(_ *ledger, args []string) {
	var done atomic.Int64
	var mu sync.Mutex
	var faults []string
	fault := func(what string, got, want int64, err error) {
		mu.Lock()
		defer mu.Unlock()
		if len(faults) < 10 {
			faults = append(faults, what+": got "+strconv.Itoa(int(got))+", want "+strconv.Itoa(int(want))+", "+errString(err))
		}
	}
	for range 2 {
		fd, err := unix.Open(self(), unix.O_RDONLY, 0)
		must(err)
		locked(func() {
			for i := int64(0); ; i++ {
				if got, err := unix.Seek(fd, i%100_000, unix.SEEK_SET); got != i%100_000 || err != nil {
					fault("lseek", got, i%100_000, err)
				}
				done.Add(1)
			}
		})
	}
	var pipe [2]int
	must(unix.Pipe2(pipe[:], 0))
	locked(func() {
		for i := byte(0); ; i++ {
			if n, err := unix.Write(pipe[1], []byte{i}); n != 1 {
				fault("write", int64(n), 1, err)
			}
			done.Add(1)
		}
	})
	locked(func() {
		token := make([]byte, 1)
		for i := byte(0); ; i++ {
			if n, err := unix.Read(pipe[0], token); n != 1 || token[0] != i {
				fault("token", int64(token[0]), int64(i), err)
			}
			done.Add(1)
		}
	})
	locked(func() {
		for i := int64(0); ; i++ {
			ts := unix.NsecToTimespec(20_000)
			if err := unix.Nanosleep(&ts, nil); err != nil {
				fault("nanosleep", i, 0, err)
			}
			done.Add(1)
		}
	})
	serve(func(string) any {
		mu.Lock()
		defer mu.Unlock()
		return heavy{done.Load(), slices.Clone(faults)}
	})
})

func TestStopAtAnyMoment(t *testing.T) {
	// The runtime's own signal, by which it preempts, may come just when a thread enters nanosleep(2): that is
	// then broken off, traced or not.
	p := startWith(t, []string{"GODEBUG=asyncpreemptoff=1"}, "heavy")
	var before, now heavy
	p.answer("", &before)
	for range 50 {
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		enough := int64(rand.IntN(1500))
		eventually(t, "calls are counted", func() bool { return r.counted.Load() >= enough })
		stop(t, tracer)
		for _, tid := range threads(p.pid) {
			if by := tracedBy(tid); by != 0 {
				t.Fatalf("thread %d is still traced by %d", tid, by)
			}
		}
		for _, c := range r.calls {
			if c.Nr == unix.SYS_LSEEK && (c.Errno != 0 || c.Ret != int64(c.Args[1])) {
				t.Fatalf("a call is counted with another result than it had: %+v", c)
			}
		}
		p.answer("", &now)
		if len(now.Faults) > 0 {
			t.Fatalf("the target was disturbed: %q", now.Faults)
		}
	}
	eventually(t, "the target goes on untraced", func() bool {
		var later heavy
		p.answer("", &later)
		return later.Done > now.Done
	})
}

// The target creates threads all the time, each of which creates the next. Told to go, it stops
// that and makes calls from many threads, of which it then writes a ledger.
var _ = target("spawner", func(_ *ledger, args []string) {
	var stopped atomic.Bool
	var lines sync.WaitGroup
	var link func()
	link = func() {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		if stopped.Load() {
			lines.Done()
			return
		}
		locked(link)
	}
	for range 4 {
		lines.Add(1)
		locked(link)
	}
	var stay sync.WaitGroup
	const workers = 10
	work := make(chan *ledger)
	for range workers { // old threads, which sleep in the runtime's futex
		stay.Add(1)
		locked(func() {
			stay.Done()
			for l := range work {
				for range 20 {
					l.call(unix.SYS_UMASK, 0o22)
				}
				reports <- l
			}
		})
	}
	stay.Wait()
	serve(func(line string) any {
		l := newLedger()
		if line == "go" {
			for range workers {
				work <- newLedger()
			}
			for range workers {
				l.add(<-reports)
			}
			stopped.Store(true)
			lines.Wait()
		}
		return l
	})
})

var reports = make(chan *ledger, 100)

func TestAttachWhileThreadsAreCreated(t *testing.T) {
	for range 5 {
		p := start(t, "spawner")
		p.alive()
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		for range 20 {
			for _, tid := range threads(p.pid) {
				// A thread that is gone, or about to go, tells nothing.
				if by := status(tid, "TracerPid"); by == "0" && state(tid) != "X" && state(tid) != "Z" && state(tid) != "" {
					t.Fatalf("thread %d is not traced\n%s", tid, processes(p.pid))
				}
			}
		}
		l := newLedger()
		p.answer("go", l)
		eventually(t, "the answer is written", func() bool { return tracer.Progress().Threads >= 1 })
		result := stop(t, tracer)
		if len(result.Warnings) > 0 {
			t.Errorf("warnings: %+v", result.Warnings)
		}
		r.demand(t, native(), l)
		p.alive()
	}
}

// The target makes calls from its first thread and from another, and from a child, when asked.
var _ = target("family", func(l *ledger, args []string) {
	if len(args) > 0 {
		for range 30 {
			l.call(unix.SYS_GETPPID)
		}
		return
	}
	thread := make(chan int)
	locked(func() {
		thread <- unix.Gettid()
		for n := range thread {
			for range n {
				syscall.RawSyscall(unix.SYS_UMASK, 0o22, 0, 0)
			}
			thread <- n
		}
	})
	reply(<-thread)
	serve(func(string) any {
		pid, err := syscall.ForkExec(self(), []string{"family", "child"}, &syscall.ProcAttr{Env: os.Environ()})
		must(err)
		unix.Wait4(pid, nil, 0, nil)
		thread <- 20
		<-thread
		for range 10 {
			syscall.RawSyscall(unix.SYS_GETPGID, 0, 0, 0)
		}
		return 0
	})
})

func init() {
	if os.Getenv(targetEnv) == "family" {
		runtime.LockOSThread()
	}
}

func TestFollowOrNot(t *testing.T) {
	for _, test := range []struct {
		name                   string
		follow, thread         bool // attach to the other thread
		child, thread20, first int
	}{
		{"follow", true, false, 30, 20, 10},
		{"follow, by another thread's id", true, true, 30, 20, 10},
		{"no follow, the first thread", false, false, 0, 0, 10},
		{"no follow, another thread", false, true, 0, 20, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, "family")
			var tid int
			p.answerLine(&tid)
			attach := p.pid
			if test.thread {
				attach = tid
			}
			tracer, r := trace(t, ptrace.Options{Attach: []int{attach}, Follow: test.follow})
			var x int
			p.answer("go", &x)
			stop(t, tracer)
			got := r.sum(native())
			for nr, want := range map[uint64]int{unix.SYS_GETPPID: test.child, unix.SYS_UMASK: test.thread20, unix.SYS_GETPGID: test.first} {
				if got.Calls[nr] != want {
					t.Errorf("%s: counted %d, want %d", native().Name(nr), got.Calls[nr], want)
				}
			}
			for _, c := range r.calls {
				if c.Nr != unix.SYS_GETPPID && int(c.PID) != p.pid && (int(c.TID) == p.pid || int(c.TID) == tid) {
					t.Fatalf("a call of thread %d is said to be one of process %d, not %d", c.TID, c.PID, p.pid)
				}
			}
			p.alive()
		})
	}
}

func TestAttachToSeveral(t *testing.T) {
	a, b := start(t, "heavy"), start(t, "heavy")
	a.alive()
	b.alive()
	var fromA, fromB atomic.Int64
	tracer, r := trace(t, ptrace.Options{
		Attach: []int{a.pid, b.pid, 1<<22 + 1}, Follow: true,
		Sink: each(func(c *profile.Call) {
			switch int(c.PID) {
			case a.pid:
				fromA.Add(1)
			case b.pid:
				fromB.Add(1)
			}
		}),
	})
	eventually(t, "calls of both are counted", func() bool { return fromA.Load() > 50 && fromB.Load() > 50 })
	result := stop(t, tracer)
	if len(result.Warnings) != 1 {
		t.Errorf("one of three processes does not exist; warnings: %+v", result.Warnings)
	}
	if all := r.counted.Load(); all != fromA.Load()+fromB.Load() {
		t.Errorf("%d calls, of which %d and %d belong to the processes traced", all, fromA.Load(), fromB.Load())
	}
	a.alive()
	b.alive()
}

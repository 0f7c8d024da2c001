package ptrace_test

import (
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

// unheeded are signals that a program ignores which has called ignoreSignals: all but the last by default.
var unheeded = []syscall.Signal{unix.SIGWINCH, unix.SIGCHLD, unix.SIGURG, unix.SIGCONT, unix.SIGIO}

// ignoreSignals does away with the Go runtime's handlers of those signals.
func ignoreSignals() {
	for _, sig := range unheeded {
		const ignore = 1 // SIG_IGN
		var action [4]uintptr
		if sig == unix.SIGIO {
			action[0] = ignore
		}
		setAction(sig, &action)
	}
}

func setAction(sig syscall.Signal, action *[4]uintptr) {
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)), 0, 8, 0, 0); errno != 0 {
		panic(errno)
	}
}

// send sends a signal to one thread.
func send(pid, tid int, sig syscall.Signal) {
	if err := unix.Tgkill(pid, tid, sig); err != nil {
		panic(err)
	}
}

// hasTaken reports whether no signal waits for a thread.
func hasTaken(tid int) bool { return status(tid, "SigPnd") == "0000000000000000" }

// Untraced, a signal that a program ignores wakes nobody; traced, it breaks off calls.
func TestIgnoredSignalsEndNoCall(t *testing.T) {
	p, all := startSleepers(t, "ignoring")
	asleep(t, all, 0)
	tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	for _, sig := range unheeded {
		asleep(t, all, os.Getpid())
		for _, s := range all {
			send(p.pid, s.TID, sig)
		}
		for _, s := range all {
			eventually(t, s.Name+" has been sent "+sig.String(), func() bool { return hasTaken(s.TID) })
		}
	}
	asleep(t, all, os.Getpid())
	for _, s := range all { // the tracer may end in the midst of it
		send(p.pid, s.TID, unix.SIGWINCH)
	}
	stop(t, tracer)
	var returned []string
	p.answer("returned", &returned)
	if len(returned) > 0 {
		t.Fatalf("calls have returned to the program: %q", returned)
	}
	asleep(t, all, 0)
	for _, c := range r.calls {
		if c.Errno == int32(unix.EINTR) && slices.ContainsFunc(all, func(s sleeper) bool { return s.TID == int(c.TID) }) {
			t.Errorf("a call is counted as having failed that goes on: %+v", c)
		}
	}
}

// The target sleeps in calls, sends itself signals that it ignores, and demands that they end no call, and put off no
// timeout.
var _ = target("ignores", func(l *ledger, args []string) {
	debug.SetGCPercent(-1)
	ignoreSignals()
	pid := os.Getpid()
	sem, _, errno := syscall.RawSyscall(unix.SYS_SEMGET, 0, 1, 0o600)
	if errno != 0 {
		panic(errno)
	}
	defer syscall.RawSyscall(unix.SYS_SEMCTL, sem, 0, 0)
	type operation struct {
		num    uint16
		op, fl int16
	}
	down, up := &operation{0, -1, 0}, &operation{0, 1, 0}
	set, wait := uint64(1)<<(unix.SIGUSR2-1), unix.NsecToTimespec(int64(200*time.Millisecond))
	calls := []struct {
		args []uintptr // with the number first
		ends syscall.Errno
	}{
		{[]uintptr{unix.SYS_SEMTIMEDOP, sem, addressOf(down), 1, 0}, 0},
		{[]uintptr{unix.SYS_RT_SIGTIMEDWAIT, addressOf(&set), 0, addressOf(&wait), 8}, unix.EAGAIN},
	}
	for i, c := range calls {
		tids, over, ended := make(chan int), atomic.Bool{}, make(chan *ledger)
		locked(func() {
			tids <- unix.Gettid()
			own := newLedger()
			if _, errno := own.try(c.args[0], c.args[1:]...); errno != c.ends {
				own.fault("call %d ended with %d, %v", i, errno, errno)
			}
			over.Store(true)
			ended <- own
			select {}
		})
		tid := <-tids
		for round := 0; !over.Load(); round++ {
			for !over.Load() && sleepsIn(tid) != int(c.args[0]) {
				time.Sleep(time.Millisecond)
			}
			if round == 10 && c.ends == 0 {
				l.call(unix.SYS_SEMOP, sem, addressOf(up), 1)
				break
			}
			if c.ends != 0 {
				time.Sleep(20 * time.Millisecond) // most of the timeout is slept
			}
			send(pid, tid, unheeded[round%len(unheeded)])
			for !hasTaken(tid) {
				time.Sleep(time.Millisecond)
			}
		}
		l.add(<-ended)
	}
})

func TestIgnoredSignalsAreNotCounted(t *testing.T) {
	l, r, _ := launch(t, "ignores")
	r.demand(t, native(), l)
	for _, c := range r.calls {
		if c.Nr == unix.SYS_RT_SIGTIMEDWAIT && (c.Errno != int32(unix.EAGAIN) || c.RawLatency() < 30*time.Millisecond) {
			t.Errorf("a call that waited for 200 ms in all, at least 20 at a time, is counted as: %+v", c)
		}
	}
}

// Calls that the filter lets pass do not stop, but the signals do.
func TestIgnoredSignalsWithFilter(t *testing.T) {
	l, _, _ := launchFiltered(t, "getppid", "ignores")
	for _, fault := range l.Faults {
		if runtime.GOARCH == "arm64" && strings.Contains(fault, unix.EINTR.Error()) {
			t.Skipf("this kernel does not tell the first argument of a call that was not seen: %s", fault)
		}
		t.Error(fault)
	}
}

// The target sleeps in a call that a signal with a handler ends, with one behind it that is ignored: it comes when the
// handler, which blocks it, returns.
var _ = target("handles and ignores", func(l *ledger, args []string) {
	debug.SetGCPercent(-1)
	ignoreSignals()
	signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1)
	ep, err := unix.EpollCreate1(0)
	must(err)
	tids, ended := make(chan int), make(chan syscall.Errno)
	locked(func() {
		tids <- unix.Gettid()
		var event [16]byte
		for forever := -1; ; {
			_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&event)), 1, uintptr(forever), 0, 0)
			ended <- errno
		}
	})
	for tid, round := <-tids, 0; round < 10; round++ {
		for sleepsIn(tid) != unix.SYS_EPOLL_PWAIT {
			time.Sleep(time.Millisecond)
		}
		send(os.Getpid(), tid, unix.SIGUSR1)
		send(os.Getpid(), tid, unix.SIGWINCH)
		if errno := <-ended; errno != unix.EINTR {
			l.fault("round %d: the call has ended with %v", round, errno)
		}
	}
})

// A call that was not seen, and that a handler has ended, stays so when an ignored signal comes behind the handler.
//
// The runtime sends such signals, too (SIGURG, to whom has run for 10 ms as far as it knows), which would end a call that
// the target does not know of where an unseen one cannot be made again.
func TestIgnoredSignalsBehindAHandlerWithFilter(t *testing.T) {
	l, _, _ := launchFilteredWith(t, noPreemption, "getppid", "handles and ignores")
	for _, fault := range l.Faults {
		t.Error(fault)
	}
}

// outcome is what has become of one call of the target "patient".
type outcome struct {
	Name   string
	Nr     int
	TID    int
	Ret    int
	Errno  syscall.Errno
	TookMs int
}

const patientMs = 1000

// The target calls, once it is told to, what returns after patientMs.
var _ = target("patient", func(_ *ledger, args []string) {
	debug.SetGCPercent(-1)
	ignoreSignals()
	ep, err := unix.EpollCreate1(0)
	must(err)
	sem, _, errno := syscall.RawSyscall(unix.SYS_SEMGET, 0, 1, 0o600)
	if errno != 0 {
		panic(errno)
	}
	defer syscall.RawSyscall(unix.SYS_SEMCTL, sem, 0, 0)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	soon := unix.NsecToTimeval(int64(patientMs * time.Millisecond))
	must(unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &soon))
	ts := unix.NsecToTimespec(int64(patientMs * time.Millisecond))
	event, op, set := [16]byte{}, [3]int16{0, -1, 0}, uint64(1)<<(unix.SIGUSR2-1)
	limit, events := addressOf(&ts), addressOf(&event)
	var mu sync.Mutex
	var results []outcome
	var all []sleeper
	begin := make(chan struct{})
	var ready sync.WaitGroup
	for _, c := range []struct {
		name string
		args []uintptr // with the number first
	}{
		{"epoll_pwait", []uintptr{unix.SYS_EPOLL_PWAIT, uintptr(ep), events, 1, patientMs}},
		{"epoll_pwait2", []uintptr{unix.SYS_EPOLL_PWAIT2, uintptr(ep), events, 1, limit}},
		{"rt_sigtimedwait", []uintptr{unix.SYS_RT_SIGTIMEDWAIT, addressOf(&set), 0, limit, 8}},
		{"semtimedop", []uintptr{unix.SYS_SEMTIMEDOP, sem, addressOf(&op), 1, limit}},
		{"recvfrom", []uintptr{unix.SYS_RECVFROM, uintptr(pair[0]), events, 1}},
		{"read", []uintptr{unix.SYS_READ, uintptr(pair[0]), events, 1}},
	} {
		ready.Add(1)
		locked(func() {
			var a [6]uintptr
			copy(a[:], c.args[1:])
			o := outcome{Name: c.name, Nr: int(c.args[0]), TID: unix.Gettid()}
			mu.Lock()
			all = append(all, sleeper{o.Name, o.TID, o.Nr})
			mu.Unlock()
			ready.Done()
			<-begin
			start := time.Now()
			r, _, errno := syscall.Syscall6(c.args[0], a[0], a[1], a[2], a[3], a[4], a[5])
			o.Ret, o.Errno, o.TookMs = int(r), errno, int(time.Since(start).Milliseconds())
			mu.Lock()
			results = append(results, o)
			mu.Unlock()
			select {}
		})
	}
	ready.Wait()
	reply(all)
	serve(func(line string) any {
		if line == "go" {
			close(begin)
		}
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(results)
	})
})

// Signals that a program ignores come more often than a timeout ends. It ends all the same.
func TestIgnoredSignalsPutOffNoTimeout(t *testing.T) {
	p := startWith(t, []string{"GODEBUG=asyncpreemptoff=1"}, "patient")
	var all []sleeper
	p.answerLine(&all)
	tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	var results []outcome
	p.answer("go", &results)
	eventually(t, "all timeouts are over", func() bool {
		for _, s := range all {
			send(p.pid, s.TID, unix.SIGWINCH)
		}
		time.Sleep(5 * time.Millisecond)
		p.answer("", &results)
		return len(results) == len(all)
	})
	stop(t, tracer)
	for _, o := range results {
		if o.Errno == unix.ENOSYS {
			continue // epoll_pwait2 came with Linux 5.11
		}
		want := outcome{o.Name, o.Nr, o.TID, 0, 0, o.TookMs}
		if !strings.HasPrefix(o.Name, "epoll") {
			want.Ret, want.Errno = -1, unix.EAGAIN
		}
		if o != want || o.TookMs < patientMs {
			t.Errorf("%s took %d ms, and returned %d, %v", o.Name, o.TookMs, o.Ret, o.Errno)
		}
		calls := slices.DeleteFunc(slices.Clone(r.calls), func(c profile.Call) bool { return int(c.TID) != o.TID || int(c.Nr) != o.Nr })
		if len(calls) != 1 || syscall.Errno(calls[0].Errno) != o.Errno {
			t.Errorf("%s is counted as %+v", o.Name, calls)
		}
	}
}

// The target sleeps in one call over and over, and says each time that a signal has ended it.
var _ = target("handling", func(_ *ledger, args []string) {
	debug.SetGCPercent(-1)
	ignoreSignals()
	signal.Notify(make(chan os.Signal, 1), unix.SIGUSR1, unix.SIGPWR)
	ep, err := unix.EpollCreate1(0)
	must(err)
	locked(func() {
		reply(unix.Gettid())
		var event [16]byte
		for {
			forever := -1
			_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&event)), 1, uintptr(forever), 0, 0)
			reply(errno.Error())
		}
	})
	select {}
})

// A call that an interrupt, or a signal that is ignored, has broken off is made again; but if a handler runs
// before that, the call returns EINTR, as it would have untraced.
func TestHandledSignalEndsACallThatIsMadeAgain(t *testing.T) {
	p := startWith(t, []string{"GODEBUG=asyncpreemptoff=1"}, "handling")
	var tid int
	p.answerLine(&tid)
	waits := func(tracer int) {
		t.Helper()
		asleep(t, []sleeper{{"epoll_pwait", tid, unix.SYS_EPOLL_PWAIT}}, tracer)
	}
	ended := func(by string) {
		t.Helper()
		if got, want := p.line(), `"`+unix.EINTR.Error()+`"`; got != want {
			t.Fatalf("the call that %s has ended: %s, want %s", by, got, want)
		}
	}
	for range 10 {
		waits(0)
		sent, traced := make(chan struct{}), atomic.Bool{}
		go func() {
			defer close(sent)
			for state(tid) != "t" && !traced.Load() {
			}
			send(p.pid, tid, unix.SIGUSR1)
		}()
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		traced.Store(true)
		<-sent
		ended("a signal during the attach")
		for range 5 {
			waits(os.Getpid())
			send(p.pid, tid, unix.SIGWINCH)
			send(p.pid, tid, unix.SIGPWR)
			ended("a signal behind one that is ignored")
		}
		stop(t, tracer)
	}
}

// TestStopWhenSleepersAreJustAttached: tracing ends while threads have not answered their first interrupt, or stand at
// the entry-stop of the call that they were made to enter again. None of their calls returns for it.
func TestStopWhenSleepersAreJustAttached(t *testing.T) {
	p, all := startSleepers(t)
	asleep(t, all, 0)
	for range 60 {
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		if wait := rand.IntN(3); wait > 0 {
			time.Sleep(time.Duration(rand.IntN(wait * 500_000))) // what is tested is that the moment does not matter
		}
		stop(t, tracer)
	}
	asleep(t, all, 0)
	var returned []string
	p.answer("", &returned)
	if len(returned) > 0 {
		t.Errorf("calls returned: %q", returned)
	}
}

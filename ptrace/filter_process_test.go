package ptrace_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// setOf is a set of calls.
func setOf(t *testing.T, expr string) *syscalltab.Set {
	t.Helper()
	set, err := syscalltab.ParseSet(expr, syscalltab.Native()...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// launchFiltered is launch with a filter.
func launchFiltered(t *testing.T, expr, name string, args ...string) (*ledger, *record, ptrace.Result) {
	t.Helper()
	return launchFilteredWith(t, nil, expr, name, args...)
}

// launchFilteredWith is launchFiltered of a target with more in its environment.
func launchFilteredWith(t *testing.T, env []string, expr, name string, args ...string) (*ledger, *record, ptrace.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ledger")
	command := targetCommand(file, name, args...)
	command.Env = append(command.Env, env...)
	tracer, r := trace(t, ptrace.Options{Command: command, Follow: true, Filter: &ptrace.Filter{Calls: setOf(t, expr)}})
	result := finish(t, tracer)
	if !result.CommandEnded || result.Command != 0 {
		t.Fatalf("target %s: wait status %#x, ended: %v", name, result.Command, result.CommandEnded)
	}
	if n := tracer.Progress().Threads; n != 0 {
		t.Errorf("%d tracees are left in the table at the end", n)
	}
	return readLedger(t, file), r, result
}

// only keeps of a ledger what a set has.
func (l *ledger) only(set *syscalltab.Set) *ledger {
	kept := newLedger()
	kept.Faults, kept.Notes = l.Faults, l.Notes
	for nr, n := range l.Calls {
		if set.Has(native(), nr) {
			kept.Calls[nr], kept.Errors[nr] = n, l.Errors[nr]
		}
	}
	return kept
}

// warned demands warnings of these kinds, and no others. Without CAP_SYS_ADMIN every filter comes with one of its
// own, which is left out.
func warned(t *testing.T, result ptrace.Result, kinds ...profile.WarningKind) {
	t.Helper()
	if !needs.HasSysAdmin() {
		result.Warnings = slices.DeleteFunc(slices.Clone(result.Warnings), func(w profile.Warning) bool { return w.Kind == profile.NoNewPrivileges })
	}
	// Where other tests run, and on a busy machine, the tracer may have to wait for a CPU.
	result.Warnings = slices.DeleteFunc(slices.Clone(result.Warnings), func(w profile.Warning) bool { return w.Kind == profile.TracerStarved })
	if len(result.Warnings) != len(kinds) {
		t.Errorf("warnings %+v, want %d", result.Warnings, len(kinds))
	}
	for _, kind := range kinds {
		if !slices.ContainsFunc(result.Warnings, func(w profile.Warning) bool { return w.Kind == kind }) {
			t.Errorf("no warning of %q: %+v", kind, result.Warnings)
		}
	}
}

// Calls of the set are counted as without a filter, and others do not stop their threads.
func TestFilterCounts(t *testing.T) {
	for _, name := range []string{"calls", "threads", "forks", "vforks"} {
		for _, expr := range []string{"getpgid,umask", "getppid", "!umask,futex"} {
			t.Run(name+" "+expr, func(t *testing.T) {
				set := setOf(t, expr)
				l, r, result := launchFiltered(t, expr, name)
				warned(t, result)
				if kept := l.only(set); len(kept.Calls) > 0 {
					r.demand(t, native(), kept)
				}
				for i := range r.calls {
					c := &r.calls[i]
					name := c.ABI.Name(c.Nr)
					always := slices.Contains([]string{"ptrace", "prctl", "seccomp", "restart_syscall",
						"clone", "clone3", "fork", "vfork", "sched_getaffinity", "sched_setaffinity"}, name)
					if first := i == 0 && name == "execve"; !first && !always && !set.Has(c.ABI, c.Nr) {
						t.Fatalf("a call of %s was stopped at", name)
					}
				}
			})
		}
	}
}

// denyGetpgid makes getpgid fail with what this answer of a filter means, for the calling thread.
func denyGetpgid(l *ledger, answer uint32, bySeccomp bool, flags uintptr) {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_GETPGID},
		{Code: unix.BPF_RET | unix.BPF_K, K: answer},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	failed := l.Errors[unix.SYS_SECCOMP]
	if bySeccomp {
		l.call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, addressOf(&program))
	} else {
		must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, addressOf(&program), 0, 0))
	}
	if l.Errors[unix.SYS_SECCOMP] != failed {
		l.fault("the filter is refused")
	}
}

// askForFilter asks the kernel if the calling thread has a filter, as programs do before they make one.
func askForFilter() int {
	mode, _, _ := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_GET_SECCOMP, 0, 0, 0, 0, 0)
	return int(mode)
}

// The target makes a filter of its own, which denies getpgid in the way that its argument says. With "tsync"
// all of its threads get the filter.
var _ = target("own filter", func(l *ledger, args []string) {
	const calls, threads = 50, 4
	answer := uint32(unix.SECCOMP_RET_ERRNO | 77)
	if args[0] == "trace" {
		answer = unix.SECCOMP_RET_TRACE | 5
	}
	var mu sync.Mutex
	var work sync.WaitGroup
	turn := func() *ledger {
		own := newLedger()
		for range calls {
			own.call(unix.SYS_GETPPID)
			own.call(unix.SYS_GETPGID, 0)
		}
		return own
	}
	ready := make(chan struct{})
	if args[0] == "tsync" {
		for range threads {
			work.Add(1)
			locked(func() {
				defer work.Done()
				<-ready
				own := turn()
				mu.Lock()
				l.add(own)
				mu.Unlock()
			})
		}
	}
	runtime.LockOSThread()
	l.add(turn())
	flags := uintptr(0)
	if args[0] == "tsync" {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	if mode := askForFilter(); mode != unix.SECCOMP_MODE_DISABLED {
		l.fault("it has a filter of mode %d", mode)
	}
	denyGetpgid(l, answer, args[0] != "prctl", flags)
	if mode := askForFilter(); mode != unix.SECCOMP_MODE_FILTER {
		l.fault("its own filter is of mode %d", mode)
	}
	close(ready)
	own := turn()
	mu.Lock()
	l.add(own)
	mu.Unlock()
	if pid := fork(0, false, false); pid > 0 { // a child has the filter, too
		unix.Wait4(pid, nil, 0, nil)
	}
	work.Wait()
})

// A program's own filter does what it does untraced, and the calls that it denies are counted.
func TestProgramWithFilterOfItsOwn(t *testing.T) {
	for _, how := range []string{"prctl", "seccomp", "tsync", "trace"} {
		t.Run(how, func(t *testing.T) {
			const expr = "getpgid,seccomp"
			l, r, result := launchFiltered(t, expr, "own filter", how)
			warned(t, result)
			if l.Errors[unix.SYS_GETPGID] == 0 {
				t.Error("the target's filter has denied nothing")
			}
			r.demand(t, native(), l.only(setOf(t, expr)))
			want := int32(77)
			if how == "trace" {
				want = int32(unix.ENOSYS)
			}
			for _, c := range r.calls {
				if c.Nr == unix.SYS_GETPGID && c.Errno != 0 && c.Errno != want {
					t.Fatalf("a denied call failed with errno %d, want %d", c.Errno, want)
				}
			}
		})
	}
}

// The target has threads that wait with a timeout, again and again, while it gives all of them one filter after the other. It
// tells of results that are none of a timeout.
var _ = target("filters for waiters", func(l *ledger, _ []string) {
	const threads, filters = 20, 100
	debug.SetGCPercent(-1)
	ep, err := unix.EpollCreate1(0)
	must(err)
	var faults atomic.Int64
	var over atomic.Bool
	var work sync.WaitGroup
	for range threads {
		work.Add(1)
		locked(func() {
			defer work.Done()
			event := new([16]byte)
			for !over.Load() {
				r, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(event)), 1, 1, 0, 0)
				if r != 0 || errno != 0 {
					faults.Add(1)
				}
			}
		})
	}
	runtime.LockOSThread()
	for range filters {
		denyGetpgid(l, unix.SECCOMP_RET_ALLOW, true, unix.SECCOMP_FILTER_FLAG_TSYNC)
	}
	over.Store(true)
	work.Wait()
	if n := faults.Load(); n > 0 {
		l.fault("%d calls have not timed out", n)
	}
})

// TestFiltersForWaiters: threads that are interrupted since they get a filter see nothing of that, nor where Stop comes while
// they are.
func TestFiltersForWaiters(t *testing.T) {
	t.Run("counted", func(t *testing.T) {
		l, r, _ := launchFilteredWith(t, noPreemption, "epoll_pwait,seccomp", "filters for waiters")
		for _, fault := range l.Faults {
			t.Error(fault)
		}
		if r.counted.Load() == 0 {
			t.Error("no call is counted")
		}
	})
	t.Run("stopped", func(t *testing.T) {
		const rounds = 10
		for range rounds {
			file := filepath.Join(t.TempDir(), "ledger")
			command := targetCommand(file, "filters for waiters")
			command.Env = append(command.Env, noPreemption...)
			tracer, r := trace(t, ptrace.Options{Command: command, Follow: true, Filter: &ptrace.Filter{Calls: setOf(t, "epoll_pwait,seccomp")}})
			eventually(t, "some filters are made", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				made := 0
				for i := range r.calls {
					if r.calls[i].Nr == unix.SYS_SECCOMP {
						made++
					}
				}
				return made > 20
			})
			stop(t, tracer)
			for _, fault := range readLedger(t, file).Faults {
				t.Error(fault)
			}
		}
	})
}

var _ = target("strict", func(l *ledger, args []string) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_STRICT, 0, 0, 0); err != unix.EINVAL {
		l.fault("strict mode: %v", err)
	}
	l.call(unix.SYS_GETPPID)
})

// What a filter does not allow is said.
func TestStrictModeUnderFilter(t *testing.T) {
	l, r, result := launchFiltered(t, "getppid", "strict")
	warned(t, result, profile.StrictRefused)
	r.demand(t, native(), l)
}

var _ = target("refused tracer", func(l *ledger, args []string) {
	runtime.LockOSThread()
	if r := l.call(unix.SYS_PTRACE, unix.PTRACE_TRACEME); r == 0 {
		l.fault("PTRACE_TRACEME succeeds")
	}
	pid := fork(0, false, false)
	l.call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid))
	unix.Wait4(pid, nil, 0, nil)
	l.call(unix.SYS_GETPPID)
})

// A tracee with a filter is not left to a tracer of its own.
func TestTracerUnderFilter(t *testing.T) {
	l, r, result := launchFiltered(t, "getppid,ptrace", "refused tracer")
	warned(t, result, profile.TracerRefused)
	r.demand(t, native(), l)
}

// A filter changes nothing that is inherited but itself.
func TestFilterIsNotFeltOtherwise(t *testing.T) {
	l, _, result := launchFiltered(t, "getppid", "privileges")
	warned(t, result)
	noNewPrivs := 1 // the kernel's condition for a filter
	if needs.HasSysAdmin() {
		noNewPrivs = 0
	}
	if len(result.Warnings) != noNewPrivs {
		t.Errorf("warnings: %+v, want %d", result.Warnings, noNewPrivs)
	}
	if l.Notes["NoNewPrivs"] != noNewPrivs || l.Notes["Seccomp"] != unix.SECCOMP_MODE_FILTER || l.Notes["asked"] != unix.SECCOMP_MODE_DISABLED {
		t.Errorf("the command has %v", l.Notes)
	}
}

var _ = target("privileges", func(l *ledger, args []string) {
	own := func(name string) int { return int(status(os.Getpid(), name)[0] - '0') }
	l.Notes["NoNewPrivs"], l.Notes["Seccomp"] = own("NoNewPrivs"), own("Seccomp")
	l.Notes["asked"] = askForFilter()
})

// All that holds for launched commands holds under a filter, too: signals, job control, vfork, exec by a thread
// that is not the first, users, ends.
func TestAllUnderFilter(t *testing.T) {
	forced = &ptrace.Filter{Calls: setOf(t, "!acct")}
	defer func() { forced = nil }()
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Ledger", TestLedger},
		{"ArgumentsAndResults", TestArgumentsAndResults},
		{"ExecByAnotherThread", TestExecByAnotherThread},
		{"StartFails", TestStartFails},
		{"CommandRunsAsUser", TestCommandRunsAsUser},
		{"JobControlOfLaunched", TestJobControlOfLaunched},
		{"LaunchedCommandIsStopped", TestLaunchedCommandIsStopped},
		{"KilledAtAnyMoment", TestKilledAtAnyMoment},
		{"TableDoesNotGrow", TestTableDoesNotGrow},
		{"NoAllocations", TestNoAllocations},
	} {
		t.Run(test.name, test.run)
	}
}

// The target makes getppid calls, and says how long one takes untraced or not, by its fastest batch.
var _ = target("time getppid", func(l *ledger, args []string) {
	const batches, calls = 40, 5000
	best := time.Hour
	for range batches {
		begin := time.Now()
		for range calls {
			syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		}
		best = min(best, time.Since(begin))
	}
	l.Notes["ps"] = int(best.Nanoseconds() * 1000 / calls)
})

// untracedCall and filteredCall measure a call, in picoseconds, without a tracer and where a filter leaves it out.
func untracedCall(t testing.TB) int {
	file := filepath.Join(t.TempDir(), "ledger")
	cmd := exec.Command(self())
	cmd.Env = append(environ(), targetEnv+"=time getppid", ledgerEnv+"="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return readLedger(t, file).Notes["ps"]
}

func filteredCall(t testing.TB) int {
	file := filepath.Join(t.TempDir(), "ledger")
	set, err := syscalltab.ParseSet("acct", syscalltab.Native()...)
	must(err)
	tracer, err := ptrace.Start(ptrace.Options{
		Command: targetCommand(file, "time getppid"), Follow: true, Filter: &ptrace.Filter{Calls: set},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result, err := tracer.Wait(); err != nil || result.Command != 0 {
		t.Fatalf("%v, wait status %#x", err, result.Command)
	}
	return readLedger(t, file).Notes["ps"]
}

// A call that is left out costs about what it costs untraced: a stop would make it 30 times dearer.
func TestFilteredOutCallIsCheap(t *testing.T) {
	untraced, filtered := untracedCall(t), filteredCall(t)
	for range 4 {
		untraced, filtered = min(untraced, untracedCall(t)), min(filtered, filteredCall(t))
	}
	t.Logf("untraced %d ps, left out by a filter %d ps: %.2f times", untraced, filtered, float64(filtered)/float64(untraced))
	const most = 3 // on machines that do other work, too; 1.5 is what it shall be
	if filtered > most*untraced {
		t.Errorf("a call that is left out takes %d ps, untraced %d ps", filtered, untraced)
	}
}

// BenchmarkFilteredOutCall reports what a call costs untraced and where a filter leaves it out.
func BenchmarkFilteredOutCall(b *testing.B) {
	untraced, filtered := 0, 0
	for range b.N {
		untraced += untracedCall(b)
		filtered += filteredCall(b)
	}
	b.ReportMetric(float64(untraced)/1000/float64(b.N), "untraced-ns/call")
	b.ReportMetric(float64(filtered)/1000/float64(b.N), "filtered-ns/call")
	b.ReportMetric(float64(filtered)/float64(untraced), "times")
	b.ReportMetric(0, "ns/op")
}

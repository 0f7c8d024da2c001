package ptrace_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// launchProgram traces a program of testdata, which writes what it did to a file.
func launchProgram(t *testing.T, path string, args ...string) (report []byte, r *record) {
	t.Helper()
	return launchProgramFiltered(t, nil, path, args...)
}

// launchProgramFiltered is launchProgram with a filter.
func launchProgramFiltered(t *testing.T, filter *ptrace.Filter, path string, args ...string) (report []byte, r *record) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ledger")
	command := &ptrace.Command{
		Path: path,
		Args: append([]string{filepath.Base(path)}, args...),
		Env:  append(append(os.Environ(), noPreemption...), ledgerEnv+"="+file), // whose signals end calls, too
	}
	tracer, r := trace(t, ptrace.Options{Command: command, Follow: true, Filter: filter})
	if result := finish(t, tracer); result.Command != 0 {
		t.Fatalf("%s: wait status %#x", path, result.Command)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data, r
}

func Test32BitProgram(t *testing.T) {
	needs.NarrowCalls(t)
	data, r := launchProgram(t, build(t, "386", "compat"))
	l := newLedger()
	if err := json.Unmarshal(data, l); err != nil {
		t.Fatal(err)
	}
	r.demand(t, syscalltab.I386, l)
	for _, c := range r.calls[1:] {
		if c.ABI != syscalltab.I386 {
			t.Fatalf("a 32-bit program's call is counted as one of %v: %+v", c.ABI, c)
		}
	}
}

func TestInt80From64BitCode(t *testing.T) {
	needs.NarrowCalls(t)
	_, r := launchProgram(t, build(t, "amd64", "bare"), "int80")
	got32, got64 := r.sum(syscalltab.I386), r.sum(syscalltab.AMD64)
	const getppid32, nothing32 = 64, 7777
	if len(got32.Calls) != 2 || got32.Calls[getppid32] != 25 || got32.Calls[nothing32] != 5 || got32.Errors[nothing32] != 5 {
		t.Errorf("32-bit calls: %v, failed %v; want 25 getppid and 5 of number 7777, which fail", got32.Calls, got32.Errors)
	}
	if got64.Calls[unix.SYS_GETPPID] != 40 {
		t.Errorf("counted %d 64-bit getppid, want 40", got64.Calls[unix.SYS_GETPPID])
	}
}

// A thread that sleeps in a subcall during the attach is in flight in that, for as long as it is not known when it
// was entered.
func TestAttachToSleeperInSubcall(t *testing.T) {
	needs.NarrowCalls(t)
	p := startCommand(t, exec.Command(build(t, "386", "compat"), "recvfrom"))
	p.line()
	const socketcall = 102
	tid := 0
	sleeps := func() bool {
		i := slices.IndexFunc(threads(p.pid), func(tid int) bool { return sleepsIn(tid) == socketcall })
		if i >= 0 {
			tid = threads(p.pid)[i]
		}
		return i >= 0
	}
	eventually(t, "a thread sleeps in recvfrom", sleeps)
	tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
	eventually(t, "it sleeps again", sleeps)
	stop(t, tracer)
	i := slices.IndexFunc(r.flights, func(f profile.InFlight) bool { return int(f.TID) == tid })
	if i < 0 {
		t.Fatalf("not reported as in flight: %+v", r.flights)
	}
	f := r.flights[i]
	if name := f.ABI.Name(f.Nr); f.ABI != syscalltab.I386 || name != "recvfrom" || !f.Resumed {
		t.Errorf("reported as %s: %+v", name, f)
	}
	if got := p.ask(""); got != "recvfrom has returned 1 <nil>" {
		t.Errorf("the target says %q", got)
	}
}

// A filter knows the calls of all ABIs by their own numbers.
func TestFilterOfAllABIs(t *testing.T) {
	needs.NarrowCalls(t)
	only := &ptrace.Filter{Calls: setOf(t, "getppid")}
	_, r := launchProgramFiltered(t, only, build(t, "amd64", "bare"), "int80")
	got32, got64 := r.sum(syscalltab.I386), r.sum(syscalltab.AMD64)
	const getppid32 = 64
	if len(got32.Calls) != 1 || got32.Calls[getppid32] != 25 {
		t.Errorf("32-bit calls: %v, want 25 getppid", got32.Calls)
	}
	if got64.Calls[unix.SYS_GETPPID] != 40 {
		t.Errorf("counted %d 64-bit getppid, want 40", got64.Calls[unix.SYS_GETPPID])
	}

	data, r := launchProgramFiltered(t, &ptrace.Filter{Calls: setOf(t, "!none")}, build(t, "386", "compat"))
	l := newLedger()
	if err := json.Unmarshal(data, l); err != nil {
		t.Fatal(err)
	}
	r.demand(t, syscalltab.I386, l)
}

// handlers is what the program bare reports about its signal handlers.
type handlers struct {
	Handled, Mixed, Want uint64
	Code                 int64
	Interrupted          int
	Parts                []handlers
}

func TestSignalHandlers(t *testing.T) {
	program := build(t, "amd64", "bare")
	data, r := launchProgram(t, program, "signals")
	cmd := exec.Command(program, "signals")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("untraced: %v", err)
	}
	var traced, untraced handlers
	if json.Unmarshal(data, &traced) != nil || json.Unmarshal(out, &untraced) != nil {
		t.Fatalf("no JSON: %s, %s", data, out)
	}
	// The reads that a handler broke off are EINTR for the program without SA_RESTART, and only then.
	wantEINTR := []int{0, 0, 0, 0, 20, 0}
	for i, name := range []string{"one by one", "queued real-time signals", "merged standard signals",
		"SIGCHLD", "interrupted reads", "restarted reads"} {
		got, want := traced.Parts[i], untraced.Parts[i]
		if got.Handled != got.Want || got.Interrupted != wantEINTR[i] {
			t.Errorf("%s: the handler ran %d times, want %d; %d calls returned EINTR, want %d",
				name, got.Handled, got.Want, got.Interrupted, wantEINTR[i])
		}
		if got.Handled != want.Handled || got.Mixed != want.Mixed || got.Code != want.Code || got.Interrupted != want.Interrupted {
			t.Errorf("%s: traced %+v, untraced %+v", name, got, want)
		}
	}
	interrupted := 0
	for _, c := range r.calls {
		if c.Nr == unix.SYS_READ && c.Errno == 512 { // ERESTARTSYS
			interrupted++
		}
	}
	if interrupted != 40 {
		t.Errorf("40 reads were broken off by a handler; counted are %d", interrupted)
	}
}

func TestStopWhileATraceeVforks(t *testing.T) {
	program := build(t, "amd64", "bare")
	vforked := func(p *peer, tid int) (child int) {
		eventually(t, "the child of the vfork sleeps", func() bool {
			data, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/task/" + strconv.Itoa(tid) + "/children")
			child = 0
			for _, field := range strings.Fields(string(data)) {
				child, _ = strconv.Atoi(field)
			}
			return child != 0 && sleepsIn(child) == unix.SYS_READ
		})
		return child
	}
	for range 5 {
		p := startCommand(t, exec.Command(program, "vfork"))
		tid, err := strconv.Atoi(p.line())
		if err != nil {
			t.Fatal(err)
		}
		child := vforked(p, tid)
		tracer, r := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		if tracedBy(tid) != os.Getpid() {
			t.Error("the parent of the vfork is not traced")
		}
		if ptrace.IsAwaited(tid) || !ptrace.IsAwaited(child) {
			t.Error("the end would wait for the vfork's parent, which cannot answer, or not for its child, which can")
		}
		stop(t, tracer)
		if tracedBy(tid) != 0 || tracedBy(child) != 0 || sleepsIn(child) != unix.SYS_READ {
			t.Errorf("after the detach, the vfork's parent and child are:\n%s%s", processes(p.pid), processes(child))
		}
		found := false
		for _, f := range r.flights {
			found = found || int(f.TID) == tid && f.Nr == unix.SYS_VFORK && f.Why == profile.Detached && f.Resumed
		}
		if !found {
			t.Errorf("the vfork is not reported as in flight: %+v", r.flights)
		}
		if got := p.ask(""); got != "vfork has returned" {
			t.Errorf("the target says %q", got)
		}
	}
}

// Every thread of the target makes some calls, creates the next thread, and ends, so that a listing
// of the threads is out of date before it is read. A line of threads that was missed goes on untraced.
func TestAttachToLinesOfThreads(t *testing.T) {
	program := build(t, "amd64", "bare")
	for range 10 {
		p := startCommand(t, exec.Command(program, "chains", "50"))
		p.line()
		tracer, _ := trace(t, ptrace.Options{Attach: []int{p.pid}, Follow: true})
		for range 20 {
			for _, tid := range threads(p.pid) {
				by, s := status(tid, "TracerPid"), state(tid)
				if by == "0" && s != "X" && s != "Z" && s != "" {
					result, err := tracer.Result()
					t.Fatalf("thread %d, %s, is not traced; warnings: %+v, %v\n%s", tid, s, result.Warnings, err, processes(p.pid))
				}
			}
		}
		p.say("")
		eventually(t, "the target has ended", func() bool { return tracer.Progress().Threads == 0 })
		finish(t, tracer)
	}
}

func TestUnknownNumbers(t *testing.T) {
	l, r, _ := launch(t, "unknown")
	if len(l.Calls) != 3 {
		t.Fatalf("the target is no test: %v", l.Calls)
	}
	got := map[uint64]int{}
	for _, c := range r.calls {
		nr := uint64(uint32(c.Nr))
		if _, ok := l.Calls[nr]; !ok {
			continue
		}
		got[nr]++
		if c.Errno != int32(unix.ENOSYS) || c.ABI != native() {
			t.Errorf("call %#x: errno %d in ABI %v", c.Nr, c.Errno, c.ABI)
		}
		if name := c.ABI.Name(c.Nr); !strings.Contains(name, "syscall_0x") {
			t.Errorf("call %#x is called %s", c.Nr, name)
		}
	}
	for nr, n := range l.Calls {
		if got[nr] != n {
			t.Errorf("call %#x: counted %d, want %d", nr, got[nr], n)
		}
	}
}

var _ = target("unknown", func(l *ledger, args []string) {
	for nr, n := range map[uint32]int{400: 3, 0x1234: 2, 1<<32 - 1: 4} {
		for range n {
			l.call(uintptr(int32(nr)))
		}
	}
	calls := map[uint64]int{}
	for nr, n := range l.Calls {
		calls[uint64(uint32(nr))] = n
	}
	l.Calls = calls
})

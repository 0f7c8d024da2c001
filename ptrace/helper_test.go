package ptrace_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
	"sysprof/syscalltab"
	"sysprof/syscalltab/needs"
)

// The tests trace real processes: the test binary starts itself again as a target. A target keeps
// a ledger of the calls that it made itself, and the test demands that what was counted equals it.
// The Go runtime makes calls of its own, so a ledger holds only calls that the runtime never makes.

const (
	targetEnv = "SYSPROF_TEST_TARGET"
	ledgerEnv = "SYSPROF_TEST_LEDGER"
)

var patience = needs.Patience() // how long any wait may last

// spell is how long something has to last for others to come and go meanwhile: on an emulated machine they take longer.
func spell(d time.Duration) time.Duration { return d * (patience / time.Minute) }

// ledger is what a target did.
type ledger struct {
	Calls  map[uint64]int // by number
	Errors map[uint64]int // those of them that failed
	Faults []string       // what went otherwise than it must
	Notes  map[string]int // whatever else a test wants to know
}

func newLedger() *ledger {
	return &ledger{Calls: map[uint64]int{}, Errors: map[uint64]int{}, Notes: map[string]int{}}
}

// call makes a call and writes it down.
func (l *ledger) call(nr uintptr, args ...uintptr) uintptr {
	r, _ := l.try(nr, args...)
	return r
}

func (l *ledger) try(nr uintptr, args ...uintptr) (uintptr, syscall.Errno) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	l.Calls[uint64(nr)]++
	if errno != 0 {
		l.Errors[uint64(nr)]++
	}
	return r, errno
}

func (l *ledger) add(other *ledger) {
	for nr, n := range other.Calls {
		l.Calls[nr] += n
	}
	for nr, n := range other.Errors {
		l.Errors[nr] += n
	}
	l.Faults = append(l.Faults, other.Faults...)
	for key, n := range other.Notes {
		l.Notes[key] += n
	}
}

func (l *ledger) fault(format string, args ...any) {
	l.Faults = append(l.Faults, fmt.Sprintf(format, args...))
}

// must ends a target that cannot do its work.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// targets are what the test binary does when it is started as a target.
var targets = map[string]func(l *ledger, args []string){}

func target(name string, f func(l *ledger, args []string)) struct{} {
	if targets[name] != nil {
		panic("there are two targets called " + name)
	}
	targets[name] = f
	return struct{}{}
}

func TestMain(m *testing.M) {
	name := os.Getenv(targetEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	time.AfterFunc(2*patience, func() { os.Exit(99) }) // nothing is left behind
	l := newLedger()
	targets[name](l, os.Args[1:])
	data, err := json.Marshal(l)
	must(err)
	if file := os.Getenv(ledgerEnv); file != "" {
		must(os.WriteFile(file, data, 0o666))
	}
	os.Exit(0)
}

// self is the test binary.
func self() string {
	path, err := os.Executable()
	must(err)
	return path
}

// targetCommand is the command that starts a target, which writes its ledger to file.
func targetCommand(file, name string, args ...string) *ptrace.Command {
	return &ptrace.Command{
		Path: self(),
		Args: append([]string{name}, args...),
		Env:  append(environ(), targetEnv+"="+name, ledgerEnv+"="+file),
	}
}

// environ is the environment but for what makes a target of a process. (A race detector build
// sleeps for a second before it exits, unless it is told not to.)
func environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, targetEnv) || strings.HasPrefix(entry, ledgerEnv)
	})
	return append(env, "GORACE=atexit_sleep_ms=0")
}

// record is all that a tracer has handed on.
type record struct {
	mu      sync.Mutex         // guards calls, while it is traced
	calls   []profile.Call     // valid when tracing has ended
	flights []profile.InFlight // valid when tracing has ended
	ended   [][2]int32         // process and thread; guarded by mu while tracing goes on
	counted atomic.Int64
	onCall  func(*profile.Call) // may be nil
}

// forced is the filter of launched commands in tests that want none: nil, but for TestAllUnderFilter.
var forced *ptrace.Filter

// trace starts a tracer and sees to its end.
func trace(t *testing.T, o ptrace.Options) (*ptrace.Tracer, *record) {
	t.Helper()
	tracer, r, err := tryTrace(t, o)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return tracer, r
}

// sink is a profile.Sink of functions; nil ones do nothing.
type sink struct {
	call     func(*profile.Call)
	control  func(*profile.Control)
	inFlight func(*profile.InFlight)
	ended    func(pid, tid int32)
}

// each has f called with every call, whichever thread has seen it.
func each(f func(*profile.Call)) *sink { return &sink{call: f} }

func (s *sink) Feed() profile.Feeder { return feeder{s} }

// feeder hands over calls.
type feeder struct{ *sink }

func (f feeder) Call(c *profile.Call) {
	if f.call != nil {
		f.call(c)
	}
}

func (f feeder) Control(c *profile.Control) {
	if f.control != nil {
		f.control(c)
	}
}

func (s *sink) Counted(*profile.Raw) {}

func (s *sink) InFlight(f *profile.InFlight) {
	if s.inFlight != nil {
		s.inFlight(f)
	}
}

func (s *sink) Ended(pid, tid int32) {
	if s.ended != nil {
		s.ended(pid, tid)
	}
}

func tryTrace(t *testing.T, o ptrace.Options) (*ptrace.Tracer, *record, error) {
	t.Helper()
	r := &record{}
	if o.Filter == nil {
		o.Filter = forced
	}
	if o.Controls == ptrace.ControlsOff {
		o.Controls = forcedControls()
	}
	control := func(*profile.Control) {}
	if o.Sink != nil {
		feeder := o.Sink.Feed()
		r.onCall, control = feeder.Call, feeder.Control
	}
	o.Sink = &sink{control: control, call: func(c *profile.Call) {
		if r.onCall != nil {
			r.onCall(c)
		}
		r.mu.Lock()
		r.calls = append(r.calls, *c)
		r.mu.Unlock()
		r.counted.Add(1)
	}, inFlight: func(f *profile.InFlight) { r.flights = append(r.flights, *f) },
		ended: func(pid, tid int32) {
			r.mu.Lock()
			r.ended = append(r.ended, [2]int32{pid, tid})
			r.mu.Unlock()
		}}
	tracer, err := ptrace.Start(o)
	if err != nil {
		return nil, r, err
	}
	t.Cleanup(func() {
		command := tracer.Command()
		if command != nil {
			command.Signal(unix.SIGKILL)
		}
		tracer.Stop()
		<-tracer.Done()
		if command != nil {
			unix.Wait4(command.PID(), nil, 0, nil)
		}
	})
	return tracer, r, nil
}

// forcedControls is how often controls are made in tests that do not say: after every call, if the environment asks for
// it, so that all tests show whether a program notices.
func forcedControls() ptrace.Controls {
	if os.Getenv("SYSPROF_TEST_CONTROLS") == "every" {
		return ptrace.ControlsEvery
	}
	return ptrace.ControlsAuto
}

// commandOf returns the process launched, 0 if there is none.
func commandOf(tracer *ptrace.Tracer) int {
	if command := tracer.Command(); command != nil {
		return command.PID()
	}
	return 0
}

// finish waits until tracing has ended. It leaves out warnings that tell of the machine: that the tracer stood still, or
// waited for a CPU.
func finish(t *testing.T, tracer *ptrace.Tracer) ptrace.Result {
	t.Helper()
	select {
	case <-tracer.Done():
	case <-time.After(patience):
		t.Fatalf("tracing does not end; %d tracees are left:\n%s", tracer.Progress().Threads, processes(commandOf(tracer)))
	}
	result, err := tracer.Wait()
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	result.Warnings = slices.DeleteFunc(result.Warnings, func(w profile.Warning) bool {
		return w.Kind == profile.StoodStill || w.Kind == profile.TracerStarved
	})
	return result
}

// stop ends tracing.
func stop(t *testing.T, tracer *ptrace.Tracer) ptrace.Result {
	t.Helper()
	tracer.Stop()
	return finish(t, tracer)
}

// launch traces a target until its end, and returns its ledger.
func launch(t *testing.T, name string, args ...string) (*ledger, *record, ptrace.Result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ledger")
	tracer, r := trace(t, ptrace.Options{Command: targetCommand(file, name, args...), Follow: true})
	result := finish(t, tracer)
	if !result.CommandEnded || !result.Command.Exited() || result.Command.ExitStatus() != 0 {
		t.Fatalf("target %s: wait status %#x, ended: %v", name, result.Command, result.CommandEnded)
	}
	if n, m := tracer.Progress().Threads, tracer.Progress().Processes; n != 0 || m != 0 {
		t.Errorf("%d tracees of %d processes are left in the table at the end", n, m)
	}
	return readLedger(t, file), r, result
}

func readLedger(t testing.TB, file string) *ledger {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("the target wrote no ledger: %v", err)
	}
	l := newLedger()
	if err := json.Unmarshal(data, l); err != nil {
		t.Fatal(err)
	}
	return l
}

// sum counts the calls of one ABI by number.
func (r *record) sum(abi syscalltab.ABI) *ledger {
	l := newLedger()
	for i := range r.calls {
		if c := &r.calls[i]; c.ABI == abi {
			l.Calls[c.Nr]++
			if c.Errno != 0 {
				l.Errors[c.Nr]++
			}
		}
	}
	return l
}

// demand demands that the calls that l has were counted, no more and no less, in abi.
func (r *record) demand(t *testing.T, abi syscalltab.ABI, l *ledger) {
	t.Helper()
	for _, fault := range l.Faults {
		t.Errorf("the target says: %s", fault)
	}
	if len(l.Calls) == 0 {
		t.Error("the target's ledger is empty")
	}
	got := r.sum(abi)
	for nr, n := range l.Calls {
		if got.Calls[nr] != n || got.Errors[nr] != l.Errors[nr] {
			t.Errorf("%s: counted %d calls, %d of them failed; the target made %d, %d failed",
				abi.Name(nr), got.Calls[nr], got.Errors[nr], n, l.Errors[nr])
		}
	}
}

func native() syscalltab.ABI { return syscalltab.Native()[0] }

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// locked runs f on a thread that is its own and ends with it.
func locked(f func()) {
	go func() {
		runtime.LockOSThread()
		f()
	}()
}

// addressOf returns where v is, for a call that is made elsewhere: by another goroutine, or by a function that is given
// numbers. v is kept, and kept where it is: what does not escape stands on the stack of its goroutine, which moves as it grows,
// and no number that once was a pointer holds that up.
func addressOf[T any](v *T) uintptr {
	addressed.Store(v, nil)
	return uintptr(unsafe.Pointer(v))
}

var addressed sync.Map

// status returns a line of /proc/TID/status.
func status(tid int, name string) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// state returns the letter of a thread's state, "" if it is gone.
func state(tid int) string { s := status(tid, "State"); return s[:min(1, len(s))] }

// tracedBy returns the process that traces a thread, 0 if none does. (TracerPid, in spite of its
// name, is the tracer's thread.)
func tracedBy(tid int) int {
	tracer, _ := strconv.Atoi(status(tid, "TracerPid"))
	pid, _ := strconv.Atoi(status(tracer, "Tgid"))
	return pid
}

// threads lists the threads of a process.
func threads(pid int) (tids []int) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}

// sleepsIn returns the number of the call that a thread sleeps in, -1 if in none.
func sleepsIn(tid int) int {
	if state(tid) != "S" {
		return -1
	}
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", tid))
	first, _, _ := strings.Cut(string(data), " ")
	if nr, err := strconv.Atoi(first); err == nil {
		return nr
	}
	return -1
}

// processes describes the threads of a process, and of those that descend from it, for an error message.
func processes(pid int) string {
	var b strings.Builder
	var children []string
	for _, tid := range threads(pid) {
		call, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", tid))
		fmt.Fprintf(&b, "  %d of %d: state %s, traced by %d, in %s", tid, pid, status(tid, "State"), tracedBy(tid), call)
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, tid))
		children = append(children, strings.Fields(string(list))...)
	}
	for _, child := range children {
		if pid, err := strconv.Atoi(child); err == nil {
			b.WriteString(processes(pid))
		}
	}
	return b.String()
}

// build builds a program of testdata. It stamps no version on it: git refuses to tell of the checkout of somebody else.
func build(t *testing.T, goarch, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOARCH="+goarch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s for %s: %v\n%s", name, goarch, err, out)
	}
	return file
}

package ptrace

import (
	"cmp"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Options say what to trace and whom to tell. The functions are called on a tracer thread while it
// works, so they must return soon; what they are given is valid only during the call. There may be
// several tracer threads; the stops of one tracee are always seen by the same.
type Options struct {
	Command *Command // a program to launch, or nil
	Attach  []int    // processes to attach to (threads, if Follow is false)

	Follow     bool // trace the threads and children that tracees create
	KillOnExit bool // kill the tracees when the tracer goes away
	CPU        CPU  // where tracer and tracees run: see placement
	CPUTime    bool // measure the CPU time of calls

	Filter *Filter // the only calls that Command needs to be stopped at; nil: all

	Sink profile.Sink // who is told of calls and ended threads; nil: nobody

	// OnEntry, if not nil, is called at every entry-stop of 64-bit code, for as long as which the
	// tracee stands still. What it returns becomes the call's Stack.
	OnEntry func(*profile.Call, *EntryStop) uint32

	// OnCalibration, if not nil, is given the calls of calibration children that are traced first, on the
	// tracer's CPU or apart from it.
	OnCalibration func(*profile.Call)
}

// ErrKernel is a kernel that lacks PTRACE_GET_SYSCALL_INFO.
var ErrKernel = errors.New("this kernel has no PTRACE_GET_SYSCALL_INFO; sysprof needs Linux 5.3 or newer")

// Tracer traces what its Options name, from Start until the last tracee is gone or Stop.
type Tracer struct {
	options Options
	start   time.Time

	native  syscalltab.ABI
	special [syscalltab.LoongArch64 + 1]specialCalls // by ABI; LoongArch64 is the last one
	cpuTime bool

	// Set before any worker but the first one works.
	calibrations  []*Calibration
	queuedBelowNs int64 // a stop that is reported sooner after the last resumption had been waiting

	wakeNs int64 // what it takes, on an average, to wake tracer and tracee on two CPUs, more than on one

	placement *placement // nil: all run where the kernel has them run

	workers []*worker // the first one launches the command
	shares  shares    // of those that are attached to

	attached map[int32]bool // threads, while it is attached to more

	command   atomic.Int32 // the launched process
	count     atomic.Int64
	leaders   atomic.Int64 // of them, the first threads of their processes
	beganNs   atomic.Int64 // when the first of the tracees began to be traced, 0 before that
	leftNs    atomic.Int64 // when the last one ceased to be, 0 before that
	stopping  atomic.Bool
	delivered [lastSig + 1]atomic.Int64 // when a signal from elsewhere last reached the command
	ended     chan struct{}             // the command has ended
	counted   chan struct{}             // see Counted
	done      chan struct{}

	mu      sync.Mutex // guards what follows
	result  Result
	failure error
}

// Result is how tracing ended.
type Result struct {
	// Command is the launched command's wait status. CommandEnded says whether it has one: it has
	// none if there was no command, or if tracing was stopped before its end.
	Command      unix.WaitStatus
	CommandEnded bool

	Warnings []profile.Warning
}

// Start launches and attaches as options say, and traces from then on. Processes that could not be
// attached to are returned as warnings of the result if others could.
func Start(options Options) (*Tracer, error) {
	t := &Tracer{
		options: options,
		start:   time.Now(),
		native:  syscalltab.Native()[0],
		cpuTime: options.CPUTime,
		ended:   make(chan struct{}),
		counted: make(chan struct{}),
		done:    make(chan struct{}),
	}
	for abi := range t.special {
		t.special[abi] = specialOf(syscalltab.ABI(abi))
	}
	t.placement = t.newPlacement()
	err := t.begin()
	go func() {
		for _, w := range t.workers {
			<-w.gone
		}
		t.endPlacement()
		close(t.done)
		if !t.workers[0].silent {
			close(t.counted)
		}
	}()
	if err != nil {
		<-t.done
		return nil, err
	}
	return t, nil
}

// Wait waits until tracing has ended, and all tracees that are left run untraced.
func (t *Tracer) Wait() (Result, error) {
	<-t.done
	return t.Result()
}

// Done is closed when tracing has ended.
func (t *Tracer) Done() <-chan struct{} { return t.done }

// Stop ends tracing. Whatever is still traced goes on untraced, or, where it has a filter, traced but unseen
// until its end (see Counted). It does not wait for that.
func (t *Tracer) Stop() {
	if t.stopping.Swap(true) {
		return
	}
	for _, w := range t.workers {
		w.post(func() {})
	}
}

// Command returns the process launched, 0 if there is none.
func (t *Tracer) Command() int { return int(t.command.Load()) }

// Calibrations returns what the calibration children took: one whose calls were made on the tracer's CPU,
// and one whose calls were not, as far as tracees are going to make such calls.
func (t *Tracer) Calibrations() []*Calibration { return t.calibrations }

// CommandEnded is closed when the launched command itself has ended, whoever else is still traced.
// It is nil if there is no command.
func (t *Tracer) CommandEnded() <-chan struct{} {
	if t.options.Command == nil {
		return nil
	}
	return t.ended
}

// Signal sends sig to the launched command, unless it has ended.
func (t *Tracer) Signal(sig syscall.Signal) {
	select {
	case <-t.ended:
	default:
		unix.Kill(t.Command(), sig)
	}
}

// Pending reports whether sig waits for the launched command, which blocks it.
func (t *Tracer) Pending(sig syscall.Signal) bool {
	for _, field := range []string{"SigPnd", "ShdPnd"} {
		set, err := strconv.ParseUint(statusField(t.command.Load(), field), 16, 64)
		if err == nil && set&(1<<(sig-1)) != 0 {
			return true
		}
	}
	return false
}

// Tracees returns how many threads are traced now.
func (t *Tracer) Tracees() int { return int(t.count.Load()) }

// Processes returns how many processes' first threads are traced now. A process that goes on after its first
// thread has ended is not among them, nor one of which only another thread was named.
func (t *Tracer) Processes() int { return int(t.leaders.Load()) }

// StartTime is when the clock of every Call stood at 0.
func (t *Tracer) StartTime() time.Time { return t.start }

// Elapsed is how long it has been traced, or was traced until the end.
func (t *Tracer) Elapsed() time.Duration {
	began, left := t.beganNs.Load(), t.leftNs.Load()
	switch {
	case began == 0:
		return 0
	case left == 0:
		left = t.now()
	}
	return time.Duration(left - began)
}

// Delivered reports whether sig has reached the launched command, from anyone but this process,
// since a time. It says so of a delivery only once.
func (t *Tracer) Delivered(sig syscall.Signal, since time.Time) bool {
	at := t.delivered[sig].Load()
	return at != 0 && at >= int64(since.Sub(t.start)) && t.delivered[sig].CompareAndSwap(at, 0)
}

func (t *Tracer) now() int64 { return int64(time.Since(t.start)) }

// begin launches and attaches, and lets the workers go. It returns an error if there is nothing to trace.
func (t *Tracer) begin() error {
	first := t.newWorker()
	t.prepareFilter(first)
	var err error
	first.do(func() {
		if t.options.OnCalibration != nil {
			err = first.calibrateAll(t.options.OnCalibration)
		}
	})
	if err == nil {
		t.beganNs.Store(t.now())
		err = t.attachAll()
	}
	if err == nil && t.options.Command != nil {
		first.do(func() { err = first.launch(t.options.Command) })
	}
	if err != nil {
		t.stopping.Store(true)
	}
	// The workers keep their Ps while they wait (see waiting): there have to be more than that.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(t.workers)+1))
	for _, w := range t.workers {
		w.work()
	}
	return err
}

// fail ends tracing for an error.
func (t *Tracer) fail(err error) {
	t.mu.Lock()
	t.failure = cmp.Or(t.failure, err)
	t.mu.Unlock()
	t.Stop()
}

func (t *Tracer) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

func (t *Tracer) warn(w profile.Warning) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result.Warnings = append(t.result.Warnings, w)
}

// specialCalls are the numbers of the calls that the tracer has to know, in one ABI.
type specialCalls struct {
	execve, execveat, exit, exitGroup, ptrace, restart, seccomp, prctl uint64

	clone, clone3, fork, vfork, getAffinity, setAffinity uint64
}

func specialOf(abi syscalltab.ABI) specialCalls {
	number := func(name string) uint64 {
		nr, ok := abi.Number(name)
		if !ok {
			return ^uint64(0)
		}
		return nr
	}
	return specialCalls{
		execve: number("execve"), execveat: number("execveat"),
		exit: number("exit"), exitGroup: number("exit_group"),
		ptrace: number("ptrace"), restart: number("restart_syscall"),
		seccomp: number("seccomp"), prctl: number("prctl"),
		clone: number("clone"), clone3: number("clone3"), fork: number("fork"), vfork: number("vfork"),
		getAffinity: number("sched_getaffinity"), setAffinity: number("sched_setaffinity"),
	}
}

func (t *Tracer) isRestart(c *profile.Call) bool { return c.Nr == t.special[c.ABI].restart }

func (t *Tracer) endsThread(abi syscalltab.ABI, nr uint64) bool {
	return nr == t.special[abi].exit || nr == t.special[abi].exitGroup
}

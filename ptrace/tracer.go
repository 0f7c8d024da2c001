package ptrace

import (
	"cmp"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/place"
	"sysprof/syscalltab"
)

// Options say what to trace and whom to tell. The functions are called on a tracer thread while it
// works, so they must return soon; what they are given is valid only during the call. There may be
// several tracer threads; the stops of one tracee are always seen by the same.
type Options struct {
	Command *Command // a program to launch, or nil
	Attach  []int    // processes to attach to (threads, if Follow is false)

	// Found are more processes to attach to, which were found and not named: those of them that have ended meanwhile, or are
	// traced already, are no failures, and of several that cannot be attached to for the same reason it is said once.
	Found []int

	// Grows says that more processes may be attached to during the run (Attach). It goes on then when nothing is traced any
	// more, until Stop.
	Grows bool

	Follow     bool // trace the threads and children that tracees create
	KillOnExit bool // kill the tracees when the tracer goes away
	CPU        CPU  // where tracer and tracees run
	CPUTime    bool // measure the CPU time of calls

	Filter *Filter // the only calls that Command needs to be stopped at; nil: all

	Sink profile.Sink // who is told of calls and ended threads; nil: nobody

	// OnEntry, if not nil, is called at every entry-stop, for as long as which the tracee stands still. What it returns
	// becomes the call's Stack. It may set the call's Unwanted.
	OnEntry func(*profile.Call, *EntryStop) uint32

	// OnSlow, if not nil, is called at the exit-stop of each call whose raw latency is Slow or more, for as long as which the
	// tracee stands still; the sink is told of the call next, when what tracing added to it is known.
	OnSlow func(*profile.Call)
	Slow   time.Duration

	// OnAttachFailed, if not nil, is told of processes that could not be attached to where others could, by the
	// goroutine that calls Start, and before it returns. They are warnings of the result, too.
	OnAttachFailed func(error)

	// OnAttached, if not nil, is told of how many threads of how many processes have been attached to, by the goroutine that
	// calls Start, if it was any.
	OnAttached func(threads, processes int)

	// OnEnded, if not nil, is told of each process that ends while it is traced, on a tracer thread.
	OnEnded func(End)

	// OnBegin, if not nil, is called once before anything runs that is traced: while the command that has just been
	// executed stands at its first stop, or, without one, all that is attached to.
	OnBegin func()

	// OnReady, if not nil, is told of the command's process when it waits before its execve, and all that is attached to
	// stands still.
	OnReady func(pid int)

	// Calibration, if not nil, is given the calls and controls of a calibration child that is traced first, pinned to the
	// tracer's CPU and then not, as far as tracees are going to be.
	Calibration profile.Feeder
	// Calibrated, if not nil, is told what that child took, pinned and not. Nothing else is traced before it returns.
	Calibrated func([]*Calibration)
	Controls   Controls // what is done to find out what stops cost during the run

	// LookFromFirst has a thread be looked at from its first call on, not only once there was reason to, so that with
	// controls Call.Waits is known of its first long call, too; and again when it has stood at a stop for some 15 µs or
	// more, so that Call.Waits has no such time. That takes some 5 µs a thread, and 1 µs a look.
	LookFromFirst bool

	// Haste is what this process is in already; if it is nil, Start hurries by itself. Start ends it before the command
	// runs, and when it returns.
	Haste *Haste
}

// CPU is a choice of where tracer and tracees run: one of these, or what OnCPU returns.
type CPU int

const (
	CPUAuto CPU = 0  // each tracer thread chooses a CPU for itself and those of its tracees that are bound by their calls
	CPUOff  CPU = -1 // all run where the kernel has them run
)

// OnCPU chooses a CPU by its number, from 0 on.
func OnCPU(n int) CPU { return CPU(n + 1) }

// ErrKernel is a kernel that lacks PTRACE_GET_SYSCALL_INFO.
var ErrKernel = errors.New("this kernel has no PTRACE_GET_SYSCALL_INFO; sysprof needs Linux 5.3 or newer")

// Tracer traces what its Options name, from Start until the last tracee is gone or Stop.
type Tracer struct {
	options Options
	start   time.Time
	native  syscalltab.ABI
	special [syscalltab.LoongArch64 + 1]specialCalls // by ABI; LoongArch64 is the last one

	run     runState
	haste   *Haste    // until anything that is traced runs
	command *Launched // nil: none
	machine *place.Machine
	heart   heartbeat
	lookout lookout
	quotas  quotas
	ends    *ends // nil: nobody wants to know
	grows   atomic.Bool
	refused map[string]bool // why processes that were found could not be attached to, as far as that was said

	// Set before any worker but the first one works.
	calibrations  []*Calibration
	queuedBelowNs int64 // a stop that is reported sooner after the last resumption had been waiting

	workers []*worker // the first one launches the command
	shares  shares    // of those that are attached to

	threads   atomic.Int64 // traced now
	seen      atomic.Int64 // that have been, so far
	unsettled atomic.Int32 // workers whose tracees have not come to where they can be detached
	processes atomic.Int64 // whose first threads are traced now

	mu       sync.Mutex // guards what follows
	warnings []profile.Warning
	failure  error
}

// Result is how tracing ended.
type Result struct {
	// Command is the launched command's wait status. CommandEnded says whether it has one: it has
	// none if there was no command, or if tracing was stopped before its end.
	Command      unix.WaitStatus
	CommandEnded bool

	Warnings []profile.Warning
}

// Progress is how far a run is.
type Progress struct {
	Start   time.Time     // when the clock of every Call stood at 0
	Elapsed time.Duration // how long it has been traced, or was traced until the end, less the tracer's own standstill

	// Processes is how many processes' first threads are traced now. A process that goes on after its first
	// thread has ended is not among them, nor one of which only another thread was named.
	Processes int
	Threads   int // traced now
	Seen      int // threads that have been traced so far
}

// Start launches and attaches as options say, and traces from then on. Processes that could not be
// attached to are returned as warnings of the result if others could.
func Start(options Options) (*Tracer, error) {
	t := &Tracer{
		options: options,
		start:   time.Now(),
		native:  syscalltab.Native()[0],
		run:     newRunState(),
	}
	t.grows.Store(options.Grows)
	t.quotas.set()
	t.lookout.files = &t.quotas.breakpoints
	for abi := range t.special {
		t.special[abi] = specialOf(syscalltab.ABI(abi))
	}
	if t.haste = options.Haste; t.haste == nil {
		t.haste = Hurry()
	}
	defer t.haste.Enough()
	if options.OnEnded != nil {
		t.ends = &ends{told: options.OnEnded, whole: options.Follow, processes: make(map[int32]*traced)}
	}
	if options.Command != nil {
		t.command = newLaunched(t.start, t.haste)
	}
	t.openMachine()
	err := t.begin()
	go func() {
		for _, w := range t.workers {
			<-w.thread.gone
			w.closeFiles()
		}
		t.heart.stop()
		t.lookout.stop()
		if err := t.machine.Close(); errors.Is(err, place.ErrGuardDied) {
			t.warn(profile.Warning{Kind: profile.GuardDied})
		} else if err != nil {
			t.warn(profile.Warning{Kind: profile.ThreadsNotPlaced, Text: err.Error()})
		}
		t.run.enter(ended, t.now())
	}()
	if err != nil {
		<-t.run.done
		return nil, err
	}
	return t, nil
}

// Stop ends the counting. Whatever is still traced goes on untraced, or, where it has a filter, traced but unseen
// until its end (see Counted). It does not wait for that.
func (t *Tracer) Stop() {
	if !t.run.enter(stopping, t.now()) {
		return
	}
	for _, w := range t.workers {
		w.thread.post(func() {})
	}
}

// Counted is closed when nothing will be handed to the sink any more: tracing has ended, or Stop was heeded while
// tracees have a filter, so that they have to be resumed until their end.
func (t *Tracer) Counted() <-chan struct{} { return t.run.counted }

// Done is closed when tracing has ended, and all tracees that are left run untraced.
func (t *Tracer) Done() <-chan struct{} { return t.run.done }

// Wait waits until tracing has ended.
func (t *Tracer) Wait() (Result, error) {
	<-t.run.done
	return t.Result()
}

// Result returns how tracing has gone so far. The error is what made it end, nil if nothing failed.
func (t *Tracer) Result() (Result, error) {
	var r Result
	if t.command != nil {
		r.Command, r.CommandEnded = t.command.Status()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Warnings = append(slices.Clip(t.warnings), t.heart.warnings()...)
	return r, t.failure
}

// Progress returns how far the run is.
func (t *Tracer) Progress() Progress {
	return Progress{
		Start:     t.start,
		Elapsed:   max(t.run.elapsed(t.now())-time.Duration(t.heart.takenNs.Load()), 0),
		Processes: int(t.processes.Load()),
		Threads:   int(t.threads.Load()),
		Seen:      int(t.seen.Load()),
	}
}

// Command returns the launched command, nil if there is none.
func (t *Tracer) Command() *Launched { return t.command }

// openMachine prepares for pinning tracees, unless they are to run where the kernel has them run.
func (t *Tracer) openMachine() {
	if t.options.CPU == CPUOff {
		return
	}
	var err error
	t.machine, err = place.New(int(t.options.CPU) - 1)
	var refused *place.NotAllowedError
	if errors.As(err, &refused) {
		t.warn(profile.Warning{Kind: profile.CPUNotAllowed, ID: refused.CPU})
	}
	if t.machine == nil {
		t.warn(profile.Warning{Kind: profile.NotPlaced, Text: err.Error()})
	}
}

// begin calibrates, attaches and launches, and lets the workers go. It returns an error if there is nothing to trace.
func (t *Tracer) begin() error {
	first := t.newWorker()
	t.prepareFilter(first)
	var err error
	if t.options.Calibration != nil {
		first.thread.do(func() { err = first.calibrateAll(t.options.Calibration) })
		if err == nil && t.options.Calibrated != nil {
			t.options.Calibrated(t.calibrations)
		}
	}
	if err == nil {
		t.run.enter(attaching, t.now())
		err = t.attachAll()
	}
	if err == nil && t.options.Grows {
		t.prepareToGrow()
	}
	switch {
	case err != nil:
	case t.options.Command != nil:
		t.run.enter(launching, t.now())
		first.thread.do(func() { err = first.launch(t.options.Command) })
	case t.options.OnBegin != nil:
		t.options.OnBegin()
	}
	if err == nil {
		t.startHeartbeat()
		t.run.enter(counting, t.now())
	} else {
		t.run.enter(stopping, t.now())
	}
	// The workers keep their Ps while they wait (see waiter): there have to be more than that, and one for the heartbeat,
	// or it would be late for want of one.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(t.workers)+2))
	t.unsettled.Store(int32(len(t.workers)))
	for _, w := range t.workers {
		w.thread.waitForStops()
	}
	return err
}

func (t *Tracer) now() int64 { return int64(time.Since(t.start)) }

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
	t.warnings = append(t.warnings, w)
}

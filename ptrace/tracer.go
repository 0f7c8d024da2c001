package ptrace

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// Options say what to trace and whom to tell. The functions are called on the tracer thread while
// it works, so they must return soon; what they are given is valid only during the call.
type Options struct {
	Command *Command // a program to launch, or nil
	Attach  []int    // processes to attach to (threads, if Follow is false)

	Follow     bool // trace the threads and children that tracees create
	KillOnExit bool // kill the tracees when the tracer goes away
	CPUTime    bool // measure the CPU time of calls

	OnCall     func(*Call)
	OnInFlight func(*InFlight)

	// OnEntry, if not nil, is called at every entry-stop of 64-bit code, for as long as which the
	// tracee stands still. What it returns becomes the call's Stack.
	OnEntry func(*Call, *EntryStop) uint32

	// OnCalibration, if not nil, is given the calls of a calibration child that is traced first.
	OnCalibration func(*Call)
}

// ErrKernel is a kernel that lacks PTRACE_GET_SYSCALL_INFO.
var ErrKernel = errors.New("this kernel has no PTRACE_GET_SYSCALL_INFO; sysprof needs Linux 5.3 or newer")

// Tracer traces what its Options name, from Start until the last tracee is gone or Stop.
type Tracer struct {
	options Options
	start   time.Time

	tracees  map[int32]*tracee // by tid; owned by the tracer thread, like all that has no atomic type
	spare    []*tracee
	last     *tracee // of the last stop
	holders  int     // tracees that stand at an entry-stop until another one is detached
	info     syscallInfo
	userRegs userRegs
	iov      unix.Iovec
	regs     Registers
	entry    EntryStop
	siginfo  signalInfo
	native   syscalltab.ABI
	special  [syscalltab.LoongArch64 + 1]specialCalls // by ABI; LoongArch64 is the last one
	result   Result
	failure  error
	waiting  waiting
	onCall   func(*Call)

	calibration *Calibration
	cpuTime     bool

	// A stop that is reported sooner than any tracee can run and stop after the last one was
	// resumed had been waiting for the tracer.
	resumedNs     int64
	queuedBelowNs int64

	command   int32 // the launched process
	count     atomic.Int64
	leaders   atomic.Int64 // of them, the first threads of their processes
	tid       atomic.Int32 // the tracer thread
	beganNs   atomic.Int64 // when the first of the tracees began to be traced, 0 before that
	leftNs    atomic.Int64 // when the last one ceased to be, 0 before that
	stopping  atomic.Bool
	delivered [lastSig + 1]atomic.Int64 // when a signal from elsewhere last reached the command
	ended     chan struct{}             // the command has ended
	done      chan struct{}
}

// Result is how tracing ended.
type Result struct {
	// Command is the launched command's wait status. CommandEnded says whether it has one: it has
	// none if there was no command, or if tracing was stopped before its end.
	Command      unix.WaitStatus
	CommandEnded bool

	Warnings []string // sentences
}

// Start launches and attaches as options say, and traces from then on. Processes that could not be
// attached to are returned as warnings of the result if others could.
func Start(options Options) (*Tracer, error) {
	t := &Tracer{
		options: options,
		start:   time.Now(),
		tracees: make(map[int32]*tracee),
		native:  syscalltab.Native()[0],
		cpuTime: options.CPUTime,
		ended:   make(chan struct{}),
		done:    make(chan struct{}),
	}
	for abi := range t.special {
		t.special[abi] = specialOf(syscalltab.ABI(abi))
	}
	started := make(chan error)
	onOwnThread(func() {
		t.tid.Store(int32(unix.Gettid()))
		err := t.begin()
		started <- err
		if err == nil {
			t.loop()
		}
		t.leave()
	}, func() { close(t.done) })
	if err := <-started; err != nil {
		<-t.done
		return nil, err
	}
	return t, nil
}

// Wait waits until tracing has ended, and all tracees that are left run untraced.
func (t *Tracer) Wait() (Result, error) {
	<-t.done
	return t.result, t.failure
}

// Done is closed when tracing has ended.
func (t *Tracer) Done() <-chan struct{} { return t.done }

// Stop ends tracing. Whatever is still traced goes on untraced. It does not wait for that.
func (t *Tracer) Stop() {
	if t.stopping.Swap(true) {
		return
	}
	go func() {
		// The signal gets lost if it comes just before the thread enters wait4.
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for {
			wake(t.tid.Load())
			select {
			case <-t.done:
				return
			case <-again.C:
			}
		}
	}()
}

// Command returns the process launched, 0 if there is none.
func (t *Tracer) Command() int { return int(t.command) }

// Calibration returns what the calibration child took, nil if there was none.
func (t *Tracer) Calibration() *Calibration { return t.calibration }

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
		unix.Kill(int(t.command), sig)
	}
}

// Pending reports whether sig waits for the launched command, which blocks it.
func (t *Tracer) Pending(sig syscall.Signal) bool {
	for _, field := range []string{"SigPnd", "ShdPnd"} {
		set, err := strconv.ParseUint(statusField(t.command, field), 16, 64)
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

// begin launches and attaches.
func (t *Tracer) begin() error {
	if err := prepareSignals(); err != nil {
		return err
	}
	t.waiting.timer = newKicker(t.tid.Load())
	if t.options.OnCalibration != nil {
		var err error
		if t.calibration, err = t.calibrate(t.options.OnCalibration); err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
	}
	if t.onCall = t.options.OnCall; t.onCall == nil {
		t.onCall = func(*Call) {}
	}
	t.beganNs.Store(t.now())
	var failures []error
	for _, pid := range t.options.Attach {
		if err := t.attach(int32(pid)); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) == len(t.options.Attach) && len(failures) > 0 && t.options.Command == nil {
		return errors.Join(failures...)
	}
	for _, err := range failures {
		t.warn("%v", err)
	}
	if t.options.Command != nil {
		return t.launch(t.options.Command)
	}
	return nil
}

// loop waits for stops, one after the other, until there are none to come.
func (t *Tracer) loop() {
	for !t.stopping.Load() && t.step() {
	}
}

// step waits for one stop and deals with it. It reports whether there may be more.
func (t *Tracer) step() bool {
	var status unix.WaitStatus
	tid, err := t.wait(&status)
	switch err {
	case 0:
	case unix.EINTR:
		return true
	case unix.ECHILD:
		return false
	default:
		t.failure = fmt.Errorf("wait for a stop: %w", err)
		return false
	}
	if tr := t.lookup(int32(tid)); tr != nil {
		t.stopped(tr, status)
	} else {
		t.strangerStopped(int32(tid), status)
	}
	return t.failure == nil
}

// leave hands on the calls that are in flight. The thread exits next, and that detaches all.
func (t *Tracer) leave() {
	t.waiting.close()
	t.leftNs.Store(t.now())
	for _, tr := range t.tracees {
		t.unfinished(tr, Detached)
	}
}

func (t *Tracer) warn(format string, args ...any) {
	t.result.Warnings = append(t.result.Warnings, fmt.Sprintf(format, args...))
}

// onOwnThread runs work on an OS thread that nothing else uses and that exits with it, and calls
// after once that thread is gone for the kernel, too.
func onOwnThread(work, after func()) {
	placed := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread with the goroutine
		tid := unix.Gettid()
		if tid == unix.Getpid() {
			// The first thread of a process does not exit before the process does. As long as this
			// goroutine holds it, another one finds itself elsewhere.
			onOwnThread(work, after)
			runtime.UnlockOSThread()
			close(placed)
			return
		}
		close(placed)
		defer func() {
			go func() {
				for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
					time.Sleep(50 * time.Microsecond)
				}
				after()
			}()
		}()
		work()
	}()
	<-placed
}

// specialCalls are the numbers of the calls that the tracer has to know, in one ABI.
type specialCalls struct {
	execve, execveat, exit, exitGroup, ptrace, restart uint64
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
	}
}

func (t *Tracer) isRestart(c *Call) bool { return c.Nr == t.special[c.ABI].restart }

func (t *Tracer) endsThread(abi syscalltab.ABI, nr uint64) bool {
	return nr == t.special[abi].exit || nr == t.special[abi].exitGroup
}

package session

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/inkernel"
	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// KernelOptions say what is counted in the kernel, and whom to tell.
type KernelOptions struct {
	Command   *ptrace.Command // a program to launch, or nil
	Attach    []int           // processes to count
	Grows     bool            // Attach will be asked for more, until NoMore
	Everybody bool            // count all processes but this one
	Calls     *syscalltab.Set // nil: all
	Timed     int             // see inkernel.Options
	Draws     bool            // likewise
	By        inkernel.Fields // likewise
	Slower    inkernel.Slower // likewise
	ByExits   bool            // likewise

	// OnAttachFailed is told of processes that cannot be counted where others can; OnBegin is called once before the
	// command runs. Either may be nil.
	OnAttachFailed func(error)
	OnBegin        func()
	Haste          *ptrace.Haste // see ptrace.Options
}

// kernelEngine is the engine that counts in the kernel.
type kernelEngine struct {
	options KernelOptions
	counter *inkernel.Counter
	held    *ptrace.Held
	command *released // nil: none
	sink    profile.Sink
	start   time.Time

	leftOut func(uint64) // is told of slow calls that were not told of; nil: nobody wants to know
	left    uint64       // how many it knows of; only run uses it

	stop          chan struct{} // closed by Stop
	stopOnce      sync.Once
	counted, done chan struct{}

	mu       sync.Mutex // guards what follows, and the use of counter
	over     bool       // the counter is closed
	elapsed  time.Duration
	grows    bool   // there may be more to count
	threads  [3]int // traced now, processes, seen
	failed   []profile.Warning
	losses   inkernel.Losses
	failure  error
	modelled cost.Model
}

// Kernel makes an engine of package inkernel. An error is an *inkernel.Refused if another engine may do.
func Kernel(options KernelOptions) (Engine, error) {
	counter, err := inkernel.Load(inkernel.Options{Everybody: options.Everybody, Calls: options.Calls, Timed: options.Timed, Signals: options.Command != nil,
		Draws: options.Draws, Slower: options.Slower, By: options.By, ByExits: options.ByExits})
	if err != nil {
		return nil, err
	}
	if options.By&(inkernel.ByPID|inkernel.ByTID) != 0 && !counter.SharesPIDs() {
		counter.Close()
		return nil, errors.New("in a PID namespace, processes have other numbers than in the kernel, so that it cannot tell them apart by pid and tid: use --engine=ptrace, or --by=comm")
	}
	price := counter.Price()
	return &kernelEngine{options: options, grows: options.Grows, counter: counter, stop: make(chan struct{}), counted: make(chan struct{}), done: make(chan struct{}),
		modelled: cost.Model{Counting: &cost.Counting{Counted: price.Counted, Others: price.Others}}}, nil
}

func (e *kernelEngine) Can() Abilities {
	return Abilities{Draws: e.options.Draws, Groups: e.options.By != 0, TellsSlow: e.options.Slower.AtLeast > 0}
}

// Draw has drawn calls be told of.
func (e *kernelEngine) Draw(stacks bool, drawn func(*inkernel.Drawn) (short bool)) error {
	if stacks && !e.counter.SharesPIDs() {
		e.failed = append(e.failed, profile.Warning{Kind: profile.StacksHidden})
	}
	return e.counter.Draw(stacks, drawn)
}

// OnSlow has slow calls be told of.
func (e *kernelEngine) OnSlow(told func(*inkernel.Slow), leftOut func(uint64)) error {
	e.leftOut = leftOut
	return e.counter.OnSlow(told)
}

func (e *kernelEngine) Start(sink profile.Sink, _ Entered) error {
	e.sink, e.start = sink, time.Now()
	err := e.begin()
	e.options.Haste.Enough()
	if err != nil {
		if e.held != nil && e.command == nil {
			e.held.Kill()
		}
		e.close()
		return err
	}
	go e.run()
	return nil
}

// begin names what is to be counted, and lets the command go.
func (e *kernelEngine) begin() error {
	if err := e.addAll(); err != nil {
		return err
	}
	if e.options.Command != nil {
		var err error
		if e.held, err = ptrace.Hold(e.options.Command, e.options.Haste); err != nil {
			return err
		}
		if err := e.counter.AddCommand(e.held.PID()); err != nil {
			return err
		}
	}
	e.options.Haste.Enough()
	e.start = time.Now()
	if err := e.counter.Begin(); err != nil {
		return err
	}
	if e.options.OnBegin != nil {
		e.options.OnBegin()
	}
	if e.held == nil {
		return nil
	}
	e.start = time.Now()
	if err := e.held.Release(); err != nil {
		return err
	}
	e.command = newReleased(e)
	return nil
}

// addAll names the processes that were asked for. It returns an error if there is nobody to count because of that.
func (e *kernelEngine) addAll() error {
	var errs []error
	for _, pid := range e.options.Attach {
		if err := e.counter.Add(pid); err != nil {
			errs = append(errs, &ptrace.AttachError{PID: pid, Err: err})
		}
	}
	if len(errs) == len(e.options.Attach) && len(errs) > 0 && e.options.Command == nil && !e.options.Everybody && !e.grows {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		if e.options.OnAttachFailed != nil {
			e.options.OnAttachFailed(err)
		}
		e.failed = append(e.failed, profile.Warning{Kind: profile.AttachFailed, Text: err.Error()})
	}
	return nil
}

// run waits for the end.
func (e *kernelEngine) run() {
	const (
		nap       = 10 * time.Millisecond
		collected = 20 * time.Second // buckets count modulo 2^32
		named     = time.Second / 2  // who is counted may be gone before it is known who it was
	)
	commandEnded := (<-chan struct{})(nil)
	if e.command != nil {
		commandEnded = e.command.ended
	}
	look := time.NewTicker(nap)
	defer look.Stop()
	last := time.Now()
	for ended := false; !ended; {
		select {
		case <-e.stop:
			ended = true
		case <-commandEnded:
			commandEnded = nil
			ended = e.options.Everybody || e.nobodyIsLeft()
		case <-look.C:
			e.sayLeftOut()
			// A command that has not been reaped may be the last of them.
			ended = !e.options.Everybody && commandEnded == nil && e.nobodyIsLeft()
			if ago := time.Since(last); ago > collected || e.options.By != 0 && ago > named || e.crowded() {
				last = time.Now()
				e.HandOver()
			}
		}
	}
	e.finish()
	close(e.counted)
	close(e.done)
}

// sayLeftOut tells of slow calls that were not told of.
func (e *kernelEngine) sayLeftOut() {
	if e.leftOut != nil {
		now := e.counter.SlowLost()
		e.leftOut(now - e.left)
		e.left = now
	}
}

func (e *kernelEngine) crowded() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counter.Crowded()
}

func (e *kernelEngine) nobodyIsLeft() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	threads, _, _ := e.counter.Members()
	return threads == 0 && !e.grows
}

// Attach counts another process, too.
func (e *kernelEngine) Attach(pid int) (threads int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return 0, nil
	}
	before, _, _ := e.counter.Members()
	if err := errors.Join(e.counter.Add(pid), e.counter.Enroll()); err != nil {
		return 0, &ptrace.AttachError{PID: pid, Err: err}
	}
	after, _, _ := e.counter.Members()
	return max(after-before, 0), nil
}

// NoMore says that no more processes will come.
func (e *kernelEngine) NoMore() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grows = false
}

// finish ends the counting, and hands over what there is.
func (e *kernelEngine) finish() {
	e.mu.Lock()
	e.threads[0], e.threads[1], e.threads[2] = e.counter.Members()
	e.elapsed = time.Since(e.start)
	err := errors.Join(e.counter.End(), e.counter.DrawnAll())
	e.counter.SlowAll()
	e.sayLeftOut()
	e.losses = e.counter.Losses()
	takeErr := e.handOverLast()
	if err = errors.Join(err, takeErr); err != nil {
		e.failure = fmt.Errorf("count in the kernel: %w", err)
	}
	e.mu.Unlock()
	e.close()
}

// handOverLast gives the sink what has come in since the last time, and the calls in flight.
//
// Precondition: e.mu is held, as for handOver.
func (e *kernelEngine) handOverLast() error {
	if e.options.By == 0 {
		raw, err := e.counter.TakeLast()
		if err != nil {
			return err
		}
		if raw.InFlight, err = e.counter.InFlight(); err != nil {
			return err
		}
		if e.counter.SharesPIDs() {
			nameThreads(raw.InFlight)
		}
		e.sink.Counted(raw)
		return nil
	}
	err := e.handOverGroups(true)
	all, flightErr := e.counter.GroupsInFlight()
	if e.counter.SharesPIDs() {
		for i := range all {
			nameThreads(all[i].InFlight)
		}
	}
	e.sink.(profile.GroupSink).CountedGroups(all)
	return errors.Join(err, flightErr)
}

func (e *kernelEngine) handOver() error {
	if e.options.By == 0 {
		raw, err := e.counter.Take()
		if err == nil {
			e.sink.Counted(raw)
		}
		return err
	}
	return e.handOverGroups(false)
}

func (e *kernelEngine) handOverGroups(last bool) error {
	all, err := e.counter.TakeGroups(last)
	e.sink.(profile.GroupSink).CountedGroups(all)
	return err
}

// nameThreads finds the names of threads that are still in their calls.
func nameThreads(flights []profile.Flight) {
	for i := range flights {
		if f := &flights[i]; f.Why == profile.Detached {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/comm", f.PID, f.TID))
			f.Thread = strings.TrimSuffix(string(comm), "\n")
		}
	}
}

func (e *kernelEngine) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		e.over = true
		e.counter.Close()
	}
}

// HandOver gives the sink what has come in.
func (e *kernelEngine) HandOver() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	e.handOver()
}

func (e *kernelEngine) Stop()                    { e.stopOnce.Do(func() { close(e.stop) }) }
func (e *kernelEngine) Counted() <-chan struct{} { return e.counted }
func (e *kernelEngine) Done() <-chan struct{}    { return e.done }
func (e *kernelEngine) Model() cost.Model        { return e.modelled }

func (e *kernelEngine) Progress() Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		e.threads[0], e.threads[1], e.threads[2] = e.counter.Members()
		e.elapsed = time.Since(e.start)
	}
	return Progress{Start: e.start, Elapsed: e.elapsed, Threads: e.threads[0], Processes: e.threads[1], Seen: e.threads[2]}
}

// RunsOn is nobody: what is counted does not need this process.
func (e *kernelEngine) RunsOn() int { return 0 }

func (e *kernelEngine) StopBy(sig syscall.Signal, still func() bool) { ptrace.StopBy(sig, still) }

func (e *kernelEngine) Warnings() ([]profile.Warning, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	losses := e.losses
	if !e.over {
		losses = e.counter.Losses()
	}
	all := append(append([]profile.Warning(nil), e.failed...), lossesOf(losses)...)
	if e.options.Timed > 1 {
		all = append(all, profile.Warning{Kind: profile.TimesDrawn, Count: uint64(e.options.Timed)})
	}
	return all, e.failure
}

// lossesOf are the warnings of what could not be counted.
func lossesOf(losses inkernel.Losses) (all []profile.Warning) {
	for _, loss := range []struct {
		kind  profile.WarningKind
		count uint64
	}{{profile.CountsMissed, losses.Missed}, {profile.ThreadsUncounted, losses.NoThread}, {profile.CallsUncounted, losses.NoRow},
		{profile.FlightsUncounted, losses.NoFlight}, {profile.DrawnLost, losses.NoStack}} {
		if loss.count > 0 {
			all = append(all, profile.Warning{Kind: loss.kind, Count: loss.count})
		}
	}
	return all
}

func (e *kernelEngine) Launched() Launched {
	if e.command == nil {
		return nil
	}
	return e.command
}

// signalled reports whether the command has been sent a signal since then, by somebody else.
func (e *kernelEngine) signalled(sig unix.Signal, since time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.over && e.counter.SignalledSince(sig, since)
}

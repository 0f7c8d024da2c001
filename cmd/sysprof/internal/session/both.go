package session

import (
	"errors"
	"fmt"
	"sync"

	"sysprof/profile"
	"sysprof/profile/inkernel"
	"sysprof/ptrace"
	"sysprof/syscalltab"
)

// bothEngine is the engine that stops threads, while the kernel counts the same calls.
type bothEngine struct {
	*ptraceEngine
	counter *inkernel.Counter
	counted chan struct{}

	mu      sync.Mutex // guards what follows, and the use of counter
	over    bool       // the counter is closed
	taken   profile.Raw
	losses  inkernel.Losses
	failure error
}

// Both makes an engine of package ptrace, with the calls counted in the kernel as well.
func Both(options ptrace.Options, truth Truth, calls *syscalltab.Set, timed int) (Engine, error) {
	counter, err := inkernel.Load(inkernel.Options{Calls: calls, Timed: timed})
	if err != nil {
		return nil, err
	}
	e := &bothEngine{counter: counter, counted: make(chan struct{})}
	if options.Command != nil {
		options.OnReady = func(pid int) { e.begin(options.Attach, pid) }
	} else {
		begun := options.OnBegin
		options.OnBegin = func() {
			e.begin(options.Attach, 0)
			if begun != nil {
				begun()
			}
		}
	}
	e.ptraceEngine = Ptrace(options, truth).(*ptraceEngine)
	return e, nil
}

// begin begins to count in the kernel, while all that is traced stands still.
func (e *bothEngine) begin(attached []int, command int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, pid := range attached {
		e.counter.Add(pid) // one that is not there is known to the other engine
	}
	var err error
	if command != 0 {
		err = e.counter.AddCommand(command)
	}
	e.failure = errors.Join(err, e.counter.Begin())
}

func (e *bothEngine) Start(sink profile.Sink, entered Entered) error {
	if err := e.ptraceEngine.Start(sink, entered); err != nil {
		e.counter.Close()
		return err
	}
	go func() {
		<-e.ptraceEngine.Counted()
		e.finish()
		close(e.counted)
	}()
	return nil
}

// finish ends the counting in the kernel.
func (e *bothEngine) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.counter.End()
	e.losses = e.counter.Losses()
	raw, takeErr := e.counter.TakeLast()
	if takeErr == nil {
		raw.InFlight, takeErr = e.counter.InFlight()
		e.taken.Merge(raw)
	}
	e.failure = errors.Join(e.failure, err, takeErr)
	e.over = true
	e.counter.Close()
}

func (e *bothEngine) Counted() <-chan struct{} { return e.counted }

// InKernel is what the kernel has counted so far.
func (e *bothEngine) InKernel() *profile.Raw {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over {
		if raw, err := e.counter.Take(); err == nil {
			e.taken.Merge(raw)
		}
	}
	return e.taken.Clone()
}

func (e *bothEngine) Warnings() ([]profile.Warning, error) {
	warnings, err := e.ptraceEngine.Warnings()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && e.failure != nil {
		err = fmt.Errorf("count in the kernel: %w", e.failure)
	}
	return append(warnings, lossesOf(e.losses)...), err
}

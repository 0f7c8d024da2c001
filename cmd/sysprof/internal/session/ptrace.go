package session

import (
	"syscall"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/ptrace"
)

// ptraceEngine is the engine that stops threads at their calls.
type ptraceEngine struct {
	options ptrace.Options
	tracer  *ptrace.Tracer
	truth   Truth
	model   cost.Model
}

// Truth is how it is measured what tracing adds.
type Truth uint8

const (
	TruthFull   Truth = iota // before the run, and by controls during it
	TruthBefore              // before the run only
	TruthEvery               // by a control after every call
	TruthNotAtAll
)

// Ptrace makes an engine of package ptrace. Of the options, the session sets those that say whom to tell, and what is
// measured of what tracing adds.
func Ptrace(options ptrace.Options, truth Truth) Engine {
	switch truth {
	case TruthFull:
		options.Controls = ptrace.ControlsAuto
	case TruthEvery:
		options.Controls = ptrace.ControlsEvery
	}
	return &ptraceEngine{options: options, truth: truth}
}

func (e *ptraceEngine) Can() Abilities { return Abilities{SingleCalls: true, Stacks: true} }

func (e *ptraceEngine) Start(sink profile.Sink, entered Entered) (err error) {
	e.options.Sink = sink
	if entered != nil {
		e.options.OnEntry = func(c *profile.Call, at *ptrace.EntryStop) uint32 { return entered(c, at.IP, at.SP, at) }
	}
	calibrator := cost.NewCalibrator(ptrace.CalibrationCall)
	if e.truth != TruthNotAtAll {
		e.options.Calibration = calibrator
		// Calls are seen before Start returns, and go by the model.
		e.options.Calibrated = func(of []*ptrace.Calibration) { e.model = calibrator.Finish(untraced(of)) }
	}
	e.tracer, err = ptrace.Start(e.options)
	return err
}

// untraced is how long the calls of the calibrations took untraced.
func untraced(calibrations []*ptrace.Calibration) (all []cost.Untraced) {
	for _, c := range calibrations {
		all = append(all, cost.Untraced{CrossCPU: c.CrossCPU, Calls: c.BatchCalls, BatchNs: c.UntracedNs})
	}
	return all
}

func (e *ptraceEngine) OnSlow(atLeast time.Duration, f func(*profile.Call)) {
	e.options.Slow, e.options.OnSlow = atLeast, f
}
func (e *ptraceEngine) Asleep(f func(*profile.InFlight))        { e.tracer.Asleep(f) }
func (e *ptraceEngine) InFlight(f func(*profile.InFlight))      { e.tracer.InFlight(f) }
func (e *ptraceEngine) Attach(pid int) (threads int, err error) { return e.tracer.Attach(pid) }
func (e *ptraceEngine) NoMore()                                 { e.tracer.NoMore() }

func (e *ptraceEngine) Stop()                    { e.tracer.Stop() }
func (e *ptraceEngine) Counted() <-chan struct{} { return e.tracer.Counted() }
func (e *ptraceEngine) Done() <-chan struct{}    { return e.tracer.Done() }
func (e *ptraceEngine) Model() cost.Model        { return e.model }

func (e *ptraceEngine) Progress() Progress { return Progress(e.tracer.Progress()) }

func (e *ptraceEngine) RunsOn() int { return e.tracer.RunsOn() }

func (e *ptraceEngine) StopBy(sig syscall.Signal, still func() bool) { e.tracer.StopBy(sig, still) }

func (e *ptraceEngine) Warnings() ([]profile.Warning, error) {
	result, err := e.tracer.Result()
	return result.Warnings, err
}

func (e *ptraceEngine) Launched() Launched {
	if e.tracer == nil { // it could not be started
		return nil
	}
	if command := e.tracer.Command(); command != nil {
		return command
	}
	return nil
}

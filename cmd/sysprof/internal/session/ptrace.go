package session

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"
)

type ptraceEngine struct {
	options   ptrace.Options
	tracer    *ptrace.Tracer
	calibrate bool
	model     Model
}

func Ptrace(options ptrace.Options, calibrate bool) Engine {
	return &ptraceEngine{options: options, calibrate: calibrate}
}

func (e *ptraceEngine) Can() Abilities { return Abilities{SingleCalls: true, Stacks: true} }

func (e *ptraceEngine) Start(sink profile.Sink, entered Entered) (err error) {
	e.options.Sink = sink
	if entered != nil {
		e.options.OnEntry = func(c *profile.Call, at *ptrace.EntryStop) uint32 { return entered(c, at.IP, at.SP, at) }
	}
	if e.calibrate {
		const warmUp = 64 // calls
		e.model = Model{profile.NewTransit(), profile.NewTransit()}
		var seenPlaced, seenApart int
		e.options.OnCalibration = func(c *profile.Call) {
			t, seen := e.model.SameCPU, &seenPlaced
			if c.CrossCPU {
				t, seen = e.model.CrossCPU, &seenApart
			}
			switch *seen++; {
			case *seen <= warmUp:
			case c.Nr == ptrace.CalibrationCall:
				t.Add(c)
			default:
				t.AddReference(c)
			}
		}
	}
	if e.tracer, err = ptrace.Start(e.options); err != nil {
		return err
	}
	for _, c := range e.tracer.Calibrations() {
		t := e.model.SameCPU
		if c.CrossCPU {
			t = e.model.CrossCPU
		}
		t.Untraced(c.UntracedNs, c.BatchCalls)
		for _, r := range c.References {
			t.Reference(r.Nrs, r.UntracedNs, r.BatchCalls)
		}
	}
	return nil
}

func (e *ptraceEngine) Stop()                    { e.tracer.Stop() }
func (e *ptraceEngine) Counted() <-chan struct{} { return e.tracer.Counted() }
func (e *ptraceEngine) Done() <-chan struct{}    { return e.tracer.Done() }
func (e *ptraceEngine) Model() Model             { return e.model }

func (e *ptraceEngine) Progress() Progress {
	return Progress{e.tracer.StartTime(), e.tracer.Elapsed(), e.tracer.Processes(), e.tracer.Tracees()}
}

func (e *ptraceEngine) Warnings() ([]profile.Warning, error) {
	result, err := e.tracer.Result()
	return result.Warnings, err
}

func (e *ptraceEngine) Launched() Launched {
	if e.tracer.CommandEnded() == nil {
		return nil
	}
	return launched{e.tracer}
}

type launched struct {
	*ptrace.Tracer
}

func (l launched) PID() int               { return l.Command() }
func (l launched) Ended() <-chan struct{} { return l.CommandEnded() }

func (l launched) Status() (unix.WaitStatus, bool) {
	result, _ := l.Result()
	return result.Command, result.CommandEnded
}

func (l launched) PassOn(sig syscall.Signal, at time.Time) {
	const apart, late = 50 * time.Millisecond, time.Second
	pending := false
	for time.Since(at) < apart || pending && time.Since(at) < late {
		if l.Delivered(sig, at.Add(-late)) {
			return
		}
		pending = pending || l.Pending(sig)
		time.Sleep(time.Millisecond)
	}
	if pending {
		return // the command blocks it
	}
	l.Signal(sig)
}

package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// What is traced stands still at its next call while sysprof is stopped. ^Z stops sysprof and all that is in its process
// group. A program may handle that: it gives the terminal back first, and stops itself then. With a tracer that has
// stopped already it could do neither, and would stop after the shell has continued it, which nobody sees.
//
// So sysprof is the last one to stop: when nothing that it traces runs on. What does not stop keeps it running.

// stopSignals are the job-control signals that can be caught, but for SIGTTOU. That comes of sysprof's own writes, too,
// where the terminal forbids them in the background (stty tostop), and again and again if the write is made anew after a
// handler instead of being stopped.
var stopSignals = [...]syscall.Signal{syscall.SIGTSTP, syscall.SIGTTIN}

// obeyStops has sysprof stop when it is told to, but not before what it traces. started is to be called when the engine
// has been started, noMore when nothing is traced any more that could not be left alone. A signal that was ignored or
// blocked when sysprof was started remains so.
//
// Until anything that is traced runs, sysprof stops at once: the engine waits for what the signal stops, its calibration's
// child or the command before its execve.
func (r *run) obeyStops(p *process) (started, noMore func()) {
	stops, over := make(chan os.Signal, len(stopSignals)), make(chan struct{})
	var caught []os.Signal
	for _, sig := range stopSignals {
		untouchable := signal.Ignored(sig)
		if p.origin != nil {
			untouchable = untouchable || (p.origin.Ignored|p.origin.Blocked)&(1<<(sig-1)) != 0
		}
		if !untouchable {
			caught = append(caught, sig)
		}
	}
	if len(caught) == 0 {
		return func() {}, func() {}
	}
	signal.Notify(stops, caught...)
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case got := <-stops:
				if stopNow(ptrace.StopBy, got.(syscall.Signal), stops, caught, func() bool { return !p.begun.Load() }) {
					continue
				}
				select {
				case <-over:
					return
				case <-ready:
				}
				w := r.wishToStop(got.(syscall.Signal), over)
				w.passOn(w.sig)
				for w.comesTrue(stops, p.messages) && !w.stop(stops, caught) {
				}
			}
		}
	}()
	return func() { close(ready) }, func() {
		const atMost = 100 * time.Millisecond // it may wait for a tracer thread that has much to do
		close(over)
		select {
		case <-ended:
		case <-time.After(atMost):
		}
		signal.Reset(caught...)
		for _, sig := range caught {
			ptrace.SetDefault(sig.(syscall.Signal))
		}
	}
}

// wish is somebody's wish that sysprof and all that it traces stop. It is void when the command ends, or the run does: that
// was the answer to it then.
type wish struct {
	r        *run
	sig      syscall.Signal
	void     []<-chan struct{} // closed when it is
	counting bool              // it came while there was something to count
	passed   sync.WaitGroup    // signals that are passed on
}

func (r *run) wishToStop(sig syscall.Signal, over <-chan struct{}) *wish {
	w := &wish{r: r, sig: sig, void: []<-chan struct{}{over}}
	for _, end := range []<-chan struct{}{r.commandEnded(), r.engine.Counted()} {
		if !isClosed(end) { // else it was when the signal came
			w.void = append(w.void, end)
		}
	}
	w.counting = !isClosed(r.engine.Counted())
	return w
}

func (w *wish) isVoid() bool {
	over := w.counting && w.r.engine.Progress().Threads == 0 // as will be said soon
	return over || slices.ContainsFunc(w.void, isClosed)
}

func isClosed(end <-chan struct{}) bool {
	select {
	case <-end:
		return true
	default:
		return false
	}
}

// comesTrue waits until nothing that is traced runs on, and reports whether it does. The command gets the signal, too, and
// decides; that it does not stop is nothing to be said. More such signals are the same wish once more.
func (w *wish) comesTrue(stops <-chan os.Signal, messages *messages) bool {
	const (
		nap   = 5 * time.Millisecond
		soon  = 500 * time.Millisecond // who stops has most often done so
		never = 10 * time.Second       // what stops after that does so for another reason
	)
	said := false
	for begin := time.Now(); time.Since(begin) < never && !w.isVoid(); time.Sleep(nap) {
		select {
		case again := <-stops:
			w.passOn(again.(syscall.Signal))
			begin = time.Now()
		default:
		}
		runs := w.r.engine.RunsOn()
		switch {
		case runs == 0:
			w.passed.Wait() // or it would come after the SIGCONT
			return true
		case !said && time.Since(begin) >= soon && !w.r.isCommand(runs):
			said = true
			messages.say(fmt.Errorf("it does not stop by %s while process %d runs on, which it traces and which would stand still at its next call; kill -STOP %d stops both",
				unix.SignalName(w.sig), runs, os.Getpid()))
		}
	}
	drain(stops)
	return false
}

// passOn gives the command a signal, unless it has got it.
func (w *wish) passOn(sig syscall.Signal) {
	if !w.r.commandRuns() {
		return
	}
	at := time.Now()
	w.passed.Go(func() { w.r.engine.Launched().PassOn(sig, at) })
}

// drain takes what has come of signals.
func drain(signals <-chan os.Signal) {
	for len(signals) > 0 {
		<-signals
	}
}

// stop stops sysprof, if still nothing runs on, and has the command go on with it. It reports whether it was stopped.
func (w *wish) stop(stops chan os.Signal, caught []os.Signal) (stopped bool) {
	if w.isVoid() {
		return false
	}
	defer w.r.view.aside()()
	stopped = stopNow(w.r.engine.StopBy, w.sig, stops, caught, func() bool { return !w.isVoid() })
	if stopped && w.r.commandRuns() {
		w.r.passOnContinue(stops)
	}
	return stopped
}

// stopNow stops sysprof by a signal if it still is to be. It reports whether it was, and has been continued. What has come
// of stop signals until then meant the same, so that it is forgotten (signal.Stop waits for what is under way).
func stopNow(stopBy func(syscall.Signal, func() bool), sig syscall.Signal, stops chan os.Signal, caught []os.Signal, still func() bool) (stopped bool) {
	if !still() {
		return false
	}
	signal.Stop(stops)
	drain(stops)
	signal.Notify(stops, caught...)
	stopBy(sig, func() bool {
		stopped = still()
		return stopped
	})
	return stopped
}

// isCommand reports whether a process is the launched command.
func (r *run) isCommand(pid int) bool {
	command := r.engine.Launched()
	return command != nil && command.PID() == pid
}

// passOnContinue has the command go on if only sysprof was told to: to who waits for sysprof, sysprof is the command.
// It does not if they are told to stop again: a SIGCONT that the command has not taken yet is gone then (kernel/signal.c,
// prepare_signal), and one of sysprof's would undo the stop.
func (r *run) passOnContinue(stops <-chan os.Signal) {
	const soon, nap = 200 * time.Millisecond, time.Millisecond
	for begin := time.Now(); time.Since(begin) < soon; time.Sleep(nap) {
		if len(stops) > 0 || r.isCommand(r.engine.RunsOn()) {
			return
		}
	}
	r.engine.Launched().PassOn(syscall.SIGCONT, time.Now())
}

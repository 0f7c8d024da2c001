package ptrace

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// Attaching during a run differs from attaching before it (attach.go): workers wait for stops, and resume who has been
// seized as soon as it stops, so that nobody stands still until all have been attached to. No other thread may look into
// their tables. So who is traced is asked of the kernel, and all threads of one process go to one worker, which is told by
// its mailbox.

// seizedAtATime is how many threads a worker seizes before it looks after its other tracees again. A seize takes some 15 µs.
const seizedAtATime = 16

// prepareToGrow makes the workers among which those that are attached to later are shared: none can be added when they wait
// for stops.
func (t *Tracer) prepareToGrow() {
	s := t.shares.begin(t)
	for len(s.running) < s.cpus {
		s.running = append(s.running, t.newWorker())
	}
}

// Attach attaches to one more process while the run goes on, and to all of its threads if Options.Follow says so. It
// returns to how many. It is none if the process is traced already or has ended, or tracing has. Of several that cannot be
// attached to for the same reason only the first one is an error.
//
// Precondition: Options.Grows; Start has returned; no other goroutine is in Attach.
func (t *Tracer) Attach(pid int) (threads int, err error) {
	a := &attachment{pid: int32(pid), group: groupOf(int32(pid))}
	if a.group == int32(os.Getpid()) {
		return 0, &AttachError{PID: pid, Err: unix.EPERM, Hint: ": a process cannot trace itself"}
	}
	if t.isOurs(tracerOf(a.pid)) {
		return 0, nil
	}
	w := t.shares.running[t.shares.runners%len(t.shares.running)]
	t.shares.runners++
	const pause, atMost = 200 * time.Microsecond, time.Second
	for begin := time.Now(); !a.over; {
		settled := w.haveStopped(a.tids)
		found := t.attachMore(w, a, time.Since(begin))
		switch since := time.Since(begin); {
		case a.over:
		case !found && settled && (!t.options.Follow || t.isComplete(a)):
			a.end()
		case t.run.is() >= stopping:
			a.end()
		case since >= atMost:
			if found {
				t.warn(profile.Warning{Kind: profile.ThreadsMissed, ID: pid})
			}
			a.end()
		case !found:
			nap(pause)
		}
	}
	if a.seized > 0 {
		return a.seized, nil
	}
	if t.run.is() >= stopping || t.isOurs(tracerOf(a.pid)) { // its parent has been attached to meanwhile
		return 0, nil
	}
	failure := (*AttachError)(nil)
	if !errors.As(a.err, &failure) || a.isNoFailure() || t.refused[failure.why()] {
		return 0, nil
	}
	t.refused[failure.why()] = true
	t.warn(profile.Warning{Kind: profile.AttachFailed, Text: failure.Error()})
	return 0, failure
}

// NoMore says that there will be no more processes to attach to: tracing ends when nothing is traced any more.
func (t *Tracer) NoMore() {
	t.grows.Store(false)
	for _, w := range t.workers {
		w.thread.post(func() {})
	}
}

// attachMore seizes those threads of a process that are found now. It reports whether there was anything new; there may be
// more until nothing is new in a listing that began when all of the one before had stopped: see Tracer.attach.
func (t *Tracer) attachMore(w *worker, a *attachment, since time.Duration) (found bool) {
	a.tids = []int32{a.pid}
	if t.options.Follow {
		var err error
		if a.tids, err = threadsOf(a.pid); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				err = unix.ESRCH
			}
			if a.first == nil {
				a.first = &AttachError{PID: int(a.pid), Err: err, Hint: whyNoThreads()}
			}
			a.end()
			return false
		}
	}
	var all []*seizure
	for _, tid := range a.tids {
		if !t.isOurs(tracerOf(tid)) {
			all = append(all, &seizure{tid: tid, of: a, w: w, sleep: w.watch(tid, a.group)})
		}
	}
	for left := all; len(left) > 0; {
		some := left[:min(len(left), seizedAtATime)]
		if !t.seizeNow(w, some) {
			for _, s := range left {
				t.lookout.close(s.sleep.fd)
			}
			a.end()
			return false
		}
		left = left[len(some):]
	}
	for _, s := range all {
		switch {
		case s.err == nil:
			a.seized++
			found = true
		case t.options.Follow && (errors.Is(s.err, unix.ESRCH) || s.tid != a.group && isEnding(s.tid)), a.isFirstRefusal(s.err, since):
			found = true
		case a.first == nil:
			a.first = s.err
		}
	}
	return found
}

// seizeNow has a worker seize threads while it waits for stops. It reports false if it does not do so any more. See
// seizeAll for why it takes somebody else to wait for threads that have died.
func (t *Tracer) seizeNow(w *worker, some []*seizure) bool {
	const patience = 2 * time.Millisecond
	pid, done := new(atomic.Int32), make(chan struct{})
	w.thread.post(func() {
		w.seizeLater(some, pid)
		close(done)
	})
	again := time.NewTicker(patience)
	defer again.Stop()
	for {
		select {
		case <-done:
			return true
		case <-w.thread.gone:
			select {
			case <-done:
				return true
			default:
				return false
			}
		case <-again.C:
			for _, d := range t.deadOf(pid.Load()) {
				for _, owner := range t.workers {
					owner.thread.post(func() {
						if tr := owner.table.tracees[d.tid]; tr != nil {
							owner.died(tr, d)
						}
					})
				}
			}
		}
	}
}

// seizeLater seizes threads, one after the other.
func (w *worker) seizeLater(some []*seizure, pid *atomic.Int32) {
	for _, s := range some {
		if tr := w.table.tracees[s.tid]; tr != nil && !w.t.isOurs(tracerOf(s.tid)) {
			w.drop(tr) // an execve has replaced it: see dropReplaced
		}
	}
	w.seizeAll(some, pid)
}

// haveStopped is Tracer.haveStopped for those of the threads that are this worker's, who may wait for stops.
func (w *worker) haveStopped(tids []int32) bool {
	all := true
	w.thread.ask(func() {
		for _, tid := range tids {
			if tr := w.table.tracees[tid]; tr != nil && tr.interruptPending && w.t.mayBeCloning(tid) {
				all = false
			}
		}
	})
	return all
}

// awaitMore waits until there is something to do for a worker that has no tracees. It reports false if there will not be.
func (w *worker) awaitMore() bool {
	if !w.t.grows.Load() || w.t.run.is() < counting { // a child of the calibration, or the command, has ended
		return false
	}
	w.rest()
	w.thread.awaitMail()
	return true
}

package ptrace

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// seizure is that of one thread by one of the workers.
type seizure struct {
	tid   int32
	of    *attachment
	w     *worker
	sleep sleep // the call that it was found asleep in, if it is to be left so
	err   error // valid when it has been tried
}

// newSeizure chooses the worker that is to seize a thread, and sets a breakpoint for one that is to be left asleep.
func (t *Tracer) newSeizure(tid int32, of *attachment) *seizure {
	s := &seizure{tid: tid, of: of, w: t.workerFor(tid)}
	s.sleep = s.w.watch(tid, of.group)
	return s
}

// seizeThread seizes one thread.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) seizeThread(tid int32, of *attachment) error {
	s := t.newSeizure(tid, of)
	t.seizeAll([]*seizure{s})
	return s.err
}

// seizeAll has the workers seize threads, and ask each to stop once, so that it can be resumed to its next system call.
// All workers do that at the same time, and do nothing else meanwhile: what runs still has the CPUs, and what has
// stopped waits.
//
// A seize waits while the process executes a program (kernel/ptrace.c, ptrace_attach: cred_guard_mutex), and that
// waits until all other threads are gone for good (fs/exec.c, de_thread): also for those that are traced
// already, until their tracer has been told of their ends. So deadOf asks for these meanwhile.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) seizeAll(all []*seizure) {
	const patience = 2 * time.Millisecond
	by := make(map[*worker][]*seizure)
	for _, s := range all {
		by[s.w] = append(by[s.w], s)
	}
	done := make(chan struct{}, len(by))
	var seizing []*atomic.Int32
	for w, some := range by {
		pid := new(atomic.Int32)
		seizing = append(seizing, pid)
		w.thread.post(func() { w.seizeAll(some, pid); done <- struct{}{} })
	}
	again := time.NewTicker(patience)
	defer again.Stop()
	var dead []stop
	for left := len(by); left > 0; {
		select {
		case <-done:
			left--
		case <-again.C:
			for _, pid := range seizing {
				dead = append(dead, t.deadOf(pid.Load())...)
			}
		}
	}
	for _, d := range dead {
		for _, owner := range t.workers {
			if tr := owner.table.tracees[d.tid]; tr != nil {
				owner.thread.do(func() { owner.died(tr, d) })
			}
		}
	}
}

// deadOf takes the ends of those threads of a process that are traced and have ended. Any thread of the tracer's
// process may ask for that. Of process 0, which is none, there are none.
//
// They need not be in a table: one that was born of a thread which is seized is traced from its birth, and may be killed
// before anybody has seen a stop of it.
func (t *Tracer) deadOf(pid int32) (dead []stop) {
	if pid == 0 {
		return nil
	}
	tids, _ := threadsOf(pid)
	for _, tid := range tids {
		if !strings.HasPrefix(statusField(tid, "State"), "Z") || !t.isOurs(tracerOf(tid)) {
			continue // its stops are for its tracer thread
		}
		var status unix.WaitStatus
		if got, err := unix.Wait4(int(tid), &status, unix.WALL|unix.WNOHANG, nil); err == nil && got == int(tid) {
			dead = append(dead, classify(tid, status))
		}
	}
	return dead
}

// seizeAll seizes threads, one after the other. pid says whose thread is being seized, 0 that all are.
func (w *worker) seizeAll(all []*seizure, pid *atomic.Int32) {
	for _, s := range all {
		pid.Store(s.of.group)
		s.err = w.seizeThread(s.tid, s.of.group, s.sleep)
	}
	pid.Store(0)
}

// seizeThread seizes one thread, and asks it to stop once, unless it is to sleep on until its call returns.
func (w *worker) seizeThread(tid, pid int32, sleep sleep) error {
	before := beforeInterrupt(tid)
	err := raw.Seize(tid, w.t.seizeOptions())
	if err != nil {
		w.t.lookout.close(sleep.fd)
	}
	if errors.Is(err, unix.EPERM) && w.t.isOurs(tracerOf(tid)) {
		return nil // born of a thread that is seized: it stops by itself
	}
	if err != nil {
		return &AttachError{PID: int(tid), Err: err, Hint: whyNoSeize(tid, err)}
	}
	tr := w.add(tid, pid)
	tr.restart.sinceNs = w.t.now()
	if w.letSleep(tr, sleep) {
		return nil
	}
	tr.before = before
	tr.interruptPending = true
	raw.Interrupt(tid)
	return nil
}

// workerOf returns the worker whose thread is tid, nil if that is none.
func (t *Tracer) workerOf(tid int32) *worker {
	for _, w := range t.workers {
		if tid != 0 && w.thread.tid.Load() == tid {
			return w
		}
	}
	return nil
}

// isOurs reports whether a thread is one of the workers.
func (t *Tracer) isOurs(tracer int32) bool { return t.workerOf(tracer) != nil }

// seizeOptions are the PTRACE_O_ options of every tracee. Those that it creates inherit them.
func (t *Tracer) seizeOptions() uintptr {
	// TRACEEXEC also turns off the SIGTRAP that an execve under trace would raise.
	options := unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC
	if t.options.Follow {
		options |= unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	}
	if t.options.KillOnExit {
		options |= unix.PTRACE_O_EXITKILL
	}
	return uintptr(options)
}

package ptrace

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// seizeThread seizes one thread for one of the workers and asks it to stop once, so that it can be
// resumed to its next system call.
//
// A seize waits while the process executes a program (kernel/ptrace.c, ptrace_attach: cred_guard_mutex), and that
// waits until all other threads are gone for good (fs/exec.c, de_thread): also for those that are traced
// already, until their tracer has been told of their ends. So deadOf asks for these meanwhile.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) seizeThread(tid, pid int32) (err error) {
	const patience = 2 * time.Millisecond
	w := t.workerFor(tid)
	done := make(chan struct{})
	w.thread.post(func() { err = w.seizeThread(tid, pid); close(done) })
	again := time.NewTimer(patience)
	defer again.Stop()
	var dead []stop
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-again.C:
			dead = append(dead, t.deadOf(pid)...)
			again.Reset(patience)
		}
	}
	if err == nil && w.table.has(tid) {
		t.attached[tid] = true
	}
	for _, d := range dead {
		for _, owner := range t.workers {
			if tr := owner.table.tracees[d.tid]; tr != nil {
				owner.thread.do(func() { owner.died(tr, d) })
			}
		}
	}
	return err
}

// deadOf takes the ends of those threads of a process that are traced and have ended. Any thread of the tracer's
// process may ask for that.
func (t *Tracer) deadOf(pid int32) (dead []stop) {
	tids, _ := threadsOf(pid)
	for _, tid := range tids {
		if !t.attached[tid] || !strings.HasPrefix(statusField(tid, "State"), "Z") {
			continue // its stops are for its tracer thread
		}
		var status unix.WaitStatus
		if got, err := unix.Wait4(int(tid), &status, unix.WALL|unix.WNOHANG, nil); err == nil && got == int(tid) {
			dead = append(dead, classify(tid, status))
		}
	}
	return dead
}

// seizeThread seizes one thread, and asks it to stop once.
func (w *worker) seizeThread(tid, pid int32) error {
	before := beforeInterrupt(tid)
	err := raw.Seize(tid, w.t.seizeOptions())
	if errors.Is(err, unix.EPERM) && w.t.isOurs(tracerOf(tid)) {
		return nil // born of a thread that is seized: it stops by itself
	}
	if err != nil {
		return &AttachError{PID: int(tid), Err: err, Hint: whyNoSeize(tid, err)}
	}
	tr := w.add(tid, pid)
	tr.before = before
	tr.interruptPending = true
	tr.restart.sinceNs = w.t.now()
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

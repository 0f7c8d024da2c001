package ptrace

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
)

// AttachError is a process, or thread, that could not be attached to.
type AttachError struct {
	PID  int
	Err  error // a unix.Errno
	Hint string
}

func (e *AttachError) Error() string { return fmt.Sprintf("attach %d: %v%s", e.PID, e.Err, e.Hint) }
func (e *AttachError) Unwrap() error { return e.Err }

// attachAll attaches to the processes that the options name. It returns an error if nothing is traced
// because of that.
//
// All of them at once: on a machine whose CPUs they compete for, they stop the sooner the more of them have.
func (t *Tracer) attachAll() error {
	var all []*attachment
	for _, pid := range t.options.Attach {
		all = append(all, &attachment{pid: int32(pid), group: groupOf(int32(pid))})
	}
	const nap = 100 * time.Microsecond
	t.attached = make(map[int32]bool)
	if len(all) > 0 {
		t.run.begin(t.now())
	}
	for begin, busy := time.Now(), true; busy; {
		busy = false
		idle := true
		for _, a := range all {
			if !a.over {
				news := t.attach(a, time.Since(begin))
				busy = busy || !a.over
				idle = idle && !news
			}
		}
		if busy && idle {
			time.Sleep(nap)
		}
	}
	var failures []error
	for _, a := range all {
		if a.err != nil {
			failures = append(failures, a.err)
		}
	}
	if len(failures) == len(t.options.Attach) && len(failures) > 0 && t.options.Command == nil {
		return errors.Join(failures...)
	}
	for _, err := range failures {
		t.warn(profile.Warning{Kind: profile.AttachFailed, Text: err.Error()})
	}
	return nil
}

// attachment is how far the attachment to one process is.
type attachment struct {
	pid, group int32
	tids       []int32 // as listed last
	seized     int
	first      error // why the first thread that could not be seized could not
	refusals   int
	refused    time.Duration // when the first one came
	over       bool
	err        error
}

// isFirstRefusal reports whether a refusal is to be given a second try: the kernel refuses a thread that an
// execve is about to replace, too, as if the right to trace it were missing.
func (a *attachment) isFirstRefusal(err error, since time.Duration) bool {
	const patience = 20 * time.Millisecond
	if !errors.Is(err, unix.EPERM) {
		return false
	}
	if a.refusals++; a.refusals == 1 {
		a.refused = since
	}
	return since-a.refused < patience
}

// end ends an attachment.
func (a *attachment) end() {
	a.over = true
	if a.seized == 0 {
		if a.err = a.first; a.err == nil {
			a.err = &AttachError{PID: int(a.pid), Err: unix.ESRCH}
		}
	}
}

// attach seizes the threads of a process that are found now, or, when children are not followed, the one
// thread that its pid names. The threads stop, and start to be traced when the workers work. It reports whether
// there was anything new; there may be more until the attachment is over.
//
// A thread that is seized brings along all that it creates (PTRACE_O_TRACECLONE), but one that
// is not yet seized can create another behind the back of a listing. So list until nothing
// new turns up, nor anything that is gone already: it may have created another before. And not
// before those that are seized have stopped: a clone that began before the seize is not traced.
//
// Precondition: no worker works yet.
func (t *Tracer) attach(a *attachment, since time.Duration) (found bool) {
	switch {
	case a.group == int32(os.Getpid()):
		a.over, a.err = true, &AttachError{PID: int(a.pid), Err: unix.EPERM, Hint: ": a process cannot trace itself"}
		return false
	case a.seized == 0 && t.tracee(a.pid) != nil: // named twice
		a.over = true
		return false
	case !t.options.Follow:
		a.over, a.err = true, t.seizeThread(a.pid, a.group)
		return true
	}
	settled := t.haveStopped(a.tids)
	var err error
	a.tids, err = threadsOf(a.pid)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = unix.ESRCH
		}
		a.first = cmp.Or[error](a.first, &AttachError{PID: int(a.pid), Err: err, Hint: whyNoThreads()})
		a.end()
		return false
	}
	t.dropReplaced(a.group)
	for _, tid := range a.tids {
		if t.tracee(tid) != nil {
			continue
		}
		switch err := t.seizeThread(tid, a.group); {
		case err == nil && t.tracee(tid) != nil:
			a.seized++
			found = true
		case err == nil: // its first stop puts it into the table
		case errors.Is(err, unix.ESRCH), tid != a.group && isEnding(tid):
			found = true
		case a.isFirstRefusal(err, since):
			found = true
		case a.first == nil:
			a.first = err
		}
	}
	const atMost = 5 * time.Second
	if found && since < atMost {
		return true
	}
	// A listing ends early at a thread that ends meanwhile (fs/proc/base.c, next_tid).
	count, _ := strconv.Atoi(statusField(a.pid, "Threads"))
	switch {
	case settled && !found && len(a.tids) >= count && (a.first != nil || t.areTraced(a.tids)):
		a.end()
	case since >= atMost:
		if found {
			t.warn(profile.Warning{Kind: profile.ThreadsMissed, ID: int(a.pid)})
		}
		a.end()
	}
	return found
}

// areTraced reports whether all of these threads are, as far as they are not about to end: an execve in one
// that was not seized yet can have done away with all that were.
func (t *Tracer) areTraced(tids []int32) bool {
	return !slices.ContainsFunc(tids, func(tid int32) bool { return !t.isOurs(tracerOf(tid)) && !isEnding(tid) })
}

// dropReplaced drops the first thread of a process from its worker's table if another thread, which was not
// traced yet, has taken its place and its id by an execve: that one is not traced.
func (t *Tracer) dropReplaced(group int32) {
	tr := t.tracee(group)
	if tr == nil || t.isOurs(tracerOf(group)) || isEnding(group) {
		return
	}
	for _, w := range t.workers {
		if w.table.tracees[group] == tr {
			w.thread.do(func() { w.remove(tr) })
		}
	}
}

// tracee finds a thread in the tables of all workers.
//
// Precondition: no worker works yet.
func (t *Tracer) tracee(tid int32) *tracee {
	for _, w := range t.workers {
		if tr := w.table.tracees[tid]; tr != nil {
			return tr
		}
	}
	return nil
}

// haveStopped reports whether those of the threads that have been interrupted have stopped or died,
// as far as they can: the parent of a vfork sleeps until its child lets it go.
func (t *Tracer) haveStopped(tids []int32) bool {
	for _, tid := range tids {
		if tr := t.tracee(tid); tr == nil || !tr.interruptPending {
			continue
		}
		var info unix.Siginfo
		const look = unix.WEXITED | unix.WSTOPPED | unix.WALL | unix.WNOHANG | unix.WNOWAIT
		if err := unix.Waitid(unix.P_PID, int(tid), &info, look, nil); err != nil || info.Signo != 0 {
			continue
		}
		if strings.HasPrefix(statusField(tid, "State"), "R") {
			return false
		}
	}
	return true
}

// isEnding reports whether tid, which could not be seized, is gone or about to go: the kernel refuses
// a thread that is just ending with EPERM. (A process's first thread stays as a zombie.)
func isEnding(tid int32) bool {
	state := statusField(tid, "State")
	return state == "" || strings.ContainsAny(state[:1], "XZ")
}

// seizeThread seizes one thread for one of the workers and asks it to stop once, so that it can be
// resumed to its next system call.
//
// A seize waits while the process executes a program (kernel/ptrace.c, ptrace_attach: cred_guard_mutex), and that
// waits until all other threads are gone for good (fs/exec.c, de_thread): also for those that are traced
// already, until their tracer has been told of their ends. So somebody has to ask for these meanwhile.
//
// Precondition: no worker works yet.
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

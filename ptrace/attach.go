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
	"sysprof/syscalltab"
)

// AttachError is a process, or thread, that could not be attached to.
type AttachError struct {
	PID  int
	More []int // for which the same holds
	Err  error // a unix.Errno
	Hint string
}

func (e *AttachError) Error() string {
	const most = 8
	var more strings.Builder
	for _, pid := range e.More[:min(len(e.More), most)] {
		fmt.Fprintf(&more, ", %d", pid)
	}
	if left := len(e.More) - most; left > 0 {
		fmt.Fprintf(&more, " and %d more", left)
	}
	return fmt.Sprintf("attach %d%s: %v%s", e.PID, more.String(), e.Err, e.Hint)
}

func (e *AttachError) Unwrap() error { return e.Err }

// attachAll attaches to the processes that the options name. It returns an error if nothing is traced
// because of that.
//
// It attaches to all of them at the same time: where they compete for CPUs, the rest stops the sooner the more of them
// have stopped. Who has stopped stands still until all have been attached to. So the threads that there are at first
// are looked up before any is seized, as they run meanwhile, and then seized in one go, after which the CPUs are the
// tracer's.
func (t *Tracer) attachAll() error {
	var all []*attachment
	for i, pid := range slices.Concat(t.options.Attach, t.options.Found) {
		all = append(all, &attachment{pid: int32(pid), group: groupOf(int32(pid)), found: i >= len(t.options.Attach)})
	}
	const pause = 100 * time.Microsecond
	first := t.firstSeizures(all)
	if len(all) > 0 {
		t.run.begin(t.now())
	}
	t.seizeAll(first)
	for _, s := range first {
		if s.err == nil && t.tracee(s.tid) != nil {
			s.of.seized++
		}
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
			nap(pause)
		}
	}
	failures := t.failuresOf(all)
	threads, processes := 0, 0
	for _, a := range all {
		threads += a.seized
		processes += min(a.seized, 1)
	}
	switch {
	case len(all) > 0 && processes == 0 && t.options.Command == nil:
		if len(failures) == 0 {
			return errors.New("all processes that were found have ended, or are traced already")
		}
		return errors.Join(failures...)
	case processes > 0 && t.options.OnAttached != nil:
		t.options.OnAttached(threads, processes)
	}
	for _, err := range failures {
		if t.options.OnAttachFailed != nil {
			t.options.OnAttachFailed(err)
		}
		t.warn(profile.Warning{Kind: profile.AttachFailed, Text: err.Error()})
	}
	return nil
}

// failuresOf are those that are to be said.
func (t *Tracer) failuresOf(all []*attachment) (failures []error) {
	t.refused = make(map[string]bool)
	same := make(map[string]*AttachError)
	for _, a := range all {
		var err *AttachError
		switch {
		case a.err == nil:
			continue
		case !a.found || !errors.As(a.err, &err):
			failures = append(failures, a.err)
			continue
		case a.isNoFailure():
			continue
		}
		why := err.why()
		if first := same[why]; first != nil {
			first.More = append(first.More, err.PID)
			continue
		}
		same[why], t.refused[why] = err, true
		failures = append(failures, err)
	}
	return failures
}

// isNoFailure reports whether a process that was found and could not be attached to has ended meanwhile.
func (a *attachment) isNoFailure() bool {
	return errors.Is(a.err, unix.ESRCH) || isEnding(a.group) && !hasLiving(a.group)
}

// why is the error without the process.
func (e *AttachError) why() string { return e.Err.Error() + e.Hint }

// attachment is how far the attachment to one process is.
type attachment struct {
	pid, group int32
	found      bool    // rather than named
	tids       []int32 // as listed last
	seized     int
	first      error // why the first thread that could not be seized could not
	refusals   int
	refused    time.Duration // when the first one came
	over       bool
	err        error
}

// firstSeizures are those of all threads that there are before anything is seized, each thread once. (What else there
// is to attach, and what cannot be, is found out afterwards.)
func (t *Tracer) firstSeizures(all []*attachment) (first []*seizure) {
	chosen := make(map[int32]bool)
	for _, a := range all {
		switch {
		case a.group == int32(os.Getpid()):
			continue
		case t.options.Follow:
			a.tids, _ = threadsOf(a.pid)
		default:
			a.tids = []int32{a.pid}
		}
		for _, tid := range a.tids {
			if !chosen[tid] {
				chosen[tid] = true
				first = append(first, t.newSeizure(tid, a))
			}
		}
	}
	return first
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

// attach seizes the threads of a process that are found now, or, when children are not followed, the one
// thread that its pid names. The threads stop, and start to be traced when the workers wait for stops. It reports
// whether there was anything new; there may be more until the attachment is over.
//
// A thread that is seized brings along all that it creates (PTRACE_O_TRACECLONE), but one that
// is not yet seized can create another behind the back of a listing. So threads are listed until nothing
// new turns up, nor anything that is gone already, which may have created another before. And they are listed until
// those that are seized have stopped: a clone that began before the seize is not traced.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) attach(a *attachment, since time.Duration) (found bool) {
	switch {
	case a.group == int32(os.Getpid()):
		a.over, a.err = true, &AttachError{PID: int(a.pid), Err: unix.EPERM, Hint: ": a process cannot trace itself"}
		return false
	case a.seized == 0 && t.tracee(a.pid) != nil: // named twice
		a.over = true
		return false
	case !t.options.Follow:
		a.over = true
		if a.seized == 0 {
			a.err = t.seizeThread(a.pid, a)
		}
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
	found = t.seizeListed(a, since)
	const atMost = 5 * time.Second
	switch {
	case since >= atMost:
		if found {
			t.warn(profile.Warning{Kind: profile.ThreadsMissed, ID: int(a.pid)})
		}
		a.end()
	case !found && settled && t.isComplete(a):
		a.end()
	}
	return found
}

// seizeListed seizes those of the listed threads that are no tracees. It reports whether there was anything new.
func (t *Tracer) seizeListed(a *attachment, since time.Duration) (found bool) {
	for _, tid := range a.tids {
		if t.tracee(tid) != nil {
			continue
		}
		switch err := t.seizeThread(tid, a); {
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
	return found
}

// isComplete reports whether all threads of the process are listed, and traced unless one was refused.
func (t *Tracer) isComplete(a *attachment) bool {
	// A listing ends early at a thread that ends meanwhile (fs/proc/base.c, next_tid).
	count, _ := strconv.Atoi(statusField(a.pid, "Threads"))
	return len(a.tids) >= count && (a.first != nil || t.areTraced(a.tids))
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
			w.thread.do(func() { w.drop(tr) }) // nothing of it was handed to the sink
		}
	}
}

// tracee finds a thread in the tables of all workers.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) tracee(tid int32) *tracee {
	for _, w := range t.workers {
		if tr := w.table.tracees[tid]; tr != nil {
			return tr
		}
	}
	return nil
}

// haveStopped reports whether those of the threads that have been interrupted have stopped or died,
// unless they cannot create another one before they do.
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
		if t.mayBeCloning(tid) {
			return false
		}
	}
	return true
}

// mayBeCloning reports whether a thread that has not answered an interrupt yet may be in the middle of a clone that began before.
// It runs, or waits for what the kernel needs (a lock, memory). Then there is nothing to be seen of what it creates, whereas
// the parent of a vfork and a thread that is frozen sleep as well, for as long as it takes, when their child is listed.
func (t *Tracer) mayBeCloning(tid int32) bool {
	for {
		switch stateOf(tid) {
		case 'R':
			return true
		case 'D':
			call, ok := sleepingCall(tid)
			if ok && !t.creates(call.nr) {
				return false
			}
			switch placeOf(tid) {
			case "": // it has gone on, or this kernel does not tell
				if stateOf(tid) == 'D' {
					return false
				}
			case "kernel_clone", "_do_fork", "wait_for_vfork_done", "__refrigerator": // behind what creates, in kernel/fork.c
				return false
			default:
				return true
			}
		default:
			return false
		}
	}
}

// creates reports whether a call, by its number, may be one that creates threads or processes. Some numbers are another
// call's in another ABI, which must not be taken for one where it sleeps as long as a disk or a server lets it.
func (t *Tracer) creates(nr uint64) bool {
	for i, abi := range syscalltab.Native() {
		s := &t.special[abi]
		if nr == s.clone || nr == s.clone3 || i == 0 && (nr == s.fork || nr == s.vfork) {
			return true
		}
	}
	return false
}

// isEnding reports whether tid, which could not be seized, is gone or about to go: the kernel refuses
// a thread that is just ending with EPERM. (A process's first thread stays as a zombie.)
func isEnding(tid int32) bool {
	state := statusField(tid, "State")
	return state == "" || strings.ContainsAny(state[:1], "XZ")
}

package ptrace

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// worker is one tracer thread, with the tracees that it has seized and those that they create. The kernel
// accepts a ptrace request only from the thread that attached, so nothing of a worker but what has a lock
// or an atomic type is touched by any other thread once it works.
type worker struct {
	*Tracer
	tid atomic.Int32

	tracees  map[int32]*tracee // by tid
	spare    []*tracee
	last     *tracee // of the last stop
	holders  int     // tracees that stand at an entry-stop until another one is detached
	info     syscallInfo
	userRegs userRegs
	iov      unix.Iovec
	entry    EntryStop
	siginfo  signalInfo
	waiting  waiting
	placing  placing
	filtering
	onCall func(*profile.Call)

	resumedNs int64  // when any of its tracees was resumed last
	stops     uint64 // that it has dealt with, of calls

	line      []stop // reported together; not dealt with yet, but for …
	served    int    // … so many
	inLine    bool   // the stop that is dealt with has stood in line
	sinceLine int    // stops

	jobs chan func()   // what it does before it works
	gone chan struct{} // closed when its thread has ended

	mail struct {
		sync.Mutex
		letters []func()
	}
}

// newWorker starts a thread that does as it is told until it is told to work.
func (t *Tracer) newWorker() *worker {
	w := &worker{
		Tracer:  t,
		tracees: make(map[int32]*tracee),
		jobs:    make(chan func()),
		gone:    make(chan struct{}),
		onCall:  func(*profile.Call) {},
	}
	w.placing.home = -1
	if t.options.Sink != nil {
		w.onCall = t.options.Sink.Feed()
	}
	t.workers = append(t.workers, w)
	onOwnThread(func() {
		w.tid.Store(int32(unix.Gettid()))
		if err := prepareSignals(); err != nil {
			t.fail(err)
		}
		w.waiting.timer = newKicker(w.tid.Load())
		for job := range w.jobs {
			job()
		}
		w.loop()
		w.leave()
	}, func() { close(w.gone) })
	return w
}

// do does a job on the worker's thread, and waits for its end.
//
// Precondition: the worker does not work yet.
func (w *worker) do(job func()) {
	done := make(chan struct{})
	w.jobs <- func() { job(); close(done) }
	<-done
}

// work lets the worker wait for stops.
func (w *worker) work() { close(w.jobs) }

// post has a letter read on the worker's thread, if it still works. It does not wait for that.
func (w *worker) post(letter func()) {
	w.mail.Lock()
	w.mail.letters = append(w.mail.letters, letter)
	w.mail.Unlock()
	go func() {
		// The signal gets lost if it comes just before the thread enters wait4.
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for w.hasMail() {
			wake(w.tid.Load())
			select {
			case <-w.gone:
				return
			case <-again.C:
			}
		}
	}()
}

func (w *worker) hasMail() bool {
	w.mail.Lock()
	defer w.mail.Unlock()
	return len(w.mail.letters) > 0
}

// readMail does what others want done on this thread.
func (w *worker) readMail() {
	w.mail.Lock()
	letters := w.mail.letters
	w.mail.letters = nil
	w.mail.Unlock()
	for _, letter := range letters {
		letter()
	}
}

// loop deals with stops, one after the other, until there are none to come.
func (w *worker) loop() {
	for w.goesOn() && w.step() {
	}
	// Whoever has been told of a stop has to deal with it, or a signal that it brings is lost.
	for len(w.line) > 0 {
		w.next()
	}
}

// step waits for one stop and deals with it. It reports whether there may be more.
func (w *worker) step() bool {
	if len(w.line) > 0 {
		w.next()
		return true
	}
	var status unix.WaitStatus
	tid, err := w.wait(&status)
	switch err {
	case 0:
	case unix.EINTR:
		w.readMail()
		w.kicked()
		return true
	case unix.ECHILD:
		return false
	default:
		w.fail(fmt.Errorf("wait for a stop: %w", err))
		return false
	}
	if w.sinceLine++; w.sinceLine >= fairAfter && len(w.tracees) > 1 {
		w.standInLine(tid, status)
		return true
	}
	w.reported(int32(tid), status)
	return true
}

// stop is what wait4 has reported.
type stop struct {
	tid    int32
	status unix.WaitStatus
}

// fairAfter is how many stops are dealt with at most before one that the kernel has had to report for longer.
const fairAfter = 16

// standInLine has everybody who has stopped stand in line behind the first one. A wait for any tracee
// reports the first one of the kernel's list that has stopped, which may be the same few for ever: those who
// make their next call while the last one of another is dealt with.
func (w *worker) standInLine(tid int, status unix.WaitStatus) {
	w.sinceLine = 0
	for tid > 0 {
		w.line = append(w.line, stop{int32(tid), status})
		tid, _ = w.look(&status)
	}
}

// next deals with the first stop in line.
func (w *worker) next() {
	first := w.line[w.served]
	w.inLine = w.served > 0
	if w.served++; w.served == len(w.line) {
		w.line, w.served = w.line[:0], 0
	}
	w.reported(first.tid, first.status)
	w.inLine = false
}

// reported deals with what wait4 has reported.
func (w *worker) reported(tid int32, status unix.WaitStatus) {
	if tr := w.lookup(tid); tr != nil {
		w.stopped(tr, status)
	} else {
		w.strangerStopped(tid, status)
	}
}

// leave hands on the calls that are in flight. The thread exits next, and that detaches all.
func (w *worker) leave() {
	w.waiting.close()
	if w.placement != nil {
		w.releaseAllPlaced()
	}
	switch {
	case w.silent:
	case w.stopping.Load():
		w.handOver(profile.Detached)
	default:
		w.handOver(profile.Replaced) // no tracee is left: its death was not reported, see replaced
	}
}

// handOver hands on the calls that are in flight at the end.
func (w *worker) handOver(why profile.Ending) {
	w.leftNs.Store(w.now())
	for _, tr := range w.tracees {
		w.unfinished(tr, why)
		if why == profile.Replaced {
			w.forget(tr)
		}
	}
}

// onOwnThread runs work on an OS thread that nothing else uses and that exits with it, and calls
// after once that thread is gone for the kernel, too.
func onOwnThread(work, after func()) {
	placed := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread with the goroutine
		tid := unix.Gettid()
		if tid == unix.Getpid() || hasChildren(tid) {
			// As long as this goroutine holds a thread, another one finds itself elsewhere.
			//
			// The first thread of a process does not exit before the process does. And to one that has
			// forked a process before, wait4 reports the stops of that process whichever thread of ours
			// traces it (kernel/exit.c, wait_consider_task).
			onOwnThread(work, after)
			runtime.UnlockOSThread()
			close(placed)
			return
		}
		close(placed)
		defer func() {
			go func() {
				for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
					time.Sleep(50 * time.Microsecond)
				}
				after()
			}()
		}()
		work()
	}()
	<-placed
}

// hasChildren reports whether a thread of this process has children of its own.
func hasChildren(tid int) bool {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", tid))
	return len(children) > 0
}

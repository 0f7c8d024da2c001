package ptrace

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// thread is the OS thread of a worker, with the mailbox of what other threads want done on it.
type thread struct {
	tid     atomic.Int32
	gone    chan struct{} // closed when the thread has ended
	arrived chan struct{} // tells a thread that does not wait for stops yet that there may be letters

	mail atomic.Bool // there are letters

	mu      sync.Mutex // guards what follows
	letters []func()
	inWait4 bool // the thread waits for stops: it takes a signal to make it read its mail
}

// start starts the thread. It reads mail until waitForStops is called, then does work, and exits.
func (th *thread) start(prepare, work func()) {
	th.gone = make(chan struct{})
	th.arrived = make(chan struct{}, 1)
	onOwnThread(func() {
		th.tid.Store(int32(unix.Gettid()))
		prepare()
		for !th.waitsForStops() {
			<-th.arrived
			th.readMail()
		}
		th.readMail() // what came just before it would have taken a signal
		work()
	}, func() { close(th.gone) })
}

// do has a job done on the thread, and waits for its end.
//
// Precondition: the caller is another thread.
func (th *thread) do(job func()) {
	done := make(chan struct{})
	th.post(func() { job(); close(done) })
	<-done
}

// ask is do for a thread that may have ended: then the job is not done.
func (th *thread) ask(job func()) {
	done := make(chan struct{})
	th.post(func() { job(); close(done) })
	select {
	case <-done:
	case <-th.gone:
	}
}

// awaitMail waits until there are letters, and reads them.
//
// Precondition: the caller is the thread, which waits for stops otherwise.
func (th *thread) awaitMail() {
	th.mu.Lock()
	th.inWait4 = false
	empty := len(th.letters) == 0
	th.mu.Unlock()
	if empty {
		<-th.arrived
	}
	th.mu.Lock()
	th.inWait4 = true
	th.mu.Unlock()
	th.readMail()
}

// waitForStops has the thread wait for stops from now on.
func (th *thread) waitForStops() {
	th.post(func() {
		th.mu.Lock()
		th.inWait4 = true
		th.mu.Unlock()
	})
}

func (th *thread) waitsForStops() bool {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.inWait4
}

// post has a letter read on the thread, if that still reads letters. It does not wait for that.
func (th *thread) post(letter func()) {
	th.mu.Lock()
	th.letters = append(th.letters, letter)
	th.mail.Store(true)
	first, inWait4 := len(th.letters) == 1, th.inWait4
	th.mu.Unlock()
	if !inWait4 {
		select {
		case th.arrived <- struct{}{}:
		default: // it has not looked yet since the last letter
		}
		return
	}
	wake(th.tid.Load())
	if !first {
		return // somebody sees to it already
	}
	go func() {
		// The signal gets lost if it comes just before the thread enters wait4.
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for th.hasMail() {
			select {
			case <-th.gone:
				return
			case <-again.C:
			}
			wake(th.tid.Load())
		}
	}()
}

func (th *thread) hasMail() bool {
	th.mu.Lock()
	defer th.mu.Unlock()
	return len(th.letters) > 0
}

// readMail does what others want done on this thread.
func (th *thread) readMail() {
	th.mu.Lock()
	letters := th.letters
	th.letters = nil
	th.mail.Store(false)
	th.mu.Unlock()
	for _, letter := range letters {
		letter()
	}
}

// onOwnThread runs work on an OS thread that nothing else uses and that exits with it, and calls
// after once that thread is gone for the kernel, too.
func onOwnThread(work, after func()) {
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread with the goroutine
		tid := unix.Gettid()
		if tid == unix.Getpid() || hasChildren(tid) {
			// As long as this goroutine keeps the thread, another one finds itself elsewhere.
			//
			// The first thread of a process does not exit before the process does. And to one that has
			// forked a process before, wait4 reports the stops of that process whichever thread of ours
			// traces it (kernel/exit.c, wait_consider_task).
			onOwnThread(work, after)
			runtime.UnlockOSThread()
			close(started)
			return
		}
		close(started)
		defer func() {
			go func() {
				for unix.Tgkill(unix.Getpid(), tid, 0) == nil {
					nap(50 * time.Microsecond)
				}
				after()
			}()
		}()
		work()
	}()
	<-started
}

// hasChildren reports whether a thread of this process has children of its own.
func hasChildren(tid int) bool {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", tid))
	return len(children) > 0
}

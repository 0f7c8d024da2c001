package session

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// released is a command that nothing traces.
type released struct {
	held   *ptrace.Held
	engine *kernelEngine
	ended  chan struct{}
	status unix.WaitStatus // valid when ended is closed

	mu     sync.Mutex
	passed map[syscall.Signal]time.Time // until when signals that it got itself have been told from ours
}

func newReleased(e *kernelEngine) *released {
	r := &released{held: e.held, engine: e, ended: make(chan struct{}), passed: make(map[syscall.Signal]time.Time)}
	go func() {
		r.status = r.held.Await()
		close(r.ended)
	}()
	return r
}

func (r *released) PID() int               { return r.held.PID() }
func (r *released) Ended() <-chan struct{} { return r.ended }

func (r *released) Status() (status unix.WaitStatus, ended bool) {
	select {
	case <-r.ended:
		return r.status, true
	default:
		return 0, false
	}
}

// PassOn gives the command a signal unless it was sent it as well, which the kernel has noted. One for several processes
// is sent to one after the other, and that is over in no time.
func (r *released) PassOn(sig syscall.Signal, at time.Time) {
	const soon, before, nap = 50 * time.Millisecond, time.Second, time.Millisecond
	for {
		if r.gotItself(sig, at.Add(-before)) {
			return
		}
		if time.Since(at) >= soon {
			break
		}
		time.Sleep(nap)
	}
	r.held.Signal(sig)
}

// gotItself reports whether the command was sent a signal since then, and says so of it only once.
func (r *released) gotItself(sig syscall.Signal, since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if told := r.passed[sig]; told.After(since) {
		since = told
	}
	if !r.engine.signalled(sig, since) {
		return false
	}
	r.passed[sig] = time.Now()
	return true
}

// Await waits for the end, and passes on signals meanwhile.
func (r *released) Await(signals <-chan os.Signal) (status unix.WaitStatus, ended bool) {
	for {
		select {
		case <-r.ended:
			return r.status, true
		case sig := <-signals:
			if sig != syscall.SIGXCPU { // that is about this process's own limit
				r.held.Signal(sig.(syscall.Signal))
			}
		}
	}
}

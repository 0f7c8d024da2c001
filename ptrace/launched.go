package ptrace

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Launched is the command that a Tracer has launched.
type Launched struct {
	start     time.Time                        // when the clock of delivered stood at 0
	haste     *Haste                           // which the command does not inherit
	tracer    *thread                          // set before pid
	pid       atomic.Int32                     // 0 until it is forked
	delivered [raw.LastSignal + 1]atomic.Int64 // when a signal from elsewhere last reached it, 0 if none did
	ended     chan struct{}
	status    unix.WaitStatus // valid when ended is closed

	gone  chan struct{} // closed when its process is gone, or there is none
	letGo func()        // closes gone
}

func newLaunched(start time.Time, haste *Haste) *Launched {
	l := &Launched{start: start, haste: haste, ended: make(chan struct{}), gone: make(chan struct{})}
	l.letGo = sync.OnceFunc(func() { close(l.gone) })
	return l
}

// fork forks the command, by a thread that is its parent, and does nothing else, for as long as this process and the
// command live.
//
// A process that has asked for a signal when its parent ends gets it when the thread ends that has forked it
// (prctl(2), PR_SET_PDEATHSIG; kernel/exit.c, forget_original_parent): it must not be the tracer thread, which ends with
// the tracing. Nor must it become one: a wait4 of the parent's would take the stops of the command. When this process
// ends, the command gets the signal, as it would if a shell had started it and ended.
func (l *Launched) fork(plan *childPlan) (pid int32, err error) {
	forked := make(chan struct{})
	onOwnThread(func() {
		l.haste.Calmly(func() { pid, err = plan.fork() })
		close(forked)
		if err == nil {
			<-l.gone
		}
	}, func() {})
	<-forked
	return pid, err
}

// PID returns its process.
func (l *Launched) PID() int { return int(l.pid.Load()) }

// Ended is closed when the command itself has ended, whoever else is still traced. It is not if tracing ends first.
func (l *Launched) Ended() <-chan struct{} { return l.ended }

// Status returns the command's wait status. It reports false if the command's end was not seen.
func (l *Launched) Status() (status unix.WaitStatus, ended bool) {
	if !l.hasEnded() {
		return 0, false
	}
	return l.status, true
}

// Signal sends sig to the command, unless it has ended.
func (l *Launched) Signal(sig syscall.Signal) {
	if !l.hasEnded() {
		unix.Kill(l.PID(), sig)
	}
}

// PassOn gives the command a signal that this process got at a time, unless the command got it as well, or blocks
// it. A signal that came from the terminal, or was sent to the process group, has reached both. It takes up to a
// second.
func (l *Launched) PassOn(sig syscall.Signal, at time.Time) {
	// A signal for several processes is sent to one after the other. That is over in no time, but on
	// a busy machine this process hears of its own long after the command has had the other.
	const soon, late = 50 * time.Millisecond, time.Second
	pending := false
	for time.Since(at) < soon || pending && time.Since(at) < late {
		if l.wasDelivered(sig, at.Add(-late)) {
			return
		}
		pending = pending || l.isPending(sig)
		time.Sleep(time.Millisecond)
	}
	if pending {
		return
	}
	l.seeStops(late)
	if !l.wasDelivered(sig, at.Add(-late)) {
		l.Signal(sig)
	}
}

// seeStops waits until its tracer thread has seen what it has stopped for by now: one that waits for a CPU may not have
// seen yet that a signal has reached the command.
func (l *Launched) seeStops(patience time.Duration) {
	seen := make(chan struct{})
	l.tracer.post(func() { close(seen) }) // such letters are read when there is no stop to be seen
	select {
	case <-seen:
	case <-l.tracer.gone:
	case <-time.After(patience):
	}
}

// Await waits for the end of a command that is not traced any more, and passes on signals meanwhile. It reports
// false if this process is not told of the end.
//
// Precondition: the command's end has not been seen, and the tracer is done.
func (l *Launched) Await(signals <-chan os.Signal) (status unix.WaitStatus, ended bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, err := unix.Wait4(l.PID(), &status, 0, nil)
			if err != unix.EINTR {
				ended = err == nil
				return
			}
		}
	}()
	for {
		select {
		case <-done:
			l.letGo()
			return status, ended
		case sig := <-signals:
			if sig != syscall.SIGXCPU { // that is about this process's own limit
				l.Signal(sig.(syscall.Signal))
			}
		}
	}
}

// is reports whether a process is the command. A nil Launched is none.
func (l *Launched) is(pid int32) bool { return l != nil && l.pid.Load() == pid }

// hasEnded reports whether the command's end has been seen.
func (l *Launched) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// end keeps the command's wait status.
//
// Precondition: the caller is the only tracer thread that traces the command.
func (l *Launched) end(status unix.WaitStatus) {
	if !l.hasEnded() {
		l.status = status
		close(l.ended)
		l.letGo()
	}
}

// wasDelivered reports whether sig has reached the command, from anyone but this process,
// since a time. It says so of a delivery only once.
func (l *Launched) wasDelivered(sig syscall.Signal, since time.Time) bool {
	at := l.delivered[sig].Load()
	return at != 0 && at >= int64(since.Sub(l.start)) && l.delivered[sig].CompareAndSwap(at, 0)
}

// isPending reports whether sig waits for the command, which blocks it.
func (l *Launched) isPending(sig syscall.Signal) bool {
	for _, field := range []string{"SigPnd", "ShdPnd"} {
		if statusSet(l.pid.Load(), field)&(1<<(sig-1)) != 0 {
			return true
		}
	}
	return false
}

package ptrace

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiting is how the tracer thread waits, which is a matter of 1.2 µs a call (bench/, in a loop of
// getppid on one CPU: 6.4 µs with unix.Wait4, 5.2 with a raw wait4).
//
// unix.Wait4 tells the Go scheduler before and after. That costs 0.2 µs a call. And as nothing ever
// reschedules this goroutine, the scheduler's monitor finds every 10 ms that it has run for too
// long, takes its P away while it waits, and gets into its fastest rhythm, of 20 µs, for having found
// something (Go 1.26, runtime.retake): another 1.0 µs a call where the monitor shares its CPU.
//
// A raw wait4 has none of that, but keeps the P, and whoever stops the world waits for it. So it
// must not last: a timer interrupts it every kickEvery, and if no stop came between two kicks the
// tracer waits in the ordinary way until stops come fast again. The timer is needed for those who are placed,
// too (watchPlaced).
type waiting struct {
	raw   bool
	timer int32 // of timer_create(2); -1: there is none
	armed bool  // it kicks
	seen  int   // stops since the last kick
	stops int   // while not raw: since the last pause …
	since int64 // … which was then
}

const (
	kickEvery = 10_000_000 // ns; as long as the runtime lets a goroutine run (forcePreemptNS)
	fast      = 16         // that many stops within kickEvery make it worth setting the timer
)

// wait waits for one stop of any tracee.
func (w *worker) wait(status *unix.WaitStatus) (int, unix.Errno) {
	wait := &w.waiting
	if wait.raw {
		// __WNOTHREAD: the children of other threads of this process are not ours, and the kernel
		// need not look through those threads for them.
		tid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(status)),
			unix.WALL|unix.WNOTHREAD, 0, 0, 0)
		if errno == 0 {
			wait.seen++
		}
		return int(tid), errno
	}
	tid, err := unix.Wait4(-1, status, unix.WALL|unix.WNOTHREAD, nil)
	if err != nil {
		errno, _ := err.(unix.Errno)
		return tid, errno
	}
	wait.seen++
	if wait.stops++; wait.stops >= fast {
		now := w.now()
		if now-wait.since < kickEvery {
			wait.raw = wait.keepTime()
		}
		wait.stops, wait.since = 0, now
	}
	return tid, 0
}

// kicked is called when the timer, or somebody else, has broken off the wait.
func (w *worker) kicked() {
	wait := &w.waiting
	idle := wait.seen == 0
	wait.seen = 0
	if w.placing.home >= 0 {
		w.watchPlaced(idle)
	}
	if idle {
		w.rest()
	}
}

// rest ends what is done for stops that come fast.
func (w *worker) rest() {
	wait := &w.waiting
	wait.raw = false
	if w.placing.home < 0 && wait.armed {
		setKicker(wait.timer, 0)
		wait.armed = false
	}
}

// keepTime lets the timer kick. It reports whether it does.
func (w *waiting) keepTime() bool {
	if !w.armed && w.timer >= 0 {
		w.armed = setKicker(w.timer, kickEvery)
	}
	return w.armed
}

// look is wait for those who have stopped already: it returns 0 if nobody has.
func (w *worker) look(status *unix.WaitStatus) (int, unix.Errno) {
	tid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(status)),
		unix.WALL|unix.WNOTHREAD|unix.WNOHANG, 0, 0, 0)
	return int(tid), errno
}

// newKicker makes a timer that sends wakeSignal to thread tid; -1 if that cannot be had.
func newKicker(tid int32) int32 {
	// struct sigevent: sigev_value, sigev_signo, sigev_notify, sigev_notify_thread_id, padding.
	const sigevThreadID = 4
	event := struct {
		value         uint64
		signo, notify int32
		tid           int32
		_             [11]int32
	}{signo: wakeSignal, notify: sigevThreadID, tid: tid}
	id := int32(-1)
	_, _, errno := syscall.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return -1
	}
	return id
}

// close deletes the timer.
func (w *waiting) close() {
	if w.timer >= 0 {
		syscall.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(w.timer), 0, 0)
	}
}

// setKicker makes the timer go off every so many nanoseconds, or never if that is 0.
func setKicker(timer int32, everyNs int64) bool {
	every := [2]unix.Timespec{unix.NsecToTimespec(everyNs), unix.NsecToTimespec(everyNs)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(timer), 0,
		uintptr(unsafe.Pointer(&every)), 0, 0, 0)
	return errno == 0
}

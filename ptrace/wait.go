package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// waiter is how a tracer thread waits for stops, which is a matter of 1.2 µs a call (bench/, in a loop of
// getppid on one CPU: 6.4 µs with unix.Wait4, 5.2 with a raw wait4).
//
// unix.Wait4 tells the Go scheduler before and after. That costs 0.2 µs a call. And as nothing ever
// reschedules this goroutine, the scheduler's monitor finds every 10 ms that it has run for too
// long, takes its P away while it waits, and gets into its fastest rhythm, of 20 µs, for having found
// something (Go 1.26, runtime.retake): another 1.0 µs a call where the monitor shares its CPU.
//
// A raw wait4 has none of that, but keeps the P, and a garbage collection, or whatever else stops the world, waits for it. So it
// must not last: a timer interrupts it every tickNs, and if no stop came between two ticks the
// tracer waits in the ordinary way until stops come fast again. Pinned tracees need the timer, too
// (place.Home.Tick).
type waiter struct {
	raw   bool
	timer int32 // of timer_create(2); −1: there is none
	armed bool  // the timer ticks
	seen  int   // stops since the last tick
	stops int   // while not raw, since sinceNs
	since int64 // when the last pause, of so many stops, was
}

const (
	tickNs    = 10_000_000 // as long as the runtime lets a goroutine run (forcePreemptNS)
	fastStops = 16         // that many stops within tickNs make it worth setting the timer
)

// open makes the timer.
//
// Precondition: the caller is the tracer thread.
func (w *waiter) open() {
	w.timer = -1
	if id, err := raw.NewTimer(int32(unix.Gettid()), wakeSignal); err == nil {
		w.timer = id
	}
}

// close deletes the timer.
func (w *waiter) close() {
	if w.timer >= 0 {
		raw.DeleteTimer(w.timer)
	}
}

// wait waits for one stop of any tracee of the calling thread's.
func (w *waiter) wait(status *unix.WaitStatus, t *Tracer) (int32, unix.Errno) {
	if w.raw {
		tid, errno := raw.Wait(status)
		if errno == 0 {
			w.seen++
		}
		return tid, errno
	}
	tid, err := unix.Wait4(-1, status, unix.WALL|unix.WNOTHREAD, nil)
	if err != nil {
		errno, _ := err.(unix.Errno)
		return int32(tid), errno
	}
	w.seen++
	if w.stops++; w.stops >= fastStops {
		now := t.now()
		if now-w.since < tickNs {
			w.raw = w.keepTime()
		}
		w.stops, w.since = 0, now
	}
	return int32(tid), 0
}

// keepTime has the timer tick. It reports whether it does.
func (w *waiter) keepTime() bool {
	if !w.armed && w.timer >= 0 {
		w.armed = raw.SetTimer(w.timer, tickNs) == nil
	}
	return w.armed
}

// tick takes note that the wait has been interrupted. It reports whether no stop came since the last time.
func (w *waiter) tick() (idle bool) {
	idle = w.seen == 0
	w.seen = 0
	return idle
}

// rest waits in the ordinary way from now on. If the timer is not needed otherwise, it stops.
func (w *waiter) rest(timerIsNeeded bool) {
	w.raw = false
	if w.armed && !timerIsNeeded {
		raw.SetTimer(w.timer, 0)
		w.armed = false
	}
}

// interrupted is called when the timer, or another thread, has interrupted the wait.
func (w *worker) interrupted() {
	idle := w.waiter.tick()
	if w.home.HasCPU() {
		now := w.t.now()
		w.home.Tick(idle, func(tid int32) int64 {
			if tr := w.table.tracees[tid]; tr != nil && !tr.inCall {
				return now - tr.call.ExitResumedNs
			}
			return 0
		})
	}
	if idle {
		w.rest()
	}
}

// rest ends what is done for stops that come fast.
func (w *worker) rest() { w.waiter.rest(w.home.HasCPU()) }

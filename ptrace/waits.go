package ptrace

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// waits finds out how long a tracee, and its tracer thread, have waited for a CPU, from their schedstat files. A read
// takes 0.7 µs, so that they are read where it tells something: at every control, and where an interval was
// longThanNs longer than it takes to stop. Not of stops that stood in line, though: where many threads want the tracer
// most do, and how long such a call took is not taken from it anyway.
type waits struct {
	own      schedstat
	ownNs    int64  // how long the tracer thread had waited when its file was read last
	ownStops int32  // of all tracees since then
	files    *quota // of tracees. Those beyond are not looked at.
}

// longerNs is by how much an interval has to be longer than a stop takes for the files to be read. On a quiet machine
// 1 in 200 transits is. Where a stop takes long so does what a program does once between two of them, and it is three stops:
// of a shell that runs true, with 11 µs a stop, half of all intervals were more than 15 µs longer.
const longerNs = 15_000

// traceeWaits is what is known of one tracee.
type traceeWaits struct {
	stat  schedstat
	last  schedTimes
	atNs  int64 // when last was read
	stops int32 // of the thread since then
	mixed bool  // what its call waits would be mixed up with what the thread waited before: its entry-stop stood in line

	ownNs    int64 // waits.ownNs when the thread was resumed last
	ownStops int32
}

// schedstat is an open /proc/TID/schedstat. The zero value is none.
type schedstat struct{ fd int }

// schedTimes is what it says: how long the thread has run, and has waited for a CPU while it could run.
type schedTimes struct{ ranNs, waitedNs int64 }

func openSchedstat(tid int32) (s schedstat) {
	if fd, err := unix.Open(fmt.Sprintf("/proc/%d/schedstat", tid), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		s.fd = fd
	}
	return s
}

func (s *schedstat) close() {
	if s.fd != 0 {
		unix.Close(s.fd)
		s.fd = 0
	}
}

// read reports false if nothing is known.
func (s *schedstat) read() (t schedTimes, ok bool) {
	if s.fd == 0 {
		return t, false
	}
	var text [64]byte
	n, err := unix.Pread(s.fd, text[:], 0)
	if err != nil || n == 0 {
		return t, false
	}
	t.ranNs = firstNumber(text[:n])
	for i, b := range text[:n] {
		if b == ' ' {
			t.waitedNs = firstNumber(text[i+1 : n])
			return t, true
		}
	}
	return t, false
}

// resumed takes note that a tracee is resumed.
func (w *waits) resumed(tr *tracee) {
	tr.waits.ownNs, tr.waits.ownStops = w.ownNs, w.ownStops
}

// stopped counts a stop.
func (w *waits) stopped(tr *tracee) {
	w.ownStops++
	tr.waits.stops++
}

// isLong reports whether it is worth reading how long tr and its tracer waited in an interval.
func (w *worker) isLong(intervalNs int64) bool {
	usualNs := w.controls.usualNs
	return w.controls.mode != ControlsOff && intervalNs > usualNs+max(longerNs, 3*min(usualNs, longerNs))
}

// looksFromFirst reports whether threads are looked at when they enter their first call.
func (w *worker) looksFromFirst() bool {
	return w.t.options.LookFromFirst && w.controls.mode != ControlsOff
}

// lookIfHeld reads how long the tracer thread has waited, if it may have done so while tr stood at a stop, from which it is
// resumed at nowNs: that is no part of what comes then.
func (w *worker) lookIfHeld(tr *tracee, heldNs, nowNs int64) {
	switch {
	case heldNs <= longerNs:
	case w.looksFromFirst():
		w.waits.since(tr, nowNs)
	case w.controls.mode != ControlsOff:
		w.waits.look()
	}
}

func (w *waits) look() {
	if own, ok := w.own.read(); ok {
		w.ownNs, w.ownStops = own.waitedNs, 0
	}
}

// since reads how long tr waited since it was looked at last, and its tracer thread since tr was resumed. tr stands at
// a stop that was seen at nowNs.
func (w *waits) since(tr *tracee, nowNs int64) (since profile.Waits) {
	w.look()
	t := &tr.waits
	since.TracerNs = w.ownNs - t.ownNs
	since.TracerStops = t.ownStops + 1
	if t.stat.fd == 0 {
		if !w.files.take() {
			return since
		}
		if t.stat = openSchedstat(tr.call.TID); t.stat.fd == 0 {
			w.files.give()
			return since
		}
		t.last, _ = t.stat.read()
		t.atNs, t.stops = nowNs, 0
		return since
	}
	now, ok := t.stat.read()
	if !ok {
		return since
	}
	since.Known = true
	since.Stops = t.stops
	since.SinceNs = nowNs - t.atNs
	since.RanNs, since.WaitedNs = now.ranNs-t.last.ranNs, now.waitedNs-t.last.waitedNs
	t.last, t.atNs, t.stops = now, nowNs, 0
	return since
}

// close is told that tr is traced no more.
func (w *waits) close(tr *tracee) {
	if tr.waits.stat.fd != 0 {
		w.files.give()
		tr.waits.stat.close()
	}
}

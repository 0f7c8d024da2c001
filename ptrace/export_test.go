package ptrace

import (
	"runtime"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// HasAlarm reports whether threads can be left asleep here, and whether it is breakpoints that tell of their wakes.
func HasAlarm() (has, breakpoints bool) {
	found := make(chan alarmKind)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, with the signals that it has blocked
		raw.Block(fireSignal)
		raw.Block(overflowSignal)
		found <- workingAlarm(int32(unix.Gettid()))
	}()
	kind := <-found
	return kind != noAlarm, kind == atReturn
}

// WithoutBreakpoints has tracers that are started do without, until undo is called.
func WithoutBreakpoints() (undo func()) {
	former := alarmKinds
	alarmKinds = []alarmKind{atRun}
	return func() { alarmKinds = former }
}

// Alarms returns who is told by alarms, by which signal, and the descriptors of those that are set.
func (t *Tracer) Alarms() (tid int32, sig unix.Signal, fds []int) {
	t.lookout.mu.Lock()
	defer t.lookout.mu.Unlock()
	for fd := range t.lookout.posts {
		fds = append(fds, fd)
	}
	return t.lookout.tid, fireSignal, fds
}

// AlarmsCounted returns how many alarms are set, as the quota has it.
func (t *Tracer) AlarmsCounted() int64 { return t.lookout.files.taken.Load() }

// IsAwaited reports whether the end of a run waits for a thread that has been interrupted, and has not stopped yet.
func IsAwaited(tid int) bool {
	w := &worker{}
	w.table.tracees = map[int32]*tracee{int32(tid): {interruptPending: true}}
	return w.owesStops()
}

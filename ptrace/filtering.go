package ptrace

import (
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// filtering is how a tracer thread works while its tracees have a filter: a tracee runs to the filter's stop
// (PTRACE_EVENT_SECCOMP), which is the entry-stop of a call that is asked for, from there to the exit-stop, and
// on to the filter's next stop.
//
// A filter cannot be taken off again, and without a tracer its calls fail with ENOSYS. So a tracee that has it is
// never left: Stop ends the counting, but the tracees are resumed until the last one is gone; no tracee is handed
// on to a tracer of its own; and they are killed with this process (PTRACE_O_EXITKILL), since a program whose
// calls begin to fail may do harm.
type filtering struct {
	program *unix.SockFprog // what a launched command is given; nil: nothing

	filtered   bool // the tracees have the filter
	everything bool // all of their calls are stopped at nevertheless: one has made a filter of its own
	silent     bool // nothing is handed on any more

	refusedTracer, refusedStrict bool // somebody has been told
}

// prepareFilter makes the filter, if there is to be one.
func (t *Tracer) prepareFilter(w *worker) {
	f := t.options.Filter
	if f == nil || t.options.Command == nil || len(t.options.Attach) > 0 || !t.options.Follow {
		return
	}
	if mode := statusField(int32(unix.Getpid()), "Seccomp"); mode != "" && mode != "0" {
		// Calls that an older filter refuses would not be seen.
		t.warn(profile.Warning{Kind: profile.FilteredItself})
		return
	}
	stops := *f
	if t.placement != nil && t.placement.guard != nil {
		stops.Also = slices.Concat(stops.Also, revealing)
	}
	code, err := stops.program(syscalltab.Native())
	if err != nil {
		t.warnNoFilter(err)
		return
	}
	w.program = &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
}

// calibrationFilter is what the calibration child is given if the command is given a filter: one that stops it
// at every call.
func (w *worker) calibrationFilter() *unix.SockFprog {
	if w.program == nil {
		return nil
	}
	every := answer(true)
	return &unix.SockFprog{Len: 1, Filter: &every}
}

func (t *Tracer) warnNoFilter(err error) {
	t.warn(profile.Warning{Kind: profile.NoFilter, Text: err.Error()})
}

// hasFilter takes note of what became of the filter in the launched child, which stands at a stop behind that.
func (w *worker) hasFilter(tid int32, i *installed) {
	if i.noNewPrivs != 0 {
		w.warn(profile.Warning{Kind: profile.NoNewPrivileges})
	}
	if i.errno != 0 {
		w.program = nil
		w.warnNoFilter(unix.Errno(i.errno))
		return
	}
	w.filtered = true
	setOptions(tid, w.seizeOptions()|unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_EXITKILL)
}

// runsFreely reports whether tr is to stop only where the filter says.
func (w *worker) runsFreely(tr *tracee) bool {
	return w.filtered && (w.silent || !w.everything && !tr.inCall && !tr.launching)
}

// filterStop is what the filter has stopped a tracee for.
func (w *worker) filterStop(tr *tracee) {
	seen := w.now()
	if tr.launching || readSyscallInfo(tr.call.TID, &w.info) != nil || w.info.op != opSeccomp {
		w.resume(tr, 0) // or it has died
		return
	}
	if w.asksForFilter() && !w.hasOwnFilter(tr) {
		answerCall(tr.call.TID, unix.SECCOMP_MODE_DISABLED)
	}
	switch {
	case uint32(w.info.extra)&unix.SECCOMP_RET_DATA != filterMark:
		// A filter of the program's own, which has no tracer that would decide: ENOSYS.
		answerCall(tr.call.TID, -int64(unix.ENOSYS))
		w.resume(tr, 0)
	case tr.inCall || w.silent: // its entry-stop has been seen, or will not be
		w.resume(tr, 0)
	default:
		w.entered(tr, seen)
	}
}

// asksForFilter reports whether the call that a tracee has stopped at asks if it has a filter. Programs that
// are to make one of their own look first, and do not if there is one (man-db).
func (w *worker) asksForFilter() bool {
	special := &w.special[syscalltab.FromAudit(w.info.arch, w.info.nr)]
	return w.info.nr == special.prctl && w.info.args[0] == unix.PR_GET_SECCOMP
}

// hasOwnFilter reports whether a tracee has a filter besides ours.
func (w *worker) hasOwnFilter(tr *tracee) bool {
	if filters := statusField(tr.call.TID, "Seccomp_filters"); filters != "" { // since Linux 5.9
		return filters != "1"
	}
	return w.everything
}

// meetsFilter deals with the entry-stop of a call that the filter makes special.
func (w *worker) meetsFilter(tr *tracee) {
	c := &tr.call
	special := &w.special[c.ABI]
	mode := int64(-1)
	switch c.Nr {
	case special.ptrace:
		w.refuseTracer(c)
	case special.prctl:
		if c.Args[0] == unix.PR_SET_SECCOMP {
			mode = int64(c.Args[1])
		}
	case special.seccomp:
		switch c.Args[0] {
		case unix.SECCOMP_SET_MODE_STRICT:
			mode = unix.SECCOMP_MODE_STRICT
		case unix.SECCOMP_SET_MODE_FILTER:
			mode = unix.SECCOMP_MODE_FILTER
		}
	}
	switch mode {
	case unix.SECCOMP_MODE_FILTER:
		// What a filter of the program's own answers may beat ours. A stop at the entry comes before both.
		w.everything = true
		if c.Nr == special.seccomp && c.Args[1]&unix.SECCOMP_FILTER_FLAG_TSYNC != 0 {
			w.interruptOthers(tr)
		}
	case unix.SECCOMP_MODE_STRICT:
		if !w.refusedStrict {
			w.refusedStrict = true
			w.warn(profile.Warning{Kind: profile.StrictRefused, ID: int(c.PID)})
		}
	}
}

// interruptOthers makes the other threads of tr's process stop, which are about to get a filter, too, so
// that they go on as they have to from now on.
func (w *worker) interruptOthers(tr *tracee) {
	for tid, other := range w.tracees {
		if other == tr || other.call.PID != tr.call.PID || other.inCall || other.firstStop {
			continue
		}
		other.firstStop = true
		other.before = beforeInterrupt(tid)
		other.sinceNs = w.now()
		interrupt(tid)
	}
}

// refuseTracer takes note of a call by which a tracee wants to trace what is traced already. It fails with
// EPERM, as under any tracer.
func (w *worker) refuseTracer(c *profile.Call) {
	switch c.Args[0] {
	case unix.PTRACE_TRACEME:
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		if w.tracees[int32(c.Args[1])] == nil {
			return
		}
	default:
		return
	}
	if !w.refusedTracer {
		w.refusedTracer = true
		w.warn(profile.Warning{Kind: profile.TracerRefused, ID: int(c.PID)})
	}
}

// goesOn reports whether there may be stops to deal with. Once tracing is to end, whoever has the filter is
// resumed until it ends, but nothing is handed on.
func (w *worker) goesOn() bool {
	switch {
	case !w.stopping.Load():
		return true
	case !w.filtered:
		return false
	case !w.silent:
		w.handOver(profile.Detached)
		w.silent = true
		if w.placement != nil {
			w.releaseAllPlaced() // nobody looks any more at who asks for CPUs or creates a thread
		}
		for _, tr := range w.tracees {
			tr.inCall = false
		}
		close(w.counted)
	}
	return true
}

// Counted is closed when nothing will be handed on any more: tracing has ended, or Stop was heeded while
// tracees have a filter, so that they have to be resumed until their end.
func (t *Tracer) Counted() <-chan struct{} { return t.counted }

// Result returns how tracing has gone so far.
func (t *Tracer) Result() (Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result, t.failure
}

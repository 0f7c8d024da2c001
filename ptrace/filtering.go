package ptrace

import (
	"slices"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
	"sysprof/syscalltab"
)

// filtering is the part of a worker that deals with the filter that its tracees have, if they have one: a tracee runs
// to the filter's stop (PTRACE_EVENT_SECCOMP), which is the entry-stop of a call that is asked for, from there to the
// exit-stop, and on to the filter's next stop.
//
// A filtered process cannot be detached: a filter cannot be taken off again, and without a tracer its calls fail with
// ENOSYS. So Stop ends the counting, but the tracees are resumed until the last one is gone; no tracee is detached for
// a tracer of its own; and they are killed with this process (PTRACE_O_EXITKILL), since a program whose calls begin to
// fail may do harm.
type filtering struct {
	program *unix.SockFprog // what a launched command is given; nil: nothing
	warn    func(profile.Warning)

	installed      bool // the tracees have the filter
	stopAtAllCalls bool // nevertheless: one of them has made a filter of its own

	refusedTracer, refusedStrict bool // there has been a warning
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
	if t.machine.Pins() && !t.machine.OneCPU() {
		stops.Also = slices.Concat(stops.Also, visibleCalls)
	}
	code, err := stops.program(syscalltab.Native())
	if err != nil {
		t.warn(noFilter(err))
		return
	}
	w.filter.program = &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
}

func noFilter(err error) profile.Warning {
	return profile.Warning{Kind: profile.NoFilter, Text: err.Error()}
}

// calibrationProgram is the filter of the calibration child if the command is given a filter: one that stops it
// at every call.
func (f *filtering) calibrationProgram() *unix.SockFprog {
	if f.program == nil {
		return nil
	}
	every := answer(true)
	return &unix.SockFprog{Len: 1, Filter: &every}
}

// calibrating takes note of what became of the filter of a calibration child, or that there is no child (nil).
func (f *filtering) calibrating(i *installed) {
	f.installed = i != nil && f.program != nil && i.tried != 0 && i.errno == 0
}

// launched takes note of what became of the filter of the launched child. It reports whether the child has it.
func (f *filtering) launched(i *installed) bool {
	if i.noNewPrivs != 0 {
		f.warn(profile.Warning{Kind: profile.NoNewPrivileges})
	}
	if i.errno != 0 {
		f.program = nil
		f.warn(noFilter(unix.Errno(i.errno)))
		return false
	}
	f.installed = true
	return true
}

// runsToFilter reports whether tr, which has the filter, is to stop only where the filter says.
func (f *filtering) runsToFilter(tr *tracee, is phase) bool {
	return is >= countingOver || !f.stopAtAllCalls && !tr.inCall && !tr.launching && !tr.broken.madeAgain()
}

// entered is told of the entry-stop of a call of a tracee that has the filter. It reports whether the call gives a
// filter to all threads of the tracee's process, so that they have to stop.
func (f *filtering) entered(c *profile.Call, special *specialCalls, tracees *table) (interruptOthers bool) {
	mode := int64(-1)
	switch c.Nr {
	case special.ptrace:
		f.makesTracer(c, tracees)
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
		f.stopAtAllCalls = true
		return c.Nr == special.seccomp && c.Args[1]&unix.SECCOMP_FILTER_FLAG_TSYNC != 0
	case unix.SECCOMP_MODE_STRICT:
		if !f.refusedStrict {
			f.refusedStrict = true
			f.warn(profile.Warning{Kind: profile.StrictRefused, ID: int(c.PID)})
		}
	}
	return false
}

// makesTracer takes note of a call by which a tracee wants to trace what is traced already. It fails with
// EPERM, as under any tracer.
func (f *filtering) makesTracer(c *profile.Call, tracees *table) {
	switch c.Args[0] {
	case unix.PTRACE_TRACEME:
	case unix.PTRACE_ATTACH, unix.PTRACE_SEIZE:
		if !tracees.has(int32(c.Args[1])) {
			return
		}
	default:
		return
	}
	if !f.refusedTracer {
		f.refusedTracer = true
		f.warn(profile.Warning{Kind: profile.TracerRefused, ID: int(c.PID)})
	}
}

// hidesFilter reports whether the call that tid has stopped at asks if it has a filter, and ours is the only one.
// Programs that are to make one of their own look first, and do not if there is one (man-db).
func (f *filtering) hidesFilter(tid int32, info *raw.SyscallInfo, special *specialCalls) bool {
	if info.Nr != special.prctl || info.Args[0] != unix.PR_GET_SECCOMP {
		return false
	}
	if filters := statusField(tid, "Seccomp_filters"); filters != "" { // since Linux 5.9
		return filters == "1"
	}
	return !f.stopAtAllCalls
}

// filterStop is what a filter has stopped a tracee for. interrupted says the same as at a syscall-stop.
func (w *worker) filterStop(tr *tracee, interrupted bool) {
	seenNs := w.t.now()
	tid, info := tr.call.TID, &w.at.info
	if tr.launching || raw.ReadSyscallInfo(tid, info) != nil || info.Op != raw.OpSeccomp {
		w.resume(tr, 0) // or it has died
		return
	}
	if w.filter.hidesFilter(tid, info, &w.t.special[syscalltab.FromAudit(info.Arch, info.Nr)]) {
		raw.AnswerCall(tid, unix.SECCOMP_MODE_DISABLED)
	}
	switch {
	case info.FilterData() != filterMark:
		// A filter of the program's own, which has no tracer that would decide: ENOSYS.
		raw.AnswerCall(tid, -int64(unix.ENOSYS))
		w.resume(tr, 0)
	case w.t.run.is() >= countingOver: // its entry-stop will not be seen
		w.passSpoilt(tr, interrupted)
		w.resume(tr, 0)
	case tr.inCall: // its entry-stop has been seen
		tr.spoilt = tr.spoilt || interrupted
		w.resume(tr, 0)
	default:
		tr.spoilt = interrupted
		w.entered(tr, seenNs)
	}
}

// interruptOthers makes the other threads of tr's process stop, which are about to get a filter, too, so
// that they go on as they have to from now on.
func (w *worker) interruptOthers(tr *tracee) {
	for _, other := range w.table.tracees {
		if other == tr || other.call.PID != tr.call.PID || other.inCall || other.interruptPending {
			continue
		}
		other.restart.sinceNs = w.t.now()
		w.interrupt(other)
	}
}

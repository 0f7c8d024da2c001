package ptrace

import (
	"cmp"
	"encoding/binary"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace/internal/raw"
	"sysprof/syscalltab"
)

// A signal that a program ignores is dropped when it is sent, and wakes nobody, unless its receiver is traced: the
// tracer is to see it (kernel/signal.c, sig_ignored). So it breaks off the call that the receiver sleeps in. Most
// calls are restarted by the kernel then, as no handler runs. Those that return EINTR even after a stop signal
// (signal(7), "Interruption of system calls and library functions by stop signals") return it for this one, too: a
// program that handles no signals at all sees epoll_wait fail.
//
// The exit-stop with EINTR comes first, and the signal-delivery-stop behind it (kernel/entry/common.c). If it is a
// signal that the program ignores, the call is made again, as behind an interrupt, and is one call for the sink,
// which gets one with EINTR only when it is certain that the program gets it.
//
// The kernel begins a timeout anew with the call, so that signals that come often enough would put it off for ever.
// What would have been over untraced is therefore interrupted, and answered with what the call returns then.

// brokenOff is what is known of a call that a thread has made and may have to make again.
type brokenOff struct {
	state brokenState
	ip    uint64 // behind the instruction that makes the call; valid while heldBack
	pc    uint64 // where the thread stands to make the call again; 0: the kernel sees to what a handler is owed
}

type brokenState uint8

const (
	unbroken brokenState = iota
	heldBack             // the call has returned EINTR, of which the sink has not been told yet
	goesOn               // the thread makes it again, and it is the same call for the sink
	anew                 // the thread makes it again, and it is another call for the sink, if that knew of the first at all
)

// madeAgain reports whether the thread makes the call again.
func (b *brokenOff) madeAgain() bool { return b.state >= goesOn }

// hidden is a call that hideInterrupt has hidden the end of.
type hidden struct {
	nr uint64
	pc uint64 // where the instruction is that makes the call, if it had returned EINTR; else 0
}

// holdBack keeps a call that has returned EINTR from the sink until it is known what for. It reports whether it does.
func (w *worker) holdBack(tr *tracee) bool {
	if tr.call.Errno != int32(unix.EINTR) || tr.launching || tr.detachRequested {
		return false
	}
	tr.broken = brokenOff{state: heldBack, ip: w.at.info.IP}
	if w.settling.on {
		w.interrupt(tr) // so that it is not detached before the signal has come
	}
	return true
}

// handOn hands a call to the sink that was held back: the program gets its EINTR.
func (w *worker) handOn(tr *tracee) {
	if tr.broken.state == heldBack || tr.broken.state == goesOn {
		w.feed.Call(&tr.call)
	}
	tr.broken = brokenOff{}
	tr.expiry = expiry{}
}

// signalled is told of the signal that tr has stopped for. It returns the signal that is to be delivered: none if
// the program ignores it, and it has broken off a call.
func (w *worker) signalled(tr *tracee, sig unix.Signal) unix.Signal {
	tid, b := tr.call.TID, &tr.broken
	if w.filter.installed {
		tr.handlers.note(tid, sig)
	}
	unseen := w.isUnseen(tr)
	if b.state == unbroken && !unseen {
		return sig
	}
	switch what := dispositionOf(tid, sig); {
	case what == ignored && (b.state == heldBack || b.state == goesOn): // it may have gone on unseen
		if h, ok := hideInterrupt(tid, asleepIn(&tr.call, b.ip)); ok {
			b.state, b.pc = goesOn, cmp.Or(h.pc, b.pc)
			return 0
		}
		if b.state == goesOn {
			return sig
		}
	case what == ignored && unseen:
		if h, ok := hideInterrupt(tid, w.unseen(tr)); ok {
			b.state, b.pc = anew, h.pc
			return 0
		}
	case what == ignored:
		return sig
	case what == handled && b.pc != 0:
		returnEINTR(tid, b.pc)
	case b.madeAgain(): // a signal that stops the thread
		return sig
	}
	w.handOn(tr)
	return sig
}

// hideNotice hides that the call which tr slept in was broken off for an event-stop which nobody has asked for: a SIGCONT
// brings one to every thread that is seized, whether it has stopped or not (kernel/signal.c, prepare_signal and
// ptrace_trap_notify).
func (w *worker) hideNotice(tr *tracee) {
	if tr.broken.state == heldBack {
		w.hideAtEvent(tr)
	} else if w.isUnseen(tr) {
		if h, ok := hideInterrupt(tr.call.TID, w.unseen(tr)); ok {
			tr.broken = brokenOff{state: anew, pc: h.pc}
		}
	}
}

// isUnseen reports whether a call of tr's has returned EINTR that did not stop, as far as that can be told.
func (w *worker) isUnseen(tr *tracee) bool {
	unseen := w.settling.on || w.filter.installed || tr.roused
	return unseen && (tr.broken.state == unbroken || tr.broken.state == anew) && !tr.inCall &&
		hasReturnedEINTR(tr.call.TID, w.unseen(tr))
}

// unseen is what has to be known about the call that isUnseen is about.
func (w *worker) unseen(tr *tracee) asleep {
	switch {
	case tr.roused:
		return tr.sleep.before
	case w.filter.installed:
		return unseenCall(tr.call.TID, &tr.handlers)
	}
	return asleep{}
}

// hideAtEvent hides that an interrupt has broken off the call that tr slept in.
func (w *worker) hideAtEvent(tr *tracee) {
	before := tr.before
	if tr.broken.state == heldBack {
		before = asleepIn(&tr.call, tr.broken.ip)
	}
	h, asleep := hideInterrupt(tr.call.TID, before)
	if !asleep || tr.launching || tr.detachRequested {
		return
	}
	switch tr.broken.state {
	case heldBack:
		tr.broken.state, tr.broken.pc = goesOn, h.pc
	case unbroken:
		tr.restart.known, tr.restart.nr, tr.resumed = true, h.nr, true
		if h.pc != 0 {
			tr.broken = brokenOff{state: anew, pc: h.pc}
		}
	}
}

// enteredAgain is told of an entry-stop behind which a call may go on that was broken off. It reports whether one does.
func (w *worker) enteredAgain(tr *tracee, seenNs int64) bool {
	c, info := &tr.call, &w.at.info
	if tr.broken.state != goesOn || tr.detachRequested || c.ABI != syscalltab.FromAudit(info.Arch, info.Nr) ||
		c.ABI.KernelNumber(c.Nr) != info.Nr || c.Args != info.Args {
		w.handOn(tr)
		return false
	}
	tr.broken = brokenOff{}
	tr.inCall = true
	c.CrossCPU = !w.home.Entered(&tr.place, seenNs-c.ExitResumedNs)
	tr.expiry.start(w, tr)
	moveEntry(c, w.t.now()-c.ExitSeenNs) // it has not slept since
	w.resumedNs = w.t.now()
	w.resume(tr, 0)
	return true
}

// expiry is the end of the timeout of a call that is made again.
type expiry struct {
	number uint64 // among all of the worker's; 0: there is none
	result int64  // what the call returns then
	due    bool   // it has come
}

// start has a call end when it would have ended if no signal had come. The call has been broken off at its exit-stop.
func (e *expiry) start(w *worker, tr *tracee) {
	if e.number == 0 {
		limit, result, limited := w.timeoutOf(&tr.call)
		if !limited {
			return
		}
		w.expiries++
		*e = expiry{number: w.expiries, result: result}
		left := limit - time.Duration(w.t.now()-tr.call.EntryResumedNs)
		e.due = left <= 0
		if !e.due {
			tid, number := tr.call.TID, e.number
			time.AfterFunc(left, func() { w.thread.post(func() { w.expire(tid, number) }) })
		}
	}
	if e.due {
		w.interrupt(tr)
	}
}

// expire ends a call whose timeout is over, unless it has returned.
func (w *worker) expire(tid int32, number uint64) {
	tr := w.table.tracees[tid]
	if tr == nil || tr.expiry.number != number {
		return
	}
	tr.expiry.due = true
	if tr.inCall && !tr.interruptPending {
		w.interrupt(tr)
	}
}

// answer has a call whose timeout is over return what it returns then, at its exit-stop.
func (e *expiry) answer(tr *tracee, info *raw.SyscallInfo) {
	if e.due && info.Failed() && unix.Errno(-info.Ret()) == unix.EINTR {
		raw.AnswerCall(tr.call.TID, e.result)
		info.SetRet(e.result)
	}
}

// timeoutOf tells how long a call sleeps at most, and what it returns then.
func (w *worker) timeoutOf(c *profile.Call) (limit time.Duration, result int64, limited bool) {
	special := &w.t.special[c.ABI]
	at := uint64(0)
	switch c.Nr {
	case special.epollWait, special.epollPwait:
		ms := int32(c.Args[3])
		return time.Duration(ms) * time.Millisecond, 0, ms >= 0
	case special.epollPwait2:
		at = c.Args[3]
	case special.ioGetevents:
		at = c.Args[4]
	case special.sigtimedwait:
		at, result = c.Args[2], -int64(unix.EAGAIN)
	case special.semtimedop:
		at, result = c.Args[3], -int64(unix.EAGAIN)
	}
	switch {
	case c.ABI != w.t.native: // it is of another layout
		return 0, 0, false
	case at == 0:
		return socketTimeoutOf(c)
	}
	var spec [16]byte // struct __kernel_timespec
	if raw.ReadMemory(c.TID, at, spec[:]) != len(spec) {
		return 0, 0, false
	}
	seconds, nanoseconds := binary.NativeEndian.Uint64(spec[:8]), binary.NativeEndian.Uint64(spec[8:])
	const endless = 1e9 // seconds; a Duration holds a few times as many
	return time.Duration(seconds)*time.Second + time.Duration(nanoseconds), result, seconds < endless
}

// socketTimeouts are the socket options that limit how long calls sleep (socket(7)).
var socketTimeouts = syscalltab.NewPerCall(map[string]int{
	"read": unix.SO_RCVTIMEO, "readv": unix.SO_RCVTIMEO, "recvfrom": unix.SO_RCVTIMEO, "recvmsg": unix.SO_RCVTIMEO,
	"accept": unix.SO_RCVTIMEO, "accept4": unix.SO_RCVTIMEO,
	"write": unix.SO_SNDTIMEO, "writev": unix.SO_SNDTIMEO, "sendto": unix.SO_SNDTIMEO, "sendmsg": unix.SO_SNDTIMEO,
})

// socketTimeoutOf is timeoutOf of what waits for a socket. (It has done nothing yet, or it would return how much it has.)
func socketTimeoutOf(c *profile.Call) (limit time.Duration, result int64, limited bool) {
	option := socketTimeouts.Of(c.ABI, c.Nr)
	if option == 0 {
		return 0, 0, false
	}
	fd, ok := sleepingIn{c.TID, c.PID, &c.Args}.duplicate()
	if !ok {
		return 0, 0, false
	}
	defer unix.Close(fd)
	most, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, option)
	if err != nil || *most == (unix.Timeval{}) {
		return 0, 0, false // it is no socket, or waits for ever
	}
	return time.Duration(most.Nano()), -int64(unix.EAGAIN), true
}

// disposition is what a process does about a signal.
type disposition uint8

const (
	otherwise disposition = iota // it ends the process, or stops it
	ignored
	handled
)

// dispositionOf tells what becomes of a signal that thread tid does not block.
func dispositionOf(tid int32, sig unix.Signal) disposition {
	bit := uint64(1) << (sig - 1)
	switch {
	case statusSet(tid, "SigCgt")&bit != 0:
		return handled
	case statusSet(tid, "SigIgn")&bit != 0:
		return ignored
	}
	switch sig {
	case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH: // include/linux/signal.h, SIG_KERNEL_IGNORE_MASK
		return ignored
	case unix.SIGKILL, unix.SIGSTOP:
		return otherwise
	}
	// The init process of a PID namespace gets no signal that it has no handler for (kernel/signal.c, get_signal:
	// SIGNAL_UNKILLABLE).
	ids := strings.Fields(statusField(tid, "NStgid"))
	if len(ids) > 0 && ids[len(ids)-1] == "1" {
		return ignored
	}
	return otherwise
}

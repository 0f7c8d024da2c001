package ptrace

import (
	"sysprof/profile"
	"sysprof/syscalltab"
)

// waker is the tracee of a worker that entered a call last by which another thread can be woken.
//
// Of two tracees that wait for each other, each waits for what tracing costs the other one, which no control shows. The
// kernel does not say who woke whom. But a thread that was woken by a tracee stops on the heels of it: in that call, or at most a stop or
// two after it.
type waker struct {
	tid   int32
	atNs  int64 // when it was resumed at its entry-stop
	stops int   // of all tracees of the worker since then
}

// nearStops is how many stops there can be from the entry to the call that wakes to the exit-stop of the one that is
// woken: the exit-stop of that call, the entry-stop of the next one, and this exit-stop itself.
const nearStops = 3

// lagNs is how long the call that wakes can have been entered when the one that waits for it is: it takes no longer than
// a few stops.
const lagNs = 50_000

// wakes are the calls by which a thread wakes another one. A thread that waits for room in a pipe is left out, or
// every read would be one.
var wakes = syscalltab.NewPerCall(map[string]bool{
	"write": true, "writev": true, "send": true, "sendto": true, "sendmsg": true, "sendmmsg": true, "sendfile": true,
	"sendfile64": true, "splice": true, "tee": true, "vmsplice": true, "connect": true, "shutdown": true, "close": true,
	"futex": true, "futex_time64": true, "futex_wake": true, "kill": true, "tkill": true, "tgkill": true,
	"rt_sigqueueinfo": true, "rt_tgsigqueueinfo": true, "pidfd_send_signal": true, "msgsnd": true, "mq_timedsend": true,
	"semop": true, "semtimedop": true, "flock": true, "exit": true, "exit_group": true,
})

// timed are the calls that nothing but time ends, or a signal.
var timed = syscalltab.NewPerCall(map[string]bool{"nanosleep": true, "clock_nanosleep": true, "clock_nanosleep_time64": true})

// resumed is told of a tracee that is resumed at its entry-stop.
func (w *waker) resumed(c *profile.Call) {
	if wakes.Of(c.ABI, c.Nr) {
		*w = waker{tid: c.TID, atNs: c.EntryResumedNs}
	}
}

// woke reports whether c, which stands at its exit-stop, may have slept until another tracee's call.
func (w *waker) woke(c *profile.Call) bool {
	return w.tid != 0 && w.tid != c.TID && w.atNs > c.EntryResumedNs-lagNs && w.stops <= nearStops && !timed.Of(c.ABI, c.Nr)
}

package label

import (
	"slices"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// State is the field that says what the thread did in the call.
const State = "state"

func stateOf(c *profile.Call) uint32 {
	how := waits.Of(c.ABI, c.Nr)
	return uint32(c.State(how == always || how == byOperation && slices.Contains(futexWaits, c.Args[1]&futexOperation)))
}

func stateName(value uint32) string { return profile.State(value).String() }

// waiting says whether a call does nothing but wait, however short.
type waiting uint8

const (
	notOnly waiting = iota
	always
	byOperation // its second argument tells, as that of futex(2)
)

var waits = syscalltab.NewPerCall(map[string]waiting{
	"nanosleep": always, "clock_nanosleep": always, "clock_nanosleep_time64": always, "pause": always,
	"rt_sigsuspend": always, "sigsuspend": always, "rt_sigtimedwait": always, "rt_sigtimedwait_time64": always,
	"wait4": always, "waitid": always, "waitpid": always,
	"poll": always, "ppoll": always, "ppoll_time64": always,
	"select": always, "_newselect": always, "pselect6": always, "pselect6_time64": always,
	"epoll_wait": always, "epoll_pwait": always, "epoll_pwait2": always,
	"io_getevents": always, "io_pgetevents": always, "io_pgetevents_time64": always,
	"futex": byOperation, "futex_time64": byOperation, "futex_wait": always, "futex_waitv": always,
})

// futexOperation is what of a futex's operation is no flag (FUTEX_CMD_MASK of <linux/futex.h>).
const futexOperation = 127

// futexWaits are FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAIT_REQUEUE_PI and FUTEX_LOCK_PI2.
var futexWaits = []uint64{0, 6, 9, 11, 13}

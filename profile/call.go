package profile

import (
	"math"
	"time"

	"sysprof/syscalltab"
)

// Call is one finished system call: the one value that travels from an engine to whoever counts it.
//
// The four times are readings of the engine's clock in nanoseconds since an arbitrary start. Entry and Exit
// name the stop, Seen is when the engine learned of it, Resumed is just before it resumed the thread.
type Call struct {
	PID, TID int32          // thread group and thread
	ABI      syscalltab.ABI // the numbering that Nr belongs to
	Nr       uint64         // the call's number, known or not; that of the subcall (syscalltab, Demultiplex)
	Args     [6]uint64      // in registers
	Ret      int64          // the return register
	Errno    int32          // 0: the call succeeded; else the positive errno

	EntrySeenNs, EntryResumedNs, ExitSeenNs, ExitResumedNs int64

	Queued    bool   // the exit-stop stood in line behind another tracee's stop, or the thread for the CPU that it shares with the tracer
	Slept     bool   // the thread slept in it for most of its time, as far as that is known: set with TransitNs
	Woken     bool   // its end came on the heels of a call of another traced thread that can have been what it waited for
	Disturbed bool   // the thread, or its tracer, waited for a CPU for most of the call: set with TransitNs
	WaitedNs  int64  // for how long they did: part of TransitNs, and set with it; 0 if it was not for most of the call
	AsleepNs  int64  // for how long the thread neither ran nor waited for a CPU, -1 where that is not known: set with TransitNs
	CrossCPU  bool   // tracer and tracee were not pinned to one CPU
	CPUNs     int64  // the thread's own CPU time in the call, -1 where not measured
	GapNs     int64  // from resuming the thread after its previous call to seeing this one's entry-stop, -1 if there was none; CrossCPU is said of it, too
	Waits     Waits  // until the exit-stop, where the call took long; else zero
	TransitNs int64  // what tracing added to the raw latency, as far as that is known when the call is counted; 0: nothing is taken off
	Stack     uint32 // the number of the stack that the call was made from, 0 where it was not captured
	Unwanted  bool   // when it was entered, nothing was seen of it for which it would be counted
}

// RawLatency is the time from resuming the tracee at its entry-stop to seeing its exit-stop, by the tracer's
// clock, tracing included. It is never negative, whatever the clock did.
func (c *Call) RawLatency() time.Duration {
	return time.Duration(between(c.EntryResumedNs, c.ExitSeenNs))
}

// NetNs is the raw latency less the transit. It may be negative, since transits are not all the same; only sums of
// it are true.
func (c *Call) NetNs() int64 { return between(c.EntryResumedNs, c.ExitSeenNs) - c.TransitNs }

// Latency is the raw latency less the transit, and never negative.
func (c *Call) Latency() time.Duration { return time.Duration(max(c.NetNs(), 0)) }

// Hold is the time that the tracee stood stopped at entry and exit while the tracer worked on it. It is
// never negative.
func (c *Call) Hold() time.Duration {
	return time.Duration(addClamped(
		between(c.EntrySeenNs, c.EntryResumedNs),
		between(c.ExitSeenNs, c.ExitResumedNs)))
}

// InFlight is a call that had not returned when its tracing ended. It is not counted as a call.
type InFlight struct {
	PID, TID int32          // thread group and thread
	ABI      syscalltab.ABI // the numbering that Nr belongs to
	Nr       uint64
	Args     [6]uint64
	SoFarNs  int64  // how long the thread had been in the call, since the attach if Resumed
	Why      Ending // what ended its tracing
	Resumed  bool   // the call was entered before the attach, so that SoFarNs is the least it can be

	// NotStopped says that the thread has not stood still since it was attached to, so that its entry into the call was
	// not seen.
	NotStopped bool
	Stack      uint32 // see Call; 0 if NotStopped
	Unwanted   bool   // see Call; false if NotStopped

	Thread string // what the thread is called; "": not known
}

// State is what a thread did in a call.
type State uint8

const (
	StateUnknown State = iota
	Computing          // it ran for most of the call, or would have run if it had had a CPU
	Waiting            // it slept for most of the call
	Unfinished         // the call has not returned
)

func (s State) String() string {
	return [...]string{"", "computing", "waiting", "unfinished"}[s]
}

// sleepAtLeastNs is what it takes to sleep: two switches and whoever wakes the thread.
const sleepAtLeastNs = 3_000

// State is what the thread did in a call that has returned. Calls of up to some 15 µs are not looked at: nearly all of them
// compute, but those that do nothing but wait (waits) have slept if they took longer than it takes to sleep at all.
func (c *Call) State(waits bool) State {
	ns := c.NetNs()
	const lookedAtNs = 15_000
	asleep := false
	switch {
	case waits:
		asleep = ns > sleepAtLeastNs
	case ns <= lookedAtNs:
	case c.AsleepNs >= 0:
		asleep = c.AsleepNs > ns/2
	case c.CPUNs >= 0:
		asleep = c.CPUNs < ns/2
	default:
		return StateUnknown
	}
	if asleep {
		return Waiting
	}
	return Computing
}

// Ending is why a call was never seen to return. A file may have others than these.
type Ending string

const (
	Detached     Ending = "detached"           // tracing ended first
	Exited       Ending = "exited"             // the call itself ended the thread (exit, exit_group)
	Killed       Ending = "killed"             // the thread died in it
	Replaced     Ending = "exec"               // another thread's execve ended the thread
	LeftToTracer Ending = "left to its tracer" // the thread was detached for a tracer of its own
)

// between is to − from in nanoseconds; 0 if the clock stepped back, MaxInt64 if it does not fit.
func between(from, to int64) int64 {
	if to <= from {
		return 0
	}
	if d := to - from; d > 0 {
		return d
	}
	return math.MaxInt64
}

// addSigned is a + b, or what is nearest to it in 64 bits.
func addSigned(a, b int64) int64 {
	s := a + b
	switch {
	case a > 0 && b > 0 && s < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && s >= 0:
		return math.MinInt64
	}
	return s
}

// addClamped is a + b for two non-negative numbers, MaxInt64 if it does not fit.
func addClamped(a, b int64) int64 {
	if s := a + b; s >= 0 {
		return s
	}
	return math.MaxInt64
}

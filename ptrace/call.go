package ptrace

import "sysprof/syscalltab"

// Call is one finished system call.
//
// The four times are the tracer's monotonic clock in nanoseconds since the tracer started:
// Entry/Exit says at which of the two stops, Seen when wait4 had reported it, Resumed just before
// the request that let the tracee run on.
type Call struct {
	PID, TID int32 // thread group, thread
	ABI      syscalltab.ABI
	Nr       uint64
	Args     [6]uint64
	Ret      int64 // the return register
	Errno    int32 // 0 if the call succeeded, else what it failed with

	EntrySeenNs, EntryResumedNs, ExitSeenNs, ExitResumedNs int64

	Queued bool   // the exit-stop stood in line behind another tracee's stop
	Apart  bool   // tracer and tracee were not held on one CPU
	CPUNs  int64  // the thread's own CPU time in the call, -1 where not measured
	GapNs  int64  // from the resumption of its previous call's exit-stop to this entry-stop, -1 if there was none
	Stack  uint32 // what the source calls the stack that the call was made from, 0 where it was not captured
}

// InFlight is a call that had not returned when its thread's tracing ended.
type InFlight struct {
	PID, TID int32
	ABI      syscalltab.ABI
	Nr       uint64
	SoFarNs  int64 // since its entry, or since the attach where it was entered before that
	Why      Ending
	Resumed  bool // it was entered before the attach
}

// Ending is why a call was never seen to return.
type Ending uint8

const (
	Detached Ending = iota // tracing ended first
	Exited                 // the call itself ended the thread (exit, exit_group)
	Killed                 // the thread died in it
	Replaced               // another thread's execve did away with the thread
	GivenUp                // the thread was left to a tracer of its own
)

func (e Ending) String() string {
	return [...]string{"detached", "exited", "killed", "exec", "left to its tracer"}[e]
}

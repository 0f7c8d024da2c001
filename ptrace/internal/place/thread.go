package place

import "sysprof/ptrace/internal/raw"

// How a thread's way to run is judged.
const (
	shortRunNs = 100_000    // a thread that runs no longer between two calls is bound by them
	longRunNs  = 1_000_000  // a pinned thread that runs so long is in the way of others, if there are any
	fewStops   = 4          // there are none if so few stops of others came meanwhile
	aloneNs    = 10_000_000 // a pinned thread that runs so long computes, in the way of others or not

	leaderRunsToPin = 2  // short runs in a row after which a process's first thread is pinned
	otherRunsToPin  = 8  // the same for other threads, which more often compute
	mostRunsToPin   = 64 // the same at most, for a thread that often turned out to compute

	stopNs       = 3_000 // what a stop takes, of tracer and tracee, on one CPU
	forgiveAfter = 1000  // so many stops without a long run halve what it takes to be pinned
)

// Thread is what is known of a tracee's way to run. It is a part of what its owner keeps of the tracee, and stays
// where it is while it is added to a Home.
type Thread struct {
	tid int32

	slot  int32 // in the guard's ledger, −1 if it is not pinned
	index int   // in the Home's list of those that are pinned

	sharesCPU   bool // it may run on this process's only CPU alone, so that nothing has to be done
	unplaceable bool // it is not to be pinned
	anyPolicy   bool // it may be pinned even if its policy is a real-time one
	repin       bool // to be pinned when the call that it is in returns
	asking      bool // it is in a call that asks for another thread's CPUs

	shortRuns  uint16 // in a row
	runsToPin  uint16 // so many short runs in a row get it pinned
	quietStops uint16 // since its last long run

	stops uint64 // of its Home, when its last call returned
}

// NeverPin keeps the thread where the kernel has it run.
func (th *Thread) NeverPin() { th.unplaceable = true }

// PinAtAnyPolicy has the thread pinned even if it has a real-time policy: it never waits for a thread that it is pinned
// with, but for its tracer.
func (th *Thread) PinAtAnyPolicy() { th.anyPolicy = true }

// isStarver reports whether the thread has a real-time policy, so that all that it is pinned with would wait for as
// long as it runs, even if it waits for them.
func (th *Thread) isStarver() bool { return !th.anyPolicy && raw.IsRealTime(th.tid) }

// verdict is what follows from how a thread has run.
type verdict uint8

const (
	stay    verdict = iota
	pin             // it is bound by its calls
	restore         // it computes
)

// judge says what follows from a run between two calls that took gapNs, −1 if this is the first call, while there
// were so many stops of others. wakeNs is what waking takes where it is not pinned.
func (th *Thread) judge(pinned bool, gapNs int64, others uint64, wakeNs int64) verdict {
	v := stay
	// What others had of the CPU meanwhile, this thread did not run, nor while it, or the tracer, was woken.
	ranNs := gapNs - int64(others)*stopNs
	if !pinned {
		ranNs -= wakeNs
	}
	if gapNs >= 0 && ranNs < 0 {
		ranNs = 0
	}
	switch {
	case ranNs < 0: // its first call
	case ranNs < shortRunNs:
		if th.shortRuns++; !pinned && th.shortRuns >= th.runsToPin {
			th.shortRuns = 0
			v = pin
		}
	case ranNs < longRunNs, pinned && others <= fewStops && ranNs < aloneNs:
		th.shortRuns = 0
	default:
		th.shortRuns, th.quietStops = 0, 0
		if pinned {
			th.computes()
			v = restore
		}
	}
	if th.quietStops++; th.quietStops == forgiveAfter {
		th.quietStops, th.runsToPin = 0, max(th.runsToPin/2, leaderRunsToPin)
	}
	return v
}

// computes takes note that the thread was pinned, and should not have been.
func (th *Thread) computes() { th.runsToPin = min(2*th.runsToPin, mostRunsToPin) }

package ptrace

import (
	"sync/atomic"
	"time"
)

// phase is the state of a run. A run goes through the states in this order, and may leave some out.
type phase int32

const (
	calibrating  phase = iota // the calibration child is traced, if anything is
	attaching                 // threads are seized, and stand still
	launching                 // the command is forked, and executed
	counting                  // calls are handed to the sink
	stopping                  // counting is to end: Stop was called, or something has failed
	countingOver              // nothing is handed to the sink, but tracees that have a filter are resumed until they end
	ended                     // nothing is traced any more
)

// runState is the state of a run, and what is announced when it changes. All transitions are made by enter.
type runState struct {
	phase   atomic.Int32
	beganNs atomic.Int64  // when the first of the tracees began to be traced, 0 before that
	leftNs  atomic.Int64  // when the last one so far ceased to be counted, 0 before that
	counted chan struct{} // closed when nothing will be handed to the sink any more
	done    chan struct{} // closed when the run has ended
}

func newRunState() runState {
	return runState{counted: make(chan struct{}), done: make(chan struct{})}
}

// is returns the state.
func (s *runState) is() phase { return phase(s.phase.Load()) }

// enter makes a transition. It reports false if the run is in that state, or a later one, already.
func (s *runState) enter(next phase, nowNs int64) bool {
	var former phase
	for {
		if former = s.is(); former >= next {
			return false
		}
		if s.phase.CompareAndSwap(int32(former), int32(next)) {
			break
		}
	}
	switch {
	case next == countingOver:
		s.leftNs.Store(nowNs)
		close(s.counted)
	case next == ended:
		close(s.done)
		if former < countingOver {
			close(s.counted)
		}
	}
	return true
}

// begin takes note of when the first tracee began to be traced.
func (s *runState) begin(nowNs int64) { s.beganNs.CompareAndSwap(0, nowNs) }

// leave takes note that a worker has left its tracees.
func (s *runState) leave(nowNs int64) {
	if s.is() < countingOver {
		s.leftNs.Store(nowNs)
	}
}

// elapsed is how long it has been traced, or was traced until the end. A worker may leave long before others do.
func (s *runState) elapsed(nowNs int64) time.Duration {
	began, left := s.beganNs.Load(), s.leftNs.Load()
	switch {
	case began == 0:
		return 0
	case left == 0 || s.is() < countingOver:
		left = nowNs
	}
	return time.Duration(left - began)
}

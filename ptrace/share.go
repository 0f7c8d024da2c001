package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Threads that are attached to are shared among several workers, for two reasons. Programs that make calls on several
// CPUs at once need as many tracer threads. And a wait4 for any of n tracees walks through all n of them, twice for a
// stop (kernel/exit.c, do_wait), so that a thousand that sleep make the calls of one that does not four times as dear.
//
// So threads that have been running are shared among as many workers as there are CPUs. Threads that sleep, if they
// are many, go to other workers, a bounded number to each. A worker for each would be no better: every stop walks
// through all the workers that wait.
const (
	sleepersToAWorker = 128
	fewSleepers       = 24 // so many do not need a worker of their own
	mostWorkers       = 48
)

// shares counts what the workers have been given.
type shares struct {
	cpus     int
	running  []*worker // for threads that run
	runners  int       // threads that run, so far
	sleeping []*worker // for threads that sleep
	sleepers int       // threads that sleep, so far
}

// workerFor returns the worker that is to trace a thread which is attached to.
//
// Precondition: no worker waits for stops yet.
func (t *Tracer) workerFor(tid int32) *worker {
	s := t.shares.begin(t)
	if !isActive(tid) {
		s.sleepers++
		if s.sleepers <= fewSleepers {
			return s.running[s.sleepers%len(s.running)]
		}
		// In turn to as many workers as there are CPUs, for when they all wake up; when these have enough, to others.
		i := s.sleepers - fewSleepers - 1
		n := i/(sleepersToAWorker*s.cpus)*s.cpus + i%s.cpus
		if n >= len(s.sleeping) && len(t.workers) < mostWorkers {
			s.sleeping = append(s.sleeping, t.newWorker())
		}
		return s.sleeping[n%len(s.sleeping)]
	}
	if s.runners >= len(s.running) && len(s.running) < s.cpus {
		s.running = append(s.running, t.newWorker())
	}
	w := s.running[s.runners%len(s.running)]
	s.runners++
	return w
}

// begin has the first worker be one for threads that run, and returns s.
func (s *shares) begin(t *Tracer) *shares {
	if s.cpus == 0 {
		s.cpus = usableCPUs()
		s.running = t.workers[:1:1]
	}
	return s
}

// usableCPUs is on how many CPUs the tracer may run.
func usableCPUs() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return set.Count()
}

// isActive reports whether a thread runs, or has run for more than a thousandth of its life.
func isActive(tid int32) bool {
	// proc(5): pid, comm in parentheses, which may contain anything, then state and others, counted from state here.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", tid, tid))
	if err != nil {
		return false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const stateAt, startAt = 0, 19
	if len(fields) <= startAt {
		return false
	}
	if fields[stateAt][0] == 'R' {
		return true
	}
	const tick = time.Second / 100 // USER_HZ
	ticks, _ := strconv.ParseInt(string(fields[startAt]), 10, 64)
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return false
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*tick
	const seldom = 1000
	return time.Duration(cpuTimeOf(tid)) > age/seldom+time.Millisecond
}

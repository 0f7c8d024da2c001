package place

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Machine is what all tracer threads share: the CPUs, and the guard. A nil Machine pins no thread.
type Machine struct {
	guard *guard      // nil: there is only one CPU to run on
	own   raw.CPUMask // where this process may run
	wide  raw.CPUMask // what keeps a thread there: own, or all CPUs, as for a thread that is pinned (guard.pin)
	fixed int         // the CPU that was asked for, −1 for none

	// wakeNs is what it takes, on average, to wake tracer and tracee on two CPUs, more than on one.
	wakeNs int64

	trial atomic.Int64 // when the trial of a Home is over that has one (crowd), at the latest; 0: none has

	asking atomic.Int32 // threads that are asking for another thread's CPUs: no thread is pinned meanwhile

	unguarded atomic.Bool // the guard has died: no thread is pinned any more

	mu    sync.Mutex
	users map[int]int // how many Homes are on a CPU
	fault error       // why a thread could not be pinned, the first time
}

// NotAllowedError is a CPU that was asked for and that this process may not run on.
type NotAllowedError struct{ CPU int }

func (e *NotAllowedError) Error() string { return fmt.Sprintf("CPU %d: not allowed", e.CPU) }

// ErrGuardDied is that somebody has ended the guard, so that no thread has been pinned since.
var ErrGuardDied = errors.New("the child that would restore affinities has died")

// New prepares for pinning threads to one CPU, or to any if cpu is −1, and starts the guard. A NotAllowedError comes
// with a Machine that chooses the CPUs itself; any other error with none. The guard inherits how the
// caller is scheduled.
func New(cpu int) (*Machine, error) {
	m := &Machine{fixed: cpu, users: make(map[int]int)}
	if err := raw.Affinity(0, &m.own); err != nil {
		return nil, fmt.Errorf("the CPUs that sysprof may run on are not known: %w", err)
	}
	var refused error
	if m.fixed >= 0 && !m.own.Has(m.fixed) {
		refused = &NotAllowedError{m.fixed}
		m.fixed = -1
	}
	m.wide = m.own
	if m.own.Count() == 1 {
		return m, refused
	}
	var err error
	forked := make(chan struct{})
	go func() {
		// A thread that has forked must not become a tracer thread: its wait4 would report the guard. This thread
		// ends, and the guard becomes a child of the process's first thread, which never is a tracer thread.
		runtime.LockOSThread()
		m.guard, err = newGuard()
		if err == nil && m.guard.isAllOf(0, &m.own) {
			m.wide = m.guard.ledger.masks[allCPUs]
		}
		close(forked)
	}()
	if <-forked; err != nil {
		return nil, errors.Join(refused, err)
	}
	return m, refused
}

// Close ends the guard. It returns ErrGuardDied, or why a thread could not be pinned, the first time.
//
// Precondition: no thread is pinned any more.
func (m *Machine) Close() error {
	if m == nil {
		return nil
	}
	m.guard.dismiss()
	if m.unguarded.Load() {
		return ErrGuardDied
	}
	return m.fault
}

// isGuarded reports whether there is a guard still.
func (m *Machine) isGuarded() bool {
	if !m.unguarded.Load() && m.guard.hasDied() {
		m.unguarded.Store(true)
	}
	return !m.unguarded.Load()
}

// Pins reports whether tracer and tracees can share a CPU.
func (m *Machine) Pins() bool { return m != nil }

// OneCPU reports whether all that this process runs, and traces, has only one CPU anyway.
func (m *Machine) OneCPU() bool { return m != nil && m.guard == nil }

// chooses reports whether it is this package's choice where threads run.
func (m *Machine) chooses() bool { return m != nil && m.guard != nil && m.fixed < 0 }

// mayTry reports whether a Home may try which way its threads get on faster. While one does, no other may, or each
// would see what the other one changes.
func (m *Machine) mayTry(nowNs int64) bool {
	const longestNs = 1_000_000_000 // the last stop of a trial may never come
	until := m.trial.Load()
	return nowNs >= until && m.trial.CompareAndSwap(until, nowNs+longestNs)
}

// SetWake sets how long it takes to wake tracer and tracee on two CPUs, more than on one.
//
// Precondition: no other thread uses the Machine yet.
func (m *Machine) SetWake(ns int64) {
	if m != nil {
		m.wakeNs = ns
	}
}

// choose returns the CPU for a Home that is to have a thread which may run on had, and counts the Home there: the one
// that the caller runs on, unless that is another Home's.
//
// Precondition: m.mu is locked.
func (m *Machine) choose(had *raw.CPUMask) int {
	if m.fixed >= 0 {
		return m.fixed
	}
	home := raw.CurrentCPU()
	for cpu := range len(had) * 64 {
		if m.own.Has(cpu) && had.Has(cpu) && (m.users[cpu] < m.users[home] || !had.Has(home)) {
			home = cpu
		}
	}
	return home
}

// failed keeps the first reason why a thread could not be pinned.
func (m *Machine) failed(tid int32, err error) {
	if err == nil || errors.Is(err, unix.ESRCH) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault == nil {
		m.fault = fmt.Errorf("place thread %d: %w", tid, err)
	}
}

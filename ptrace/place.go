package ptrace

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// Placement: a thread that is bound by its calls shares a CPU with the tracer thread.
//
// Where a stop wakes the tracer on another CPU, that CPU has to be woken, and then wakes the first one again
// for the resumption. On one CPU there is but a switch, 4 to 8 times cheaper. It takes both: with the tracer
// alone held there, the kernel wakes the tracee on the idle CPU (kernel/sched/fair.c, select_idle_sibling).
// But threads that compute must not be held on one CPU with others. So it goes by what each thread does:
//
//  1. One that makes a few calls in a row with little in between is placed: it and its tracer thread
//     may run on one CPU only, the worker's home.
//  2. One that runs for long between two calls is given its CPUs back, at its next stop or, if that is
//     not soon, by the timer. The more often that happens, the longer it has to be bound by its calls
//     before it is placed again.
//  3. Nobody is to see it. Before a placed thread enters a call that asks for or sets CPUs, or that
//     creates a thread, it is given its CPUs back, so the kernel answers truthfully, the thread's own
//     wish is kept, and children inherit what they would have had. All are given their CPUs back before
//     tracing ends, and if this process is killed, by the guard.
type placement struct {
	guard *guard
	own   cpuMask // where the tracer may run
	fixed int     // the CPU that was asked for, −1 for none

	asked atomic.Int32 // tracees that are asking for another thread's CPUs: nobody is placed meanwhile

	mu    sync.Mutex
	users map[int]int // how many workers have their home on a CPU
	fault error       // why a thread could not be placed, the first time
}

// CPU is a choice of where tracer and tracees run: one of these, or what OnCPU returns.
type CPU int

const (
	CPUAuto CPU = 0  // each worker chooses
	CPUOff  CPU = -1 // all run where the kernel has them run
)

// OnCPU chooses a CPU by its number, from 0 on.
func OnCPU(n int) CPU { return CPU(n + 1) }

const (
	shortRunNs  = 100_000   // a thread that runs no longer between two calls is bound by them
	longRunNs   = 1_000_000 // … and one that runs that long computes, so that it is in others' way …
	aloneNs     = kickEvery // … if there are any: if so few stops of others came meanwhile …
	fewStops    = 4         // … it may run that long
	usualWakeNs = 30_000    // to wake another CPU twice (DESIGN.md section 4), until that is calibrated
	soonPlaced  = 2         // short runs in a row after which a process's first thread is placed …
	newPlaced   = 8         // … and others, which more often compute …
	latePlaced  = 64        // … at most, if it keeps being given its CPUs back
	stopNs      = 3_000     // what a stop takes, of tracer and tracee, on one CPU
	reformed    = 1000      // so many stops without a long run make up for one
)

// placing is what a worker knows about its own CPU.
type placing struct {
	home   int // −1: none yet
	one    cpuMask
	had    cpuMask // scratch
	placed []*tracee
}

// placeable is what is known of a tracee's way to run.
type placeable struct {
	slot     int32 // in the guard's ledger, −1 if it is not placed
	at       int   // in the worker's list
	together bool  // it may run on the tracer's only CPU alone: nothing has to be done
	barred   bool  // it cannot be placed
	again    bool  // to be placed when the call that it is in returns
	asking   bool  // it is in a call that asks for another thread's CPUs
	short    uint16
	wanted   uint16 // short runs in a row
	quiet    uint16 // stops since its last long run
	stops    uint64 // of its worker, when its last call returned
}

// newPlacement prepares for placing threads, nil if there is nothing to choose.
func (t *Tracer) newPlacement() *placement {
	p := &placement{fixed: int(t.options.CPU) - 1, users: make(map[int]int)}
	if t.options.CPU == CPUOff {
		return nil
	}
	if err := affinityOf(0, &p.own); err != nil {
		t.warn(profile.Warning{Kind: profile.NotPlaced, Text: fmt.Sprintf("the CPUs that sysprof may run on are not known: %v", err)})
		return nil
	}
	if p.fixed >= 0 && !p.own.has(p.fixed) {
		t.warn(profile.Warning{Kind: profile.CPUNotAllowed, ID: p.fixed})
		p.fixed = -1
	}
	if p.own.count() == 1 {
		return p // without a guard: nothing is to be changed
	}
	var err error
	forked := make(chan struct{})
	go func() {
		// A thread that has forked must not become a worker, which would wait for the guard. This one ends, and
		// the guard becomes a child of the process's first thread, which is never a worker (onOwnThread).
		runtime.LockOSThread()
		p.guard, err = newGuard()
		close(forked)
	}()
	if <-forked; err != nil {
		t.warn(profile.Warning{Kind: profile.NotPlaced, Text: err.Error()})
		return nil
	}
	return p
}

// isPlaced reports whether tr shares its worker's CPU.
func (w *worker) isPlaced(tr *tracee) bool {
	if tr.place.slot < 0 {
		return tr.place.together
	}
	if w.placement.guard.holds(tr.place.slot, tr.call.TID) {
		return true
	}
	w.unlist(tr) // somebody else has given it its CPUs back
	tr.place.short = 0
	return false
}

// placeBy decides at an entry-stop whether tr is placed, by how long ago its last call returned. It reports
// whether it is.
func (w *worker) placeBy(tr *tracee, gapNs int64) bool {
	p := &tr.place
	placed := w.isPlaced(tr)
	// What others had of the CPU meanwhile, this one did not run, nor while it, or the tracer, was woken.
	others := w.stops - p.stops
	ranNs := gapNs - int64(others)*stopNs
	if !placed {
		ranNs -= w.wakeNs
	}
	if gapNs >= 0 && ranNs < 0 {
		ranNs = 0
	}
	if p.together || w.placement == nil {
		return placed
	}
	switch {
	case ranNs < 0: // its first call
	case ranNs < shortRunNs:
		if p.short++; !placed && p.short >= p.wanted {
			placed = w.settle(tr)
			p.short = 0
		}
	case ranNs < longRunNs, placed && others <= fewStops && ranNs < aloneNs:
		p.short = 0
	default:
		p.short, p.quiet = 0, 0
		if placed {
			w.release(tr)
			p.wanted = min(2*p.wanted, latePlaced)
			placed = false
			if len(w.placing.placed) == 0 {
				w.leaveHome() // which may have been crowded
			}
		}
	}
	if p.quiet++; p.quiet == reformed {
		p.quiet, p.wanted = 0, max(p.wanted/2, soonPlaced)
	}
	return placed
}

// welcome is called when tr is put into the table.
func (w *worker) welcome(tr *tracee) {
	tr.place = placeable{slot: -1, wanted: newPlaced}
	if tr.call.TID == tr.call.PID {
		tr.place.wanted = soonPlaced
	}
	if w.placement != nil && w.placement.guard == nil {
		w.settle(tr)
	}
}

// settleChild places a process that a placed one has just made: it is going to execute a program, and
// that is nothing but calls at first.
func (w *worker) settleChild(tr *tracee) {
	if w.placing.home >= 0 && tr.call.TID == tr.call.PID {
		w.settle(tr)
	}
}

// settle places tr on the worker's CPU. It reports whether it is there.
func (w *worker) settle(tr *tracee) bool {
	p := &tr.place
	if w.placement == nil || p.barred || p.slot >= 0 || w.placement.asked.Load() > 0 {
		return p.slot >= 0
	}
	pl := &w.placing
	if affinityOf(tr.call.TID, &pl.had) != nil {
		return false
	}
	if w.placement.guard == nil {
		p.together = pl.had == w.placement.own
		p.barred = true
		return p.together
	}
	if pl.home < 0 && !w.chooseHome() {
		return false
	}
	if !pl.had.has(pl.home) {
		p.barred = true
		return false
	}
	slot, err := w.placement.guard.place(tr.call.TID, pl.home, &pl.had, &pl.one)
	if slot < 0 {
		p.barred = true
		if err != nil && !errors.Is(err, unix.ESRCH) {
			w.placement.failed(fmt.Errorf("place thread %d: %w", tr.call.TID, err))
		}
		return false
	}
	p.slot, p.at = slot, len(pl.placed)
	pl.placed = append(pl.placed, tr)
	if w.placement.asked.Load() > 0 { // since a moment ago
		w.release(tr)
		return false
	}
	w.waiting.keepTime()
	return true
}

// release gives tr its CPUs back.
func (w *worker) release(tr *tracee) {
	if tr.place.slot >= 0 {
		w.placement.guard.restore(tr.place.slot, tr.call.TID)
		w.unlist(tr)
	}
}

// abandon drops tr, which has died.
func (w *worker) abandon(tr *tracee) {
	w.answered(tr)
	if tr.place.slot >= 0 {
		w.placement.guard.forget(tr.place.slot, tr.call.TID)
		w.unlist(tr)
	}
}

// rename hands the place of a thread that has got another id by its execve on.
func (w *worker) rename(former, tr *tracee) {
	if former.place.slot >= 0 {
		w.placement.guard.rename(former.place.slot, former.call.TID, tr.call.TID)
		w.placing.placed[tr.place.at] = tr
		former.place.slot = -1
	}
}

func (w *worker) unlist(tr *tracee) {
	pl := &w.placing
	last := len(pl.placed) - 1
	pl.placed[tr.place.at] = pl.placed[last]
	pl.placed[tr.place.at].place.at = tr.place.at
	pl.placed[last] = nil
	pl.placed = pl.placed[:last]
	tr.place.slot = -1
}

// releaseAllPlaced gives everybody their CPUs back, and the worker its own.
func (w *worker) releaseAllPlaced() {
	for len(w.placing.placed) > 0 {
		w.release(w.placing.placed[0])
	}
	w.leaveHome()
}

// watchPlaced is called by the timer. Who has been running for long computes; and if nobody has stopped at
// all for a while, it does not matter where they run.
func (w *worker) watchPlaced(idle bool) {
	pl := &w.placing
	now := w.now()
	for i := len(pl.placed) - 1; i >= 0; i-- {
		tr := pl.placed[i]
		ranNs := int64(0)
		if !tr.inCall {
			ranNs = now - tr.call.ExitResumedNs
		}
		alone := w.stops-tr.place.stops <= fewStops
		if idle || ranNs > aloneNs || ranNs > longRunNs && !alone {
			w.release(tr)
			if ranNs > longRunNs && !alone {
				tr.place.wanted = min(2*tr.place.wanted, latePlaced)
			}
		}
	}
	if len(pl.placed) == 0 {
		w.leaveHome()
	}
}

// chooseHome holds the worker on one CPU: the one that it runs on, unless that is another worker's. It
// reports whether it is there.
func (w *worker) chooseHome() bool {
	p, pl := w.placement, &w.placing
	p.mu.Lock()
	defer p.mu.Unlock()
	home := p.fixed
	if home < 0 {
		home = currentCPU()
		for cpu := range len(pl.had) * 64 {
			if p.own.has(cpu) && pl.had.has(cpu) && (p.users[cpu] < p.users[home] || !pl.had.has(home)) {
				home = cpu
			}
		}
	}
	pl.one = cpuMask{}
	pl.one.add(home)
	if err := setAffinity(0, &pl.one); err != nil {
		return false
	}
	pl.home = home
	p.users[home]++
	return true
}

func (w *worker) leaveHome() {
	p, pl := w.placement, &w.placing
	if pl.home < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	setAffinity(0, &p.own)
	p.users[pl.home]--
	pl.home = -1
}

// failed keeps the first reason why a thread could not be placed.
func (p *placement) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil {
		p.fault = err
	}
}

// end dismisses the guard.
//
// Precondition: no worker works any more.
func (t *Tracer) endPlacement() {
	p := t.placement
	if p == nil {
		return
	}
	if p.fault != nil {
		t.warn(profile.Warning{Kind: profile.ThreadsNotPlaced, Text: p.fault.Error()})
	}
	p.guard.dismiss()
}

// revealing are the calls at whose entry reveal has something to do.
var revealing = []string{"clone", "clone3", "fork", "vfork", "sched_getaffinity", "sched_setaffinity"}

// reveal is called at an entry-stop, and gives back their CPUs to those on whom the call's outcome depends.
func (w *worker) reveal(tr *tracee) {
	c := &tr.call
	switch r := &w.special[c.ABI]; c.Nr {
	case r.clone, r.clone3, r.fork, r.vfork:
		if tr.place.slot >= 0 {
			w.release(tr)
			tr.place.again = true
		}
	case r.getAffinity, r.setAffinity:
		if w.placement.guard == nil {
			return
		}
		target := int32(c.Args[0])
		if target == 0 || target == c.TID {
			again := tr.place.slot >= 0
			w.release(tr)
			tr.place.again = again
			tr.place.barred = false // it may have a wish of its own now
			return
		}
		tr.place.asking = true
		w.placement.asked.Add(1)
		if !w.placement.guard.restoreThread(target) {
			w.placement.guard.restoreThread(0) // in another PID namespace it has another number
		}
	}
}

// answered is called when the call before which reveal was called has returned, or its thread has died.
func (w *worker) answered(tr *tracee) {
	if tr.place.asking {
		tr.place.asking = false
		w.placement.asked.Add(-1)
	}
}

package place

import "sysprof/ptrace/internal/raw"

// Home is the CPU of one tracer thread and of those of its tracees that are pinned to it. All its methods but NewHome
// are called on that thread.
type Home struct {
	machine *Machine
	onPin   func()

	cpu    int // −1: none yet
	one    raw.CPUMask
	had    raw.CPUMask // scratch
	pinned []*Thread
	next   int    // of pinned, to be checked
	stops  uint64 // that the tracer thread has dealt with, of calls
	over   bool   // nobody is pinned any more
	crowd  crowd
}

// checksATick is of how many pinned threads a tick finds out whether others have changed where they run, or their
// policy.
const checksATick = 64

// NewHome returns the Home of a tracer thread, on no CPU yet. onPin is called when a thread has been pinned; from
// then on, until HasCPU reports false, Tick is to be called every 10 ms.
func NewHome(m *Machine, onPin func()) *Home { return &Home{machine: m, onPin: onPin, cpu: -1} }

// HasCPU reports whether the tracer thread is pinned to a CPU.
func (h *Home) HasCPU() bool { return h.cpu >= 0 }

// Added is told of a new tracee. It is a process's first thread if tid is pid.
func (h *Home) Added(th *Thread, tid, pid int32) {
	*th = Thread{tid: tid, slot: -1, runsToPin: otherRunsToPin}
	if tid == pid {
		th.runsToPin = leaderRunsToPin
	}
	if h.machine.OneCPU() {
		h.Pin(th)
	}
}

// Born is told of a tracee, added before, that another tracee has just created. A new process is going to execute a
// program, and that is nothing but calls at first.
func (h *Home) Born(th *Thread, pid int32) {
	if h.cpu >= 0 && th.tid == pid {
		h.Pin(th)
	}
}

// CountStop is told of every stop of a call, when it was seen, and whether it stood in line behind another one.
func (h *Home) CountStop(nowNs int64, queued bool) {
	h.stops++
	if !h.crowd.stop(nowNs, queued) || !h.machine.chooses() {
		return
	}
	tried := h.crowd.trial > 0
	h.crowd.close(nowNs, len(h.pinned), h.machine)
	if h.crowd.apart && h.cpu >= 0 {
		h.RestoreAll()
	}
	if tried && h.crowd.trial == 0 {
		h.machine.trial.Store(0)
	}
}

// Entered is told of an entry-stop, and how long ago the thread's last call returned, −1 if this is its first. It
// decides whether the thread is pinned, and reports whether it is.
func (h *Home) Entered(th *Thread, gapNs int64) (pinned bool) {
	if h.machine == nil {
		return false
	}
	pinned = h.isPinned(th)
	if th.sharesCPU {
		return pinned
	}
	switch th.judge(pinned, gapNs, h.stops-th.stops, h.machine.wakeNs) {
	case pin:
		if pinned = h.Pin(th); h.crowd.apart {
			th.shortRuns = th.runsToPin // at once, when the crowd gathers
		}
	case restore:
		h.Restore(th)
		pinned = false
		if len(h.pinned) == 0 {
			h.leave() // the CPU may have been crowded
		}
	}
	return pinned
}

// Returned is told of an exit-stop.
func (h *Home) Returned(th *Thread) {
	h.answered(th)
	if th.repin {
		th.repin = false
		h.Pin(th)
	}
	th.stops = h.stops
}

// Removed is told that a thread has died, or is no tracee any more for another reason.
func (h *Home) Removed(th *Thread) {
	h.answered(th)
	if th.slot >= 0 {
		h.machine.guard.remove(th.slot, th.tid)
		h.unlist(th)
	}
}

// Renamed is told that the thread from has got the id of the thread to, which has been removed, by its execve.
func (h *Home) Renamed(from, to *Thread) {
	tid := to.tid
	*to = *from
	to.tid = tid
	if from.slot >= 0 {
		h.machine.guard.rename(from.slot, from.tid, tid)
		h.pinned[to.index] = to
	}
	*from = Thread{tid: from.tid, slot: -1}
}

// Tick is called by a timer. Idle says that no thread has stopped since the last time: then it does not matter
// where threads run. ranNs says for how long a thread has been running since its last call, 0 if it is in a call: one
// that has been running for long computes.
func (h *Home) Tick(idle bool, ranNs func(tid int32) int64) {
	if h.cpu < 0 {
		return
	}
	if !h.machine.isGuarded() {
		h.RestoreAll()
		return
	}
	h.check()
	for i := len(h.pinned) - 1; i >= 0; i-- {
		th := h.pinned[i]
		ran := ranNs(th.tid)
		alone := h.stops-th.stops <= fewStops
		if idle || ran > aloneNs || ran > longRunNs && !alone {
			h.Restore(th)
			if ran > longRunNs && !alone {
				th.computes()
			}
		}
	}
	if len(h.pinned) == 0 {
		h.leave()
	}
}

// check leaves alone those of some pinned threads whose affinity somebody else has set, or that have got a real-time
// policy.
func (h *Home) check() {
	for range min(len(h.pinned), checksATick) {
		if h.next--; h.next < 0 || h.next >= len(h.pinned) {
			h.next = len(h.pinned) - 1
		}
		if th := h.pinned[h.next]; !h.machine.guard.isUnchanged(th.slot, th.tid) || th.isStarver() {
			h.Restore(th)
			th.unplaceable = true
		}
	}
}

// Pin pins a thread to the tracer thread's CPU, if it can. It reports whether it is there.
func (h *Home) Pin(th *Thread) bool {
	m := h.machine
	if m == nil || h.over || th.unplaceable || th.slot >= 0 || h.crowd.apart || m.asking.Load() > 0 || m.unguarded.Load() {
		return th.slot >= 0
	}
	if raw.Affinity(th.tid, &h.had) != nil {
		return false
	}
	if m.guard == nil {
		th.sharesCPU = h.had == m.own
		th.unplaceable = true
		return th.sharesCPU
	}
	if th.isStarver() {
		th.unplaceable = true
		return false
	}
	if h.cpu < 0 && !h.enter() {
		return false
	}
	if !h.had.Has(h.cpu) {
		th.unplaceable = true
		return false
	}
	slot, err := m.guard.pin(th.tid, h.cpu, &h.had, &h.one)
	if slot < 0 {
		th.unplaceable = true
		m.failed(th.tid, err)
		return false
	}
	th.slot, th.index = slot, len(h.pinned)
	h.pinned = append(h.pinned, th)
	if m.asking.Load() > 0 { // since a moment ago
		h.Restore(th)
		return false
	}
	h.onPin()
	return true
}

// Restore restores the affinity that a thread had before it was pinned. If somebody else has set it since, that lasts,
// and the thread is not pinned again.
func (h *Home) Restore(th *Thread) {
	if th.slot >= 0 {
		if !h.machine.guard.restore(th.slot, th.tid) {
			th.unplaceable = true
		}
		h.unlist(th)
	}
}

// RestoreAll restores the affinities of all pinned threads, and of the tracer thread.
func (h *Home) RestoreAll() {
	for len(h.pinned) > 0 {
		h.Restore(h.pinned[0])
	}
	h.leave()
}

// End restores all affinities, and nobody is pinned any more. It is to be called before tracees are resumed so that they
// stop at no call: Reveal is told of none then.
func (h *Home) End() {
	h.over = true
	h.RestoreAll()
	if m := h.machine; m != nil && m.guard != nil {
		m.guard.ledger.life.unwatch()
	}
}

// isPinned reports whether a thread shares the tracer thread's CPU.
func (h *Home) isPinned(th *Thread) bool {
	if th.slot < 0 {
		return th.sharesCPU
	}
	if h.machine.guard.has(th.slot, th.tid) {
		return true
	}
	h.unlist(th) // another Home has restored its affinity
	th.shortRuns = 0
	return false
}

func (h *Home) unlist(th *Thread) {
	last := len(h.pinned) - 1
	h.pinned[th.index] = h.pinned[last]
	h.pinned[th.index].index = th.index
	h.pinned[last] = nil
	h.pinned = h.pinned[:last]
	th.slot = -1
}

// enter pins the tracer thread to a CPU on which the thread may run whose affinity h.had is. It reports whether it is
// there.
func (h *Home) enter() bool {
	m := h.machine
	if !m.isGuarded() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cpu := m.choose(&h.had)
	h.one = raw.CPUMask{}
	h.one.Add(cpu)
	if raw.SetAffinity(0, &h.one) != nil {
		return false
	}
	h.cpu = cpu
	m.users[cpu]++
	m.guard.ledger.life.watch()
	return true
}

// leave restores the tracer thread's affinity.
func (h *Home) leave() {
	if h.cpu < 0 {
		return
	}
	m := h.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	raw.SetAffinity(0, &m.wide)
	m.users[h.cpu]--
	h.cpu = -1
}

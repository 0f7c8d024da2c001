package place

// Visible is a kind of call that pinning would show in. Others are of no kind.
type Visible uint8

const (
	Nothing Visible = iota
	Creates         // it creates a thread or process, which inherits its creator's affinity
	AsksFor         // it asks for the affinity of a thread
	Sets            // it sets a thread's affinity, or a policy that depends on that (SCHED_DEADLINE takes all CPUs)
)

// Reveal is told of an entry-stop at a call of a visible kind, and restores the affinity of the threads on which the
// call's outcome depends. target is the thread that is asked for, 0 for the caller.
func (h *Home) Reveal(th *Thread, kind Visible, target int32) {
	switch m := h.machine; {
	case m == nil:
	case kind == Creates && th.slot >= 0:
		h.Restore(th)
		th.repin = true
	case kind >= AsksFor && m.guard != nil:
		if target != 0 && target != th.tid {
			th.asking = true
			m.asking.Add(1)
			if !m.guard.restoreThread(target) {
				m.guard.restoreThread(0) // in another PID namespace it has another number
			}
			return
		}
		pinned := th.slot >= 0
		h.Restore(th)
		if kind == Sets {
			th.unplaceable = false // it may have a wish of its own now
		}
		th.repin = pinned && !th.unplaceable
	}
}

// answered notes that the call at which Reveal was called has returned, or that its thread has died.
func (h *Home) answered(th *Thread) {
	if th.asking {
		th.asking = false
		h.machine.asking.Add(-1)
	}
}

package slow

import (
	"sync"
	"time"

	"sysprof/profile"
	"sysprof/report"
	"sysprof/syscalltab"
)

// threads has a record of the call that each traced thread is in. Tracer threads write it, and the timer reads it. There are
// so many parts that they hardly ever meet.
type threads struct{ part [64]part }

type part struct {
	mu    sync.Mutex
	calls map[int32]*call // by thread
	_     [40]byte        // keeps the next one off this one's cache line
}

// call is the call that a thread is in, or was in last.
type call struct {
	in, said bool
	pid      int32
	abi      syscalltab.ABI
	nr       uint64
	args     [syscalltab.MaxArguments]uint64
	sinceNs  int64
	stack    uint32
	about    about
	line     *report.SlowCall // of one that has returned, between Held and Returned
}

func (t *threads) init() {
	for i := range t.part {
		t.part[i].calls = make(map[int32]*call)
	}
}

// of returns the part that has a thread.
func (t *threads) of(tid int32) *part { return &t.part[uint32(tid)%uint32(len(t.part))] }

func (t *threads) enter(c *profile.Call, stack uint32, about *about) {
	p := t.of(c.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.calls[c.TID]
	if k == nil {
		k = new(call)
		p.calls[c.TID] = k
	}
	k.in, k.said, k.line = true, false, nil
	k.pid, k.abi, k.nr, k.args, k.sinceNs, k.stack = c.PID, c.ABI, c.Nr, c.Args, c.EntrySeenNs, stack
	if k.about.known || about.known {
		k.about = *about
	}
	k.about.resumes = about.resumes
}

// is reports whether a record is of a call.
func (k *call) is(c *profile.Call) bool { return k != nil && k.in && k.abi == c.ABI && k.nr == c.Nr }

// about returns what is known already of what a call is about.
func (t *threads) about(c *profile.Call) (known about) {
	p := t.of(c.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.calls[c.TID]; k.is(c) {
		known = k.about
	}
	return known
}

// keep keeps a line for returned.
func (t *threads) keep(c *profile.Call, line *report.SlowCall) {
	p := t.of(c.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.calls[c.TID]
	if k == nil { // its entry was not told of
		k = new(call)
		p.calls[c.TID] = k
	}
	k.line = line
}

// returned ends a call, and returns the line that was kept, nil if none was, and whether it was said that the call hangs.
func (t *threads) returned(c *profile.Call) (line *report.SlowCall, said bool) {
	p := t.of(c.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.calls[c.TID]; k != nil {
		line, said = k.line, k.in && k.said
		k.line, k.in = nil, false
	}
	return line, said
}

func (t *threads) ended(tid int32) {
	p := t.of(tid)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, tid)
}

// hanging is a call that has not returned for some time.
type hanging struct {
	profile.Call // as far as it was known when it was entered
	about
}

// overdue are the calls of so many threads at most that have not returned for so long, and of which that has not been said.
func (t *threads) overdue(nowNs int64, atLeast time.Duration, most int) (all []hanging) {
	for i := range t.part {
		p := &t.part[i]
		p.mu.Lock()
		for tid, k := range p.calls {
			if len(all) == most {
				break
			}
			if k.in && !k.said && nowNs-k.sinceNs >= int64(atLeast) {
				all = append(all, hanging{profile.Call{PID: k.pid, TID: tid, ABI: k.abi, Nr: k.nr, Args: k.args, EntrySeenNs: k.sinceNs, Stack: k.stack}, k.about})
			}
		}
		p.mu.Unlock()
	}
	return all
}

// forget has nothing be said of a call that hangs.
func (t *threads) forget(h *hanging) {
	p := t.of(h.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.calls[h.TID]; k.is(&h.Call) && k.sinceNs == h.EntrySeenNs {
		k.in = false
	}
}

// say calls f if a call still hangs, and nothing has been said of it. Whatever is said of its end is said later.
func (t *threads) say(h *hanging, f func() bool) {
	p := t.of(h.TID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.calls[h.TID]; k.is(&h.Call) && !k.said && k.sinceNs == h.EntrySeenNs {
		k.said = f()
	}
}

package label

import "sysprof/profile"

// Memo remembers of threads what is the same for all of their calls, so that it is not looked up at each. It is of one projection,
// and is not safe for concurrent use: there is one for each thread that asks.
type Memo struct {
	of [memoThreads]struct {
		pid, tid int32
		epoch    uint64 // of the names, and 1; 0: nothing is known
		values   profile.Values
	}
}

// memoThreads is of how many threads it remembers something at best. Those whose numbers have the same rest take turns.
const memoThreads = 32

// Values are those of Projection.Values, found faster.
func (m *Memo) Values(p *Projection, c *profile.Call) profile.Values {
	if p == nil {
		return profile.Values{}
	}
	known := &m.of[uint32(c.TID)%memoThreads]
	if epoch := p.names.epoch.Load() + 1; known.epoch != epoch || known.tid != c.TID || known.pid != c.PID {
		known.pid, known.tid, known.epoch = c.PID, c.TID, epoch
		for i, f := range p.fields {
			if f.whose {
				known.values[i] = p.value(i, c)
			}
		}
	}
	values := known.values
	for i, f := range p.fields {
		if !f.whose {
			values[i] = p.value(i, c)
		}
	}
	return values
}

package cost

import (
	"slices"

	"sysprof/profile"
)

// own finds out, by the program's own calls, by how much controls take longer than transits at least: no call takes less
// than one that does nothing, and many programs make some that hardly do more (fcntl, close, read of nothing). What
// controls take longer is another share of a stop where the thread runs than where a calibration ran: in recorded runs of
// getppid on one machine it was from 0.1 to 0.5 µs of 2.8, and 0.9 of 4.6.
//
// The zero value has seen nothing.
type own struct {
	kinds   [ownKinds]ownKind // by the last digits of their number
	batches int               // of all
}

const (
	ownKinds = 32
	aBatch   = 16   // calls of one kind, of which the median is compared with that of controls
	enough   = 5    // batches, so that one of them with calls unlike the others decides nothing
	tooOld   = 64   // batches of all kinds since the last one of a kind, which is 1,000 calls
	mostOver = 0.25 // of a stop: when stops become shorter all at once, controls follow only after a while
)

// ownKind is the last calls of one kind.
type ownKind struct {
	nr    uint64
	raws  [aBatch]int64
	calls int   // of the batch so far
	below usual // by how much a batch took less than controls did
	last  int   // own.batches when it was compared last
}

// see takes a call that nothing is known of that would make it long, and reports whether a batch is complete. controlNs is
// what controls take now.
func (o *own) see(c *profile.Call, controlNs int64) bool {
	k := &o.kinds[c.Nr%ownKinds]
	if k.nr != c.Nr {
		*k = ownKind{nr: c.Nr}
	}
	k.raws[k.calls] = int64(c.RawLatency())
	if k.calls++; k.calls < aBatch {
		return false
	}
	k.calls = 0
	slices.Sort(k.raws[:])
	k.below.add(controlNs - k.raws[aBatch/2])
	o.batches++
	k.last = o.batches
	return true
}

// overNs is by how much controls take longer than the transits of the calls that were seen, if a call takes callNs at
// least. It is below that where no call shows it.
func (o *own) overNs(callNs int64) int64 {
	ns := int64(0)
	for i := range o.kinds {
		if k := &o.kinds[i]; k.below.known >= enough && o.batches-k.last < tooOld {
			ns = max(ns, k.below.ns+callNs)
		}
	}
	return ns
}

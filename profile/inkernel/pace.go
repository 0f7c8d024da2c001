package inkernel

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/cilium/ebpf"
)

// pace says, while not all calls are timed, of which calls how many are. Rare and slow ones always are: the clock costs
// little of what they take, and they are what is looked for. A call is always timed until it has been seen to be
// frequent and short.
type pace struct {
	stop    chan struct{} // nil: all calls are timed
	stopped sync.WaitGroup
}

const (
	paceEvery = 250 * time.Millisecond

	// Calls that are this frequent and this short are timed now and then: the clock would take 1 % of 5 µs, and of a CPU
	// what 1,000 calls a second have of it does not show.
	frequent = 1000 // a second
	shortNs  = 5000
)

// begin has a goroutine keep the pace, if not all calls are to be timed.
func (p *pace) begin(c *Counter) error {
	if c.options.Timed <= 1 {
		return nil
	}
	calls, err := c.programs.Calls.Memory()
	if err != nil {
		return err
	}
	seen, err := newRows(&c.programs)
	if err != nil {
		return err
	}
	seen.read() // what the price took
	p.stop = make(chan struct{})
	p.stopped.Go(func() {
		tick := time.NewTicker(paceEvery)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-p.stop:
				return
			case now := <-tick.C:
				all, err := seen.read()
				if err != nil {
					return // nothing changes any more
				}
				set(calls, paces(all, now.Sub(last), uint32(c.options.Timed)))
				last = now
			}
		}
	})
	return nil
}

func (p *pace) end() {
	if p.stop != nil {
		close(p.stop)
		p.stopped.Wait()
		p.stop = nil
	}
}

// paces says of the calls that have come in which share is to be timed from now on, by their index.
func paces(all []*increment, in time.Duration, timed uint32) map[uint32]uint32 {
	type total struct{ calls, weight, sum float64 }
	totals := make(map[uint32]*total)
	for _, inc := range all {
		index, ok := indexOf(inc.key.ABI, uint64(inc.key.Nr))
		if !ok {
			continue
		}
		t := totals[index]
		if t == nil {
			t = new(total)
			totals[index] = t
		}
		t.calls += float64(inc.calls)
		t.weight += float64(inc.weight)
		t.sum += float64(inc.sum)
	}
	every := make(map[uint32]uint32, len(totals))
	for index, t := range totals {
		every[index] = 1
		if t.calls/in.Seconds() >= frequent && (t.weight == 0 || t.sum/t.weight <= shortNs) {
			every[index] = timed
		}
	}
	return every
}

// set tells the programs. Of calls that are none of those that have come in the pace remains.
func set(calls *ebpf.Memory, every map[uint32]uint32) {
	for index, n := range every {
		calls.WriteAt(binary.NativeEndian.AppendUint32(nil, n), int64(index)*int64(binary.Size(call{})))
	}
}

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
	stop    chan struct{} // nil: all calls are timed, or they are told apart by whose they are
	stopped sync.WaitGroup

	calls *ebpf.Memory // nil: all calls are timed

	// Where they are told apart, what has come in since the pace was last chosen.
	totals totals
	since  time.Time
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
	var err error
	if p.calls, err = c.programs.Calls.Memory(); err != nil {
		return err
	}
	if c.groups != nil {
		p.totals, p.since = make(totals), time.Now()
		return nil
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
				t := make(totals)
				for _, inc := range all {
					t.add(inc.key, inc.calls, inc.weight, inc.sum)
				}
				p.set(t, now.Sub(last), c.options.Timed)
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

// keep keeps the pace of calls that have been taken by whose they are.
func (p *pace) keep(timed int) {
	if now := time.Now(); p.calls != nil && now.Sub(p.since) >= paceEvery {
		p.set(p.totals, now.Sub(p.since), timed)
		p.since = now
		clear(p.totals)
	}
}

// totals are how many calls have come in, by their index.
type totals map[uint32]*total

type total struct{ calls, weight, sum float64 }

func (t totals) add(key rowKey, calls, weight, sum uint64) {
	index, ok := indexOf(key.ABI, uint64(key.Nr))
	if !ok {
		return
	}
	its := t[index]
	if its == nil {
		its = new(total)
		t[index] = its
	}
	its.calls += float64(calls)
	its.weight += float64(weight)
	its.sum += float64(sum)
}

// paces says of the calls that have come in which share is to be timed from now on.
func (t totals) paces(in time.Duration, timed uint32) map[uint32]uint32 {
	every := make(map[uint32]uint32, len(t))
	for index, t := range t {
		every[index] = 1
		if t.calls/in.Seconds() >= frequent && (t.weight == 0 || t.sum/t.weight <= shortNs) {
			every[index] = timed
		}
	}
	return every
}

// set tells the programs. Of calls that are none of those that have come in the pace remains.
func (p *pace) set(t totals, in time.Duration, timed int) {
	for index, n := range t.paces(in, uint32(timed)) {
		p.calls.WriteAt(binary.NativeEndian.AppendUint32(nil, n), int64(index)*int64(binary.Size(call{})))
	}
}

package inkernel

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// Price is what counting adds to a call: to one of a thread that is counted, and to one of everybody else on this machine,
// whom the tracepoints cost, too. The low end is what was measured with warm caches, in a loop. What the programs and
// their tables take with cold ones is up to three times as much (measured with 4 MB touched between two calls: 3.4 and 3.3
// times; Linux 6.18, a virtual machine with 2 CPUs).
type Price struct {
	Counted, Others profile.Estimate
	aloneNs         float64 // what a call takes without
}

const (
	priceBatches = 30
	priceCalls   = 400 // a batch, so that some are over before anything disturbs them
	coldFactor   = 3
)

// begin measures what a call takes while nothing is attached. It may be asked to several times: the least counts, since
// other programs can only add to it.
func (p *Price) begin() {
	ns := batches()
	if p.aloneNs == 0 || ns < p.aloneNs {
		p.aloneNs = ns
	}
}

// measure measures what one takes now, to a thread that is not counted, and to one that is. It does so again if that
// cannot be, as on a machine whose CPUs are all busy.
func (p *Price) measure(c *Counter) error {
	const tries = 3
	index, _ := indexOf(0, unix.SYS_GETPPID)
	var chosen call
	if err := c.programs.Calls.Lookup(&index, &chosen); err != nil {
		return fmt.Errorf("measure what counting costs: %w", err)
	}
	priced := chosen
	priced.Every = uint32(max(c.options.Timed, 1))
	if err := c.programs.Calls.Put(&index, &priced); err != nil {
		return fmt.Errorf("measure what counting costs: %w", err)
	}
	others, counted := math.Inf(1), math.Inf(1)
	for n := 0; n < tries && !(p.aloneNs < others && others < counted); n++ {
		others = min(others, batches())
		if err := c.asMember(func() { counted = batches() }); err != nil {
			return err
		}
	}
	p.Others, p.Counted = interval(others-p.aloneNs), interval(counted-p.aloneNs)
	chosen.Row, chosen.Failed, chosen.Errno = 0, 0, 0 // as found by its key again
	return c.programs.Calls.Put(&index, &chosen)
}

// interval is from what was measured to what it may be with cold caches.
func interval(ns float64) profile.Estimate {
	ns = max(ns, 0)
	return profile.Estimate{Ns: int64(math.Round(ns)), LowNs: int64(math.Round(ns)), HighNs: int64(math.Round(coldFactor * ns))}
}

// asMember runs f on a thread that is counted meanwhile.
func (c *Counter) asMember(f func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	be := func(member uint64) error {
		_, err := c.programs.Calibrate.Run(&ebpf.RunOptions{Context: [1]uint64{member}})
		if err != nil {
			return fmt.Errorf("measure what counting costs: %w", err)
		}
		return nil
	}
	if err := be(1); err != nil {
		return err
	}
	f()
	return be(0)
}

// batches is what a call takes that does nothing, in ns: in the batch that nothing has disturbed.
func batches() float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fastest := math.Inf(1)
	for range priceBatches {
		begin := time.Now()
		for range priceCalls {
			unix.Getppid()
		}
		fastest = min(fastest, float64(time.Since(begin))/priceCalls)
	}
	return fastest
}

package inkernel

import (
	"github.com/cilium/ebpf"
)

// Losses are what could not be counted. All of it is 0 but in extraordinary circumstances.
type Losses struct {
	Missed   uint64 // runs of a program that the kernel left out, since another one was running on that CPU
	NoThread uint64 // threads of which nothing is counted, as there were too many
	NoRow    uint64 // calls that are in no row, as there were too many kinds
	NoStack  uint64 // drawn calls that are not known, as there were too many at once
	NoFlight uint64 // calls in flight that are not listed, as there were too many kinds
}

// Losses returns those so far.
func (c *Counter) Losses() (l Losses) {
	for to, v := range map[*uint64]*ebpf.Variable{&l.NoThread: c.programs.NoSlot, &l.NoRow: c.programs.NoRow, &l.NoFlight: c.programs.NoFlight, &l.NoStack: c.programs.DrawnLost} {
		v.Get(to)
	}
	p := &c.programs
	for _, program := range []*ebpf.Program{p.Enter, p.Leave, p.Ended, p.Forked, p.SignalSent, p.Renamed, p.Moved} {
		if stats, err := program.Stats(); err == nil {
			l.Missed += stats.RecursionMisses
		}
	}
	return l
}

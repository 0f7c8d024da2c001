package cost

import (
	"math"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// contended is a machine of one CPU that other programs have, for 3 ms at a time, for a share of the time.
type contended struct {
	*machine
	share  float64
	nowNs  float64
	leftNs float64 // until they have it next
	agoNs  float64 // when the thread was let go on from its last call, -1 before the first
}

func newContended(seed uint64, share float64) *contended {
	m := &contended{machine: newMachine(seed), share: share, agoNs: -1}
	m.leftNs = m.rng.Float64() * 3e6 / max(share, 1e-3)
	return m
}

// takes lets ns of CPU time pass, and what others have between.
func (m *contended) takes(ns float64) {
	const preemptedNs = 3e6
	m.nowNs += ns
	if m.leftNs -= ns; m.share == 0 {
		return
	}
	for m.leftNs < 0 {
		m.nowNs += preemptedNs
		m.leftNs += preemptedNs * (1 - m.share) / m.share * (0.3 + 1.4*m.rng.Float64())
	}
}

func (m *contended) call(nr uint64, workNs, ns float64) *profile.Call {
	c := &profile.Call{ABI: syscalltab.AMD64, Nr: nr, CPUNs: -1, GapNs: -1}
	m.takes(workNs + float64(m.noisy(m.switchNs)))
	c.EntrySeenNs = int64(m.nowNs)
	if m.agoNs >= 0 {
		c.GapNs = int64(m.nowNs - m.agoNs)
	}
	m.takes(float64(m.holdNs))
	c.EntryResumedNs = int64(m.nowNs)
	m.takes(ns + float64(m.noisy(m.transitNs)))
	c.ExitSeenNs = int64(m.nowNs)
	m.takes(float64(m.holdNs))
	c.ExitResumedNs = int64(m.nowNs)
	m.agoNs = m.nowNs
	return c
}

// TestPreemption: a start-up of 20 ms, 760 calls none of which shows how the machine is, as Python's. Where
// other programs have the CPU, there may be one more preemption in it or one less, which is 15 % of it: no
// estimate can be right then, but it must not be silent. The calibration, a third as long, shows most of that.
func TestPreemption(t *testing.T) {
	const rounds = 60
	for _, c := range []struct {
		share                         float64
		mostSilent, mostWarned, least int
	}{
		{0, 0, 0, 0}, {0.3, rounds / 5, rounds, rounds / 3}, {0.5, rounds / 10, rounds, rounds * 3 / 4},
	} {
		silent, warned := 0, 0
		for seed := range uint64(rounds) {
			m := newContended(seed, c.share)
			transit := newTransit(profile.Calibrated)
			for range 1_100 {
				transit.add(m.call(getppidNr, 0, cheapNs))
			}
			transit.measuredUntraced([]int64{cheapNs}, 1)

			p := record()
			began, untracedNs := m.nowNs, 0.0
			m.agoNs = -1
			for range 760 {
				nr := m.rng.Uint64N(30)
				workNs := 50_000 * m.rng.ExpFloat64() * m.rng.Float64()
				ns := 500 + 150*float64(nr)*m.rng.ExpFloat64()
				untracedNs += workNs + ns
				p.Add(m.call(nr, workNs, ns))
			}
			p.correctBy(transit, nil)
			s := p.after(time.Duration(m.nowNs - began))
			untracedNs /= 1 - c.share
			said := strings.Contains(kinds(s), isUncertain)
			wrong := math.Abs(float64(s.Overhead.UntracedNs.Ns)-untracedNs) > 0.1*untracedNs
			if said {
				warned++
			} else if wrong {
				silent++
			}
		}
		t.Logf("others have %.0f %% of the CPU: warned of %d, silent and wrong in %d of %d rounds", 100*c.share, warned, silent, rounds)
		if silent > c.mostSilent || warned > c.mostWarned || warned < c.least {
			t.Errorf("others have %.0f %% of the CPU: of %d rounds, %d had a warning, and %d were wrong without one", 100*c.share, rounds, warned, silent)
		}
	}
}

// TestAQuietRunAfterABusyCalibration: calls that do nothing show that others have ceased to preempt.
func TestAQuietRunAfterABusyCalibration(t *testing.T) {
	m := newMachine(39)
	transit := m.calibration()
	for range 4 {
		transit.add(&profile.Call{EntryResumedNs: 1, ExitSeenNs: 3_000_000, GapNs: -1, CPUNs: -1})
	}
	for _, cheap := range []int{0, 400} {
		p := record()
		th := m.thread(1)
		for range 600 {
			p.Add(th.call(openNr, 40_000, 2_000))
		}
		for range cheap {
			p.Add(th.call(getppidNr, 0, cheapNs))
		}
		p.correctBy(transit, nil)
		s := p.after(th.wall())
		if said := strings.Contains(kinds(s), string(profile.UntracedByOthers)); said != (cheap == 0) {
			t.Errorf("with %d cheap calls: %+v; %+v", cheap, s.Warnings, s.Overhead.UntracedNs)
		}
	}
}

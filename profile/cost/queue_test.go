package cost

import (
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// serve lets threads make calls at once, each on a CPU of its own, and one tracer deal with their stops in the
// order of their coming. It returns how long that took and how long the stops stood in line.
func (m *machine) serve(add func(*profile.Call), threads, calls int, workNs, ns int64) (wall time.Duration, inLineNs int64) {
	type state struct {
		call    profile.Call
		stopsNs int64 // when it stops next
		inCall  bool
		calls   int
		agoNs   int64 // when it was let go on from its last call
	}
	all := make([]state, threads)
	for i := range all {
		all[i].stopsNs = 1_000 + int64(i)*3_000
		all[i].agoNs = -1
	}
	freeNs := int64(0) // when the tracer has done with the stop before
	for {
		var next *state
		for i := range all {
			if s := &all[i]; s.calls < calls && (next == nil || s.stopsNs < next.stopsNs) {
				next = s
			}
		}
		if next == nil {
			return time.Duration(freeNs), inLineNs
		}
		seenNs := max(next.stopsNs, freeNs)
		queued := seenNs > next.stopsNs
		inLineNs += seenNs - next.stopsNs
		freeNs = seenNs + m.holdNs
		if !next.inCall {
			next.call = profile.Call{PID: 1, ABI: syscalltab.AMD64, Nr: readNr, EntrySeenNs: seenNs, EntryResumedNs: freeNs, CPUNs: -1, GapNs: -1}
			if next.agoNs >= 0 {
				next.call.GapNs = seenNs - next.agoNs
			}
			next.stopsNs = freeNs + ns + m.noisy(m.transitNs)
		} else {
			next.call.ExitSeenNs, next.call.ExitResumedNs, next.call.Queued = seenNs, freeNs, queued
			add(&next.call)
			next.agoNs = freeNs
			next.stopsNs = freeNs + workNs + m.noisy(m.switchNs)
			next.calls++
		}
		next.inCall = !next.inCall
	}
}

// TestStandingInLineIsLostToTracing: several threads keep one tracer busy. What they lose in the line is measured
// at exits, and is in no latency; at entries it looks like work.
func TestStandingInLineIsLostToTracing(t *testing.T) {
	const threads = 2 // on as many CPUs
	const workNs, ns, calls = 3_000, 2_000, 5_000
	for _, holdNs := range []int64{1_000, 8_000 / threads, 16_000 / threads} {
		m := newMachine(18)
		transit := m.calibration()
		m.holdNs = holdNs
		p := record()
		p.run.CPUs = threads
		wall, inLineNs := m.serve(p.Add, threads, calls, workNs, ns)
		p.correctBy(transit, nil)
		s := p.after(wall)
		o := s.Overhead
		t.Logf("hold %d ns: %d of %d calls queued, in line for %d ns: %+v; untraced %+v", holdNs, o.Queued, o.Calls, inLineNs, o.InLineNs, o.UntracedNs)
		if inLineNs < o.InLineNs.LowNs || inLineNs > o.InLineNs.HighNs {
			t.Errorf("stops stood in line for %d ns; the range is %+v", inLineNs, o.InLineNs)
		}
		w := kinds(s)
		if o.Calls-o.Queued >= enoughUnqueued {
			about(t, "the mean", s.Rows[0].Mean(), ns, 0.1, 300)
		} else if !strings.Contains(w, string(profile.QueuedInLatency)) {
			t.Errorf("all calls stood in line, and this is said: %q", w)
		}
		promised(t, s, calls*(workNs+ns))
	}
}

// TestCallsThatSleepDoNotShowALine: those that were woken at the same time are queued, and took as long as they
// slept.
func TestCallsThatSleepDoNotShowALine(t *testing.T) {
	m := newMachine(19)
	p := record()
	th := m.thread(1)
	for i := range 500 {
		c := th.call(readNr, 0, 200_000)
		if i%4 == 0 {
			c = th.call(readNr, 0, 900_000)
			c.Queued = true
		}
		p.Add(c)
	}
	p.correctBy(m.calibration(), nil)
	equal(t, "standing in line", p.after(th.wall()).Overhead.InLineNs.Ns, 0)
}

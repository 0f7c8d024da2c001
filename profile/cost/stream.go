package cost

import (
	"slices"

	"sysprof/profile"
)

// Stream finds the transit of each call that one thread of an engine sees, from the controls around it. It allocates
// nothing once it is made, and is not safe for concurrent use.
type Stream struct {
	byHandNs int64
	raw      bool
	local    [profile.Conditions]local
}

// local is what tracing costs now in one condition.
type local struct {
	Calibration
	stopNs    int64
	own       own            // what the program's own calls show of the same
	overNs    int64          // by how much controls take longer than the transit of a call
	controlNs int64          // the median of the last controls
	nearest   [nearest]int64 // the last controls, in the order of their times
	known     int            // how many of them there are
	next      int            // where the next one goes
	sorted    [nearest]int64
	transitNs int64 // of a call that does nothing
	calls     uint64

	wait   usual // of the thread for a CPU, a stop
	tracer usual // of the tracer thread, a stop
	ran    usual // of the thread, a stop
	off    usual // neither running nor waiting, a stop
}

// nearest is how many controls tell what a transit takes now. Transits of one kind alternate between values that are
// some 0.3 µs apart, as the kernel's and the tracer's memory happen to meet in the caches, so that there have to be
// enough for a median; and 21 of them reach back for 40 ms, in which a busy machine changes.
const nearest = 21

// NewStream returns a Stream that knows nothing but the model.
func (m *Model) NewStream() *Stream {
	s := &Stream{raw: m.IsRaw()}
	if m.ByHand != nil {
		s.byHandNs = int64(*m.ByHand)
		return s
	}
	for i := range s.local {
		l := &s.local[i]
		l.Calibration = m.completed(i)
		l.transitNs = l.TransitNs
		l.stopNs = m.stopNs()
		l.overNs = l.OverNs
	}
	return s
}

// Call sets c.TransitNs and what is known with it.
func (s *Stream) Call(c *profile.Call) {
	c.AsleepNs, c.WaitedNs = -1, 0
	switch {
	case s.raw:
		c.TransitNs = 0
	case s.byHandNs > 0:
		c.TransitNs = min(s.byHandNs, int64(c.RawLatency()))
	default:
		l := &s.local[c.Condition()]
		l.calls++
		c.TransitNs = l.transitNs
		c.Disturbed, c.Slept = false, false
		if c.Waits != (profile.Waits{}) {
			waitedNs := l.waited(&c.Waits, int64(c.RawLatency())-c.TransitNs, true)
			c.TransitNs += waitedNs
			c.WaitedNs, c.Disturbed = waitedNs, waitedNs > 0
			c.Slept = !c.Queued && !c.Disturbed && c.Waits.Known && // who stood in line is on nobody's heels
				(l.slept(&c.Waits, 0) || l.asleepFor(&c.Waits, 0) > max(c.NetNs(), l.stopNs)/2)
			c.AsleepNs = l.asleepIn(c)
		} else {
			// It was not looked at, but took longer than most calls that do not sleep: two threads that wait for each
			// other by pipes take 5 to 10 µs.
			c.Slept = !c.Queued && c.NetNs() > l.stopNs/2
			if !c.Queued && l.known > nearest/2 && l.own.see(c, l.controlNs) {
				l.overNs = max(l.OverNs, min(l.own.overNs(l.CallNs), int64(mostOver*float64(l.stopNs))))
				l.transitNs = l.controlNs - l.overNs
			}
			if l.known > 0 { // it would have been looked at if it had slept for long
				c.AsleepNs = 0
			}
		}
		if longerNs := int64(c.RawLatency()) - c.TransitNs - l.CallNs; longerNs > 0 {
			c.TransitNs += int64(cold(l.stopNs, float64(longerNs)))
		}
	}
}

// Control takes a control, and returns what it showed.
func (s *Stream) Control(c *profile.Control) profile.ControlSum {
	if s.raw || s.byHandNs > 0 || c.Queued {
		return profile.ControlSum{Made: 1, LostNs: c.RawNs + c.HoldNs}
	}
	l := &s.local[c.Condition()]
	weight := float64(l.calls)
	transitNs := c.RawNs - l.overNs
	disturbed := l.waited(&c.Waits, transitNs-l.transitNs, false) > 0
	sum := profile.ControlSum{
		Made: 1, LostNs: c.RawNs + c.HoldNs,
		Weight: weight, Weights2: weight * weight,
		RawNs: weight * float64(transitNs), Raw2: weight * float64(transitNs) * float64(transitNs),
	}
	if !disturbed {
		sum.Quiet, sum.ExcessNs = weight, weight*float64(transitNs-l.transitNs)
	}
	l.calls = 0
	l.add(c.RawNs)
	l.learn(&c.Waits)
	return sum
}

// add takes what a control took.
func (l *local) add(ns int64) {
	l.nearest[l.next] = ns
	l.next = (l.next + 1) % nearest
	l.known = min(l.known+1, nearest)
	sorted := l.sorted[:copy(l.sorted[:], l.nearest[:l.known])]
	slices.Sort(sorted)
	l.controlNs = sorted[len(sorted)/2]
	l.transitNs = l.controlNs - l.overNs
}

package place

// crowd finds out whether several threads that are bound by their calls get on faster pinned, together with their
// tracer thread, or apart from it. It knows of stops and time alone.
//
// One thread and its tracer work in turn, so that nothing is lost by having them share a CPU. Of several threads some
// could run while the tracer deals with another one's stop, if there is a CPU for them: then the tracer hardly ever
// sleeps, and no CPU has to be woken. Which is faster depends on what a switch and a wake-up take on the machine, and
// on what else its CPUs do, so it is tried: where many stops stand in line, threads are pinned in one window of time
// and not in the next one, and the way stays that has more stops a second. Always pinned, four processes of postgres made
// 1.25 to 2.03 times as many transactions as under strace on one host, and on another one 0.7 times as many
// (bench/results).
type crowd struct {
	apart bool // threads are not to be pinned

	window   // the one that is open
	settling bool

	trial int        // windows of it to come, the open one included; 0: there is none
	was   bool       // apart, before the trial
	rates [2]float64 // in the trial: stops a nanosecond together, and apart
	wait  int64      // until the next one, in ns, if the last one changed nothing
	next  int64      // no trial before, by the clock of stops
	calm  int        // windows in a row without a crowd
}

// window is a span of time.
type window struct {
	sinceNs, untilNs int64
	stops, queued    int // queued: they stood in line
}

const (
	windowNs       = 20_000_000 // as long as hundreds of stops take
	windowThreadNs = 40_000     // a thread, where many are pinned: so long it takes to move it
	settleNs       = 4_000_000  // as long as threads are on their way to where they run next
	trialWindows   = 4          // in turn the one way and the other

	crowdedStops = 64  // stops in a window, at least, of a crowd
	crowdedShare = 0.2 // of them stood in line, at least
	calmShare    = 0.05
	calmWindows  = 10   // so many windows with no more than calmShare end a crowd
	betterBy     = 1.08 // to change something, the other way has to be that much faster

	firstWaitNs = 250_000_000
	longestNs   = 8_000_000_000
)

// stop is told of a stop, when it was seen and whether it stood in line. It reports whether the window is over.
func (c *crowd) stop(nowNs int64, queued bool) (isOver bool) {
	c.stops++
	if queued {
		c.queued++
	}
	return nowNs >= c.untilNs
}

// isCrowd reports whether several threads often wanted the tracer at the same time.
func (w *window) isCrowd() bool {
	return w.stops >= crowdedStops && float64(w.queued) >= crowdedShare*float64(w.stops)
}

func (w *window) isCalm() bool { return float64(w.queued) <= calmShare*float64(w.stops) }

// close closes the window at nowNs, with so many threads pinned, and opens the next one. It may change apart, and begin
// a trial if no other Home of the machine has one.
func (c *crowd) close(nowNs int64, pinned int, m *Machine) {
	w, settled := c.window, !c.settling
	tookNs := nowNs - w.sinceNs
	lengthNs := max(windowNs, int64(pinned)*windowThreadNs)
	c.window, c.settling = window{sinceNs: nowNs, untilNs: nowNs + lengthNs}, false
	switch {
	case !settled:
	case c.trial > 0:
		c.tried(&w, tookNs)
	case w.isCrowd():
		c.calm = 0
		if nowNs >= c.next && m.mayTry(nowNs) {
			c.trial, c.was, c.rates = trialWindows, c.apart, [2]float64{}
		}
	case w.isCalm() && c.apart:
		if c.calm++; c.calm >= calmWindows {
			c.apart, c.calm, c.wait = false, 0, 0
		}
	}
}

// tried takes a window of a trial.
func (c *crowd) tried(w *window, tookNs int64) {
	c.trial--
	if tookNs > 2*(w.untilNs-w.sinceNs) { // the program slept: that tells nothing
		c.conclude(c.was)
		return
	}
	c.rates[wayOf(c.apart)] += float64(w.stops) / float64(tookNs)
	if c.trial == 0 {
		stay, change := c.rates[wayOf(c.was)], c.rates[wayOf(!c.was)]
		c.conclude(c.was != (change > betterBy*stay))
		return
	}
	c.apart = !c.apart
	c.settling, c.untilNs = true, c.sinceNs+settleNs
}

// conclude ends a trial.
func (c *crowd) conclude(apart bool) {
	c.trial = 0
	if c.wait = min(2*c.wait, longestNs); apart != c.was || c.wait == 0 {
		c.wait = firstWaitNs
	}
	c.apart, c.next = apart, c.sinceNs+c.wait
}

func wayOf(apart bool) int {
	if apart {
		return 1
	}
	return 0
}

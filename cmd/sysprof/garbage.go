package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// garbage is how much of it there may be. The zero value leaves that to the runtime.
type garbage struct {
	mu      sync.Mutex
	later   bool // nothing is collected yet
	percent int  // of what is in use
	limit   int64
}

const (
	// usualGarbage is half of what the runtime leaves: next to nothing is allocated while tracing, so collecting it costs
	// nothing either, and what is written at the end would otherwise take twice its size.
	usualGarbage = 50

	// groupsGarbage is for groups. Of 10,000 there are 65 MB, with hardly a pointer in them: to collect the garbage often
	// costs little then.
	groupsGarbage = 10

	// From 2 MB on there would be collections in usualGarbage, and a start allocates 5: three of them took 2.4 of the 14.7 ms
	// of tracing true.
	collectAfter = 500 * time.Millisecond
	untilThen    = 24 << 20 // bytes that the runtime may take before it collects all the same

	// The runtime would collect again and again where more than untilThen is in use: who has half of it allocated does not wait.
	lookEvery = 100 * time.Millisecond
)

// collectLater has nothing collected in the first moments, which a short run consists of, until collect or collectSoon
// is called.
func (g *garbage) collectLater() {
	g.later, g.percent = true, usualGarbage
	debug.SetGCPercent(-1)
	g.limit = debug.SetMemoryLimit(untilThen)
}

// collectSoon ends these moments after a while. The first timer of a process takes descriptors, without which the runtime
// dies: there have to be some.
func (g *garbage) collectSoon() {
	if g.later {
		g.lookAfter(lookEvery)
	}
}

// lookAfter has it looked, when that time has passed since the start, whether they are to end.
func (g *garbage) lookAfter(passed time.Duration) {
	time.AfterFunc(lookEvery, func() {
		if passed >= collectAfter || allocated() > untilThen/2 {
			g.collect()
		} else {
			g.lookAfter(passed + lookEvery)
		}
	})
}

// allocated is how many bytes there are that have not been collected. runtime.ReadMemStats would stop everything for it: that
// was 5 % of the CPU time of tracing true where a start took over 100 ms.
func allocated() uint64 {
	objects := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(objects)
	return objects[0].Value.Uint64()
}

// collect ends them.
func (g *garbage) collect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.later {
		return
	}
	g.later = false
	debug.SetGCPercent(g.percent)
	debug.SetMemoryLimit(g.limit)
}

// leave says how much of it there may be from now on.
func (g *garbage) leave(percent int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.percent = percent
	if !g.later {
		debug.SetGCPercent(percent)
	}
}

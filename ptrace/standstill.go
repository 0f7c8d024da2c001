package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// heartbeat finds out when this process stands still as a whole: it is stopped (SIGSTOP, a debugger) or frozen
// (a cgroup's freezer). A stop of a tracee waits for that long, which is neither the call's time nor the program's.
//
// A thread beats every beatNs, and a beat that comes lateNs too late ends a standstill that began after the beat
// before. A beat that is late for want of a CPU ends none: the tracees wanted CPUs just as much, and the tracer threads
// may have had theirs. That a tracer thread itself had to wait so long for a CPU is counted, and taken off nothing.
// A machine that is suspended is none of this, since the clock stands still, too.
//
// Tracer threads ask only where an interval is longNs or longer, so that ordinary stops pay one comparison.
type heartbeat struct {
	beatAtNs atomic.Int64  // 0: it does not beat yet
	takenNs  atomic.Int64  // of the run's time, in which tracees were held up
	workers  []runDelay    // by worker; not changed once it beats
	quit     [2]int        // a pipe whose end for writing is closed to end it
	gone     chan struct{} // closed when it has ended; nil if it never beat

	mu          sync.Mutex // guards what follows
	standstills []standstill
	stood       tally // standstills
	starved     tally // times that a tracer thread waited for a CPU
}

// standstill is a time in which no thread of this process ran.
type standstill struct {
	fromNs, toNs int64
	takenNs      int64   // the longest part of it that was taken off an interval
	waitedNs     []int64 // how long each worker had waited for a CPU until toNs
}

// tally counts stretches of time.
type tally struct {
	count   uint64
	totalNs int64
}

func (c *tally) add(ns int64) {
	c.count++
	c.totalNs += ns
}

const (
	// beatNs is not less, as a thread that waits so long has the Go runtime's monitor begin to look every 20 µs for others
	// to take a P from, 50 times and then ever more rarely (Go 1.26, runtime.sysmon): with a beat every 50 ms that was an
	// eighth of the tracer's CPU time while a shell ran true.
	beatNs   = 100_000_000
	lateNs   = 200_000_000
	longNs   = 50_000_000
	settleNs = 50_000_000 // after a standstill, until every stop that waited is dealt with by a thread that has a CPU

	awaitAtMost     = 500 * time.Millisecond
	keptStandstills = 16 // intervals that reach further back do not end just after a standstill
)

// run beats until it is told to quit.
func (h *heartbeat) run(now func() int64) {
	defer close(h.gone)
	runtime.LockOSThread() // how long it waited for a CPU is known of a thread; never unlocked: it ends with this
	own := openRunDelay(int32(unix.Gettid()))
	defer own.close()
	defer func() {
		for i := range h.workers {
			h.workers[i].close()
		}
	}()
	// A ticker of the runtime's is served by whichever of its threads is awake, and that this one waited for a CPU is
	// nowhere to be seen. So this one waits itself.
	quit := []unix.PollFd{{Fd: int32(h.quit[0]), Events: unix.POLLIN}}
	for {
		if !isUrgent(0) { // also when the haste at the start, if there was one, is over for all threads
			beUrgent()
		}
		n, _ := unix.Poll(quit, beatNs/1_000_000)
		var starvedNs int64
		for i := range h.workers {
			starvedNs = max(starvedNs, h.workers[i].sinceLast())
		}
		// A thread that can run, and waits for a CPU, does not stand still; and what wakes this one may be another.
		h.beat(now(), max(own.sinceLast(), starvedNs), starvedNs)
		if n > 0 { // the last beat may end a standstill, too
			return
		}
	}
}

// beat is one beat, whose thread has waited for a CPU for waitedNs since the last one, and a tracer thread for
// starvedNs.
func (h *heartbeat) beat(nowNs, waitedNs, starvedNs int64) {
	lastNs := h.beatAtNs.Load()
	if nowNs-lastNs-beatNs-waitedNs >= lateNs {
		h.mu.Lock()
		if len(h.standstills) == keptStandstills {
			h.standstills = append(h.standstills[:0], h.standstills[1:]...)
		}
		s := standstill{fromNs: lastNs, toNs: nowNs, waitedNs: make([]int64, len(h.workers))}
		for i := range h.workers {
			s.waitedNs[i] = h.workers[i].last
		}
		h.standstills = append(h.standstills, s)
		h.stood.add(nowNs - lastNs - beatNs)
		h.mu.Unlock()
	}
	if starvedNs >= lateNs {
		h.mu.Lock()
		h.starved.add(starvedNs)
		h.mu.Unlock()
	}
	h.beatAtNs.Store(nowNs) // last, so that who waits for it finds the standstill
}

// waited takes the standstill off the interval that ended with a stop of a tracee, which a worker saw at toNs. It
// returns how much that is. Where a stop is seen just after a standstill, the tracee may have come to it at any time
// since that began: what is left of the interval is the least that it can have been. How long the worker waited for a
// CPU after the standstill belongs to it. A stop that is seen later was not waiting, so that the interval is as long
// as it seems.
func (h *heartbeat) waited(worker int, fromNs, toNs int64) (ns int64) {
	h.await(toNs)
	h.mu.Lock()
	defer h.mu.Unlock()
	endNs := toNs
	for i := len(h.standstills) - 1; i >= 0 && endNs > fromNs; i-- {
		s := &h.standstills[i]
		if s.fromNs >= endNs {
			continue
		}
		late := endNs - s.toNs
		if late > settleNs {
			late -= h.workers[worker].total(make([]byte, len(runDelay{}.text))) - s.waitedNs[worker]
		}
		if s.toNs <= fromNs || late > settleNs {
			break
		}
		beganNs := max(fromNs, s.fromNs)
		ns += h.take(s, endNs-beganNs)
		endNs = beganNs // of one just after another one
	}
	return ns
}

// held takes standstills off an interval in which a tracer thread dealt with a stop. It returns how much that is.
func (h *heartbeat) held(fromNs, toNs int64) (ns int64) {
	h.await(toNs)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.standstills {
		s := &h.standstills[i]
		if overlap := min(toNs, s.toNs) - max(fromNs, s.fromNs); overlap > 0 {
			ns += h.take(s, overlap)
		}
	}
	return ns
}

// take takes ns off an interval for a standstill, and off the run's time: once for all threads that are held up at
// the same time.
//
// Precondition: h.mu is held.
func (h *heartbeat) take(s *standstill, ns int64) int64 {
	if more := ns - s.takenNs; more > 0 {
		s.takenNs += more
		h.takenNs.Add(more)
	}
	return ns
}

// await lets a beat that is overdue at nowNs come: after a standstill the tracer thread may be the first one to run.
// It waits no longer than awaitAtMost, for which the tracee stands still; if the beat has not come by then, it is for want
// of a CPU, which it gets before most others: while redis made 108,000 calls under trace in 40 s, with six busy loops on
// two CPUs, nobody ever had to wait.
func (h *heartbeat) await(nowNs int64) {
	last := h.beatAtNs.Load()
	if last == 0 || nowNs-last < beatNs+lateNs {
		return
	}
	for deadline := time.Now().Add(awaitAtMost); h.beatAtNs.Load() == last && time.Now().Before(deadline); {
		nap(100 * time.Microsecond)
	}
}

// stop ends the beating.
//
// Precondition: no worker works any more.
func (h *heartbeat) stop() {
	if h.gone != nil {
		unix.Close(h.quit[1])
		<-h.gone
		unix.Close(h.quit[0])
	}
}

// warnings says what of the run was not the program's time, or may not have been.
func (h *heartbeat) warnings() (w []profile.Warning) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stood.count > 0 {
		w = append(w, profile.Warning{Kind: profile.StoodStill, Count: h.stood.count, HighNs: h.stood.totalNs})
	}
	if h.starved.count > 0 {
		w = append(w, profile.Warning{Kind: profile.TracerStarved, Count: h.starved.count, HighNs: h.starved.totalNs})
	}
	return w
}

// startHeartbeat has the heartbeat beat until it is stopped.
//
// Precondition: there are all workers that there are going to be.
func (t *Tracer) startHeartbeat() {
	if unix.Pipe2(t.heart.quit[:], unix.O_CLOEXEC) != nil {
		return // too many descriptors: it is not noticed then
	}
	for i, w := range t.workers {
		w.number = i
		t.heart.workers = append(t.heart.workers, openRunDelay(w.thread.tid.Load()))
	}
	t.heart.beatAtNs.Store(max(t.now(), 1))
	t.heart.gone = make(chan struct{})
	go t.heart.run(t.now)
}

// shortenEntryHold takes standstills off the time for which a tracee stood at its entry-stop.
func (w *worker) shortenEntryHold(c *profile.Call) {
	if c.EntryResumedNs-c.EntrySeenNs >= longNs {
		c.EntrySeenNs += w.t.heart.held(c.EntrySeenNs, c.EntryResumedNs)
	}
}

// shortenExitHold does so at an exit-stop. All before the standstill is moved, so that the latency stays.
func (w *worker) shortenExitHold(c *profile.Call) {
	if c.ExitResumedNs-c.ExitSeenNs >= longNs {
		heldNs := w.t.heart.held(c.ExitSeenNs, c.ExitResumedNs)
		c.ExitSeenNs += heldNs
		moveEntry(c, heldNs)
	}
}

// moveEntry has a call begin later, so that it took less.
func moveEntry(c *profile.Call, ns int64) {
	c.EntrySeenNs += ns
	c.EntryResumedNs += ns
}

// runDelay reads from /proc/TID/schedstat how long a thread has waited for a CPU, which is the second number.
type runDelay struct {
	file *os.File // nil: not known
	last int64    // used by the heartbeat's thread only
	text [64]byte // of the file, last; used by the heartbeat's thread only
}

func openRunDelay(tid int32) (d runDelay) {
	if file, err := os.Open(fmt.Sprintf("/proc/self/task/%d/schedstat", tid)); err == nil {
		d.file = file
		d.sinceLast()
	}
	return d
}

func (d *runDelay) close() {
	if d.file != nil {
		d.file.Close()
	}
}

// sinceLast is how much it has grown since it was asked for last, 0 if that is not known.
func (d *runDelay) sinceLast() int64 {
	last := d.last
	d.last = d.total(d.text[:])
	return max(d.last-last, 0) // the thread may be gone
}

// total is how long the thread has waited in all. 0 if that is not known. The text is read into a buffer of the caller's.
func (d *runDelay) total(text []byte) int64 {
	n := 0
	if d.file != nil {
		n, _ = d.file.ReadAt(text, 0)
	}
	_, second, _ := bytes.Cut(text[:n], []byte{' '})
	return firstNumber(second)
}

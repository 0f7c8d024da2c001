package cost

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// These tests replay what a tracer would see of a machine that is made up: there, how long each call,
// each transit and each switch takes is known to the nanosecond.

// machine makes streams of stops.
type machine struct {
	rng       *rand.Rand
	transitNs float64 // most transits are within 10 % of it
	switchNs  float64 // both switches of a call
	holdNs    int64   // at each of the two stops
	jitter    float64 // by what share transits and switches differ
	crossCPU  bool    // tracer and tracee are not pinned to one CPU
}

const (
	getppidNr, readNr, writeNr, openNr = 110, 0, 1, 2

	cheapNs = 90 // what a getppid takes
)

func newMachine(seed uint64) *machine {
	return &machine{rng: rand.New(rand.NewPCG(seed, 1)), transitNs: 3_000, switchNs: 1_500, holdNs: 400, jitter: 0.04}
}

// noisy is a time as machines have it: near ns, now and then much longer.
func (m *machine) noisy(ns float64) int64 {
	const most = 2.5 // standard deviations
	f := 1 + m.jitter*min(max(m.rng.NormFloat64(), -most), most)
	if m.rng.IntN(100) < 3 {
		f += m.rng.Float64()
	}
	return int64(ns * f)
}

// thread makes calls one after the other.
type thread struct {
	m          *machine
	tid        int32
	nowNs      int64 // of the tracer's clock
	untracedNs int64 // what has been done would have taken this long without a tracer
	started    bool
}

func (m *machine) thread(tid int32) *thread { return &thread{m: m, tid: tid, nowNs: 1_000_000} }

// call computes for workNs and then makes a call that takes ns.
func (th *thread) call(nr uint64, workNs, ns int64) *profile.Call {
	c := &profile.Call{PID: 1, TID: th.tid, ABI: syscalltab.AMD64, Nr: nr, CPUNs: -1, GapNs: -1, CrossCPU: th.m.crossCPU}
	gap := workNs + th.m.noisy(th.m.switchNs)
	if th.started {
		c.GapNs = gap
	}
	th.started = true
	c.EntrySeenNs = th.nowNs + gap
	c.EntryResumedNs = c.EntrySeenNs + th.m.holdNs
	c.ExitSeenNs = c.EntryResumedNs + ns + th.m.noisy(th.m.transitNs)
	c.ExitResumedNs = c.ExitSeenNs + th.m.holdNs
	th.nowNs = c.ExitResumedNs
	th.untracedNs += workNs + ns
	return c
}

// wall is how long the thread has been running.
func (th *thread) wall() time.Duration { return time.Duration(th.nowNs - 1_000_000) }

// calibration is what a calibration on a machine shows.
func (m *machine) calibration() *Transit {
	t := newTransit(profile.Calibrated)
	child := m.thread(99)
	for range 5_000 {
		t.add(child.call(getppidNr, 0, cheapNs))
	}
	batches := make([]int64, 24)
	for i := range batches {
		batches[i] = 48 * (cheapNs + int64(i%3)) // some are disturbed
	}
	t.measuredUntraced(batches, 48)
	return t
}

// corrected is the only row of a run in which all latencies are what next returns.
func (m *machine) corrected(calls int, next func() int64) *profile.Row {
	p := record()
	th := m.thread(1)
	for range calls {
		p.Add(th.call(readNr, 0, next()))
	}
	p.correctBy(m.calibration(), nil)
	return &p.after(th.wall()).Rows[0]
}

// about demands got to be within ±max(share·want, ns) of want.
func about(t *testing.T, what string, got time.Duration, want, share, ns float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > max(want*share, ns) {
		t.Errorf("%s is %d ns, want about %.0f", what, int64(got), want)
	}
}

func always(ns int64) func() int64 { return func() int64 { return ns } }

// recording is a run with all that it is corrected by.
type recording struct {
	*profile.Profile
	model Model
	run   Run // but for its wall time
}

func record() *recording { return &recording{Profile: profile.New(), run: Run{CPUs: 2}} }

// correctBy sets what the latencies are corrected by. It may be called again.
func (r *recording) correctBy(sameCPU, crossCPU *Transit) { r.model = Model{sameCPU, crossCPU} }

// after is the snapshot of what was recorded, if that took so long.
func (r *recording) after(wall time.Duration) *profile.Snapshot {
	run := r.run
	run.Wall = wall
	return Correct(r.Raw(), r.model, run)
}

// call is a finished call that took rawNs, with 10 ns of hold at entry and 20 at exit.
func call(nr uint64, errno int32, rawNs int64) *profile.Call {
	const in = 1_000_000
	return &profile.Call{
		PID: 1, TID: 2, ABI: syscalltab.AMD64, Nr: nr, Errno: errno, CPUNs: -1,
		EntrySeenNs: in - 10, EntryResumedNs: in, ExitSeenNs: in + rawNs, ExitResumedNs: in + rawNs + 20,
	}
}

// failures is the histogram of the only errno of a row.
func failures(r *profile.Row) *profile.Histogram {
	if len(r.Failed) == 0 {
		return new(profile.Histogram)
	}
	return r.Failed[0].Latency
}

// sane demands of a distribution what is true of any.
func sane(t *testing.T, h *profile.Histogram) {
	t.Helper()
	if h.Count() == 0 {
		return
	}
	last := time.Duration(0)
	for _, q := range []float64{0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		at := h.Quantile(q)
		if at < last {
			t.Errorf("the %v-quantile %v is below %v", q, at, last)
		}
		last = at
	}
	if h.Min() < 0 || h.Quantile(0.5) < h.Min() || h.Quantile(0.5) > h.Max() || h.Mean() < h.Min() || h.Mean() > h.Max() {
		t.Errorf("min %v, median %v, mean %v, max %v", h.Min(), h.Quantile(0.5), h.Mean(), h.Max())
	}
}

func same(t *testing.T, what string, got, want *profile.Histogram) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

package cost

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sysprof/profile"
)

// simulation is a traced thread whose truth is known.
type simulation struct {
	random       *rand.Rand
	transitNs    func(nowNs int64) int64 // of a call that does nothing
	switches     float64                 // of a transit
	noiseNs      func() int64            // what other programs add to a stop
	withoutNoise bool                    // controls are
	overNs       int64                   // how much longer a control takes than a transit

	profile  *profile.Profile
	shard    *profile.Shard
	stream   *Stream
	model    Model
	nowNs    int64
	nextNs   int64 // of the next control
	resumeNs int64
	ownNs    int64 // without tracing
	samples  *profile.Samples
	alsoTo   func(*profile.Call) // is told of each call before it is counted; may be nil

	waitedNs int64 // for a CPU, since it was looked at
	stops    int32
	lookedNs int64
	truth    map[uint64][]int64 // latencies, by number
}

// calibratedOverNs is how much longer a control takes than a transit, if nothing else is said.
const calibratedOverNs = 265

// nullNs is what a call that does nothing takes.
const nullNs = 100

func simulate(m Model) *simulation {
	p := profile.New()
	return &simulation{
		random: rand.New(rand.NewPCG(1, 2)), transitNs: func(int64) int64 { return 5_300 }, switches: 1.08, noiseNs: func() int64 { return 0 }, overNs: calibratedOverNs,
		profile: p, shard: p.Shard(), samples: profile.NewSamples(profile.DefaultSamples, nil), stream: m.NewStream(), model: m,
		truth: make(map[uint64][]int64),
	}
}

// calibrated is a model of a quiet machine.
func calibrated() Model {
	var m Model
	m.Conditions[profile.SameCPU] = Calibration{Calls: 70, CallNs: nullNs, TransitNs: 5_300, GapNs: 5_724, OverNs: calibratedOverNs}
	return m
}

// stop lets the time of a stop pass, and returns it.
func (s *simulation) stop() int64 {
	ns := s.transitNs(s.nowNs) + s.random.Int64N(300) - 150
	noiseNs := s.noiseNs()
	s.waitedNs += noiseNs
	s.stops++
	s.nowNs += ns + noiseNs
	return ns + noiseNs
}

// look is what the schedstat files say.
func (s *simulation) look() profile.Waits {
	w := profile.Waits{TracerStops: 1, Known: true, Stops: s.stops, SinceNs: s.nowNs - s.lookedNs, WaitedNs: s.waitedNs}
	w.RanNs = w.SinceNs - w.WaitedNs
	s.waitedNs, s.stops, s.lookedNs = 0, 0, s.nowNs
	return w
}

// coldNs is how much longer something takes for finding the caches cold, that takes ns in a loop.
func (s *simulation) coldNs(ns int64) int64 {
	if s.model.IsRaw() || s.model.ByHand != nil {
		return 0
	}
	lost := 0.0
	for range 30 { // what it seems to take is its own time and this
		lost = cold(s.model.stopNs(), float64(ns)+lost)
	}
	return int64(lost)
}

// call makes a call that takes ns, after workNs of the program's own.
func (s *simulation) call(nr uint64, ns, workNs int64) {
	s.truth[nr] = append(s.truth[nr], ns)
	s.ownNs += ns + workNs
	c := &profile.Call{PID: 1, TID: 1, Nr: nr, CPUNs: -1, GapNs: -1}
	s.nowNs += workNs + s.coldNs(workNs) + int64(float64(s.transitNs(s.nowNs))*(s.switches-1))
	s.stop()
	if s.resumeNs != 0 {
		c.GapNs = s.nowNs - s.resumeNs
	}
	c.EntrySeenNs = s.nowNs
	s.nowNs += 700
	c.EntryResumedNs = s.nowNs
	s.stop()
	s.nowNs += ns + s.coldNs(ns-nullNs)
	c.ExitSeenNs = s.nowNs
	if s.nowNs-c.EntryResumedNs > 20_000 {
		c.Waits = s.look()
	}
	s.nowNs += 700
	c.ExitResumedNs, s.resumeNs = s.nowNs, s.nowNs
	s.stream.Call(c)
	if s.alsoTo != nil {
		s.alsoTo(c)
	}
	s.shard.Add(c)
	s.samples.Add(c, profile.SampleKey{})
	if s.nowNs >= s.nextNs {
		s.control()
		s.nextNs = s.nowNs + 1_000_000 + s.random.Int64N(2_000_000)
	}
}

func (s *simulation) control() {
	c := &profile.Control{PID: 1, TID: 1, AtNs: s.nowNs}
	if s.withoutNoise {
		noiseNs := s.noiseNs
		s.noiseNs = func() int64 { return 0 }
		defer func() { s.noiseNs = noiseNs }()
	}
	c.RawNs = s.stop() + s.overNs
	s.nowNs += s.overNs
	c.Waits = s.look()
	c.HoldNs = 900
	s.nowNs += c.HoldNs
	s.resumeNs = s.nowNs
	s.shard.Control(profile.SameCPU, s.stream.Control(c))
}

func (s *simulation) snapshot() *profile.Snapshot {
	return Correct(s.profile.Raw(), s.model, Run{Wall: time.Duration(s.nowNs), CPUs: 2})
}

// within demands medians within max(5 %, 0.2 µs) and means within max(10 %, 0.3 µs) of the truth.
func (s *simulation) within(t *testing.T) {
	t.Helper()
	snapshot := s.snapshot()
	for i := range snapshot.Rows {
		r := &snapshot.Rows[i]
		truth := slices.Sorted(slices.Values(s.truth[r.Nr]))
		var sum int64
		for _, ns := range truth {
			sum += ns
		}
		near := func(what string, got, want, share, least float64) {
			if off := got - want; max(off, -off) > max(share*want, least) {
				t.Errorf("call %d: %s is %.0f ns, in truth %.0f", r.Nr, what, got, want)
			}
		}
		if r.Calls != uint64(len(truth)) {
			t.Errorf("call %d: %d calls of %d", r.Nr, r.Calls, len(truth))
		}
		near("the median", float64(r.Latency().Quantile(0.5)), float64(truth[len(truth)/2]), 0.05, 200)
		near("the mean", float64(r.Mean()), float64(sum)/float64(len(truth)), 0.1, 300)
	}
}

// mixed makes calls of many kinds.
func (s *simulation) mixed(n int) {
	for range n {
		s.call(0, nullNs, 0)
		s.call(1, 330, 200)
		s.call(2, 1_500, 1_000)
		s.call(3, 20_000+s.random.Int64N(4_000), 500)
		s.call(4, 200_000+s.random.Int64N(9_000), 30_000)
	}
}

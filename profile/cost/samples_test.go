package cost

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sysprof/profile"
)

// Where the samples of these tests have their values.
const (
	errnoAt = iota
	latencyAt
)

// sampled is a run whose calls went into samples, too.
type sampled struct {
	*recording
	samples profile.Samples
}

func (r *sampled) add(c *profile.Call, k profile.SampleKey) {
	k.Values[latencyAt] = profile.RawLatencyBucket(c)
	r.recording.Add(c)
	r.samples.Add(c, k)
}

// corrected returns the samples, if the transit is what was given by hand.
func (r *sampled) corrected(transit time.Duration) (*profile.Snapshot, []Sample) {
	r.correctBy(ByHand(transit), nil)
	s := r.after(time.Second)
	samples, _ := r.samples.All()
	return s, CorrectSamples(s, samples, latencyAt)
}

// TestLatencyLabelsCanBeCompared: the same program has the same labels, whatever tracing adds to its calls.
func TestLatencyLabelsCanBeCompared(t *testing.T) {
	latencies := []int64{700, 900, 2_500, 5_000, 5_500, 100_000, 150_000, 2_000_000}
	var runs []map[int64]uint64
	for _, transitNs := range []int64{1_234, 2_001, 14_567} {
		r := &sampled{recording: record()}
		for i := range 8_000 {
			r.add(call(uint64(i%5), 0, latencies[i%8]+transitNs), profile.SampleKey{})
		}
		_, samples := r.corrected(time.Duration(transitNs))
		labels := make(map[int64]uint64)
		for _, s := range samples {
			lowNs, _ := profile.BucketBounds(int(s.Values[latencyAt]))
			labels[lowNs] += s.Calls
		}
		runs = append(runs, labels)
	}
	// The latency of a call is known to a fine bucket of its raw one: at 700 + 14,567 ns that is 512 ns wide. So
	// 700 and 900 may go to one label or the other; longer ones are the same in all runs.
	want := map[int64]uint64{2_048: 1_000, 4_096: 2_000, 98_304: 1_000, 131_072: 1_000, 1_572_864: 1_000}
	for i, labels := range runs {
		short := uint64(0)
		for ns, calls := range labels {
			if ns < 2_000 {
				short += calls
			}
		}
		equal(t, "short calls", short, 2_000)
		long := maps.Clone(labels)
		maps.DeleteFunc(long, func(ns int64, _ uint64) bool { return ns < 2_000 })
		if i < 2 {
			equal(t, "labels of short calls", labels[512], 1_000)
			equal(t, "labels of short calls", labels[768], 1_000)
		}
		equal(t, "labels of longer calls", long, want)
	}
}

// TestLatencyLabelsAreHalfOctaves: at most two an octave, at fixed bounds, whatever the run and its transit.
func TestLatencyLabelsAreHalfOctaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 1))
	all := make(map[int64]bool)
	for _, transit := range []time.Duration{0, 517, 3_000, 12_345} {
		r := &sampled{recording: record()}
		for i := range 20_000 {
			r.add(call(rng.Uint64N(20), 0, int64(1)<<rng.IntN(32)+rng.Int64N(1_000)), profile.SampleKey{Values: profile.Values{errnoAt: uint32(i % 2)}})
		}
		_, samples := r.corrected(transit)
		keys := make(map[profile.SampleKey]bool)
		for _, s := range samples {
			if keys[s.SampleKey] {
				t.Fatalf("two samples have the key %+v", s.SampleKey)
			}
			keys[s.SampleKey] = true
			lowNs, _ := profile.BucketBounds(int(s.Values[latencyAt]))
			all[lowNs] = true
		}
	}
	perOctave := make(map[int]int)
	for _, ns := range slices.Sorted(maps.Keys(all)) {
		octave := bits.Len64(uint64(ns))
		perOctave[octave]++
		if low := int64(1) << max(octave-1, 0); ns != 0 && ns != low && ns != low+low/2 {
			t.Errorf("a label of %d ns", ns)
		}
		if perOctave[octave] > 2 {
			t.Errorf("a third label in the octave of %d ns", ns)
		}
	}
	if len(all) < 35 {
		t.Errorf("only %d labels: %v", len(all), all)
	}
}

// TestSamplesAddUpToRows: calls, errors, hold and CPU time are kept, and latencies are the row's; merging changes
// none of it.
func TestSamplesAddUpToRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(52, 1))
	m := newMachine(52)
	r := &sampled{recording: record()}
	th := m.thread(1)
	for i := range 9_000 {
		c := th.call(rng.Uint64N(3), 200, int64(rng.ExpFloat64()*4_000))
		c.Errno, c.Stack, c.CPUNs = int32(i%4/3)*11, uint32(i%3), int64(i%2)*900-1
		r.add(c, profile.SampleKey{Values: profile.Values{errnoAt: uint32(c.Errno)}})
	}
	r.correctBy(m.calibration(), nil)
	s := r.after(th.wall())
	samples, _ := r.samples.All()
	for name, latency := range map[string]int{"with labels": latencyAt, "without": -1} {
		corrected := CorrectSamples(s, samples, latency)
		if latency < 0 {
			equal(t, "samples that are not told apart by latency", len(corrected), len(samples))
		} else if len(corrected) >= len(samples) {
			t.Errorf("%d samples became %d", len(samples), len(corrected))
		}
		got := make(map[profile.Key]*profile.Row)
		overheadNs := int64(0)
		for i := range corrected {
			c := &corrected[i]
			row := got[c.Key]
			if row == nil {
				row = new(profile.Row)
				got[c.Key] = row
			}
			row.Calls += c.Calls
			row.Errors += c.Errors
			row.SumNs += c.LatencyNs
			row.HoldNs += c.HoldNs
			row.CPUCalls += c.CPUCalls
			row.RawNs += c.RawNs
			overheadNs += c.OverheadNs
			if c.LatencyNs < 0 || c.OverheadNs < c.HoldNs {
				t.Errorf("%s: %+v", name, c)
			}
		}
		for i := range s.Rows {
			want := &s.Rows[i]
			row := got[want.Key]
			equal(t, name+": calls", row.Calls, want.Calls)
			equal(t, name+": errors", row.Errors, want.Errors)
			equal(t, name+": hold", row.HoldNs, want.HoldNs)
			equal(t, name+": calls with CPU time", row.CPUCalls, want.CPUCalls)
			equal(t, name+": raw sum", row.RawNs, want.RawNs)
			about(t, name+": latency", time.Duration(row.SumNs), float64(want.SumNs), 0, float64(len(samples)))
		}
		about(t, name+": overhead", time.Duration(overheadNs), float64(s.Overhead.TotalNs.Ns), 0.02, 0)
	}
}

// TestSamplesWithoutARow have their raw latencies: a snapshot may be older than its samples.
func TestSamplesWithoutARow(t *testing.T) {
	r := &sampled{recording: record()}
	r.add(call(readNr, 0, 5_000), profile.SampleKey{})
	samples, _ := r.samples.All()
	got := CorrectSamples(new(profile.Snapshot), samples, latencyAt)
	equal(t, "samples", len(got), 1)
	equal(t, "latency", got[0].LatencyNs, 5_000)
	equal(t, "overhead", got[0].OverheadNs, 30)
	equal(t, "given samples, unchanged", samples[0].Values[latencyAt], profile.RawLatencyBucket(&profile.Call{ExitSeenNs: 5_000}))
}

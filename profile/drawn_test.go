package profile

import (
	"math/rand/v2"
	"testing"

	"sysprof/syscalltab"
)

// Samples of drawn calls add up to what all calls are known to be, however few were drawn, and are in proportion.
func TestDrawnSamplesAddUp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all, s := New(), NewDrawnSamples(1000, nil)
		for nr := range uint64(4) {
			for range 1 + random.IntN(300) {
				c := &Call{ABI: syscalltab.AMD64, Nr: nr, ExitSeenNs: random.Int64N(1 << random.IntN(40)), CPUNs: -1, GapNs: -1,
					Stack: uint32(1 + random.IntN(5)), Errno: int32(random.IntN(3))}
				all.Add(c)
				if random.IntN(10) == 0 {
					s.Add(c, SampleKey{}, 10*random.Float64())
				}
			}
		}
		all.AddInFlight(InFlight{ABI: syscalltab.AMD64, Nr: 9, SoFarNs: 70, Why: Detached})
		all.AddInFlight(InFlight{ABI: syscalltab.AMD64, Nr: 9, SoFarNs: 30, Why: Detached})
		all.AddInFlight(InFlight{ABI: syscalltab.AMD64, Nr: 60, Why: Exited})
		s.AddInFlight(&InFlight{ABI: syscalltab.AMD64, Nr: 9, SoFarNs: 70, Why: Detached, Stack: 3}, SampleKey{})
		s.AddInFlight(&InFlight{ABI: syscalltab.AMD64, Nr: 9, SoFarNs: 30, Why: Detached, Stack: 4}, SampleKey{})
		snapshot := all.Raw().Snapshot()
		got := make(map[Key]Sample)
		samples, folded := s.All(snapshot)
		for i := range samples {
			sum := got[samples[i].Key]
			sum.Add(&samples[i])
			got[samples[i].Key] = sum
		}
		for i := range snapshot.Rows {
			r := &snapshot.Rows[i]
			if sum := got[r.Key]; sum.Calls != r.Calls || sum.Errors != r.Errors || sum.NetNs != r.SumNs || sum.RawNs != r.SumNs {
				t.Fatalf("samples of call %d add up to %+v, the row is %+v", r.Nr, sum, r.Totals)
			}
		}
		if sum := got[Key{syscalltab.AMD64, 9}]; sum.Unfinished != 2 || sum.UnfinishedNs != 100 {
			t.Fatalf("in flight: %+v", sum)
		}
		if _, ok := got[Key{syscalltab.AMD64, 60}]; ok || len(got) != len(snapshot.Rows)+1 || folded != 0 {
			t.Fatalf("samples of %d calls, folded %d", len(got), folded)
		}
	}
}

// What stands for three times as many calls gets three times as many, and time goes by what calls took.
func TestDrawnSamplesAreInProportion(t *testing.T) {
	all, s := New(), NewDrawnSamples(1000, nil)
	call := func(stack uint32, ns int64) *Call {
		return &Call{ABI: syscalltab.AMD64, Stack: stack, ExitSeenNs: ns, CPUNs: -1, GapNs: -1}
	}
	for range 300 {
		all.Add(call(1, 10))
	}
	for range 100 {
		all.Add(call(2, 90))
	}
	s.Add(call(1, 10), SampleKey{}, 30)
	s.Add(call(2, 90), SampleKey{}, 10)
	samples, _ := s.All(all.Raw().Snapshot())
	want := map[uint32]Sample{1: {Calls: 300, NetNs: 3000}, 2: {Calls: 100, NetNs: 9000}}
	for i := range samples {
		if w := want[samples[i].Stack]; samples[i].Calls != w.Calls || samples[i].NetNs != w.NetNs {
			t.Errorf("stack %d: %+v", samples[i].Stack, samples[i])
		}
	}
	if len(samples) != 2 || s.Drawn() != 2 {
		t.Errorf("%d samples of %d calls", len(samples), s.Drawn())
	}
}

// A program that has no end of stacks does not fill memory.
func TestDrawnSamplesAreBounded(t *testing.T) {
	all, s := New(), NewDrawnSamples(100, nil)
	for i := range 5 * maxDrawn {
		c := &Call{ABI: syscalltab.AMD64, Stack: uint32(i + 1), ExitSeenNs: 5, CPUNs: -1, GapNs: -1}
		all.Add(c)
		s.Add(c, SampleKey{}, 1)
	}
	if len(s.byKey) > 2*maxDrawn+1 {
		t.Errorf("%d sums are kept", len(s.byKey))
	}
	samples, folded := s.All(all.Raw().Snapshot())
	calls := uint64(0)
	for i := range samples {
		calls += samples[i].Calls
	}
	if calls != 5*maxDrawn || len(samples) > 100 || folded == 0 {
		t.Errorf("%d calls in %d samples, %d folded", calls, len(samples), folded)
	}
}

package profile

import (
	"math"
	"sync"
	"testing"

	"sysprof/syscalltab"
)

// someSamples is more than most tests have.
const someSamples = 500

func samplesByKey(s *Samples) (map[SampleKey]Sample, uint64) {
	all, folded := s.All()
	byKey := make(map[SampleKey]Sample)
	for _, sample := range all {
		byKey[sample.SampleKey] = sample
	}
	if len(byKey) != len(all) {
		panic("a key has two samples")
	}
	return byKey, folded
}

func TestSamplesAddUpByKey(t *testing.T) {
	s := NewSamples(someSamples, nil)
	add := func(nr uint64, stack uint32, errno int32, rawNs, cpuNs int64, k SampleKey) {
		c := call(nr, errno, rawNs)
		c.Stack, c.CPUNs = stack, cpuNs
		s.Add(c, k)
	}
	add(readNr, 7, 0, 100, -1, SampleKey{})
	add(readNr, 7, 11, 200, 50, SampleKey{})
	add(readNr, 7, 0, 300, 60, SampleKey{Key: Key{syscalltab.I386, 99}, Stack: 12}) // the call's own count
	add(readNr, 8, 0, 1, -1, SampleKey{})
	add(writeNr, 7, 0, 2, -1, SampleKey{})
	for _, k := range []SampleKey{{Values: Values{1}}, {Values: Values{0, 1}}, {Values: Values{0, 11}}, {Values: Values{MaxFields - 1: 1}}} {
		add(readNr, 7, 0, 10, -1, k)
		add(readNr, 7, 0, 20, -1, k)
	}
	got, folded := samplesByKey(s)
	equal(t, "calls of others", folded, 0)
	equal(t, "samples", len(got), 3+4)
	read := Key{syscalltab.AMD64, readNr}
	first := got[SampleKey{Key: read, Stack: 7}]
	equal(t, "the first", first, Sample{SampleKey: SampleKey{Key: read, Stack: 7},
		Calls: 3, Errors: 1, RawNs: 600, NetNs: 600, HoldNs: 90, CPUNs: 110, CPUCalls: 2})
	equal(t, "another stack", got[SampleKey{Key: read, Stack: 8}].Calls, 1)
	equal(t, "another call", got[SampleKey{Key: Key{syscalltab.AMD64, writeNr}, Stack: 7}].RawNs, 2)
	for _, k := range []SampleKey{{Values: Values{1}}, {Values: Values{0, 1}}, {Values: Values{0, 11}}, {Values: Values{MaxFields - 1: 1}}} {
		k.Key, k.Stack = read, 7
		equal(t, "one that has something of its own", got[k].RawNs, 30)
	}
}

func TestSamplesAreCopies(t *testing.T) {
	s := NewSamples(someSamples, nil)
	if all, folded := s.All(); len(all) != 0 || folded != 0 {
		t.Errorf("nothing was added: %v, %d", all, folded)
	}
	s.Add(call(readNr, 0, 5), SampleKey{})
	before, _ := s.All()
	s.Add(call(readNr, 0, 5), SampleKey{})
	equal(t, "calls of the copy", before[0].Calls, 1)
	before[0].Calls = 99
	after, _ := s.All()
	equal(t, "calls", after[0].Calls, 2)
}

// TestSamplesBeyondTheLimit: no call gets lost, only what tells them apart, and who is large is not among them, whenever it
// comes.
func TestSamplesBeyondTheLimit(t *testing.T) {
	const most, small = 100, 10_000
	for _, when := range []struct {
		name string
		at   uint32
	}{{"first", 0}, {"in the middle", small / 2}, {"last", small - 1}} {
		s := NewSamples(most, func(v Values) Values { return Values{v[0]} })
		var total Sample
		add := func(nr uint64, stack uint32, errno int32, rawNs int64) {
			c := call(nr, errno, rawNs)
			c.Stack = stack
			s.Add(c, SampleKey{Values: Values{stack % 2, stack}})
			total.Calls++
			total.RawNs += rawNs
			total.HoldNs += 30
			if errno != 0 {
				total.Errors++
			}
		}
		const slow, often, hung = small + 1, small + 2, small + 3
		for i := range uint32(small) {
			add(uint64(i%2), i+1, int32(i%3), int64(i%100))
			if i == when.at {
				add(readNr, slow, 0, 1e9)
				for range 500 {
					add(readNr, often, 0, 1)
				}
				s.AddInFlight(&InFlight{ABI: syscalltab.AMD64, Nr: readNr, Stack: hung, SoFarNs: 1e9}, SampleKey{Values: Values{hung % 2, hung}})
			}
		}
		got, folded := samplesByKey(s)
		equal(t, when.name+": samples", len(got), most)
		read := Key{syscalltab.AMD64, readNr}
		of := func(stack uint32) Sample {
			return got[SampleKey{Key: read, Stack: stack, Values: Values{stack % 2, stack}}]
		}
		equal(t, when.name+": calls of the slow one", of(slow).Calls, 1)
		equal(t, when.name+": calls of the frequent one", of(often).Calls, 500)
		equal(t, when.name+": the unfinished one", of(hung).Unfinished, 1)
		equal(t, when.name+": for so long", of(hung).UnfinishedNs, 1e9)
		var sum Sample
		others := uint64(0)
		for k, sample := range got {
			sum.Calls += sample.Calls
			sum.Errors += sample.Errors
			sum.RawNs += sample.RawNs
			sum.HoldNs += sample.HoldNs
			if k.Stack == Others {
				others += sample.Calls
				if k.Values != (Values{k.Values[0]}) || k.Values[0] > 1 {
					t.Errorf("%s: others of %v", when.name, k.Values)
				}
			}
		}
		equal(t, when.name+": totals", sum, total)
		equal(t, when.name+": calls of others", folded, others)
		if len(s.byKey) > sampleRoom*most {
			t.Errorf("%s: %d samples are kept", when.name, len(s.byKey))
		}
	}
}

// TestAsManySamplesAsAllowed have no others, nor what is asked for again.
func TestAsManySamplesAsAllowed(t *testing.T) {
	s := NewSamples(someSamples, nil)
	for i := range uint32(someSamples) {
		c := call(readNr, 0, 1)
		c.Stack = i + 1
		s.Add(c, SampleKey{})
	}
	c := call(readNr, 0, 1)
	c.Stack = 17
	s.Add(c, SampleKey{})
	for range 2 {
		got, folded := samplesByKey(s)
		equal(t, "samples", len(got), someSamples)
		equal(t, "calls of others", folded, 0)
		equal(t, "calls of a known key", got[SampleKey{Key: Key{syscalltab.AMD64, readNr}, Stack: 17}].Calls, 2)
	}
	c.Stack = someSamples + 1
	s.Add(c, SampleKey{})
	for range 2 {
		got, folded := samplesByKey(s)
		equal(t, "samples", len(got), someSamples)
		equal(t, "calls of others", folded, 2)
	}
}

func TestSamplesOfHugeTimes(t *testing.T) {
	s := NewSamples(someSamples, nil)
	for range 3 {
		s.Add(&Call{EntrySeenNs: math.MinInt64, ExitSeenNs: math.MaxInt64, ExitResumedNs: math.MaxInt64, CPUNs: math.MaxInt64}, SampleKey{})
		s.Add(&Call{EntryResumedNs: 9, ExitSeenNs: 3, CPUNs: -1}, SampleKey{}) // the clock stepped back
	}
	all, _ := s.All()
	equal(t, "a sample", all[0], Sample{Calls: 6, RawNs: math.MaxInt64, NetNs: math.MaxInt64, HoldNs: math.MaxInt64, CPUNs: math.MaxInt64, CPUCalls: 3})
}

func TestSamplesFromManyThreads(t *testing.T) {
	s := NewSamples(someSamples, nil)
	var feeders sync.WaitGroup
	const threads, calls = 8, 2_000
	for n := range threads {
		feeders.Go(func() {
			for i := range calls {
				c := call(uint64(n), 0, 10)
				c.Stack = uint32(i % 50)
				s.Add(c, SampleKey{})
				if i%500 == 0 {
					s.All()
				}
			}
		})
	}
	feeders.Wait()
	got, folded := samplesByKey(s)
	equal(t, "samples", len(got), threads*50)
	equal(t, "calls of others", folded, 0)
	for k, sample := range got {
		if sample.Calls != calls/50 || sample.RawNs != 10*calls/50 {
			t.Errorf("%+v: %d calls of %d ns", k, sample.Calls, sample.RawNs)
		}
	}
}

func TestAddingToASampleDoesNotAllocate(t *testing.T) {
	s := NewSamples(someSamples, nil)
	c := call(readNr, 0, 5)
	s.Add(c, SampleKey{})
	if n := testing.AllocsPerRun(1_000, func() { s.Add(c, SampleKey{}) }); n != 0 {
		t.Errorf("adding to a sample allocates %v times", n)
	}
}

// TestRoomForASampleDoesNotAllocate, so that no call takes long because there are many samples.
func TestRoomForASampleDoesNotAllocate(t *testing.T) {
	s := NewSamples(someSamples, nil)
	c := call(readNr, 0, 5)
	for c.Stack < 20*someSamples {
		c.Stack++
		s.Add(c, SampleKey{})
	}
	if n := testing.AllocsPerRun(1_000, func() { c.Stack++; s.Add(c, SampleKey{}) }); n >= 1 {
		t.Errorf("a new sample in the place of another allocates %v times", n)
	}
}

func BenchmarkNewSample(b *testing.B) {
	s := NewSamples(DefaultSamples, nil)
	c := call(readNr, 0, 5)
	for b.Loop() {
		c.Stack++
		s.Add(c, SampleKey{})
	}
}

func BenchmarkKnownSample(b *testing.B) {
	s := NewSamples(DefaultSamples, nil)
	c := call(readNr, 0, 5)
	for b.Loop() {
		s.Add(c, SampleKey{})
	}
}

// TestSamplesWithUnreturnedCalls: calls that have not returned yet are in one copy of the samples, with those that have not
// returned for good, and the next copy knows nothing of them.
func TestSamplesWithUnreturnedCalls(t *testing.T) {
	s := NewSamples(10, nil)
	hung := func(stack uint32, ns int64) InFlight {
		return InFlight{ABI: syscalltab.AMD64, Nr: readNr, Stack: stack, SoFarNs: ns}
	}
	ended := hung(1, 5)
	s.AddInFlight(&ended, SampleKey{Values: Values{7}})
	asleep := hung(3, 30)
	asleep.NotStopped = true
	all, folded := s.All(Unreturned{hung(1, 10), Values{7}}, Unreturned{hung(2, 20), Values{7}}, Unreturned{hung(2, 21), Values{7}},
		Unreturned{hung(2, -1), Values{8}}, Unreturned{asleep, Values{}})
	got := map[SampleKey]Sample{}
	for _, sample := range all {
		got[sample.SampleKey] = sample
	}
	key := func(stack, value uint32) SampleKey {
		return SampleKey{Key: Key{syscalltab.AMD64, readNr}, Stack: stack, Values: Values{value}}
	}
	want := map[SampleKey][2]int64{key(1, 7): {2, 15}, key(2, 7): {2, 41}, key(2, 8): {1, 0}, key(NotStopped, 0): {1, 30}}
	for k, w := range want {
		if sample := got[k]; int64(sample.Unfinished) != w[0] || sample.UnfinishedNs != w[1] {
			t.Errorf("%+v: %d calls in %d ns, want %v", k, sample.Unfinished, sample.UnfinishedNs, w)
		}
	}
	if len(all) != len(want) || folded != 0 {
		t.Errorf("%d samples, %d calls folded", len(all), folded)
	}
	if all, _ := s.All(); len(all) != 1 || all[0].Unfinished != 1 || all[0].UnfinishedNs != 5 {
		t.Errorf("afterwards there are %+v", all)
	}
	few := NewSamples(2, nil)
	all, folded = few.All(Unreturned{hung(1, 10), Values{}}, Unreturned{hung(2, 20), Values{}}, Unreturned{hung(3, 30), Values{}})
	if len(all) != 2 || folded != 2 {
		t.Errorf("of two samples there are %+v, with %d calls folded", all, folded)
	}
}

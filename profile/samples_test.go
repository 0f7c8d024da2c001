package profile

import (
	"math"
	"sync"
	"testing"

	"sysprof/syscalltab"
)

func samplesByKey(s *Samples) (map[SampleKey]Sample, uint64) {
	all, lost := s.All()
	byKey := make(map[SampleKey]Sample)
	for _, sample := range all {
		byKey[sample.SampleKey] = sample
	}
	if len(byKey) != len(all) {
		panic("a key has two samples")
	}
	return byKey, lost
}

func TestSamplesAddUpByKey(t *testing.T) {
	var s Samples
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
	got, lost := samplesByKey(&s)
	equal(t, "lost", lost, 0)
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
	var s Samples
	if all, lost := s.All(); len(all) != 0 || lost != 0 {
		t.Errorf("nothing was added: %v, %d", all, lost)
	}
	s.Add(call(readNr, 0, 5), SampleKey{})
	before, _ := s.All()
	s.Add(call(readNr, 0, 5), SampleKey{})
	equal(t, "calls of the copy", before[0].Calls, 1)
	before[0].Calls = 99
	after, _ := s.All()
	equal(t, "calls", after[0].Calls, 2)
}

// TestSamplesBeyondTheLimit: no call gets lost, only what tells them apart.
func TestSamplesBeyondTheLimit(t *testing.T) {
	var s Samples
	const more = 1_000
	total := Totals{}
	for i := range uint32(maxSamples + more) {
		c := call(uint64(i%2), int32(i%3), int64(i))
		c.Stack = i + 1
		s.Add(c, SampleKey{})
		s.Add(c, SampleKey{})
		total.Calls += 2
		total.SumNs += 2 * int64(i)
		total.HoldNs += 2 * 30
		if i%3 > 0 {
			total.Errors += 2
		}
	}
	got, lost := samplesByKey(&s)
	if len(got) < maxSamples || len(got) > maxSamples+2 {
		t.Errorf("%d samples, want %d and one for each of the two calls", len(got), maxSamples)
	}
	equal(t, "lost", lost, 2*more)
	sum := Totals{}
	for _, sample := range got {
		sum.Calls += sample.Calls
		sum.Errors += sample.Errors
		sum.SumNs += sample.RawNs
		sum.HoldNs += sample.HoldNs
	}
	equal(t, "totals", sum, total)
	equal(t, "calls without a stack", got[SampleKey{Key: Key{syscalltab.AMD64, 0}}].Calls+
		got[SampleKey{Key: Key{syscalltab.AMD64, 1}}].Calls, 2*more)
}

// TestAKnownKeyIsNeverLost: the limit is one of keys, not of calls.
func TestAKnownKeyIsNeverLost(t *testing.T) {
	var s Samples
	for i := range uint32(maxSamples) {
		c := call(readNr, 0, 1)
		c.Stack = i
		s.Add(c, SampleKey{})
	}
	c := call(readNr, 0, 1)
	c.Stack = 17
	s.Add(c, SampleKey{})
	got, lost := samplesByKey(&s)
	equal(t, "lost", lost, 0)
	equal(t, "calls of a known key", got[SampleKey{Key: Key{syscalltab.AMD64, readNr}, Stack: 17}].Calls, 2)
}

func TestSamplesOfHugeTimes(t *testing.T) {
	var s Samples
	for range 3 {
		s.Add(&Call{EntrySeenNs: math.MinInt64, ExitSeenNs: math.MaxInt64, ExitResumedNs: math.MaxInt64, CPUNs: math.MaxInt64}, SampleKey{})
		s.Add(&Call{EntryResumedNs: 9, ExitSeenNs: 3, CPUNs: -1}, SampleKey{}) // the clock stepped back
	}
	all, _ := s.All()
	equal(t, "a sample", all[0], Sample{Calls: 6, RawNs: math.MaxInt64, NetNs: math.MaxInt64, HoldNs: math.MaxInt64, CPUNs: math.MaxInt64, CPUCalls: 3})
}

func TestSamplesFromManyThreads(t *testing.T) {
	var s Samples
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
	got, lost := samplesByKey(&s)
	equal(t, "samples", len(got), threads*50)
	equal(t, "lost", lost, 0)
	for k, sample := range got {
		if sample.Calls != calls/50 || sample.RawNs != 10*calls/50 {
			t.Errorf("%+v: %d calls of %d ns", k, sample.Calls, sample.RawNs)
		}
	}
}

func TestAddingToASampleDoesNotAllocate(t *testing.T) {
	var s Samples
	c := call(readNr, 0, 5)
	s.Add(c, SampleKey{})
	if n := testing.AllocsPerRun(1_000, func() { s.Add(c, SampleKey{}) }); n != 0 {
		t.Errorf("adding to a sample allocates %v times", n)
	}
}

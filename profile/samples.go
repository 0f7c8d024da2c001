package profile

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// MaxFields is how many fields calls can be told apart by at once. With the rest of a SampleKey it fills whole words.
const MaxFields = 9

// Values are the values of the fields that calls are told apart by, as numbers. Which fields these are, and what
// the numbers stand for, is known to who has taken them (package label). What is not used stays zero.
type Values [MaxFields]uint32

// SampleKey says which calls are added up in one sample of a profile with stacks.
type SampleKey struct {
	Key
	Stack  uint32 // Call.Stack, or one of the following
	Values Values
}

// These stand in the place of a stack. No captured stack has their numbers.
const (
	// Others is the stack of the sample that smaller samples of a call were added to.
	Others = math.MaxUint32 - iota
	// NotStopped is the stack of calls whose threads never stood still while they were in them.
	NotStopped
)

// latencyBuckets is how many of a Histogram's buckets one of LatencyBucket's covers: half an octave.
const latencyBuckets = BucketsAnOctave / 2

// LatencyBucket is the value of a field for a latency: the first bucket of a Histogram in the half octave
// that it belongs to, which begins with 2^k or 1.5·2^k ns in any run.
func LatencyBucket(ns int64) uint32 {
	return uint32(BucketIndex(ns) &^ (latencyBuckets - 1))
}

// LatencyBucketNs is the lower bound of the bucket of a latency.
func LatencyBucketNs(value uint32) int64 {
	low, _ := BucketBounds(int(value))
	return low
}

// Sample is the calls of one key.
type Sample struct {
	SampleKey
	Calls, Errors uint64 // that have returned
	RawNs         int64  // sum of raw latencies
	NetNs         int64  // sum of Call.NetNs, of calls that stood in line, too
	TransitNs     int64
	HoldNs        int64
	CPUNs         int64 // of the calls of which it was measured
	CPUCalls      uint64

	Unfinished   uint64 // calls that have not returned
	UnfinishedNs int64  // for how long they have been under way
}

// Add adds the calls of another sample.
func (s *Sample) Add(from *Sample) {
	s.Calls = addSaturating(s.Calls, from.Calls)
	s.Errors = addSaturating(s.Errors, from.Errors)
	s.RawNs = addClamped(s.RawNs, from.RawNs)
	s.NetNs = addSigned(s.NetNs, from.NetNs)
	s.TransitNs = addClamped(s.TransitNs, from.TransitNs)
	s.HoldNs = addClamped(s.HoldNs, from.HoldNs)
	s.CPUNs = addClamped(s.CPUNs, from.CPUNs)
	s.CPUCalls = addSaturating(s.CPUCalls, from.CPUCalls)
	s.Unfinished = addSaturating(s.Unfinished, from.Unfinished)
	s.UnfinishedNs = addClamped(s.UnfinishedNs, from.UnfinishedNs)
}

// Samples adds calls up by stack and more. It is safe for concurrent use.
//
// It keeps the samples that are the largest in calls or in time. When there are too many, the smallest of the few that are
// looked at next makes room for a new one and goes to the others of its call. So no call takes long, and none is lost.
type Samples struct {
	most int                 // that All returns, but for the others
	live int                 // that are kept
	kept func(Values) Values // what others are told apart by

	mu     sync.Mutex // guards what follows
	byKey  map[SampleKey]*Sample
	blocks [][]Sample // samples are allocated in blocks
	used   int        // places in blocks
	hand   int        // which of them is looked at next
	others map[SampleKey]*Sample
	total  totals
}

// DefaultSamples is how many samples a profile has at most if nothing else is asked for: Pyroscope takes no more
// (validation.max-profile-stacktrace-samples in its pkg/validation/limits.go).
const DefaultSamples = 16_000

const (
	// sampleBlock is how many samples are allocated at once.
	sampleBlock = 256
	// sampleRoom is how many more samples are kept than All returns, so that one that is new can grow.
	sampleRoom = 2
	// lookedAt is of how many samples the smallest makes room for another.
	lookedAt = 8
)

// NewSamples returns Samples of which at most so many are to be kept, and an others for each call whose samples were more.
// kept says which values others are told apart by; nil: by none.
func NewSamples(most int, kept func(Values) Values) *Samples {
	if kept == nil {
		kept = func(Values) Values { return Values{} }
	}
	return &Samples{most: most, live: sampleRoom * most, kept: kept,
		byKey: make(map[SampleKey]*Sample), others: make(map[SampleKey]*Sample)}
}

// Add counts one finished call; c is not kept. The call's number, ABI and stack are filled into the key.
func (s *Samples) Add(c *Call, k SampleKey) {
	k.Key, k.Stack = Key{c.ABI, c.Nr}, c.Stack
	rawNs := int64(c.RawLatency())
	s.mu.Lock()
	defer s.mu.Unlock()
	sample := s.sample(k, rawNs)
	sample.Calls++
	if c.Errno != 0 {
		sample.Errors++
	}
	sample.RawNs = addClamped(sample.RawNs, rawNs)
	sample.NetNs = addSigned(sample.NetNs, c.NetNs())
	sample.TransitNs = addClamped(sample.TransitNs, c.TransitNs)
	sample.HoldNs = addClamped(sample.HoldNs, int64(c.Hold()))
	if c.CPUNs >= 0 {
		sample.CPUCalls++
		sample.CPUNs = addClamped(sample.CPUNs, c.CPUNs)
	}
}

// AddInFlight counts a call that has not returned. Its number, ABI and stack are filled into the key.
func (s *Samples) AddInFlight(f *InFlight, k SampleKey) {
	its := unfinished(f, k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sample(its.SampleKey, its.UnfinishedNs).Add(&its)
}

// unfinished is the sample of one call that has not returned.
func unfinished(f *InFlight, k SampleKey) Sample {
	k.Key, k.Stack = Key{f.ABI, f.Nr}, f.Stack
	if f.NotStopped {
		k.Stack = NotStopped
	}
	return Sample{SampleKey: k, Unfinished: 1, UnfinishedNs: max(f.SoFarNs, 0)}
}

// An Unreturned is a call that has not returned yet, but may.
type Unreturned struct {
	InFlight
	Values Values
}

// sample finds or makes the sample of a call that took so long.
//
// Precondition: s.mu is held.
func (s *Samples) sample(k SampleKey, ns int64) *Sample {
	s.total.calls++
	s.total.ns += float64(ns)
	sample := s.byKey[k]
	if sample == nil {
		sample = s.place()
		*sample = Sample{SampleKey: k}
		s.byKey[k] = sample
	}
	return sample
}

// place returns the place for a new sample.
func (s *Samples) place() *Sample {
	if s.used < s.live {
		if s.used == len(s.blocks)*sampleBlock {
			s.blocks = append(s.blocks, make([]Sample, sampleBlock))
		}
		s.used++
		return s.at(s.used - 1)
	}
	var least *Sample
	size := math.Inf(1)
	for range min(lookedAt, s.used) {
		one := s.at(s.hand)
		if its := one.size(&s.total); its < size {
			least, size = one, its
		}
		s.hand = (s.hand + 1) % s.used
	}
	delete(s.byKey, least.SampleKey)
	s.fold(s.others, least)
	return least
}

func (s *Samples) at(i int) *Sample { return &s.blocks[i/sampleBlock][i%sampleBlock] }

// totals are of all samples.
type totals struct{ calls, ns float64 }

// size is which part of all a sample is, in calls or in time.
func (s *Sample) size(of *totals) float64 {
	return max(float64(s.Calls+s.Unfinished)/of.calls, (float64(s.RawNs)+float64(s.UnfinishedNs))/max(of.ns, 1))
}

// fold adds a sample to the others of its call.
func (s *Samples) fold(others map[SampleKey]*Sample, from *Sample) {
	k := SampleKey{Key: from.Key, Stack: Others, Values: s.kept(from.Values)}
	to := others[k]
	if to == nil {
		to = &Sample{SampleKey: k}
		others[k] = to
	}
	to.Add(from)
}

// All returns a copy of the samples so far, in no order, and of how many calls these have only that they are among the
// others of their kind. They have now's calls, too, which are not kept.
func (s *Samples) All(now ...Unreturned) (samples []Sample, folded uint64) {
	s.mu.Lock()
	total := s.total
	samples = make([]Sample, 0, len(s.byKey)+len(s.others)+len(now))
	at := make(map[SampleKey]int, len(now)) // the places of those that get more
	for i := range now {
		at[unfinished(&now[i].InFlight, SampleKey{Values: now[i].Values}).SampleKey] = -1
	}
	for k, sample := range s.byKey {
		if _, more := at[k]; more {
			at[k] = len(samples)
		}
		samples = append(samples, *sample)
	}
	others := make(map[SampleKey]*Sample, len(s.others))
	for k, sample := range s.others {
		its := *sample
		others[k] = &its
	}
	s.mu.Unlock()
	for i := range now {
		its := unfinished(&now[i].InFlight, SampleKey{Values: now[i].Values})
		total.calls++
		total.ns += float64(its.UnfinishedNs)
		if at[its.SampleKey] < 0 {
			at[its.SampleKey] = len(samples)
			samples = append(samples, Sample{SampleKey: its.SampleKey})
		}
		samples[at[its.SampleKey]].Add(&its)
	}
	if len(samples)+len(others) > s.most {
		samples = s.largest(samples, others, &total)
	}
	for _, sample := range others {
		folded = addSaturating(folded, addSaturating(sample.Calls, sample.Unfinished))
		samples = append(samples, *sample)
	}
	return samples, folded
}

// largest returns the largest of the samples, so many that there are not too many together with the others, to which the
// rest is added.
func (s *Samples) largest(samples []Sample, others map[SampleKey]*Sample, total *totals) []Sample {
	slices.SortFunc(samples, func(x, y Sample) int {
		return cmp.Or(cmp.Compare(y.size(total), x.size(total)), compareSampleKeys(&x.SampleKey, &y.SampleKey))
	})
	for len(samples) > 0 && len(samples)+len(others) > s.most {
		last := len(samples) - 1
		s.fold(others, &samples[last])
		samples = samples[:last]
	}
	return samples
}

func compareSampleKeys(x, y *SampleKey) int {
	return cmp.Or(compareKeys(x.Key, y.Key), cmp.Compare(x.Stack, y.Stack), slices.Compare(x.Values[:], y.Values[:]))
}

package profile

import (
	"sync"
)

// SampleKey says which calls are added up in one sample of a profile with stacks. What a profile is not
// grouped by stays zero.
type SampleKey struct {
	Key
	Stack    uint32 // Call.Stack
	PID, TID int32
	Errno    int32
	Latency  uint32 // the first bucket of a range of raw latencies, see package cost
	Comm     uint32 // the thread's name, and what the call's descriptor was: numbers that the source
	FD       uint32 // of the key gives out
}

// Sample is the calls of one key.
type Sample struct {
	SampleKey
	Calls, Errors uint64
	RawNs         int64 // sum of raw latencies
	HoldNs        int64
	CPUNs         int64 // of the calls of which it was measured
	CPUCalls      uint64
}

// Samples adds calls up by stack and more. The zero value is ready. It is safe for concurrent use.
type Samples struct {
	mu     sync.Mutex
	byKey  map[SampleKey]*Sample
	lost   uint64
	blocks []Sample // samples are allocated in blocks
}

// maxSamples bounds a profile: 200,000 samples take about 30 MB. Calls beyond it are added to the sample
// of their number alone, and counted as lost.
const maxSamples = 200_000

// Add counts one finished call; c is not kept. The call's number, ABI and stack are filled into the key.
func (s *Samples) Add(c *Call, k SampleKey) {
	k.Key, k.Stack = Key{c.ABI, c.Nr}, c.Stack
	s.mu.Lock()
	defer s.mu.Unlock()
	sample := s.byKey[k]
	if sample == nil {
		if len(s.byKey) >= maxSamples {
			s.lost++
			k = SampleKey{Key: k.Key}
			sample = s.byKey[k]
		}
		if sample == nil {
			sample = s.add(k)
		}
	}
	sample.Calls++
	if c.Errno != 0 {
		sample.Errors++
	}
	sample.RawNs = addClamped(sample.RawNs, int64(c.RawLatency()))
	sample.HoldNs = addClamped(sample.HoldNs, int64(c.Hold()))
	if c.CPUNs >= 0 {
		sample.CPUCalls++
		sample.CPUNs = addClamped(sample.CPUNs, c.CPUNs)
	}
}

func (s *Samples) add(k SampleKey) *Sample {
	if s.byKey == nil {
		s.byKey = make(map[SampleKey]*Sample)
	}
	if len(s.blocks) == cap(s.blocks) {
		const block = 256
		s.blocks = make([]Sample, 0, block)
	}
	s.blocks = append(s.blocks, Sample{SampleKey: k})
	sample := &s.blocks[len(s.blocks)-1]
	s.byKey[k] = sample
	return sample
}

// All returns a copy of the samples so far, in no order, and how many calls found no room for a sample of
// their own.
func (s *Samples) All() (samples []Sample, lost uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	samples = make([]Sample, 0, len(s.byKey))
	for _, sample := range s.byKey {
		samples = append(samples, *sample)
	}
	return samples, s.lost
}

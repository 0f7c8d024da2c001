package profile

import (
	"sync"
)

// MaxFields is how many fields calls can be told apart by at once.
const MaxFields = 8

// Values are the values of the fields that calls are told apart by, as numbers. Which fields these are, and what
// the numbers stand for, is known to who has taken them (package label). What is not used stays zero.
type Values [MaxFields]uint32

// SampleKey says which calls are added up in one sample of a profile with stacks.
type SampleKey struct {
	Key
	Stack  uint32 // Call.Stack
	Values Values
}

// latencyBuckets is how many of a Histogram's buckets one of LatencyBucket's covers: half an octave.
const latencyBuckets = BucketsAnOctave / 2

// LatencyBucket is the value of a field for the latency of a call: the first bucket of a Histogram in the half octave
// that it belongs to, which begins with 2^k or 1.5·2^k ns in any run.
func LatencyBucket(c *Call) uint32 {
	return uint32(BucketIndex(int64(c.Latency())) &^ (latencyBuckets - 1))
}

// LatencyBucketNs is the lower bound of the bucket of a latency.
func LatencyBucketNs(value uint32) int64 {
	low, _ := BucketBounds(int(value))
	return low
}

// Sample is the calls of one key.
type Sample struct {
	SampleKey
	Calls, Errors uint64
	RawNs         int64 // sum of raw latencies
	NetNs         int64 // sum of Call.NetNs, of calls that stood in line, too
	TransitNs     int64
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
	sample.NetNs = addSigned(sample.NetNs, c.NetNs())
	sample.TransitNs = addClamped(sample.TransitNs, c.TransitNs)
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

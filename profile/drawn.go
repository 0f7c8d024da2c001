package profile

import (
	"slices"
	"sync"
)

// DrawnSamples adds up calls of which only some were seen, drawn at random, and knows how many each stands for. With the exact
// counts and times of all calls it makes Samples of them that add up to these. It is safe for concurrent use.
type DrawnSamples struct {
	most int
	kept func(Values) Values

	mu      sync.Mutex // guards what follows
	byKey   map[drawnKey]*drawnSum
	flights map[flyingKey]*drawnSum
	drawn   uint64
}

// drawnKey is a sample's part of the calls that ended in the same way: how many these were, and how long they took, is known.
type drawnKey struct {
	SampleKey
	errno int32
}

// flyingKey is a sample's part of the calls that have not returned.
type flyingKey struct {
	SampleKey
	why     Ending
	resumed bool
}

// drawnSum is what drawn calls stand for.
type drawnSum struct{ calls, ns float64 }

// maxDrawn is how many samples there are before they are told apart no more than by their stacks, and then by nothing.
const maxDrawn = 1 << 16

// NewDrawnSamples returns DrawnSamples of which at most so many are to be kept; see NewSamples.
func NewDrawnSamples(most int, kept func(Values) Values) *DrawnSamples {
	if kept == nil {
		kept = func(Values) Values { return Values{} }
	}
	return &DrawnSamples{most: most, kept: kept, byKey: make(map[drawnKey]*drawnSum), flights: make(map[flyingKey]*drawnSum)}
}

// Add takes a finished call that stands for so many, of which the number, ABI and stack are filled into the key.
func (s *DrawnSamples) Add(c *Call, k SampleKey, calls float64) {
	k.Key, k.Stack = Key{c.ABI, c.Nr}, c.Stack
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn++
	sum := room(s, s.byKey, func(k SampleKey) drawnKey { return drawnKey{k, c.Errno} }, k)
	sum.calls += calls
	sum.ns += calls * float64(c.RawLatency())
}

// AddInFlight takes a call that has not returned.
func (s *DrawnSamples) AddInFlight(f *InFlight, k SampleKey) {
	k.Key, k.Stack = Key{f.ABI, f.Nr}, f.Stack
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := room(s, s.flights, func(k SampleKey) flyingKey { return flyingKey{k, f.Why, f.Resumed} }, k)
	sum.calls++
	sum.ns += float64(max(f.SoFarNs, 0))
}

// room finds or makes the sum of a key, or that of one that is told apart by less.
func room[K comparable](s *DrawnSamples, sums map[K]*drawnSum, key func(SampleKey) K, k SampleKey) *drawnSum {
	sum := sums[key(k)]
	if sum == nil && len(sums) >= maxDrawn {
		k.Values = s.kept(k.Values)
		if sum = sums[key(k)]; sum == nil && len(sums) >= 2*maxDrawn {
			k.Stack = Others
			sum = sums[key(k)]
		}
	}
	if sum == nil {
		sum = new(drawnSum)
		sums[key(k)] = sum
	}
	return sum
}

// Drawn is how many finished calls there were.
func (s *DrawnSamples) Drawn() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drawn
}

// All returns Samples of all calls of a snapshot, and of how many calls these have only that they are among the others of
// their kind. The calls of a row that ended in the same way are divided among its drawn ones. They have no stack if none was drawn.
func (s *DrawnSamples) All(of *Snapshot) (samples []Sample, folded uint64) {
	ended, flying := s.parts()
	all := NewSamples(s.most, s.kept)
	for i := range of.Rows {
		r := &of.Rows[i]
		divide(all, ended[outcomeKey{r.Key, 0}], sampleOf(r.Key, r.OK, false))
		for _, f := range r.Failed {
			divide(all, ended[outcomeKey{r.Key, f.Errno}], sampleOf(r.Key, f.Latency, true))
		}
	}
	for i := range of.InFlight {
		f := &of.InFlight[i]
		if f.Why == Exited {
			continue
		}
		parts := flying[Flight{Key: f.Key, Why: f.Why, Resumed: f.Resumed}]
		// How long these have been under way in all is known of the drawn ones alone.
		ns := float64(f.LongestNs)
		if sum := sumOf(parts); sum.calls > 0 {
			ns = sum.ns / sum.calls * float64(f.Count)
		}
		divide(all, parts, Sample{SampleKey: SampleKey{Key: f.Key}, Unfinished: f.Count, UnfinishedNs: int64(ns)})
	}
	return all.All()
}

// outcomeKey is the calls of a row that ended in the same way.
type outcomeKey struct {
	Key
	errno int32
}

// part is what a sample has of the calls of one kind.
type part struct {
	key SampleKey
	sum drawnSum
}

// parts are those of all kinds of calls, in an order that does not depend on chance.
func (s *DrawnSamples) parts() (ended map[outcomeKey][]part, flying map[Flight][]part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended, flying = make(map[outcomeKey][]part), make(map[Flight][]part)
	for k, sum := range s.byKey {
		kind := outcomeKey{k.Key, k.errno}
		ended[kind] = append(ended[kind], part{k.SampleKey, *sum})
	}
	for k, sum := range s.flights {
		kind := Flight{Key: k.Key, Why: k.why, Resumed: k.resumed}
		flying[kind] = append(flying[kind], part{k.SampleKey, *sum})
	}
	inOrder := func(parts []part) {
		slices.SortFunc(parts, func(x, y part) int { return compareSampleKeys(&x.key, &y.key) })
	}
	for _, parts := range ended {
		inOrder(parts)
	}
	for _, parts := range flying {
		inOrder(parts)
	}
	return ended, flying
}

func sampleOf(k Key, h *Histogram, failed bool) Sample {
	one := Sample{SampleKey: SampleKey{Key: k}, Calls: h.Count(), RawNs: int64(h.Sum()), NetNs: int64(h.Sum())}
	if failed {
		one.Errors = one.Calls
	}
	return one
}

func sumOf(parts []part) (sum drawnSum) {
	for i := range parts {
		sum.calls += parts[i].sum.calls
		sum.ns += parts[i].sum.ns
	}
	return sum
}

// divide divides calls among the drawn ones, so that it adds up to the last one.
func divide(all *Samples, parts []part, whole Sample) {
	if whole.Calls+whole.Unfinished == 0 {
		return
	}
	sum := sumOf(parts)
	if sum.calls == 0 {
		all.put(&whole)
		return
	}
	var upTo drawnSum
	var given Sample
	share := func(of uint64, done, all float64, before *uint64) uint64 {
		till := of
		if done < all {
			till = min(uint64(done/all*float64(of)+0.5), of)
		}
		its := till - min(*before, till)
		*before += its
		return its
	}
	ns := func(of int64, before *int64) int64 {
		done, total := upTo.ns, sum.ns
		if total == 0 {
			done, total = upTo.calls, sum.calls
		}
		given := uint64(*before)
		its := share(uint64(max(of, 0)), done, total, &given)
		*before = int64(given)
		return int64(its)
	}
	for i := range parts {
		upTo.calls += parts[i].sum.calls
		upTo.ns += parts[i].sum.ns
		if i == len(parts)-1 {
			upTo = sum // as it is added up may differ in the last place
		}
		one := Sample{SampleKey: parts[i].key,
			Calls:      share(whole.Calls, upTo.calls, sum.calls, &given.Calls),
			Errors:     share(whole.Errors, upTo.calls, sum.calls, &given.Errors),
			Unfinished: share(whole.Unfinished, upTo.calls, sum.calls, &given.Unfinished),
			RawNs:      ns(whole.RawNs, &given.RawNs), NetNs: ns(whole.NetNs, &given.NetNs),
			UnfinishedNs: ns(whole.UnfinishedNs, &given.UnfinishedNs)}
		all.put(&one)
	}
}

// put adds a whole sample.
func (s *Samples) put(one *Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.sample(one.SampleKey, one.RawNs+one.UnfinishedNs)
	s.total.calls += float64(one.Calls+one.Unfinished) - 1
	to.Add(one)
}

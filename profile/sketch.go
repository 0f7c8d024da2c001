package profile

import "slices"

// A sketch is a distribution of a few latencies in a few bytes: a list of buckets that are not empty, a word each. There are
// hundreds of thousands of sketches, with three or four buckets on average, so that a slice for each would be most of what they
// take, and the garbage of growing these as much again. So all words are in one pool, in which the garbage collector has nothing to
// look at.
//
// A sketch's bucket is several of a Histogram's. Those of calls that stood in line are apart. A sketch that may not have another
// bucket becomes coarser: of two neighbours it makes one.
type sketch struct {
	at     uint32 // where its words begin in the pool
	n      uint16 // how many there are
	class  uint8  // there is room for 1<<class
	coarse uint8  // how often it has become coarser
}

const (
	groupBuckets = 16          // a sketch has an octave at first
	sketchShift  = subBits - 4 // 1<<sketchShift of a Histogram's are one of these
	coarsest     = 4           // one bucket an octave

	// A word has a bucket's number, above it whether its calls stood in line, and below it how many they are.
	countBits  = 50
	countMask  = 1<<countBits - 1
	queuedCode = 1 << 12

	poolBlock = 1 << 12 // words that are allocated at once
)

// sketchPool has the words of sketches.
type sketchPool struct {
	blocks [][]uint64
	used   uint32
	free   [16]uint32 // by class: where room begins that is free, less 1; its first word has the next
}

// words are the buckets of a sketch in ascending order, those of calls that stood in line behind all others.
func (p *sketchPool) words(s *sketch) []uint64 {
	if s.n == 0 {
		return nil
	}
	return p.at(s.at)[:s.n]
}

func (p *sketchPool) at(at uint32) []uint64 { return p.blocks[at/poolBlock][at%poolBlock:] }

// record adds so many calls of a latency. The sketch is to have no more than most buckets.
func (p *sketchPool) record(s *sketch, ns int64, queued bool, calls uint64, most int) {
	bucket := uint64(BucketIndex(ns)) >> sketchShift
	for {
		code := bucket >> s.coarse
		if queued {
			code |= queuedCode
		}
		words := p.words(s)
		i, found := findCode(words, code)
		if found {
			words[i] = code<<countBits | min(words[i]&countMask+calls, countMask)
			return
		}
		if int(s.n) < most || s.coarse == coarsest {
			p.insert(s, i, code<<countBits|min(calls, countMask))
			return
		}
		p.coarsen(s)
	}
}

// findCode finds the place of a code in words, which are sorted.
func findCode(words []uint64, code uint64) (at int, found bool) {
	low, high := 0, len(words)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if words[middle]>>countBits < code {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(words) && words[low]>>countBits == code
}

// insert puts a word at place i.
func (p *sketchPool) insert(s *sketch, i int, word uint64) {
	switch {
	case s.n == 0:
		s.at, s.class = p.take(0), 0
	case int(s.n) == 1<<s.class:
		at := p.take(s.class + 1)
		copy(p.at(at), p.words(s))
		p.give(s.at, s.class)
		s.at, s.class = at, s.class+1
	}
	s.n++
	words := p.words(s)
	copy(words[i+1:], words[i:])
	words[i] = word
}

// coarsen makes one bucket of each two.
func (p *sketchPool) coarsen(s *sketch) {
	words := p.words(s)
	s.coarse++
	s.n = 0
	for _, w := range words {
		code := w >> countBits
		code = code&queuedCode | code&^queuedCode>>1
		if last := int(s.n) - 1; last >= 0 && words[last]>>countBits == code {
			words[last] += w & countMask
			continue
		}
		words[s.n] = code<<countBits | w&countMask
		s.n++
	}
}

// merge adds the calls of another sketch, which is in another pool or in the same.
func (p *sketchPool) merge(s *sketch, in *sketchPool, from *sketch) {
	for i := range from.n {
		w := in.words(from)[i]
		b := from.bucket(w)
		p.record(s, b.LowNs+(b.HighNs-b.LowNs)/2, inLine(w), b.Count, NumBuckets)
	}
}

// inLine reports whether a word is about calls that stood in line.
func inLine(word uint64) bool { return word>>countBits&queuedCode != 0 }

// bucket is what a word of the sketch says.
func (s *sketch) bucket(word uint64) Bucket {
	first := int(word>>countBits&^queuedCode) << (sketchShift + s.coarse)
	last := min(first+1<<(sketchShift+s.coarse), NumBuckets) - 1
	low, _ := BucketBounds(first)
	_, high := BucketBounds(last)
	return Bucket{low, high, word & countMask}
}

// release lets go of what a sketch takes.
func (p *sketchPool) release(s *sketch) {
	if s.n > 0 {
		p.give(s.at, s.class)
	}
	*s = sketch{}
}

// take finds room for 1<<class words.
func (p *sketchPool) take(class uint8) (at uint32) {
	if free := p.free[class]; free > 0 {
		p.free[class] = uint32(p.at(free - 1)[0])
		return free - 1
	}
	size := uint32(1) << class
	if rest := poolBlock - p.used%poolBlock; rest < size {
		p.used += rest
	}
	if int(p.used/poolBlock) == len(p.blocks) {
		p.blocks = append(p.blocks, make([]uint64, poolBlock))
	}
	at = p.used
	p.used += size
	return at
}

// give makes room free that take has found.
func (p *sketchPool) give(at uint32, class uint8) {
	p.at(at)[0] = uint64(p.free[class])
	p.free[class] = at + 1
}

// clone returns a copy of all words.
func (p *sketchPool) clone() sketchPool {
	c := sketchPool{blocks: make([][]uint64, len(p.blocks)), used: p.used, free: p.free}
	for i := range p.blocks {
		c.blocks[i] = slices.Clone(p.blocks[i])
	}
	return c
}

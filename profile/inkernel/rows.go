package inkernel

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cilium/ebpf"

	"sysprof/profile"
)

// The programs' tables as they are in memory.
type (
	call struct{ Every, Row, Errno, Failed uint32 }

	row struct {
		Calls, Sum, Max, Below uint64 // the first two are struct tally
		Bucket                 [buckets]uint32
		_                      uint32
	}

	rowKey struct {
		Nr         int64
		Errno, ABI uint32
	}
)

// The buckets of a row; see the programs.
const (
	subBits  = 5
	fineBits = 40 // latencies below 2^40 ns have 32 buckets an octave, those above have one
	fine     = (fineBits-subBits)<<subBits + 1<<subBits
	buckets  = fine + 63 - fineBits
)

// rowsFor is how many rows there are. Each CPU has all of them, so that there are fewer where there are many: no more than
// 64 MB of them, but enough for a program with many kinds of calls and errors.
func rowsFor(cpus int) uint32 {
	const most, enough, budget = 256, 96, 64 << 20
	return uint32(min(max(budget/(binary.Size(row{})*cpus), enough), most))
}

// bounds returns the shortest and the longest latency of a bucket.
func bounds(bucket int) (lowNs, highNs int64) {
	if octave := fineBits + bucket - fine; bucket >= fine {
		return int64(1) << octave, int64(uint64(2)<<octave - 1)
	}
	shift := max(bucket>>subBits-1, 0)
	lowNs = int64(bucket-shift<<subBits) << shift
	return lowNs, lowNs + (1<<shift - 1)
}

// rows reads the rows, and knows what has been taken of them.
type rows struct {
	programs *programsObjects
	perCPU   []row
	keys     map[uint32]rowKey
	taken    map[uint32]*row // of all CPUs, when they were last taken
	weighed  map[uint32]*weighed
}

// weighed is what is left over of a row of which not all calls are timed.
type weighed struct {
	calls  uint64 // that have come in and have not been taken, as none of them was timed
	bucket [buckets]uint64
	sum    float64
	weight uint64
}

func newRows(p *programsObjects) (rows, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return rows{}, fmt.Errorf("count CPUs: %w", err)
	}
	return rows{programs: p, perCPU: make([]row, cpus), keys: make(map[uint32]rowKey), taken: make(map[uint32]*row),
		weighed: make(map[uint32]*weighed)}, nil
}

// increment is what has come in of a row.
type increment struct {
	index  uint32
	key    rowKey
	calls  uint64
	sum    uint64 // of those that were timed, times their weights
	weight uint64 // of those that were timed
	bucket [buckets]uint32

	minNs, maxNs int64 // exact where they are new; else what the buckets and the extremes of the run allow
}

// read returns what has come in since the last time, sorted.
func (r *rows) read() ([]*increment, error) {
	if err := r.readKeys(); err != nil {
		return nil, err
	}
	var all []*increment
	for index, key := range r.keys {
		now, err := r.readRow(index)
		if err != nil {
			return nil, err
		}
		before := r.taken[index]
		if before == nil {
			before = new(row)
		}
		if now.Calls == before.Calls {
			continue // what has been timed of calls that are not counted yet comes the next time
		}
		r.taken[index] = now
		all = append(all, since(before, now, index, key))
	}
	slices.SortFunc(all, func(a, b *increment) int {
		return cmp.Or(cmp.Compare(a.key.ABI, b.key.ABI), cmp.Compare(uint64(a.key.Nr), uint64(b.key.Nr)), cmp.Compare(a.key.Errno, b.key.Errno))
	})
	return all, nil
}

// readKeys finds out what new rows are of.
func (r *rows) readKeys() error {
	var used uint64
	if err := r.programs.RowsUsed.Get(&used); err != nil {
		return err
	}
	if int(used)-1 <= len(r.keys) { // the first one is nobody's
		return nil
	}
	var key rowKey
	var index uint32
	entries := r.programs.RowOf.Iterate()
	for entries.Next(&key, &index) {
		r.keys[index] = key
	}
	return entries.Err()
}

// readRow adds a row up over all CPUs. Buckets count modulo 2^32, so that they have to be read before that many more have
// come in.
func (r *rows) readRow(index uint32) (*row, error) {
	if err := r.programs.Rows.Lookup(&index, r.perCPU); err != nil {
		return nil, fmt.Errorf("read what was counted: %w", err)
	}
	sum := new(row)
	for i := range r.perCPU {
		one := &r.perCPU[i]
		sum.Calls += one.Calls
		sum.Sum += one.Sum
		sum.Max = max(sum.Max, one.Max)
		sum.Below = max(sum.Below, one.Below)
		for b, n := range &one.Bucket {
			sum.Bucket[b] += n
		}
	}
	return sum, nil
}

// since is what has come in between two readings of a row.
func since(before, now *row, index uint32, key rowKey) *increment {
	inc := &increment{index: index, key: key, calls: now.Calls - before.Calls, sum: now.Sum - before.Sum}
	first, last := -1, 0
	for b := range inc.bucket {
		n := now.Bucket[b] - before.Bucket[b]
		inc.bucket[b] = n
		inc.weight += uint64(n)
		if n > 0 {
			last = b
			if first < 0 {
				first = b
			}
		}
	}
	if first < 0 {
		return inc
	}
	lowest, highest := int64(^now.Below), int64(now.Max)
	inc.minNs, _ = bounds(first)
	_, inc.maxNs = bounds(last)
	if now.Below != before.Below {
		inc.minNs = lowest
	}
	if now.Max != before.Max {
		inc.maxNs = highest
	}
	inc.minNs, inc.maxNs = max(inc.minNs, lowest), min(inc.maxNs, highest)
	inc.maxNs = max(inc.maxNs, inc.minNs) // a row may change while it is read
	return inc
}

// forget takes what has been read for taken, and none of it for anybody's.
func (r *rows) forget() { clear(r.weighed) }

// Take returns what has come in since the last time. When the counting is over, what it returns is the rest.
func (c *Counter) Take() (*profile.Raw, error) { return c.rows.take(false) }

// TakeLast is Take after End.
func (c *Counter) TakeLast() (*profile.Raw, error) { return c.rows.take(true) }

func (r *rows) take(last bool) (*profile.Raw, error) {
	all, err := r.read()
	if err != nil {
		return nil, err
	}
	raw := new(profile.Raw)
	calls := &raw.Calls[profile.SameCPU]
	abis := kernelABIs()
	put := func(key rowKey, h *profile.Histogram) {
		if h.Count() == 0 {
			return
		}
		to := calls.Row(profile.Key{ABI: abis[key.ABI], Nr: uint64(key.Nr)})
		o := to.Outcome(int32(key.Errno))
		o.Latency.Merge(h)
		o.NetNs += int64(h.Sum())
		to.RawNs += int64(h.Sum())
	}
	for _, inc := range all {
		w := r.weighed[inc.index]
		if w == nil && inc.weight == inc.calls {
			put(inc.key, inc.histogram(inc.calls))
			continue
		}
		if w == nil {
			w = new(weighed)
			r.weighed[inc.index] = w
		}
		w.calls += inc.calls
		w.add(inc)
		if inc.weight > 0 {
			put(inc.key, inc.histogram(w.calls))
			w.calls = 0
		}
	}
	if last {
		for index, w := range r.weighed {
			if w.calls > 0 {
				put(r.keys[index], w.histogram())
				w.calls = 0
			}
		}
	}
	return raw, nil
}

// histogram is the distribution of so many calls, as those that were timed have it.
func (inc *increment) histogram(calls uint64) *profile.Histogram {
	h := new(profile.Histogram)
	s := spread{calls: calls, weight: inc.weight}
	for b, n := range &inc.bucket {
		if n > 0 {
			s.put(h, b, uint64(n), inc.minNs, inc.maxNs)
		}
	}
	sum := float64(inc.sum)
	if calls != inc.weight {
		sum *= float64(calls) / float64(inc.weight)
		h.ShiftSum(int64(sum) - int64(h.Sum()))
	} else {
		h.ShiftSum(int64(inc.sum) - int64(h.Sum()))
	}
	return h
}

// spread shares calls out over buckets by their weights.
type spread struct {
	calls, weight uint64 // of all
	done, shared  uint64 // of those that have been put
}

// next is the share of the next bucket.
func (s *spread) next(weight uint64) uint64 {
	s.done += weight
	upTo := s.done
	if s.calls != s.weight {
		upTo = uint64(math.Round(float64(s.calls) * (float64(s.done) / float64(s.weight))))
	}
	n := upTo - min(s.shared, upTo)
	s.shared += n
	return n
}

// put puts a bucket's share into h. The extremes are kept exactly, by one call each.
func (s *spread) put(h *profile.Histogram, bucket int, weight uint64, minNs, maxNs int64) {
	n := s.next(weight)
	if n == 0 {
		return
	}
	low, high := bounds(bucket)
	if minNs >= low && minNs <= high {
		h.RecordN(minNs, 1)
		n--
	}
	if n > 0 && maxNs >= low && maxNs <= high && maxNs != minNs {
		h.RecordN(maxNs, 1)
		n--
	}
	h.RecordN(min(max(low+(high-low)/2, minNs), maxNs), n)
}

func (w *weighed) add(inc *increment) {
	for b, n := range &inc.bucket {
		w.bucket[b] += uint64(n)
	}
	w.sum += float64(inc.sum)
	w.weight += inc.weight
}

// histogram is that of the calls that are left over, as those before had it; of those of which none was ever timed
// nothing is known but that there were some.
func (w *weighed) histogram() *profile.Histogram {
	h := new(profile.Histogram)
	if w.weight == 0 {
		h.RecordN(0, w.calls)
		return h
	}
	s := spread{calls: w.calls, weight: w.weight}
	for b, n := range &w.bucket {
		if n > 0 {
			low, high := bounds(b)
			s.put(h, b, n, low, high)
		}
	}
	h.ShiftSum(int64(w.sum*float64(w.calls)/float64(w.weight)) - int64(h.Sum()))
	return h
}

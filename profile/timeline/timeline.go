// Package timeline keeps how the latencies of calls were distributed over the time of a run, in bounded memory however
// long it is: a fixed number of slices of time, each of which has coarse buckets for the busiest calls. When there are
// too many slices, every two of them become one.
//
// It adds up what it is given. It takes no time itself, corrects nothing and draws nothing.
package timeline

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"sysprof/profile"
)

// What a Timeline has at most.
const (
	// MaxSlices is even, so that they are merged in pairs. Twice as many would be narrower than people tell apart.
	MaxSlices = 128
	// MaxRows bounds the memory, at some 2 MB for calls of ten buckets a slice. Hardly a program has more calls that
	// matter: postgres under pgbench makes 30 different ones.
	MaxRows = 64
)

// First is how long the first slices are.
const First = 10 * time.Millisecond

// perBucket is how many of a Histogram's buckets one of a Timeline covers: half an octave.
const perBucket = profile.BucketsAnOctave / 2

// Timeline is a run in slices of time. The zero value has none. A call is in the slice that it returned in.
type Timeline struct {
	Ends []time.Duration // when each slice ended, since the run began
	All  []Cell          // of all calls
	Rows []Row           // of the busiest ones, most time first
}

// Row is the calls of one key.
type Row struct {
	profile.Key
	Calls uint64
	SumNs int64
	Cells []Cell
}

// Cell is some calls of one slice whose latencies are alike. Cells are sorted by slice, then bucket.
type Cell struct {
	Slice  uint16
	Bucket uint16 // see Bounds
	Calls  uint64
}

// NumBuckets is how many buckets there are.
const NumBuckets = profile.NumBuckets / perBucket

// Bounds are the smallest and the largest latency, in nanoseconds, of a bucket of a Cell.
func Bounds(bucket uint16) (lowNs, highNs int64) {
	first := int(bucket) * perBucket
	lowNs, _ = profile.BucketBounds(first)
	_, highNs = profile.BucketBounds(first + perBucket - 1)
	return lowNs, highNs
}

// Builder makes a Timeline. Its zero value is ready. It is not safe for concurrent use.
type Builder struct {
	First time.Duration // how long the first slices are; 0: First

	ends  []time.Duration
	all   []Cell
	rows  map[profile.Key]*Row
	width time.Duration // of the next slice; 0: as the first
}

// Width is how long the next slice should be.
func (b *Builder) Width() time.Duration { return cmp.Or(b.width, b.First, First) }

// Add adds a slice: what returned from the end of the last one to this one. If it does not end later than that, as it may
// be when it turns out that the clock should have stood still, it becomes part of the last one.
func (b *Builder) Add(end time.Duration, calls *profile.Snapshot) {
	if n := len(b.ends); n == 0 || end > b.ends[n-1] {
		if n == MaxSlices {
			b.halve()
		}
		b.ends = append(b.ends, end)
	}
	slice := uint16(len(b.ends) - 1)
	if b.rows == nil {
		b.rows = make(map[profile.Key]*Row)
	}
	for i := range calls.Rows {
		from := &calls.Rows[i]
		cells := coarse(slice, from.Latency())
		b.all = add(b.all, cells)
		row := b.rows[from.Key]
		if row == nil {
			row = &Row{Key: from.Key}
			b.rows[from.Key] = row
		}
		row.Calls += from.Calls
		if row.SumNs += from.SumNs; row.SumNs < 0 {
			row.SumNs = math.MaxInt64
		}
		row.Cells = add(row.Cells, cells)
	}
	b.dropIdle()
}

// Timeline returns what has been added so far. It shares nothing with the Builder.
func (b *Builder) Timeline() *Timeline {
	t := &Timeline{Ends: slices.Clone(b.ends), All: slices.Clone(b.all)}
	for _, r := range b.rows {
		row := *r
		row.Cells = slices.Clone(r.Cells)
		t.Rows = append(t.Rows, row)
	}
	slices.SortFunc(t.Rows, func(x, y Row) int {
		return cmp.Or(cmp.Compare(y.SumNs, x.SumNs), cmp.Compare(x.ABI, y.ABI), cmp.Compare(x.Nr, y.Nr))
	})
	return t
}

// coarse returns the cells of a distribution.
func coarse(slice uint16, h *profile.Histogram) (cells []Cell) {
	for bucket := range h.Buckets() {
		at := uint16(profile.BucketIndex(bucket.LowNs) / perBucket)
		if last := len(cells) - 1; last >= 0 && cells[last].Bucket == at {
			cells[last].Calls += bucket.Count
			continue
		}
		cells = append(cells, Cell{slice, at, bucket.Count})
	}
	return cells
}

// add adds cells of the last slice to sorted ones.
func add(to, cells []Cell) []Cell {
	for _, c := range cells {
		i, found := slices.BinarySearchFunc(to, c, compareCells)
		if found {
			to[i].Calls += c.Calls
			continue
		}
		to = slices.Insert(to, i, c)
	}
	return to
}

// dropIdle forgets the rows that took the least time, if there are too many. A call that comes again begins anew.
func (b *Builder) dropIdle() {
	if len(b.rows) <= MaxRows {
		return
	}
	byTime := slices.SortedFunc(maps.Values(b.rows), func(x, y *Row) int {
		return cmp.Or(cmp.Compare(y.SumNs, x.SumNs), cmp.Compare(x.ABI, y.ABI), cmp.Compare(x.Nr, y.Nr))
	})
	for _, r := range byTime[MaxRows:] {
		delete(b.rows, r.Key)
	}
}

// halve makes one slice of every two.
func (b *Builder) halve() {
	b.width = 2 * b.Width()
	half := b.ends[:0]
	for i := 1; i < len(b.ends); i += 2 {
		half = append(half, b.ends[i])
	}
	b.ends = half
	b.all = inPairs(b.all)
	for _, r := range b.rows {
		r.Cells = inPairs(r.Cells)
	}
}

// inPairs returns the cells of half as many slices.
func inPairs(cells []Cell) []Cell {
	for i := range cells {
		cells[i].Slice /= 2
	}
	slices.SortFunc(cells, compareCells)
	out := cells[:0]
	for _, c := range cells {
		if last := len(out) - 1; last >= 0 && compareCells(out[last], c) == 0 {
			out[last].Calls += c.Calls
			continue
		}
		out = append(out, c)
	}
	return slices.Clip(out)
}

func compareCells(a, b Cell) int {
	return cmp.Or(cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.Bucket, b.Bucket))
}

// Package live is what a live view is told of a run, line by line: JSON, one Message a line. sysprof writes it, and
// sysprof-live, which is another process and has the terminal, reads it.
//
// It says what was counted in each interval, so that whoever reads it can add up as many intervals as are to be shown.
// Latencies are distributions, coarser than those of a profile: a quantile of them is less than 4 % off, and a message
// has some hundred bytes a call.
//
// It is no format that leaves sysprof: both ends are of the same version, which a Reader demands.
package live

import (
	"maps"
	"slices"
	"time"

	"sysprof/profile"
)

// Message is one line. Only one of its fields is set.
type Message struct {
	Begin  *Begin  `json:"begin,omitempty"`  // the first one
	Update *Update `json:"update,omitempty"` // an interval is over
	Notice string  `json:"notice,omitempty"` // what sysprof has to say
	Aside  bool    `json:"aside,omitempty"`  // give the terminal back; an answer is waited for
	Back   bool    `json:"back,omitempty"`   // take it again
}

// Begin says what there is to be seen.
type Begin struct {
	Version int    `json:"version"` // of this format; the Writer sets it
	Traced  string `json:"traced"`  // what is, by name
	Command bool   `json:"command"` // it was launched
	ASCII   bool   `json:"ascii"`   // nothing else is to be shown
}

// Update is what was counted in an interval.
type Update struct {
	Elapsed   time.Duration `json:"elapsed_ns"` // since the run began
	Length    time.Duration `json:"length_ns"`  // of the interval
	Processes int           `json:"processes"`  // traced now
	Threads   int           `json:"threads"`
	Slowdown  float64       `json:"slowdown,omitempty"` // in the interval; 0: not known
	Lost      float64       `json:"lost,omitempty"`     // the share of the threads' time that tracing took; 0: not known
	Rows      []Row         `json:"rows"`               // one for each call
	By        []string      `json:"by,omitempty"`       // the fields that Groups are told apart by
	Groups    []Row         `json:"groups,omitempty"`   // the same calls, told apart by who made them
}

// Row is the calls of one name, or of one group.
type Row struct {
	Name   string        `json:"name"`
	Calls  uint64        `json:"calls"`
	Errors uint64        `json:"errors,omitempty"`
	Sum    time.Duration `json:"sum_ns"`
	Max    time.Duration `json:"max_ns"`
	Spread Spread        `json:"spread,omitempty"`

	UpperBound bool     `json:"upper_bound,omitempty"` // without tracing they would have taken less
	Values     []string `json:"values,omitempty"`      // of a group: who it is by each field of By alone
	Errnos     []Errno  `json:"errnos,omitempty"`
	Slowest    []Single `json:"slowest,omitempty"` // the slowest first
	Parts      []Part   `json:"parts,omitempty"`   // of a group: its calls
}

// Errno says how many calls failed in one way.
type Errno struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Single is one call of an interval.
type Single struct {
	Took time.Duration `json:"took_ns"`
	PID  int32         `json:"pid"`
	TID  int32         `json:"tid"`
	Who  string        `json:"who"`             // the thread's name; "": it is no more
	Ends string        `json:"errno,omitempty"` // the errno; "": it succeeded
}

// Part is the calls of one name in a group.
type Part struct {
	Name   string        `json:"name"`
	Calls  uint64        `json:"calls"`
	Errors uint64        `json:"errors,omitempty"`
	Sum    time.Duration `json:"sum_ns"`
}

// Spread is a distribution: how many values are in each bucket.
type Spread map[int]uint64

// bucketsInOne is how many buckets of a profile are one of a Spread, of which there are 16 to a power of two.
const bucketsInOne = profile.BucketsAnOctave / 16

// SpreadOf adds distributions up.
func SpreadOf(all ...*profile.Histogram) Spread {
	s := make(Spread)
	for _, h := range all {
		for b := range h.Buckets() {
			s[profile.BucketIndex(b.LowNs)/bucketsInOne] += b.Count
		}
	}
	return s
}

// Bounds are the least and the largest time in a bucket. What is no bucket has those of the next one that is.
func Bounds(bucket int) (low, high time.Duration) {
	const last = profile.NumBuckets/bucketsInOne - 1
	bucket = min(max(bucket, 0), last)
	lowNs, _ := profile.BucketBounds(bucket * bucketsInOne)
	_, highNs := profile.BucketBounds(bucket*bucketsInOne + bucketsInOne - 1)
	return time.Duration(lowNs), time.Duration(highNs)
}

// Bucket is a bucket of a Spread that is not empty.
type Bucket struct {
	Low, High time.Duration
	Count     uint64
}

// Sorted returns the buckets, those of the least times first.
func (s Spread) Sorted() []Bucket {
	all := make([]Bucket, 0, len(s))
	for _, i := range slices.Sorted(maps.Keys(s)) {
		low, high := Bounds(i)
		all = append(all, Bucket{low, high, s[i]})
	}
	return all
}

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/bits"
	"strings"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// What a file may hold. A profile of 500 calls with 20 errnos is some MB, one with as many groups as there can be some 100 MB; these
// bounds keep one that was made to hurt below some 1 GB of memory.
const (
	maxJSONBytes = 192 << 20
	maxMetaBytes = 8 << 20
	maxListItems = 1 << 16
	// maxOctaves bounds the memory of all histograms: a power of two of latencies costs 1 KB.
	maxOctaves = 1 << 16
	maxErrno   = 4095 // the kernel's MAX_ERRNO
)

// ReadJSON reads what WriteJSON wrote. The snapshot is as good as the one that was written: equal to it,
// if the text in it was UTF-8. A file that is something else, of a newer version, damaged or malicious
// is an error that says where. Of a file with the intervals of a run, each in a line of its own (WriteJSONLine), it reads the
// whole run, which stands last; or, if that is missing, what the intervals add up to.
func ReadJSON(r io.Reader) (*profile.Snapshot, Meta, error) {
	s, m, err := readJSON(r)
	if err != nil {
		return nil, Meta{}, fmt.Errorf("read JSON: %w", err)
	}
	return s, m, nil
}

// checkVersion says whether a text is of the format at all.
func checkVersion(format string, version int) error {
	switch {
	case format != jsonFormat:
		return fmt.Errorf("this is no profile of sysprof: its format is %q, not %q", shortened(format), jsonFormat)
	case version > jsonVersion:
		return fmt.Errorf("it has version %d of the format; this sysprof reads up to %d", version, jsonVersion)
	case version < 1:
		return fmt.Errorf("there is no version %d of the format", version)
	}
	return nil
}

// row checks and converts. octaves counts on.
func (j *jsonRow) row(octaves *int) (profile.Row, error) {
	var r profile.Row
	var err error
	fail := func(err error) (profile.Row, error) {
		return profile.Row{}, fmt.Errorf("%s (abi %s, nr %d): %w", shortened(j.Name), shortened(j.ABI), j.Nr, err)
	}
	if r.ABI, err = abiNamed(j.ABI); err != nil {
		return fail(err)
	}
	r.Nr, r.Queued, r.HoldNs, r.RawNs, r.UpperBound = j.Nr, j.Queued, j.HoldNs, j.RawNs, j.Upper
	if r.HoldNs < 0 || r.RawNs < 0 {
		return fail(fmt.Errorf("hold_ns is %d, raw_ns %d", r.HoldNs, r.RawNs))
	}
	var calls, errs counter
	r.OK = new(profile.Histogram)
	if j.OK != nil {
		if r.OK, err = j.OK.histogram(octaves); err != nil {
			return fail(fmt.Errorf("ok: %w", err))
		}
		calls.add(r.OK.Count())
	}
	for i := range j.Failed {
		f := &j.Failed[i]
		if f.Errno < 1 || f.Errno > maxErrno {
			return fail(fmt.Errorf("errno %d is not in 1 to %d", f.Errno, maxErrno))
		}
		h, err := f.histogram(octaves)
		if err != nil {
			return fail(fmt.Errorf("errno %d: %w", f.Errno, err))
		}
		r.Failed = append(r.Failed, profile.Outcome{Errno: f.Errno, Latency: h})
		calls.add(h.Count())
		errs.add(h.Count())
	}
	if j.CPU != nil {
		if r.CPU, err = j.CPU.histogram(octaves); err != nil {
			return fail(fmt.Errorf("cpu: %w", err))
		}
	}
	switch {
	case calls.n == 0:
		return fail(errors.New("it has no calls"))
	case j.Calls != calls.n || j.Errors != errs.n:
		return fail(fmt.Errorf("it says %d calls, %d of them errors, and its histograms say %d and %d", j.Calls, j.Errors, calls.n, errs.n))
	case r.CPU != nil && r.CPU.Count() > calls.n:
		return fail(fmt.Errorf("it has CPU times of %d calls, but only %d calls", r.CPU.Count(), calls.n))
	}
	return r, nil
}

// counter adds counts as profile does: it stops at the largest number.
type counter struct{ n uint64 }

func (c *counter) add(n uint64) {
	if c.n += n; c.n < n {
		c.n = 1<<64 - 1
	}
}

func (j *jsonHistogram) histogram(octaves *int) (*profile.Histogram, error) {
	if len(j.Buckets) == 0 {
		return nil, errors.New("it has no buckets")
	}
	last := -1
	for _, b := range j.Buckets {
		if octave := bits.Len64(uint64(b.LowNs) | 127); octave != last {
			*octaves++
			last = octave
		}
	}
	if *octaves > maxOctaves {
		return nil, errors.New("these are more histograms than fit into memory")
	}
	const digits = 39 // of 2¹²⁸
	sum, ok := new(big.Int), len(j.SumNs) <= digits && !strings.ContainsAny(string(j.SumNs), "-+.eE")
	if ok {
		sum, ok = sum.SetString(string(j.SumNs), 10)
	}
	if !ok || sum.BitLen() > 128 {
		return nil, fmt.Errorf("sum_ns %q is not a whole number of at most 128 bits", shortened(string(j.SumNs)))
	}
	low := new(big.Int).And(sum, new(big.Int).SetUint64(1<<64-1)).Uint64()
	h, err := profile.RestoreHistogram(j.Buckets, j.MinNs, j.MaxNs, sum.Rsh(sum, 64).Uint64(), low)
	if err != nil {
		return nil, err
	}
	if h.Count() != j.Calls {
		return nil, fmt.Errorf("it says %d calls, and its buckets %d", j.Calls, h.Count())
	}
	return h, nil
}

func (j *jsonFlight) flight() (profile.Flight, error) {
	abi, err := abiNamed(j.ABI)
	if err != nil {
		return profile.Flight{}, err
	}
	if j.Count == 0 || j.LongestNs < 0 {
		return profile.Flight{}, fmt.Errorf("its count is %d, its longest_ns %d", j.Count, j.LongestNs)
	}
	return profile.Flight{Key: profile.Key{ABI: abi, Nr: j.Nr}, Why: j.Why, Resumed: j.Resumed,
		Count: j.Count, LongestNs: j.LongestNs, PID: j.PID, TID: j.TID, Thread: j.Thread}, nil
}

func (j *jsonOverhead) overhead() (*profile.Overhead, error) {
	o := &profile.Overhead{Calls: j.Calls, CrossCPU: j.Apart, Queued: j.Queued,
		TransitNs: profile.Estimate(j.Transit), SwitchesNs: profile.Estimate(j.Switches), InLineNs: profile.Estimate(j.InLine), HoldNs: j.HoldNs,
		TotalNs: profile.Estimate(j.Total), WallNs: j.WallNs, UntracedNs: profile.Estimate(j.Untraced),
		Lost: profile.Share{Share: j.Lost.Estimate, Low: j.Lost.Low, High: j.Lost.High}, Controls: j.Controls, ControlsNs: j.ControlsNs,
		OthersNs: profile.Estimate(j.Others)}
	for o.Source.String() != j.Source {
		if o.Source++; o.Source > profile.InKernel {
			return nil, fmt.Errorf("unknown source %q", shortened(j.Source))
		}
	}
	if o.HoldNs < 0 || o.WallNs < 0 || o.ControlsNs < 0 {
		return nil, fmt.Errorf("hold_ns is %d, wall_ns %d, controls_ns %d", o.HoldNs, o.WallNs, o.ControlsNs)
	}
	return o, nil
}

// abiNamed finds an ABI by what its String returns.
func abiNamed(name string) (syscalltab.ABI, error) {
	unknown := syscalltab.Unknown.String()
	if name == unknown {
		return syscalltab.Unknown, nil
	}
	for abi := syscalltab.Unknown + 1; abi.String() != unknown; abi++ {
		if abi.String() == name {
			return abi, nil
		}
	}
	return 0, fmt.Errorf("unknown abi %q", shortened(name))
}

// jsonList is a list that is refused when it is too long, before it takes memory.
type jsonList[T any] []T

// UnmarshalJSON reads the list item by item.
func (l *jsonList[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	return eachItem(text, func(item json.RawMessage) error {
		var v T
		if err := json.Unmarshal(item, &v); err != nil {
			return err
		}
		*l = append(*l, v)
		return nil
	})
}

// UnmarshalJSON reads what MarshalJSON wrote: exactly three numbers a bucket.
func (buckets *jsonBuckets) UnmarshalJSON(text []byte) error {
	var plain bool
	if *buckets, plain = plainBuckets(text); plain {
		return nil
	}
	return eachItem(text, func(item json.RawMessage) error {
		if len(*buckets) == profile.NumBuckets {
			return errors.New("there are no more buckets than that")
		}
		const enough = 1_000 // characters for three numbers and a lot of blanks
		var n []uint64
		if len(item) > enough {
			return fmt.Errorf("want [low, high, count], not %s", shortened(string(item)))
		}
		if err := json.Unmarshal(item, &n); err != nil {
			return err
		}
		if len(n) != 3 {
			return fmt.Errorf("a bucket has %d numbers, want [low, high, count]", len(n))
		}
		b := profile.Bucket{LowNs: int64(n[0]), HighNs: int64(n[1]), Count: n[2]} // RestoreHistogram checks them
		*buckets = append(*buckets, b)
		return nil
	})
}

// plainBuckets reads buckets as they are written: without blanks, and no number of which has more than 18 digits. There may be
// millions, so that it matters what one takes. The text is JSON.
func plainBuckets(text []byte) (list jsonBuckets, plain bool) {
	n := bytes.Count(text, []byte{'['}) - 1
	if n < 1 || n > profile.NumBuckets {
		return nil, false
	}
	next := func(c byte) bool {
		is := len(text) > 0 && text[0] == c
		if is {
			text = text[1:]
		}
		return is
	}
	number := func() (v uint64, plain bool) {
		digits := 0
		for ; digits < len(text) && '0' <= text[digits] && text[digits] <= '9'; digits++ {
			v = 10*v + uint64(text[digits]-'0')
		}
		text = text[digits:]
		return v, 0 < digits && digits <= 18
	}
	list = make(jsonBuckets, 0, n)
	for separator := byte('['); next(separator); separator = ',' {
		opened := next('[')
		low, plainLow := number()
		first := next(',')
		high, plainHigh := number()
		second := next(',')
		count, plainCount := number()
		if !opened || !first || !second || !plainLow || !plainHigh || !plainCount || !next(']') {
			return nil, false
		}
		list = append(list, profile.Bucket{LowNs: int64(low), HighNs: int64(high), Count: count})
	}
	return list, next(']') && len(text) == 0
}

// eachItem hands the items of a list to f, one after the other; null is an empty list.
func eachItem(text json.RawMessage, f func(json.RawMessage) error) error {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("want a list, not %s", shortened(string(text)))
	}
	for i := 0; d.More(); i++ {
		if i == maxListItems {
			return fmt.Errorf("there are more than %d items", maxListItems)
		}
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			return err
		}
		if err := f(item); err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// shortened keeps error messages to a line: text from a file can be anything.
func shortened(s string) string {
	const enough = 40
	s = Printable(s)
	if r := []rune(s); len(r) > enough {
		s = string(r[:enough]) + "…"
	}
	return s
}

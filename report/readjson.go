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

// jsonDocument is the outermost level, for reading. Rows are decoded one by one, because a decoded row
// takes much more memory than its text.
type jsonDocument struct {
	Meta     json.RawMessage           `json:"meta"`
	Overhead *jsonOverhead             `json:"overhead"`
	Rows     json.RawMessage           `json:"rows"`
	OverTime *jsonOverTime             `json:"over_time"`
	InFlight jsonList[jsonFlight]      `json:"in_flight"`
	GroupsBy []string                  `json:"groups_by"`
	Groups   json.RawMessage           `json:"groups"`
	Warnings jsonList[string]          `json:"warnings"`
	Kinds    jsonList[profile.Warning] `json:"warning_kinds"` // of the warnings
}

// readObject reads one object.
func readObject(text []byte) (*profile.Snapshot, Meta, error) {
	var m Meta
	if err := checkVersion(text); err != nil {
		return nil, m, err
	}
	var d jsonDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, m, err
	}
	if len(d.Meta) > maxMetaBytes {
		return nil, m, fmt.Errorf("meta is larger than %d MB", maxMetaBytes>>20)
	}
	if len(d.Meta) > 0 {
		if err := json.Unmarshal(d.Meta, &m); err != nil {
			return nil, m, fmt.Errorf("meta: %w", err)
		}
	}
	if m.Duration < 0 || m.CPUs < 0 || m.Threads < 0 || m.Interval < 0 || m.Intervals < 0 {
		return nil, m, errors.New("meta: a negative duration, or number of CPUs, threads or intervals")
	}
	if len(m.PIDs) == 0 {
		m.PIDs = nil // as a list that is left out
	}
	if len(m.Command) == 0 {
		m.Command = nil
	}

	var s profile.Snapshot
	var err error
	if s.Rows, err = readRows(d.Rows); err != nil {
		return nil, m, err
	}
	for i := range d.InFlight {
		f, err := d.InFlight[i].flight()
		if err != nil {
			return nil, m, fmt.Errorf("in_flight %d: %w", i, err)
		}
		s.InFlight = append(s.InFlight, f)
	}
	whole := profile.Merge(&s) // sorts, and adds the totals up
	whole.Warnings = d.warnings()
	if whole.Groups, err = readGroups(d.GroupsBy, d.Groups); err != nil {
		return nil, m, err
	}
	if d.OverTime != nil {
		if m.OverTime, err = d.OverTime.timeline(); err != nil {
			return nil, m, fmt.Errorf("over_time: %w", err)
		}
	}
	if d.Overhead != nil {
		if whole.Overhead, err = d.Overhead.overhead(); err != nil {
			return nil, m, fmt.Errorf("overhead: %w", err)
		}
	}
	return whole, m, nil
}

// warnings are those of a file. One that gives no kinds, or kinds that are not known here, has its sentences.
func (d *jsonDocument) warnings() (warnings []profile.Warning) {
	for i, text := range d.Warnings {
		w := profile.Warning{Kind: profile.Sentence, Text: text}
		if len(d.Kinds) == len(d.Warnings) && sentences[d.Kinds[i].Kind] != nil {
			w = d.Kinds[i]
		}
		warnings = append(warnings, w)
	}
	return warnings
}

// checkVersion says whether the text is of the format at all, before it is looked at more closely.
func checkVersion(text []byte) error {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("it is not what --json writes, or not all of it: %w", err)
	}
	switch {
	case head.Format != jsonFormat:
		return fmt.Errorf("this is no profile of sysprof: its format is %q, not %q", shortened(head.Format), jsonFormat)
	case head.Version > jsonVersion:
		return fmt.Errorf("it has version %d of the format; this sysprof reads up to %d", head.Version, jsonVersion)
	case head.Version < 1:
		return fmt.Errorf("there is no version %d of the format", head.Version)
	}
	return nil
}

func readRows(text json.RawMessage) ([]profile.Row, error) {
	var rows []profile.Row
	octaves := 0
	err := eachItem(text, func(item json.RawMessage) error {
		var j jsonRow
		if err := json.Unmarshal(item, &j); err != nil {
			return err
		}
		r, err := j.row(&octaves)
		if err != nil {
			return err
		}
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	return rows, nil
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
	*buckets = nil
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

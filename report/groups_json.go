package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// What a file may hold of groups.
const (
	maxGroupRows   = 1 << 20
	maxGroupFields = 64
	// maxRowBuckets is more than a row has: sixteen an octave, and more of several runs.
	maxRowBuckets = 1 << 12
)

// jsonGroup is a group. There are many of their rows, so that these have no more than what is needed.
type jsonGroup struct {
	Who      string                `json:"who"`
	Name     string                `json:"name"`
	Values   map[string]groupValue `json:"values,omitempty"`
	Others   uint64                `json:"others,omitempty"`
	Calls    uint64                `json:"calls"`
	Errors   uint64                `json:"errors"`
	SumNs    int64                 `json:"sum_ns"`
	Rows     jsonGroupRows         `json:"rows,omitempty"` // written behind the others
	InFlight jsonList[*jsonFlight] `json:"in_flight,omitempty"`
}

type jsonGroupRows []jsonGroupRow

type jsonGroupRow struct {
	Name     string      `json:"name"`
	ABI      string      `json:"abi"`
	Nr       uint64      `json:"nr"`
	Calls    uint64      `json:"calls"`
	Errors   uint64      `json:"errors,omitempty"`
	SumNs    int64       `json:"sum_ns"`
	MinNs    int64       `json:"min_ns"`
	MaxNs    int64       `json:"max_ns"`
	P50Ns    int64       `json:"p50_ns"`
	P99Ns    int64       `json:"p99_ns"`
	Queued   uint64      `json:"queued,omitempty"`
	HoldNs   int64       `json:"hold_ns"`
	CPUCalls uint64      `json:"cpu_calls,omitempty"`
	CPUNs    int64       `json:"cpu_ns,omitempty"`
	Buckets  jsonBuckets `json:"buckets,omitempty"`

	Failed jsonList[jsonGroupFailure] `json:"failed,omitempty"`
}

// jsonGroupFailure is the calls of a row that failed with the same errno.
type jsonGroupFailure struct {
	Errno   int32       `json:"errno"`
	Name    string      `json:"errno_name"`
	Calls   uint64      `json:"calls"`
	SumNs   int64       `json:"sum_ns"`
	MaxNs   int64       `json:"max_ns"`
	P50Ns   int64       `json:"p50_ns"`
	P99Ns   int64       `json:"p99_ns"`
	Buckets jsonBuckets `json:"buckets,omitempty"`
}

// groupValue is a number in JSON if it is one of the fields that are numbers.
type groupValue struct {
	text   string
	number bool
}

// numberFields are the fields whose values are numbers.
var numberFields = []string{"pid", "tid"}

func (v groupValue) MarshalJSON() ([]byte, error) {
	if v.number {
		return []byte(v.text), nil
	}
	return marshalText(v.text)
}

func (v *groupValue) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &v.text)
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("want a text or a whole number, not %s", shortened(string(text)))
	}
	v.text, v.number = strconv.FormatInt(n, 10), true
	return nil
}

// marshalText is json.Marshal, but leaves < and > as they are.
func marshalText(s any) ([]byte, error) {
	d := jsonWriter{}
	d.value(s)
	return d.out.Bytes(), d.err
}

// groups writes the groups with a line for each.
func (d *jsonWriter) groups(g *profile.Groups) {
	d.field("groups_by", g.By)
	writeLines(d, "groups", g.Each(), ",", func(one *profile.Group) { d.group(g.By, one) })
}

func (d *jsonWriter) group(by []string, g *profile.Group) {
	d.open(newJSONGroup(by, g))
	d.member("rows")
	writeArray(d, g.Rows, d.groupRow)
	if len(g.InFlight) > 0 {
		d.member("in_flight")
		writeArray(d, g.InFlight, func(f *profile.Flight) { d.value(newJSONFlight(f)) })
	}
	d.out.WriteByte('}')
}

func newJSONGroup(by []string, g *profile.Group) *jsonGroup {
	j := &jsonGroup{Who: whoOf(g), Name: g.Name, Others: g.Others, Calls: g.Calls, Errors: g.Errors, SumNs: g.SumNs}
	if g.Others == 0 {
		j.Who, j.Values = g.Who, make(map[string]groupValue)
		for i, field := range by {
			if v := g.Values[i]; v != "" {
				j.Values[field] = groupValue{v, slices.Contains(numberFields, field)}
			}
		}
	}
	return j
}

func (d *jsonWriter) groupRow(r *profile.GroupRow) {
	latency := r.Latency()
	d.open(&jsonGroupRow{Name: r.ABI.Name(r.Nr), ABI: r.ABI.String(), Nr: r.Nr, Calls: r.Calls, Errors: r.Errors,
		SumNs: r.SumNs, MinNs: r.MinNs, MaxNs: r.MaxNs, P50Ns: int64(latency.Quantile(0.5)), P99Ns: int64(latency.Quantile(0.99)),
		Queued: r.Queued, HoldNs: r.HoldNs, CPUCalls: r.CPUCalls, CPUNs: r.CPUNs})
	d.buckets(slices.Values(r.Buckets))
	if len(r.Failed) > 0 {
		d.member("failed")
		writeArray(d, r.Failed, d.groupFailure)
	}
	d.out.WriteByte('}')
}

func (d *jsonWriter) groupFailure(f *profile.GroupFailure) {
	latency := f.Latency()
	d.open(&jsonGroupFailure{Errno: f.Errno, Name: syscalltab.Errno(int(f.Errno)), Calls: f.Calls, SumNs: f.SumNs, MaxNs: f.MaxNs,
		P50Ns: int64(latency.Quantile(0.5)), P99Ns: int64(latency.Quantile(0.99))})
	d.buckets(slices.Values(f.Buckets))
	d.out.WriteByte('}')
}

// group checks and converts.
func (j *jsonGroup) group(by []string) (profile.Group, error) {
	g := profile.Group{Others: j.Others}
	if j.Others == 0 {
		g.Who, g.Name, g.Values = j.Who, j.Name, make([]string, len(by))
		for i, field := range by {
			g.Values[i] = j.Values[field].text
		}
	}
	for i := range j.Rows {
		r, err := j.Rows[i].row()
		if err != nil {
			return g, fmt.Errorf("%s (abi %s, nr %d): %w", shortened(j.Rows[i].Name), shortened(j.Rows[i].ABI), j.Rows[i].Nr, err)
		}
		g.Rows = append(g.Rows, r)
	}
	for i, f := range j.InFlight {
		if f == nil {
			return g, fmt.Errorf("in_flight %d is null", i)
		}
		flight, err := f.flight()
		if err != nil {
			return g, fmt.Errorf("in_flight %d: %w", i, err)
		}
		g.InFlight = append(g.InFlight, flight)
	}
	return g, nil
}

func (j *jsonGroupRow) row() (r profile.GroupRow, err error) {
	if r.ABI, err = abiNamed(j.ABI); err != nil {
		return r, err
	}
	r.Nr, r.Buckets = j.Nr, j.Buckets
	r.Totals = profile.Totals{Calls: j.Calls, Errors: j.Errors, SumNs: j.SumNs, MinNs: j.MinNs, MaxNs: j.MaxNs,
		Queued: j.Queued, HoldNs: j.HoldNs, CPUCalls: j.CPUCalls, CPUNs: j.CPUNs}
	calls, err := callsOf(r.Buckets)
	if err != nil {
		return r, err
	}
	failed := counter{}
	for i := range j.Failed {
		f, err := j.Failed[i].failure(r.Failed)
		if err != nil {
			return r, fmt.Errorf("errno %d: %w", j.Failed[i].Errno, err)
		}
		r.Failed = append(r.Failed, f)
		failed.add(f.Calls)
	}
	switch {
	case r.Calls == 0:
		return r, errors.New("it has no calls")
	case calls != r.Calls:
		return r, fmt.Errorf("it says %d calls, and its buckets say %d", r.Calls, calls)
	case len(r.Failed) > 0 && failed.n != r.Errors:
		return r, fmt.Errorf("it says %d errors, and by errno they are %d", r.Errors, failed.n)
	case r.Errors > r.Calls || r.CPUCalls > r.Calls || r.Queued > r.Calls:
		return r, fmt.Errorf("of %d calls %d failed, %d stood in line, and %d have CPU times", r.Calls, r.Errors, r.Queued, r.CPUCalls)
	case r.SumNs < 0 || r.HoldNs < 0 || r.CPUNs < 0 || r.MinNs < 0 || r.MaxNs < r.MinNs:
		return r, errors.New("it has negative times, or a maximum below the minimum")
	}
	return r, nil
}

// failure checks and converts. before are those of the row so far.
func (j *jsonGroupFailure) failure(before []profile.GroupFailure) (f profile.GroupFailure, err error) {
	f = profile.GroupFailure{Errno: j.Errno, Calls: j.Calls, SumNs: j.SumNs, MaxNs: j.MaxNs, Buckets: j.Buckets}
	calls, err := callsOf(f.Buckets)
	switch {
	case err != nil:
		return f, err
	case f.Errno < 1 || f.Errno > maxErrno:
		return f, fmt.Errorf("it is not in 1 to %d", maxErrno)
	case slices.ContainsFunc(before, func(one profile.GroupFailure) bool { return one.Errno == f.Errno }):
		return f, errors.New("it stands there twice")
	case calls == 0 || calls != f.Calls:
		return f, fmt.Errorf("it says %d calls, and its buckets say %d", f.Calls, calls)
	case f.SumNs < 0 || f.MaxNs < 0:
		return f, errors.New("it has negative times")
	}
	return f, nil
}

// callsOf checks buckets and adds them up.
func callsOf(buckets []profile.Bucket) (calls uint64, err error) {
	if len(buckets) > maxRowBuckets {
		return 0, errors.New("it has too many buckets")
	}
	var sum counter
	for i, b := range buckets {
		if b.LowNs < 0 || b.LowNs > b.HighNs || b.Count == 0 || i > 0 && b.LowNs < buckets[i-1].LowNs {
			return 0, fmt.Errorf("the bucket of %d to %d ns is empty, or out of order", b.LowNs, b.HighNs)
		}
		sum.add(b.Count)
	}
	return sum.n, nil
}

// UnmarshalJSON reads the rows one by one.
func (rows *jsonGroupRows) UnmarshalJSON(text []byte) error {
	*rows = nil
	return eachItem(text, func(item json.RawMessage) error {
		var r jsonGroupRow
		if err := json.Unmarshal(item, &r); err != nil {
			return err
		}
		*rows = append(*rows, r)
		return nil
	})
}

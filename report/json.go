package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/big"
	"slices"
	"strconv"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// The identity of the JSON format. Additions do not change the version, so a reader has to skip fields
// that it does not know; whatever would make an old reader misread does.
const (
	jsonFormat  = "sysprof"
	jsonVersion = 1
)

// WriteJSON writes everything that the snapshot holds, histograms included, in a form that ReadJSON
// takes back. SCHEMA.md describes it. There is a line for each row, so that files can be compared by line.
func WriteJSON(w io.Writer, s *profile.Snapshot, m Meta) error {
	d := jsonWriter{to: w, lineEnd: "\n"}
	return d.snapshot(s, m)
}

// WriteJSONLine is WriteJSON in a single line, as they stand in a file of several objects: the intervals of a run, and last
// the whole of it. A line that is not long is written at once, lest half of it be found if sysprof is killed.
func WriteJSONLine(w io.Writer, s *profile.Snapshot, m Meta) error {
	d := jsonWriter{to: w}
	return d.snapshot(s, m)
}

// jsonWriter writes the outermost level by hand, for its lines.
type jsonWriter struct {
	to      io.Writer
	lineEnd string // but for the last one
	out     bytes.Buffer
	err     error // the first one
}

// enoughToWrite is how much is kept back before it is written.
const enoughToWrite = 64 << 10

func (d *jsonWriter) snapshot(s *profile.Snapshot, m Meta) error {
	d.out.Grow(enoughToWrite + enoughToWrite/2)
	d.printf("{%q: %q, %q: %d,%s", "format", jsonFormat, "version", jsonVersion, d.lineEnd)
	m.Start, m.End = m.Start.UTC(), m.End.UTC()
	d.field("meta", m)
	if m.Interval > 0 || m.Intervals > 0 {
		d.field("calls_per_second", perSecond(s.Total.Calls, m.Duration))
	}
	if s.Overhead != nil {
		d.field("overhead", newJSONOverhead(s.Overhead))
	}
	all := new(profile.Histogram)
	rows := make([]rowToWrite, 0, len(s.Rows))
	for i := range s.Rows {
		if r := &s.Rows[i]; r.Calls > 0 {
			latency := r.Latency()
			all.Merge(latency)
			rows = append(rows, rowToWrite{r, latency, s.Total.SumNs})
		}
	}
	d.field("total", newJSONTotals(&s.Total, newJSONStats(all)))
	writeLines(d, "rows", slices.Values(rows), ",", d.row)
	if m.OverTime != nil {
		d.field("over_time", newJSONOverTime(m.OverTime))
	}
	writeLines(d, "in_flight", slices.Values(s.InFlight), ",", func(f profile.Flight) { d.value(newJSONFlight(&f)) })
	if s.Groups != nil {
		d.groups(s.Groups)
	}
	writeLines(d, "warnings", slices.Values(s.Warnings), ",", func(w profile.Warning) { d.value(sentence(&w)) })
	writeLines(d, "warning_kinds", slices.Values(s.Warnings), "", func(w profile.Warning) { d.value(w) })
	d.printf("}\n")
	d.flush()
	if d.err != nil {
		return fmt.Errorf("write JSON: %w", d.err)
	}
	return nil
}

// flush writes what there is so far, if nothing has gone wrong.
func (d *jsonWriter) flush() {
	if d.err == nil {
		_, d.err = d.to.Write(d.out.Bytes())
	}
	d.out.Reset()
}

func (d *jsonWriter) printf(format string, args ...any) { fmt.Fprintf(&d.out, format, args...) }

func (d *jsonWriter) value(v any) {
	e := json.NewEncoder(&d.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		if d.err == nil {
			d.err = err
		}
		return
	}
	d.out.Truncate(d.out.Len() - 1) // the newline that Encode adds
}

func (d *jsonWriter) field(name string, v any) {
	d.printf("%q: ", name)
	d.value(v)
	d.printf(",%s", d.lineEnd)
}

// writeLines writes a list with a line for each of its items, which write writes. end is what stands behind the list.
func writeLines[T any](d *jsonWriter, name string, items iter.Seq[T], end string, write func(T)) {
	d.printf("%q: [", name)
	first := true
	for item := range items {
		if !first {
			d.out.WriteByte(',')
		}
		first = false
		d.out.WriteString(d.lineEnd)
		write(item)
		if d.out.Len() > enoughToWrite {
			d.flush()
		}
	}
	d.printf("]%s%s", end, d.lineEnd)
}

// What has buckets is written in two steps: all else as value does, and behind it the buckets. encoding/json would check each
// character of them once more.

// rowToWrite is a row, the latencies of all its calls, and the time of all calls of all rows.
type rowToWrite struct {
	*profile.Row
	latency *profile.Histogram
	allNs   int64
}

func (d *jsonWriter) row(r rowToWrite) {
	all := newJSONStats(r.latency)
	d.open(newJSONRow(r.Row, all, r.allNs))
	if r.OK != nil && r.OK.Count() > 0 {
		ok := all
		if r.OK != r.latency {
			ok = newJSONStats(r.OK)
		}
		d.member("ok")
		d.histogram(&jsonHistogram{Calls: r.OK.Count(), jsonStats: ok}, r.OK)
	}
	failed := slices.DeleteFunc(slices.Clone(r.Failed), func(f profile.Outcome) bool { return f.Latency.Count() == 0 })
	if len(failed) > 0 {
		d.member("failed")
		writeArray(d, failed, func(f *profile.Outcome) {
			d.histogram(&jsonFail{f.Errno, syscalltab.Errno(int(f.Errno)), *newJSONHistogram(f.Latency)}, f.Latency)
		})
	}
	if r.CPU != nil && r.CPU.Count() > 0 {
		d.member("cpu")
		d.histogram(newJSONHistogram(r.CPU), r.CPU)
	}
	d.out.WriteByte('}')
}

// histogram writes what is said of h, and its buckets.
func (d *jsonWriter) histogram(said any, h *profile.Histogram) {
	d.open(said)
	d.buckets(h.Buckets())
	d.out.WriteByte('}')
}

// open writes an object, but for its end.
func (d *jsonWriter) open(v any) {
	d.value(v)
	d.out.Truncate(max(d.out.Len()-1, 0))
}

// member begins one more member of an object, behind others.
func (d *jsonWriter) member(name string) {
	d.out.WriteString(`,"`)
	d.out.WriteString(name)
	d.out.WriteString(`":`)
}

// writeArray writes an array of what write writes.
func writeArray[T any](d *jsonWriter, items []T, write func(*T)) {
	d.out.WriteByte('[')
	for i := range items {
		if i > 0 {
			d.out.WriteByte(',')
		}
		write(&items[i])
	}
	d.out.WriteByte(']')
}

// buckets writes buckets as one more member, each as an array of three numbers.
func (d *jsonWriter) buckets(all iter.Seq[profile.Bucket]) {
	d.member("buckets")
	separator := byte('[')
	for b := range all {
		text := append(d.out.AvailableBuffer(), separator, '[')
		text = append(strconv.AppendInt(text, b.LowNs, 10), ',')
		text = append(strconv.AppendInt(text, b.HighNs, 10), ',')
		text = append(strconv.AppendUint(text, b.Count, 10), ']')
		d.out.Write(text)
		separator = ','
	}
	if separator == '[' {
		d.out.WriteByte(separator)
	}
	d.out.WriteByte(']')
}

// The types below are the format: what SCHEMA.md says is in their tags. Fields that only repeat what
// others tell, for readers without a histogram library, are not read back.

type jsonTotals struct {
	Calls    uint64    `json:"calls"`
	Errors   uint64    `json:"errors"`
	Queued   uint64    `json:"queued"`
	HoldNs   int64     `json:"hold_ns"`
	CPUCalls uint64    `json:"cpu_calls,omitempty"`
	CPUNs    *int64    `json:"cpu_ns,omitempty"`     // nil if not measured
	OffCPUNs *int64    `json:"off_cpu_ns,omitempty"` // likewise
	Latency  jsonStats `json:"latency"`              // of all calls
}

type jsonRow struct {
	Name  string  `json:"name"`
	ABI   string  `json:"abi"`
	Nr    uint64  `json:"nr"`
	Share float64 `json:"time_share"` // of the time of all calls, 0 to 1
	jsonTotals
	RawNs  int64              `json:"raw_ns"`
	Upper  bool               `json:"upper_bound,omitempty"`
	OK     *jsonHistogram     `json:"ok,omitempty"`
	Failed jsonList[jsonFail] `json:"failed,omitempty"`
	CPU    *jsonHistogram     `json:"cpu,omitempty"`
}

type jsonFail struct {
	Errno int32  `json:"errno"`
	Name  string `json:"errno_name"`
	jsonHistogram
}

// jsonStats is what can be said of a distribution in a few numbers.
type jsonStats struct {
	SumNs    json.Number `json:"sum_ns"` // may need 128 bits
	MinNs    int64       `json:"min_ns"`
	MaxNs    int64       `json:"max_ns"`
	MeanNs   int64       `json:"mean_ns"`
	StdDevNs int64       `json:"stddev_ns"`
	P50Ns    int64       `json:"p50_ns"`
	P90Ns    int64       `json:"p90_ns"`
	P95Ns    int64       `json:"p95_ns"`
	P99Ns    int64       `json:"p99_ns"`
	P999Ns   int64       `json:"p999_ns"`
}

type jsonHistogram struct {
	Calls uint64 `json:"calls"`
	jsonStats
	Buckets jsonBuckets `json:"buckets,omitempty"` // written behind the others
}

// jsonBuckets is a list of [low, high, count].
type jsonBuckets []profile.Bucket

type jsonFlight struct {
	Name      string         `json:"name"`
	ABI       string         `json:"abi"`
	Nr        uint64         `json:"nr"`
	Why       profile.Ending `json:"why"`
	Resumed   bool           `json:"resumed"`
	Count     uint64         `json:"count"`
	LongestNs int64          `json:"longest_ns"`
	PID       int32          `json:"pid"`
	TID       int32          `json:"tid"`
	Thread    string         `json:"thread,omitempty"`
}

type jsonEstimate struct {
	Ns     int64 `json:"ns"`
	LowNs  int64 `json:"low_ns"`
	HighNs int64 `json:"high_ns"`
}

type jsonFactor struct {
	Estimate float64 `json:"estimate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

type jsonOverhead struct {
	Source      string       `json:"source"`
	Calls       uint64       `json:"calls"`
	Apart       uint64       `json:"apart"`
	Queued      uint64       `json:"queued"`
	PerCallNs   int64        `json:"per_call_ns"`
	Transit     jsonEstimate `json:"transit_per_call"`
	Switches    jsonEstimate `json:"switches_per_call"`
	InLine      jsonEstimate `json:"in_line"`
	HoldNs      int64        `json:"hold_ns"`
	Total       jsonEstimate `json:"total"`
	ShareOfWall float64      `json:"share_of_wall"`
	WallNs      int64        `json:"wall_ns"`
	Untraced    jsonEstimate `json:"untraced"`
	Slowdown    jsonFactor   `json:"slowdown"`
	Known       string       `json:"slowdown_known"`
	Lost        jsonFactor   `json:"lost_share"`
	Controls    uint64       `json:"controls"`
	ControlsNs  int64        `json:"controls_ns"`
	Others      jsonEstimate `json:"others_per_call,omitzero"`
}

func newJSONTotals(t *profile.Totals, latency jsonStats) jsonTotals {
	j := jsonTotals{Calls: t.Calls, Errors: t.Errors, Queued: t.Queued, HoldNs: t.HoldNs,
		CPUCalls: t.CPUCalls, Latency: latency}
	if off, known := t.OffCPU(); known {
		j.CPUNs, j.OffCPUNs = &t.CPUNs, new(int64(off))
	}
	return j
}

func newJSONRow(r *profile.Row, latency jsonStats, allNs int64) *jsonRow {
	j := &jsonRow{Name: r.ABI.Name(r.Nr), ABI: r.ABI.String(), Nr: r.Nr, jsonTotals: newJSONTotals(&r.Totals, latency), RawNs: r.RawNs, Upper: r.UpperBound}
	if allNs > 0 {
		j.Share = float64(r.SumNs) / float64(allNs)
	}
	return j
}

func newJSONStats(h *profile.Histogram) jsonStats {
	hi, lo := h.Sum128()
	sum := new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64)
	return jsonStats{
		SumNs: json.Number(sum.Or(sum, new(big.Int).SetUint64(lo)).String()),
		MinNs: int64(h.Min()), MaxNs: int64(h.Max()), MeanNs: int64(h.Mean()), StdDevNs: int64(h.StdDev()),
		P50Ns: int64(h.Quantile(0.5)), P90Ns: int64(h.Quantile(0.9)), P95Ns: int64(h.Quantile(0.95)),
		P99Ns: int64(h.Quantile(0.99)), P999Ns: int64(h.Quantile(0.999)),
	}
}

func newJSONHistogram(h *profile.Histogram) *jsonHistogram {
	return &jsonHistogram{Calls: h.Count(), jsonStats: newJSONStats(h)}
}

func newJSONFlight(f *profile.Flight) *jsonFlight {
	return &jsonFlight{f.ABI.Name(f.Nr), f.ABI.String(), f.Nr, f.Why, f.Resumed, f.Count, f.LongestNs, f.PID, f.TID, f.Thread}
}

func newJSONOverhead(o *profile.Overhead) *jsonOverhead {
	j := &jsonOverhead{
		Source: o.Source.String(), Calls: o.Calls, Apart: o.CrossCPU, Queued: o.Queued, PerCallNs: int64(o.PerCall()),
		Transit: jsonEstimate(o.TransitNs), Switches: jsonEstimate(o.SwitchesNs), InLine: jsonEstimate(o.InLineNs), HoldNs: o.HoldNs,
		Known: o.Known().String(), Lost: jsonFactor{o.Lost.Share, o.Lost.Low, o.Lost.High}, Controls: o.Controls, ControlsNs: o.ControlsNs,
		Total: jsonEstimate(o.TotalNs), WallNs: o.WallNs, Untraced: jsonEstimate(o.UntracedNs),
		Others: jsonEstimate(o.OthersNs),
	}
	if o.WallNs > 0 {
		j.ShareOfWall = float64(o.TotalNs.Ns) / float64(o.WallNs)
	}
	j.Slowdown.Estimate, j.Slowdown.Low, j.Slowdown.High = o.Slowdown()
	return j
}

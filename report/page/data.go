package page

import (
	"bytes"
	"io"
	"strings"

	"sysprof/profile"
	"sysprof/profile/timeline"
	"sysprof/report"
	"sysprof/syscalltab"
)

// The types below are what the script reads. Their names are short, since a page has thousands of some of them. Text
// has passed through report.Printable.

type data struct {
	Line     string      `json:"line"`  // what was traced, where and when
	Facts    [][2]string `json:"facts"` // more of that, each with its name
	Cost     []string    `json:"cost"`  // sentences
	Flights  []string    `json:"flights"`
	Warnings []string    `json:"warnings"`
	CPU      bool        `json:"cpu"` // CPU time was measured
	Total    *row        `json:"total"`
	Rows     []*row      `json:"rows"`
	By       string      `json:"by"`     // what groups are told apart by
	Groups   []*group    `json:"groups"` // null: there are none
	Time     *overTime   `json:"time"`
	Flame    *flame      `json:"flame"`
}

// row is a line of the table.
type row struct {
	Name   string  `json:"n"`
	Calls  uint64  `json:"c"`
	Errors uint64  `json:"e,omitempty"`
	SumNs  int64   `json:"s"`
	MinNs  int64   `json:"min"`
	MeanNs int64   `json:"m"`
	P50Ns  int64   `json:"p50"`
	P90Ns  int64   `json:"p90"`
	P99Ns  int64   `json:"p99"`
	P999Ns int64   `json:"p999"`
	MaxNs  int64   `json:"max"`
	CPUNs  *int64  `json:"cpu,omitempty"` // nil: not measured
	OffNs  *int64  `json:"off,omitempty"`
	Upper  bool    `json:"u,omitempty"`  // an upper bound
	OK     buckets `json:"ok,omitempty"` // latencies
	Failed []fail  `json:"f,omitempty"`
	Time   *int    `json:"t,omitempty"` // its row of those over time
}

// fail is the calls of a row that failed with the same errno.
type fail struct {
	Errno   string  `json:"e"`
	Calls   uint64  `json:"c"`
	MeanNs  int64   `json:"m"`
	P99Ns   int64   `json:"p99"`
	Buckets buckets `json:"h"`
}

// group is the calls of one group.
type group struct {
	row
	Rows    []*row   `json:"rows"`
	Flights []string `json:"flights"`
}

// MaxGroups is how many groups a page has at most, the others being one: some 3 MB of them.
const MaxGroups = 500

// buckets are pairs of a bucket's number and its count. A bucket is perBucket of a histogram's.
type buckets []uint64

// perBucket makes eight buckets an octave, as many as can be told apart in a drawing. The script has the same number.
const perBucket = profile.BucketsAnOctave / 8

// overTime is latencies in slices of time.
type overTime struct {
	Ends []int64    `json:"ends"` // of the slices, in ns
	All  []uint64   `json:"all"`  // triples: slice, bucket, count
	Rows [][]uint64 `json:"rows"`
	Lows []int64    `json:"lows"` // the least latency of each bucket, and of the one behind the last
}

func (p *Page) data() *data {
	d := &data{
		Line:     strings.TrimSuffix(p.Meta.Line(), "\n"),
		Facts:    p.facts(),
		Cost:     lines(p.Snapshot, func(w io.Writer, s *profile.Snapshot) error { return report.Overhead(w, s, true) }),
		Flights:  lines(p.Snapshot, report.InFlight),
		Warnings: lines(p.Snapshot, report.Warnings),
		CPU:      p.Snapshot.Total.CPUCalls > 0,
		Rows:     []*row{},
	}
	places := make(map[profile.Key]int)
	if p.Timeline != nil && len(p.Timeline.Ends) > 0 {
		d.Time = newOverTime(p.Timeline)
		for i := range p.Timeline.Rows {
			places[p.Timeline.Rows[i].Key] = i
		}
	}
	total := profile.Row{Totals: p.Snapshot.Total, OK: new(profile.Histogram)}
	failed := new(profile.Histogram)
	for i := range p.Snapshot.Rows {
		r := &p.Snapshot.Rows[i]
		if r.Calls == 0 {
			continue
		}
		one := newRow(report.CallName(r.Key), r)
		if place, ok := places[r.Key]; ok {
			one.Time = &place
		}
		d.Rows = append(d.Rows, one)
		if r.OK != nil {
			total.OK.Merge(r.OK)
		}
		for _, f := range r.Failed {
			failed.Merge(f.Latency)
		}
	}
	if failed.Count() > 0 {
		total.Failed = []profile.Outcome{{Latency: failed}}
	}
	d.Total = newRow("total", &total)
	if p.Snapshot.Groups != nil {
		d.By, d.Groups = strings.Join(p.Snapshot.Groups.By, ","), p.groups()
	}
	if p.Stacks != nil {
		d.Flame = p.Stacks.flame()
	}
	return d
}

func (p *Page) groups() []*group {
	bounded := make(map[profile.Key]bool)
	for i := range p.Snapshot.Rows {
		bounded[p.Snapshot.Rows[i].Key] = p.Snapshot.Rows[i].UpperBound
	}
	groups := []*group{}
	top := p.Snapshot.Groups.Top(MaxGroups)
	for i := range top.List {
		g := &top.List[i]
		its := g.Snapshot()
		all, failed := profile.Row{Totals: g.Totals, OK: new(profile.Histogram)}, new(profile.Histogram)
		out := &group{Rows: []*row{}, Flights: lines(its, report.InFlight)}
		for j := range its.Rows {
			r := &its.Rows[j]
			r.UpperBound = bounded[r.Key]
			all.OK.Merge(r.OK)
			for _, f := range r.Failed {
				failed.Merge(f.Latency)
			}
			out.Rows = append(out.Rows, newRow(report.CallName(r.Key), r))
		}
		if failed.Count() > 0 {
			all.Failed = []profile.Outcome{{Latency: failed}}
		}
		out.row = *newRow(report.WhoOf(g), &all)
		groups = append(groups, out)
	}
	return groups
}

// facts are what is known of the run besides what Line says.
func (p *Page) facts() [][2]string {
	facts := [][2]string{}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, [2]string{name, report.Printable(text)})
		}
	}
	m := &p.Meta
	if len(m.Command) > 0 {
		add("command", report.CommandLine(m.Command))
	}
	add("kernel", strings.TrimSpace(m.Kernel+" "+m.Arch))
	add("by", m.Version)
	return facts
}

// lines are what a function of package report writes.
func lines(s *profile.Snapshot, write func(io.Writer, *profile.Snapshot) error) []string {
	var text bytes.Buffer
	write(&text, s) // a buffer takes all
	lines := []string{}
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func newRow(name string, r *profile.Row) *row {
	h := r.Latency()
	out := &row{
		Name: report.Printable(name), Calls: r.Calls, Errors: r.Errors, SumNs: r.SumNs,
		MinNs: r.MinNs, MeanNs: int64(r.Mean()), MaxNs: r.MaxNs,
		P50Ns: int64(h.Quantile(0.5)), P90Ns: int64(h.Quantile(0.9)), P99Ns: int64(h.Quantile(0.99)), P999Ns: int64(h.Quantile(0.999)),
		Upper: r.UpperBound, OK: newBuckets(r.OK),
	}
	if off, known := r.OffCPU(); known {
		out.CPUNs, out.OffNs = &r.CPUNs, new(int64(off))
	}
	for _, f := range r.Failed {
		if f.Latency.Count() == 0 {
			continue
		}
		errno := ""
		if f.Errno != 0 {
			errno = syscalltab.Errno(int(f.Errno))
		}
		out.Failed = append(out.Failed, fail{errno, f.Latency.Count(), int64(f.Latency.Mean()),
			int64(f.Latency.Quantile(0.99)), newBuckets(f.Latency)})
	}
	return out
}

func newBuckets(h *profile.Histogram) (out buckets) {
	if h == nil {
		return nil
	}
	for b := range h.Buckets() {
		at := uint64(profile.BucketIndex(b.LowNs) / perBucket)
		if last := len(out) - 2; last >= 0 && out[last] == at {
			out[last+1] += b.Count
			continue
		}
		out = append(out, at, b.Count)
	}
	return out
}

func newOverTime(t *timeline.Timeline) *overTime {
	o := &overTime{Rows: [][]uint64{}}
	for _, end := range t.Ends {
		o.Ends = append(o.Ends, int64(end))
	}
	last := uint16(0)
	triples := func(cells []timeline.Cell) []uint64 {
		out := make([]uint64, 0, 3*len(cells))
		for _, c := range cells {
			last = max(last, c.Bucket)
			out = append(out, uint64(c.Slice), uint64(c.Bucket), c.Calls)
		}
		return out
	}
	o.All = triples(t.All)
	for i := range t.Rows {
		o.Rows = append(o.Rows, triples(t.Rows[i].Cells))
	}
	for b := range last + 1 {
		low, high := timeline.Bounds(b)
		if b == last {
			o.Lows = append(o.Lows, low, high)
			break
		}
		o.Lows = append(o.Lows, low)
	}
	return o
}

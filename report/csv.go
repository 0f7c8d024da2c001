package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// csvHeader names the columns, which SCHEMA.md explains. Columns are only ever added, and at the end.
var csvHeader = slices.Concat(
	[]string{"call", "abi", "nr", "calls", "errors"},
	csvStats(""), []string{"ok_calls"}, csvStats("ok_"), csvStats("failed_"),
	[]string{
		"errnos", "queued", "hold_ns", "cpu_calls", "cpu_ns", "off_cpu_ns",
		"run_overhead_source", "run_overhead_per_call_ns",
		"run_overhead_ns", "run_overhead_low_ns", "run_overhead_high_ns", "run_wall_ns",
		"run_untraced_ns", "run_untraced_low_ns", "run_untraced_high_ns",
		"run_slowdown", "run_slowdown_low", "run_slowdown_high",
	})

// csvStats names the columns that statsCells fills.
func csvStats(prefix string) []string {
	var names []string
	for _, name := range []string{"sum", "min", "mean", "stddev", "p50", "p90", "p95", "p99", "p999", "max"} {
		names = append(names, prefix+name+"_ns")
	}
	return names
}

// WriteCSV writes a line of column names and a line for each call, sorted by ABI and number; with groups a line for each call of each
// group, and columns for who it is. Times are whole
// nanoseconds; what is not known or has no meaning is empty.
func WriteCSV(w io.Writer, s *profile.Snapshot) error {
	f := csvFile{header: true}
	if s.Groups != nil {
		f.by = s.Groups.By
	}
	return f.write(w, s)
}

// WriteCSVOfInterval is WriteCSV of an interval of a run, or of the whole behind its intervals, with more columns that say which.
// The line of column names stands at the beginning alone. by are the fields of groups, nil if there are none.
func WriteCSVOfInterval(w io.Writer, s *profile.Snapshot, m *Meta, by []string, begin bool) error {
	number := "" // of the whole
	if m.Interval > 0 {
		number = strconv.Itoa(m.Interval)
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	return csvFile{
		header: begin, by: by,
		columns: []string{"interval", "interval_start", "interval_end", "interval_ns"},
		cells:   []string{number, at(m.Start), at(m.End), signed(int64(m.Duration))},
	}.write(w, s)
}

// csvFile is a file, or the next part of one.
type csvFile struct {
	header  bool
	by      []string // the fields of groups; nil: the file has no columns for any
	columns []string // behind all others,
	cells   []string // the same on every line
}

func (f csvFile) write(w io.Writer, s *profile.Snapshot) error {
	out := csv.NewWriter(w)
	groups := groupColumns(f.by)
	if f.header {
		out.Write(slices.Concat(csvHeader, groups, f.columns)) // errors stay with the writer, see below
	}
	run := runCells(s.Overhead)
	if s.Groups != nil {
		writeGroupsCSV(out, s.Groups, run, f.cells)
	} else {
		for i := range s.Rows {
			if r := &s.Rows[i]; r.Calls > 0 {
				out.Write(slices.Concat(rowCells(r), run, make([]string, len(groups)), f.cells))
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func rowCells(r *profile.Row) []string {
	ok, failed := r.OK, new(profile.Histogram)
	if ok == nil {
		ok = new(profile.Histogram)
	}
	var errnos []string
	for _, f := range r.Failed {
		if f.Latency.Count() == 0 {
			continue
		}
		failed.Merge(f.Latency)
		errnos = append(errnos, fmt.Sprintf("%s:%d", syscalltab.Errno(int(f.Errno)), f.Latency.Count()))
	}
	cpuCalls, cpuNs, offCPUNs := "", "", ""
	if off, known := r.OffCPU(); known {
		cpuCalls, cpuNs, offCPUNs = unsigned(r.CPUCalls), signed(r.CPUNs), signed(int64(off))
	}
	return slices.Concat(
		[]string{r.ABI.Name(r.Nr), r.ABI.String(), unsigned(r.Nr), unsigned(r.Calls), unsigned(r.Errors)},
		statsCells(r.Latency()), []string{unsigned(ok.Count())}, statsCells(ok), statsCells(failed),
		[]string{strings.Join(errnos, " "), unsigned(r.Queued), signed(r.HoldNs), cpuCalls, cpuNs, offCPUNs},
	)
}

func statsCells(h *profile.Histogram) []string {
	if h.Count() == 0 {
		return make([]string, len(csvStats("")))
	}
	cells := []string{
		string(newJSONStats(h).SumNs), signed(int64(h.Min())), signed(int64(h.Mean())), signed(int64(h.StdDev())),
	}
	for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
		cells = append(cells, signed(int64(h.Quantile(q))))
	}
	return append(cells, signed(int64(h.Max())))
}

// groupColumns names the columns of groups by these fields; none if there are no groups.
func groupColumns(by []string) []string {
	if by == nil {
		return nil
	}
	columns := []string{"who", "name"}
	for _, field := range by {
		columns = append(columns, "by_"+field)
	}
	return columns
}

// writeGroupsCSV writes the lines of groups, with what is the same on all at their ends. What is not known of calls of a group is
// empty.
func writeGroupsCSV(out *csv.Writer, groups *profile.Groups, run, end []string) {
	for g := range groups.Each() {
		who := []string{g.Who, g.Name}
		if g.Others > 0 {
			who = []string{whoOf(g), ""}
		}
		values := g.Values
		if values == nil {
			values = make([]string, len(groups.By))
		}
		for j := range g.Rows {
			out.Write(slices.Concat(groupRowCells(&g.Rows[j]), run, who, values, end))
		}
	}
}

func groupRowCells(r *profile.GroupRow) []string {
	if _, known := r.Succeeded(); known {
		row := r.Row()
		return rowCells(&row)
	}
	cpuCalls, cpuNs, offCPUNs := "", "", ""
	if off, known := r.OffCPU(); known {
		cpuCalls, cpuNs, offCPUNs = unsigned(r.CPUCalls), signed(r.CPUNs), signed(int64(off))
	}
	unknown := make([]string, len(csvStats("")))
	return slices.Concat(
		[]string{r.ABI.Name(r.Nr), r.ABI.String(), unsigned(r.Nr), unsigned(r.Calls), unsigned(r.Errors)},
		statsCells(r.Latency()), []string{unsigned(r.Calls - r.Errors)}, unknown, unknown,
		[]string{"", unsigned(r.Queued), signed(r.HoldNs), cpuCalls, cpuNs, offCPUNs},
	)
}

// runCells are the same on every line: what tracing the whole run cost.
func runCells(o *profile.Overhead) []string {
	const columns = 12
	if o == nil {
		return make([]string, columns)
	}
	cells := []string{o.Source.String()}
	if o.Source == profile.Uncorrected { // then nothing but the wall time is known
		cells = append(cells, "", "", "", "", signed(o.WallNs))
		return append(cells, make([]string, columns-len(cells))...)
	}
	cells = append(cells, signed(int64(o.PerCall())),
		signed(o.TotalNs.Ns), signed(o.TotalNs.LowNs), signed(o.TotalNs.HighNs), signed(o.WallNs))
	estimate, low, high := o.Slowdown()
	if estimate == 0 {
		return append(cells, make([]string, columns-len(cells))...)
	}
	cells = append(cells, signed(o.UntracedNs.Ns), signed(o.UntracedNs.LowNs), signed(o.UntracedNs.HighNs))
	for _, f := range []float64{estimate, low, high} {
		cells = append(cells, strconv.FormatFloat(f, 'f', 3, 64))
	}
	return cells
}

func unsigned(n uint64) string { return strconv.FormatUint(n, 10) }
func signed(n int64) string    { return strconv.FormatInt(n, 10) }

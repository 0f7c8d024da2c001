package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Summary is the table that strace -c prints, for programs that parse it and people who know it. The
// zero value prints strace's default: by total time, in the default columns.
//
// All times in it are latencies, the time that passed between entering and leaving a call: in the
// plain columns too, where strace without -w prints CPU time in the system.
type Summary struct {
	Columns []Column // empty: DefaultColumns
	Sort    SortKey
	CPU     bool // CPU time in the columns that strace has that in without -w; the wall columns stay
}

// columnStyle has what strace's table has of a column: its heading and its least width in characters.
type columnStyle struct {
	heading string
	width   int
}

var columnStyles = [...]columnStyle{
	TimePercent: {"% time", 6},
	TotalTime:   {"seconds", 11},
	MinTime:     {"shortest", 8},
	MaxTime:     {"longest", 8},
	AvgTime:     {"usecs/call", 11},
	Calls:       {"calls", 9},
	Errors:      {"errors", 9},
	Name:        {"syscall", 16},
	WallTotal:   {"wall-total", 11},
	WallMin:     {"wall-min", 8},
	WallMax:     {"wall-max", 8},
	WallAvg:     {"wall-avg", 11},
}

// namedRow is a row and the name that it is printed and sorted by.
type namedRow struct {
	*profile.Row
	name string
}

// nothingCounted stands where a table would.
const nothingCounted = "no system calls were counted\n"

// Write prints the table: one for each ABI that calls were made through, the 64-bit one first and
// without a heading, as strace does it. If nothing was counted, one line says so.
func (t Summary) Write(w io.Writer, s *profile.Snapshot) error {
	if len(t.Columns) == 0 {
		t.Columns = DefaultColumns()
	}
	var out bytes.Buffer
	for _, rows := range rowsByABI(s) {
		writeMode(&out, rows[0].ABI)
		if err := t.writeTable(&out, rows); err != nil {
			return err
		}
	}
	if out.Len() == 0 {
		out.WriteString(nothingCounted)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeMode heads the table of an ABI, but for the first one if that is native.
func writeMode(out *bytes.Buffer, abi syscalltab.ABI) {
	if native := abi.Bits() == 64 && abi != syscalltab.Unknown; !native || out.Len() > 0 {
		fmt.Fprintf(out, "System call usage summary for %s mode:\n", modeName(abi))
	}
}

// rowsByABI gives the rows of each ABI with calls, in the order in which strace prints them: that of
// the constants in syscalltab; calls of an unknown ABI come last.
func rowsByABI(s *profile.Snapshot) [][]namedRow {
	byABI := make(map[syscalltab.ABI][]namedRow)
	var abis []syscalltab.ABI
	for i := range s.Rows {
		r := &s.Rows[i]
		if r.Calls == 0 {
			continue
		}
		if byABI[r.ABI] == nil {
			abis = append(abis, r.ABI)
		}
		byABI[r.ABI] = append(byABI[r.ABI], namedRow{r, r.ABI.Name(r.Nr)})
	}
	slices.SortFunc(abis, func(a, b syscalltab.ABI) int { return cmp.Compare(a-1, b-1) }) // Unknown, 0, wraps to the end
	groups := make([][]namedRow, 0, len(abis))
	for _, abi := range abis {
		groups = append(groups, byABI[abi])
	}
	return groups
}

// totalOf adds the rows of one table up.
func totalOf(rows []namedRow) profile.Totals {
	total := profile.Totals{MinNs: rows[0].MinNs}
	for _, r := range rows {
		total.Calls += r.Calls
		total.Errors += r.Errors
		total.SumNs = addClamped(total.SumNs, r.SumNs)
		total.MinNs = min(total.MinNs, r.MinNs)
		total.MaxNs = max(total.MaxNs, r.MaxNs)
		total.CPUCalls += r.CPUCalls
		total.CPUNs = addClamped(total.CPUNs, r.CPUNs)
	}
	return total
}

func modeName(abi syscalltab.ABI) string {
	if abi == syscalltab.Unknown {
		return "unknown"
	}
	return abi.Mode()
}

// writeTable prints the table of one ABI.
func (t Summary) writeTable(w io.Writer, rows []namedRow) error {
	wall := rows
	if t.CPU {
		rows = onCPU(rows)
	}
	switch {
	case t.CPU && t.Sort == SortOffCPU: // which is the rest of the latencies
		sortRows(wall, t.Sort)
		slices.SortFunc(rows, likeRows(wall))
	case t.CPU:
		sortRows(rows, t.Sort)
		slices.SortFunc(wall, likeRows(rows))
	default:
		sortRows(rows, t.Sort)
	}
	columns := make([]column, len(t.Columns))
	for i, kind := range t.Columns {
		rows := rows
		if kind.isWall() {
			rows = wall
		}
		total := totalOf(rows)
		style := columnStyles[kind]
		c := column{heading: style.heading, width: style.width, left: kind == Name, footer: totalCell(kind, &total)}
		for _, r := range rows {
			c.cells = append(c.cells, rowCell(kind, r, &total))
		}
		c.fitWidth()
		if kind == Name { // strace leaves a blank behind the longest name
			for _, r := range rows {
				c.width = max(c.width, textWidth(r.name)+1)
			}
		}
		columns[i] = c
	}
	return draw(w, columns, look{rule: "-", gap: " ", footer: true})
}

// onCPU gives the rows with CPU time in the place of latency.
func onCPU(rows []namedRow) []namedRow {
	out := make([]namedRow, len(rows))
	for i, r := range rows {
		row := *r.Row
		row.SumNs, row.MinNs, row.MaxNs = row.CPUNs, 0, 0
		if row.CPU != nil {
			row.MinNs, row.MaxNs = int64(row.CPU.Min()), int64(row.CPU.Max())
		}
		out[i] = namedRow{&row, r.name}
	}
	return out
}

// likeRows compares rows by where their calls stand in an order.
func likeRows(order []namedRow) func(a, b namedRow) int {
	place := make(map[profile.Key]int, len(order))
	for i, r := range order {
		place[r.Key] = i
	}
	return func(a, b namedRow) int { return cmp.Compare(place[a.Key], place[b.Key]) }
}

// sortRows puts rows in the order of a key; those that are equal in it in that of their names.
func sortRows(rows []namedRow, key SortKey) {
	var by func(a, b namedRow) int
	switch key {
	case Unsorted:
		slices.SortFunc(rows, func(a, b namedRow) int { return cmp.Compare(a.Nr, b.Nr) })
		return
	case SortTotalTime:
		by = func(a, b namedRow) int { return cmp.Compare(b.SumNs, a.SumNs) }
	case SortMinTime:
		by = func(a, b namedRow) int { return cmp.Compare(b.MinNs, a.MinNs) }
	case SortMaxTime:
		by = func(a, b namedRow) int { return cmp.Compare(b.MaxNs, a.MaxNs) }
	case SortAvgTime:
		by = func(a, b namedRow) int { return cmp.Compare(b.Mean(), a.Mean()) }
	case SortCalls:
		by = func(a, b namedRow) int { return cmp.Compare(b.Calls, a.Calls) }
	case SortCPU:
		by = func(a, b namedRow) int { return cmp.Compare(b.CPUNs, a.CPUNs) }
	case SortOffCPU:
		by = func(a, b namedRow) int { return cmp.Compare(offCPUNs(b), offCPUNs(a)) }
	case SortP50:
		by = byQuantile(rows, 0.5)
	case SortP99:
		by = byQuantile(rows, 0.99)
	case SortErrors:
		by = func(a, b namedRow) int { return cmp.Compare(b.Errors, a.Errors) }
	default:
		by = func(a, b namedRow) int { return 0 }
	}
	slices.SortFunc(rows, func(a, b namedRow) int {
		return cmp.Or(by(a, b), strings.Compare(a.name, b.name), cmp.Compare(a.Nr, b.Nr))
	})
}

// offCPUNs is the time that a row's calls were off the CPU, less than any if that is not known.
func offCPUNs(r namedRow) int64 {
	off, known := r.OffCPU()
	if !known {
		return -1
	}
	return int64(off)
}

// byQuantile compares rows by a quantile of their latencies.
func byQuantile(rows []namedRow, q float64) func(a, b namedRow) int {
	of := make(map[profile.Key]time.Duration, len(rows))
	for _, r := range rows {
		of[r.Key] = r.Latency().Quantile(q)
	}
	return func(a, b namedRow) int { return cmp.Compare(of[b.Key], of[a.Key]) }
}

// rowCell formats as strace does, with its roundings: a mean is rounded to a whole nanosecond first,
// and only then cut to whole microseconds.
func rowCell(c Column, r namedRow, total *profile.Totals) string {
	switch c {
	case TimePercent:
		percent := 100 * inSeconds(r.SumNs)
		if percent != 0 {
			percent /= inSeconds(total.SumNs)
		}
		return strconv.FormatFloat(percent, 'f', 2, 64)
	case AvgTime, WallAvg:
		return wholeMicros(inSeconds(int64(r.Mean())))
	case Name:
		return r.name
	}
	return sumCell(c, &r.Totals)
}

// totalCell is rowCell for the last line. strace divides there without rounding to nanoseconds.
func totalCell(c Column, total *profile.Totals) string {
	switch c {
	case TimePercent:
		return "100.00"
	case AvgTime, WallAvg:
		return wholeMicros(inSeconds(total.SumNs) / float64(total.Calls))
	case Name:
		return "total"
	}
	return sumCell(c, total)
}

// sumCell formats the columns that are the same for a row and for the total.
func sumCell(c Column, t *profile.Totals) string {
	switch c {
	case TotalTime, WallTotal:
		return strconv.FormatFloat(inSeconds(t.SumNs), 'f', 6, 64)
	case MinTime, WallMin:
		return strconv.FormatFloat(inSeconds(t.MinNs), 'f', 6, 64)
	case MaxTime, WallMax:
		return strconv.FormatFloat(inSeconds(t.MaxNs), 'f', 6, 64)
	case Calls:
		return strconv.FormatUint(t.Calls, 10)
	case Errors:
		if t.Errors > 0 {
			return strconv.FormatUint(t.Errors, 10)
		}
	}
	return ""
}

// inSeconds converts by the very operations that strace uses, so that the last digit rounds alike.
func inSeconds(ns int64) float64 {
	return float64(ns/1e9) + float64(ns%1e9)/1e9
}

func wholeMicros(seconds float64) string {
	return strconv.FormatUint(uint64(seconds*1e6), 10)
}

func addClamped(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}

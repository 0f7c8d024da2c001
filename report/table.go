package report

import (
	"bytes"
	"io"
	"strings"

	"sysprof/profile"
)

// Table is the table for people: shares, latencies in the unit that fits, and for every call a small
// drawing of how its latencies are distributed, over one logarithmic time axis for all calls. The zero
// value prints all of it by total time, in black and white.
type Table struct {
	Sort  SortKey
	Width int  // characters that fit on a line; 0: any. No row is ever narrower than total, calls and call
	Color bool // with escape sequences for a terminal
}

// The drawing is as wide as there is room for, within these bounds. With fewer characters a part can be a whole
// decade of time. With more it is hard to find the same position in another row.
const (
	leastDrawing = 10
	mostDrawing  = 24
)

// The order in which columns are dropped where there is little room, after the gaps between them have been narrowed. Columns
// that can be guessed from others are dropped early, amounts late, and the column of errors before all others if there are
// none. The drawing and the maximum tell what the others cannot, and stay on a terminal of 80 columns.
const (
	dropEmpty = 1 + iota
	dropMean
	dropShare
	dropOffCPU
	dropP50
	dropDrawing
	dropMax
	dropCPU
	dropP99
	dropErrors
)

// headingOfCalls heads the last column of all tables for people.
const headingOfCalls = "call"

// line is what the table for people shows of one row, or of all rows together.
type line struct {
	name       string
	totals     profile.Totals
	latency    *profile.Histogram
	upperBound bool
}

// Write prints the table: one for each ABI that calls were made through, as Summary does. If nothing
// was counted, one line says so.
func (t Table) Write(w io.Writer, s *profile.Snapshot) error {
	var out bytes.Buffer
	groups := rowsByABI(s)
	lines := make([][]line, len(groups))
	var all []*profile.Histogram
	for i, rows := range groups {
		sortRows(rows, t.Sort)
		total := line{"total", totalOf(rows), new(profile.Histogram), false}
		for _, r := range rows {
			l := line{r.name, r.Totals, r.Latency(), r.UpperBound}
			total.latency.Merge(l.latency)
			lines[i] = append(lines[i], l)
			all = append(all, l.latency)
		}
		lines[i] = append(lines[i], total)
	}
	axis := axisOf(all)
	for i, rows := range groups {
		writeMode(&out, rows[0].ABI)
		if err := t.writeLines(&out, lines[i], axis, headingOfCalls); err != nil {
			return err
		}
	}
	if out.Len() == 0 {
		out.WriteString(nothingCounted)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeLines prints the table of one ABI, or of groups; the last line is the total. heading is that of the names.
func (t Table) writeLines(w io.Writer, lines []line, axis axis, heading string) error {
	last := len(lines) - 1
	total := &lines[last].totals
	var columns []column
	add := func(c column, cell func(l *line) string) {
		for i := range lines[:last] {
			c.cells = append(c.cells, cell(&lines[i]))
		}
		c.footer = cell(&lines[last])
		c.fitWidth()
		columns = append(columns, c)
	}
	atMost := func(l *line, ns int64) string {
		if l.upperBound {
			return "≤ " + humanTime(ns)
		}
		return humanTime(ns)
	}
	quantile := func(q float64) func(l *line) string {
		return func(l *line) string { return atMost(l, int64(l.latency.Quantile(q))) }
	}

	add(column{heading: "% time", drop: dropShare}, func(l *line) string {
		return percent(float64(l.totals.SumNs), float64(total.SumNs))
	})
	add(column{heading: "total"}, func(l *line) string { return humanTime(l.totals.SumNs) })
	if total.CPUCalls > 0 {
		add(column{heading: "CPU", drop: dropCPU}, cpuCell)
		add(column{heading: "off-CPU", drop: dropOffCPU}, offCPUCell)
	}
	add(column{heading: "calls"}, func(l *line) string { return humanCount(l.totals.Calls) })
	errors := column{heading: "errors", colour: red, drop: dropErrors}
	if total.Errors == 0 {
		errors.drop = dropEmpty
	}
	add(errors, errorsCell)
	add(column{heading: "mean", drop: dropMean}, func(l *line) string { return atMost(l, int64(l.totals.Mean())) })
	add(column{heading: "p50", drop: dropP50}, quantile(0.5))
	add(column{heading: "p99", drop: dropP99}, quantile(0.99))
	add(column{heading: "max", drop: dropMax}, func(l *line) string { return humanTime(l.totals.MaxNs) })
	add(column{width: max(leastDrawing, axis.headingWidth()), left: true, colour: cyan, drop: dropDrawing},
		func(*line) string { return "" }) // drawn when its width is known
	add(column{heading: heading, left: true}, func(l *line) string { return l.name })

	columns, gap := fit(columns, t.Width)
	for i := range columns {
		if c := &columns[i]; c.drop == dropDrawing {
			room := mostDrawing
			if t.Width > 0 {
				room = min(room, c.width+t.Width-totalWidth(columns, gap))
			}
			axis.drawColumn(c, lines, max(c.width, room))
		}
	}
	return draw(w, columns, look{rule: "─", gap: strings.Repeat(" ", gap), footer: true, colour: t.Color})
}

// drawColumn fills a column of the given width with the drawings of all lines.
func (a axis) drawColumn(c *column, lines []line, width int) {
	last := len(lines) - 1
	c.width = width
	c.heading = a.heading(width)
	for i := range c.cells {
		c.cells[i] = a.spark(lines[i].latency, width)
	}
	c.footer = a.spark(lines[last].latency, width)
}

func errorsCell(l *line) string {
	if l.totals.Errors == 0 {
		return ""
	}
	return humanCount(l.totals.Errors)
}

func cpuCell(l *line) string {
	if l.totals.CPUCalls == 0 {
		return ""
	}
	return humanTime(l.totals.CPUNs)
}

func offCPUCell(l *line) string {
	off, known := l.totals.OffCPU()
	if !known {
		return ""
	}
	return humanTime(int64(off))
}

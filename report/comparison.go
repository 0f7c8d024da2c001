package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	"sysprof/profile"
	"sysprof/profile/trials"
)

// Comparison says how long a command took without a tracer and under several, each once in every round.
type Comparison struct {
	Rounds int // how often the command ran without a tracer

	Untraced   Compared
	Estimated  *Estimated // nil: sysprof gave no estimate
	Tracers    []Compared
	Sysprof    *OwnTime // nil: it is not among the tracers
	Endings    []RunsEnded
	LeftOut    []LeftOut
	Unmeasured []string // tracers that are not installed
	Warnings   []RunsWarned
}

// Compared is how long the command took under one tracer, or without. Times are in nanoseconds.
type Compared struct {
	Name     string
	Time     trials.Estimate
	Slowdown trials.Estimate // ÷ the time without a tracer
	Added    trials.Estimate // to the time without a tracer, a call
	Calls    CallsCounted
}

// CallsCounted is how many calls the runs under a tracer had. It is zero if that is not known.
type CallsCounted struct{ Least, Median, Most uint64 }

// Estimated is what sysprof said that the command takes without it.
type Estimated struct {
	Time       trials.Estimate
	ToMeasured trials.Estimate // ÷ the time without a tracer
	Held, Runs int             // in Held of the Runs, the range that sysprof gave had the measured median in it
}

// OwnTime is the part of the runs under sysprof that it did not trace: its start, its calibration, its outputs.
type OwnTime struct {
	Time  trials.Estimate
	Added trials.Estimate // what it adds to a call apart from that
}

// RunsEnded is how many of the runs under one tracer, or without, ended in one way.
type RunsEnded struct {
	Name string
	How  string // "exit status 1"
	Runs int
}

// LeftOut is a tracer that did not trace, and why.
type LeftOut struct{ Name, Why string }

// RunsWarned is a warning of sysprof's about some of the runs.
type RunsWarned struct {
	Warning profile.Warning // one of these
	Runs    int
	Of      int
}

// Write prints the comparison as a table, and unless quiet is set what has to be known to read it, a sentence a line.
func (c *Comparison) Write(w io.Writer, width int, color, quiet bool) error {
	var table, out bytes.Buffer
	columns, gap := fit(c.columns(), width)
	if err := draw(&table, columns, look{rule: "─", gap: strings.Repeat(" ", gap), colour: color}); err != nil {
		return err
	}
	for line := range strings.Lines(table.String()) { // the last column may be empty
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if !quiet {
		out.WriteString(wrap(c.notes(), width))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// The order in which columns of a comparison are dropped where there is little room.
const (
	dropCalls = 1 + iota
	dropAddedInterval
	dropSlowdownInterval
	dropTimeInterval
)

// columns are those of the table.
func (c *Comparison) columns() []column {
	name, calls := column{heading: "tracer", left: true}, column{heading: "calls", drop: dropCalls}
	time, timeIn := column{heading: "time", colour: bold}, column{heading: "interval", left: true, drop: dropTimeInterval}
	slow, slowIn := column{heading: "slowdown"}, column{heading: "interval", left: true, drop: dropSlowdownInterval}
	added, addedIn := column{heading: "added/call"}, column{heading: "interval", left: true, drop: dropAddedInterval}
	row := func(r *Compared) {
		name.cells = append(name.cells, Printable(r.Name))
		addEstimate(&time, &timeIn, &r.Time, math.NaN(), humanNs)
		addEstimate(&slow, &slowIn, &r.Slowdown, 1, ratio)
		addEstimate(&added, &addedIn, &r.Added, 0, humanNs)
		number := ""
		if r.Calls.Median > 0 {
			number = humanCount(r.Calls.Median)
		}
		calls.cells = append(calls.cells, number)
	}
	none := trials.Of(nil)
	row(&Compared{Name: c.Untraced.Name, Time: c.Untraced.Time, Slowdown: none, Added: none})
	if c.Estimated != nil {
		row(&Compared{Name: "  estimated", Time: c.Estimated.Time, Slowdown: none, Added: none})
	}
	for i := range c.Tracers {
		row(&c.Tracers[i])
	}
	columns := []column{name, calls, time, timeIn, slow, slowIn, added, addedIn}
	for i := range columns {
		columns[i].fitWidth()
	}
	return columns
}

// addEstimate adds a cell to the column of medians and one to that of intervals, both empty if nothing was measured.
func addEstimate(medians, intervals *column, e *trials.Estimate, same float64, format func(float64) string) {
	median, interval := "", ""
	if !math.IsNaN(e.Median) && !math.IsInf(e.Median, 0) {
		var lo, hi string
		median, lo, hi = e.Cells(same, format)
		interval = dashed(lo, hi)
	}
	medians.cells = append(medians.cells, median)
	intervals.cells = append(intervals.cells, interval)
}

// ratio writes a ratio with three digits.
func ratio(v float64) string { return threeDigits(v, false).text }

// dashed is "240–280 ms": two quantities, of which the first says its unit only if it has another.
func dashed(lo, hi string) string {
	if lo == hi {
		return hi
	}
	between := "–"
	if number, unit, ok := strings.Cut(lo, " "); ok && strings.HasSuffix(hi, " "+unit) {
		lo = number
	}
	if strings.HasPrefix(lo, "-") {
		between = " to "
	}
	return lo + between + hi
}

// ComparisonProgress is how far a comparison has got.
type ComparisonProgress struct {
	Round, Rounds int    // Round 0 does not count
	Tracer        string // that runs
	LeftNs        int64  // what the rounds before let expect; 0: unknown
}

// Line is the progress in one line of at most that many characters.
func (p ComparisonProgress) Line(width int) string {
	line := fmt.Sprintf("round %d of %d", p.Round, p.Rounds)
	if p.Round == 0 {
		line = "a round that is not counted"
	}
	line += " · " + Printable(p.Tracer)
	if p.LeftNs > 0 {
		line += " · about " + shortTime(p.LeftNs) + " left"
	}
	if runes := []rune(line); len(runes) > width {
		line = string(runes[:max(width, 0)])
	}
	return line
}

package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"sysprof/profile"
	"sysprof/profile/changes"
	"sysprof/profile/trials"
)

// Difference says how runs differ from older ones.
type Difference struct {
	Rows []changes.Row // in the order in which they are shown
	All  changes.Row   // of all calls together

	Groups []changes.Group // in the order in which they are shown
	By     []string        // by what they are told apart; nil: there are none
	Top    int             // of how many tables are printed; 0: of all

	New, Old DifferenceSide
}

// DifferenceSide is what the runs of one side are.
type DifferenceSide struct {
	Files      []string // that they were read from
	Metas      []Meta   // one a run
	Sources    []string // how latencies were corrected, one a run; "": not said
	DurationNs int64    // median; 0: unknown

	UncertainNs float64  // by how much latencies may be off
	By          []string // by what groups are told apart; nil: there are none, or not alike ones
}

// DifferenceOf compares runs.
func DifferenceOf(news, olds *changes.Side, of, before DifferenceSide) *Difference {
	d := &Difference{New: of, Old: before}
	d.New.DurationNs, d.Old.DurationNs = int64(news.Duration()), int64(olds.Duration())
	d.New.UncertainNs, d.Old.UncertainNs = news.UncertainNs(), olds.UncertainNs()
	d.Rows, d.All = changes.Between(news, olds)
	if d.Groups = changes.Groups(news, olds); d.Groups != nil {
		d.By = news.By()
	}
	d.New.By, d.Old.By = news.By(), olds.By()
	return d
}

// Write prints the difference as a table with a line over it that says what is compared with what, and unless quiet is set
// what has to be known to read it, a sentence a line.
//
// Of groups the Top ones whose times have changed most are shown, all of them in a table and the calls of each in another.
func (d *Difference) Write(w io.Writer, width int, color, quiet bool) error {
	var out bytes.Buffer
	out.WriteString(wrap(d.heading(), width))
	table := func(rows []changes.Row, all *changes.Row, heading string, name func(*changes.Row) string) error {
		columns, gap := fit(d.columns(rows, all, heading, name), width)
		nameChanges(columns)
		return draw(&out, columns, look{rule: "─", gap: strings.Repeat(" ", gap), footer: true, colour: color})
	}
	if len(d.Rows) == 0 {
		out.WriteString(nothingCounted)
	} else if err := table(d.Rows, &d.All, headingOfCalls, d.callOf); err != nil {
		return err
	}
	if err := d.writeGroups(&out, table); err != nil {
		return err
	}
	if !quiet {
		out.WriteString(wrap(d.notes(), width))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// heading says which way signs go.
func (d *Difference) heading() string {
	return Printable(fmt.Sprintf("%s against %s (was): + is more than it was", d.New.name(), d.Old.name())) + "\n"
}

// name is that of the file, or of the first of several.
func (s *DifferenceSide) name() string {
	switch len(s.Files) {
	case 0:
		return "nothing"
	case 1:
		return s.Files[0]
	}
	return fmt.Sprintf("%s and %d more", s.Files[0], len(s.Files)-1)
}

// The order in which columns of a difference are dropped where there is little room: intervals, what was before, latencies
// from the rarest on. The changes of total time and of the count remain longest.
const (
	dropCountInterval = 1 + iota
	dropP99Interval
	dropP50Interval
	dropTotalInterval
	dropCountBefore
	dropP99Before
	dropP50Before
	dropTotalBefore
	dropP99Now
	dropP50Now
	dropP99Change
	dropP50Change
	dropRate
	dropCountNow
	dropCountChange
)

// headingOfChanges heads changes that stand behind what has changed.
const headingOfChanges = "change"

// nameChanges gives changes a heading that says of what where the column before them has been dropped.
func nameChanges(columns []column) {
	dropped := map[int]string{dropP99Change: "p99", dropP50Change: "p50", dropCountChange: "calls"}
	for i := range columns {
		for at, name := range dropped {
			if c := &columns[i]; c.drop == at && c.heading == headingOfChanges && columns[i-1].heading != name && columns[i-1].heading != headingBefore {
				c.heading = name
			}
		}
	}
}

// headingBefore heads what there was before.
const headingBefore = "was"

// columns are those of a table, of which the last one has names. That of the rate is there if the runs were not of the same length.
func (d *Difference) columns(rows []changes.Row, all *changes.Row, heading string, name func(*changes.Row) string) (columns []column) {
	add := func(c column, cell func(r *changes.Row) string) {
		for i := range rows {
			c.cells = append(c.cells, cell(&rows[i]))
		}
		c.footer = cell(all)
		c.fitWidth()
		columns = append(columns, c)
	}
	metric := func(m changes.Metric, heading string, format func(float64) string, now, before, change, interval int) {
		add(column{heading: heading, drop: now}, func(r *changes.Row) string { return amount(r, m, r.Change[m].New, format) })
		add(column{heading: headingBefore, drop: before}, func(r *changes.Row) string { return amount(r, m, r.Change[m].Old, format) })
		add(column{heading: headingOfChanges, colour: bold, drop: change}, func(r *changes.Row) string { return changed(r, m) })
		add(column{heading: "interval", left: true, drop: interval}, func(r *changes.Row) string { return changeInterval(r, m) })
	}
	metric(changes.Total, "total", humanNs, 0, dropTotalBefore, 0, dropTotalInterval)
	metric(changes.Count, "calls", countOf, dropCountNow, dropCountBefore, dropCountChange, dropCountInterval)
	if d.lengthsDiffer() {
		add(column{heading: "calls/s", colour: bold, drop: dropRate}, func(r *changes.Row) string { return changed(r, changes.Rate) })
	}
	metric(changes.P50, "p50", humanNs, dropP50Now, dropP50Before, dropP50Change, dropP50Interval)
	metric(changes.P99, "p99", humanNs, dropP99Now, dropP99Before, dropP99Change, dropP99Interval)
	add(column{heading: heading, left: true}, func(r *changes.Row) string {
		if r == all {
			return "all"
		}
		return name(r)
	})
	return columns
}

func (d *Difference) callOf(r *changes.Row) string { return callName(r.Key) }

// amount is empty where there is none, as the time of no calls.
func amount(r *changes.Row, m changes.Metric, v float64, format func(float64) string) string {
	if math.IsNaN(v) || v == 0 && m == changes.Total && (r.Added() || r.Gone()) {
		return ""
	}
	return format(v)
}

// countOf writes a median of counts.
func countOf(n float64) string {
	if n != math.Trunc(n) && n < 1e15 {
		return humanCount(uint64(n)) + ".5"
	}
	if n < 1e15 {
		return humanCount(uint64(n))
	}
	return strconv.FormatFloat(n, 'g', 3, 64)
}

// What stands in the place of a change.
const (
	unchanged = "="   // not by anything
	isNew     = "new" // there was no such call
	isGone    = "gone"
)

// changed is by how much a metric of a call has changed.
func changed(r *changes.Row, m changes.Metric) string {
	c := &r.Change[m]
	switch {
	case r.Added() && r.Gone():
		return ""
	case r.Added():
		return isNew
	case r.Gone():
		return isGone
	case math.IsNaN(c.Ratio):
		return ""
	case c.Ratio == 1 && (c.Low == 1 && c.High == 1 || m == changes.Count && c.New == c.Old):
		return unchanged
	case c.Noise:
		return trials.Noise
	}
	return relative(c.Ratio)
}

// relative writes a ratio as a change: "+12.3 %", "-4.5 %", "×12.3".
func relative(ratio float64) string {
	change := 100 * (ratio - 1)
	switch {
	case math.IsInf(ratio, 1):
		return isNew
	case ratio >= 1e7:
		return "×" + strconv.FormatFloat(ratio, 'g', 2, 64)
	case ratio >= 1000:
		return "×" + humanCount(uint64(math.Round(ratio)))
	case ratio >= 9.995:
		return "×" + threeDigits(ratio, false).text
	case change < 0 && change > -100 && change < -99.94:
		return "-99.9 %" // -100 % is nothing at all
	case change < 0:
		return "-" + threeDigits(-change, false).text + " %"
	}
	return "+" + threeDigits(change, false).text + " %"
}

// changeInterval is "+8.0 to +15 %". It is empty where nothing is known or all is.
func changeInterval(r *changes.Row, m changes.Metric) string {
	c := &r.Change[m]
	if math.IsNaN(c.Low) || r.Added() || r.Gone() || changed(r, m) == unchanged || c.Low == c.High || c.Low == 0 && math.IsInf(c.High, 1) {
		return ""
	}
	low, high := relative(c.Low), relative(c.High)
	if c.Low == 0 {
		low = "-100 %"
	}
	if math.IsInf(c.High, 1) {
		return low + " or more"
	}
	if number, percent := strings.CutSuffix(low, " %"); percent && strings.HasSuffix(high, " %") {
		low = number
	}
	return low + " to " + high
}

// Violation says in a line which calls violate a rule; nothing if none does.
func (d *Difference) Violation(rule *changes.Rule) string {
	found := rule.Violations(d.Rows)
	if len(found) == 0 {
		return ""
	}
	worst := found[0]
	c := &worst.Change[rule.Metric]
	text := fmt.Sprintf("%s: %s: %s (%s, was %s)", shortened(rule.Text), callName(worst.Key), relative(c.Ratio),
		metricAmount(rule.Metric, c.New), metricAmount(rule.Metric, c.Old))
	if more := len(found) - 1; more > 0 {
		text += fmt.Sprintf(", and %s more", plural(uint64(more), "call"))
	}
	return text
}

// metricAmount writes a metric with its unit.
func metricAmount(m changes.Metric, v float64) string {
	switch m {
	case changes.Count:
		return countOf(v)
	case changes.Rate:
		return rate(v) + "/s"
	}
	return humanNs(v)
}

// lengthsDiffer reports whether the sides ran for times that differ notably.
func (d *Difference) lengthsDiffer() bool {
	of, before := float64(d.New.DurationNs), float64(d.Old.DurationNs)
	return of > 0 && before > 0 && math.Abs(of/before-1) > notably
}

// SourceOf is how the latencies of a run were corrected; "" if that is not known.
func SourceOf(s *profile.Snapshot) string {
	if s.Overhead == nil {
		return ""
	}
	return s.Overhead.Source.String()
}

package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"sysprof/profile"
)

// Groups are the tables of the groups of a snapshot: one line for each of the largest, and then a table of the calls of each, headed
// by who it is. All smaller groups are one, the last. Without groups nothing is printed.
type Groups struct {
	Top     int      // groups that are told apart
	Summary *Summary // as which the calls of each group are printed, without the table of all groups; nil: as Table
	Table   Table
}

// Write prints the tables.
func (t Groups) Write(w io.Writer, s *profile.Snapshot) error {
	if s.Groups == nil || len(s.Groups.List) == 0 {
		return nil
	}
	groups := s.Groups.Top(t.Top)
	var out bytes.Buffer
	if t.Summary == nil {
		out.WriteByte('\n')
		if err := t.writeAll(&out, groups); err != nil {
			return err
		}
	}
	bounded := make(map[profile.Key]bool)
	for i := range s.Rows {
		bounded[s.Rows[i].Key] = s.Rows[i].UpperBound
	}
	for i := range groups.List {
		g := &groups.List[i]
		fmt.Fprintf(&out, "\n%s: %s\n", whoOf(g), amountOf(g, s.Total.SumNs))
		its := g.Snapshot()
		for i := range its.Rows {
			its.Rows[i].UpperBound = bounded[its.Rows[i].Key]
		}
		if err := t.writeOne(&out, its); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeAll prints the table of all groups.
func (t Groups) writeAll(w io.Writer, groups *profile.Groups) error {
	total := line{name: "total", latency: new(profile.Histogram)}
	var lines []line
	var all []*profile.Histogram
	for i := range groups.List {
		g := &groups.List[i]
		latency := new(profile.Histogram)
		for j := range g.Rows {
			latency.Merge(g.Rows[j].Latency())
		}
		total.latency.Merge(latency)
		total.totals.Add(&g.Totals)
		lines, all = append(lines, line{whoOf(g), g.Totals, latency, false}), append(all, latency)
	}
	return t.Table.writeLines(w, append(lines, total), axisOf(all), Printable(strings.Join(groups.By, ",")))
}

// writeOne prints the calls of one group.
func (t Groups) writeOne(w io.Writer, its *profile.Snapshot) error {
	if len(its.Rows) > 0 {
		var err error
		if t.Summary != nil {
			err = t.Summary.Write(w, its)
		} else {
			err = t.Table.Write(w, its)
		}
		if err != nil {
			return err
		}
	}
	return InFlight(w, its)
}

// whoOf is who a group is.
func whoOf(g *profile.Group) string {
	if g.Others > 0 {
		return fmt.Sprintf("others (%s)", plural(g.Others, "group"))
	}
	return Printable(g.Who)
}

// amountOf says how much of all a group is.
func amountOf(g *profile.Group, allNs int64) string {
	amount := fmt.Sprintf("%s of the time, %s", percentSign(float64(g.SumNs), float64(allNs)), plural(g.Calls, "call"))
	if g.Errors > 0 {
		amount += fmt.Sprintf(", %s", plural(g.Errors, "error"))
	}
	return amount
}

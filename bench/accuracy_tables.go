package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sysprof/profile/trials"
)

// writeTable prints what was measured, part by part.
func (a *accuracy) writeTable(w io.Writer) error {
	a.writeHeaders(w)
	a.settle()
	calls := a.rows(func(row *judged) bool { return row.Run == nil && !strings.HasSuffix(row.Condition, "/"+partApart) })
	apart := a.rows(func(row *judged) bool { return row.Run == nil && strings.HasSuffix(row.Condition, "/"+partApart) })
	runs := a.rows(func(row *judged) bool { return row.Run != nil })
	for _, part := range []struct {
		rows  []*judged
		write func(io.Writer, []*judged) error
	}{
		{calls, a.writeConditions}, {calls, a.writeTotals}, {calls, a.writeKinds}, {calls, a.writeOutside},
		{apart, a.writeApart}, {runs, a.writeRuns}, {runs, a.writeRunTotals},
	} {
		if len(part.rows) == 0 {
			continue
		}
		if err := part.write(w, part.rows); err != nil {
			return err
		}
	}
	return nil
}

// writeHeaders prints what was measured where, and what could not be measured.
func (a *accuracy) writeHeaders(w io.Writer) {
	var lines []string
	for _, h := range a.Headers {
		m := &h.Machine
		lines = append(lines, fmt.Sprintf("%s, %d CPUs, what is pinned is on CPU %d; %s %s, %s; %s; %s; %d rounds of %d calls of a cheap kind",
			m.CPUModel, m.CPUs, m.CPU, m.Kernel, m.GOARCH, m.Go, strings.Join(m.Tracers, ", "), m.Time.Format("2006-01-02"), h.Rounds, h.Calls))
		lines = append(lines, h.Missing...)
	}
	for _, f := range a.Failures {
		lines = append(lines, "failed: "+firstLineOf(f))
	}
	for i, line := range lines {
		if !slices.Contains(lines[:i], line) {
			fmt.Fprintf(w, "- %s\n", line)
		}
	}
}

// settle sorts the rows: by condition as they are measured, and by round.
func (a *accuracy) settle() {
	order := make(map[string]int)
	for i, c := range allConditions() {
		order[c.String()] = i
	}
	slices.SortStableFunc(a.Rows, func(x, y judged) int {
		if d := order[x.Condition] - order[y.Condition]; d != 0 {
			return d
		}
		return x.Round - y.Round
	})
}

// rows returns those that keep keeps.
func (a *accuracy) rows(keep func(*judged) bool) []*judged {
	all := make([]*judged, len(a.Rows))
	for i := range a.Rows {
		all[i] = &a.Rows[i]
	}
	return selected(all, keep)
}

// sysprofs returns the names of the sysprofs that were compared.
func (a *accuracy) sysprofs() (names []string) {
	for _, h := range a.Headers {
		for _, s := range h.Sysprofs {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	return names
}

// by returns the rows of one tracer.
func by(name string, rows []*judged) []*judged {
	return selected(rows, func(row *judged) bool { return row.By == name })
}

// conditionNames returns the conditions of rows, in their order.
func conditionNames(rows []*judged) (names []string) {
	for _, row := range rows {
		if len(names) == 0 || names[len(names)-1] != row.Condition {
			names = append(names, row.Condition)
		}
	}
	return names
}

func in(condition string, rows []*judged) []*judged {
	return selected(rows, func(row *judged) bool { return row.Condition == condition })
}

// writeConditions prints how many rows reached the goals in each condition.
func (a *accuracy) writeConditions(w io.Writer, rows []*judged) error {
	heading := []string{"condition"}
	for _, m := range figures {
		heading = append(heading, m.name+": truth itself")
		for _, s := range a.sysprofs() {
			heading = append(heading, m.name+": "+s)
		}
	}
	table := [][]string{append(heading, "mean: strace", "mean: perf", "other work, stolen, % of a CPU")}
	sums := sums(rows)
	for _, name := range append(conditionNames(rows), slices.Sorted(maps.Keys(sums))...) {
		here, ok := sums[name]
		if !ok {
			here = in(name, rows)
		}
		line := []string{name}
		for i := range figures {
			m := &figures[i]
			line = append(line, steadyOf(m, by(a.sysprofs()[0], here)).String())
			for _, s := range a.sysprofs() {
				line = append(line, tallyOf(m, by(s, here)).String())
			}
		}
		mean := &figures[1]
		table = append(table, append(line, tallyOf(mean, by(straceC, here)).String(), tallyOf(mean, by(perfName, here)).String(), a.loadOf(name)))
	}
	fmt.Fprintf(w, "\n### Latencies: rows within the goal\n\n")
	if err := writeTable(w, table); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nA row is a kind of call in a round. Goal: p50 within max(5 %%, 0.2 µs) and mean within max(10 %%, 0.3 µs) of what the program's own clock\n"+
		"says untraced, just before and just after. truth itself: rows where before and after are as near to each other. Other work has the load\n"+
		"that the condition asks for in it. With 8 threads, what a call takes untraced has the other threads' turns in it, of which tracing leaves fewer.\n"+
		"all of 1, all of 8: the conditions with that many threads.\n")
	return err
}

// sums returns the rows of groups of conditions, by the names of the groups.
func sums(rows []*judged) map[string][]*judged {
	groups := map[string][]*judged{"all": rows}
	for _, threads := range []string{"1", "8"} {
		own := selected(rows, func(row *judged) bool { return strings.HasSuffix(row.Condition, "/"+threads) })
		if len(own) > 0 && len(own) < len(rows) {
			groups["all of "+threads] = own
		}
	}
	return groups
}

// loadOf says how busy the machine was in a condition.
func (a *accuracy) loadOf(condition string) string {
	var words []string
	for _, c := range a.Conditions {
		if c.Condition == condition {
			words = append(words, fmt.Sprintf("%.0f, %.0f", 100*(c.Load.SameCPU+c.Load.OtherCPUs), 100*c.Load.Steal))
		}
	}
	return strings.Join(words, "; ")
}

// writeTotals prints how many rows reached the goals where the truth is steady.
func (a *accuracy) writeTotals(w io.Writer, rows []*judged) error {
	table := [][]string{{"conditions", "tracer", "p50", "p50, truth steady", "mean", "mean, truth steady"}}
	sums := sums(rows)
	for _, group := range slices.Sorted(maps.Keys(sums)) {
		for _, name := range append(a.sysprofs(), straceC, perfName) {
			own := by(name, sums[group])
			if len(own) == 0 {
				continue
			}
			line := []string{group, name}
			for i := range figures {
				m := &figures[i]
				line = append(line, percent(tallyOf(m, own)), percent(tallyOf(m, selected(own, m.steady))))
			}
			table = append(table, line)
		}
	}
	fmt.Fprintln(w)
	return writeTable(w, table)
}

func percent(t tally) string {
	if t.of == 0 {
		return ""
	}
	return fmt.Sprintf("%v, %.0f %%", t, 100*float64(t.within)/float64(t.of))
}

// writeKinds prints each kind of call over all conditions.
func (a *accuracy) writeKinds(w io.Writer, rows []*judged) error {
	heading := []string{"call", "truth p50", "steady", "truth mean", "steady"}
	for _, s := range a.sysprofs() {
		heading = append(heading, "p50: "+s, "off", "mean: "+s, "off")
	}
	table := [][]string{heading}
	for _, name := range kindNames(rows) {
		here := selected(rows, func(row *judged) bool { return row.Kind == name })
		line := []string{name}
		for i := range figures {
			m := &figures[i]
			line = append(line, micros(middle(here, m.truth)), steadyOf(m, by(a.sysprofs()[0], here)).String())
		}
		for _, s := range a.sysprofs() {
			own := by(s, here)
			for i := range figures {
				m := &figures[i]
				line = append(line, tallyOf(m, own).String(), signedMicros(middle(own, func(row *judged) float64 { err, _ := m.err(row); return err })))
			}
		}
		table = append(table, line)
	}
	fmt.Fprintf(w, "\n### Latencies: kinds of call, all conditions\n\n")
	if err := writeTable(w, table); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nµs; medians of the rows.\n")
	return err
}

// middle is the median of a figure of rows.
func middle(rows []*judged, of func(*judged) float64) float64 {
	var values []float64
	for _, row := range rows {
		values = append(values, of(row))
	}
	return trials.Of(values).Median
}

func signedMicros(ns float64) string { return fmt.Sprintf("%+.3f", ns/1e3) }

// writeOutside names the rows that are outside the goal.
func (a *accuracy) writeOutside(w io.Writer, rows []*judged) error {
	fmt.Fprintf(w, "\n### Latencies: outside the goal\n\n")
	for _, c := range conditionNames(rows) {
		for _, s := range a.sysprofs() {
			own := by(s, in(c, rows))
			if len(own) == 0 {
				continue
			}
			for i := range figures {
				if _, err := fmt.Fprintf(w, "- %s, %s, %s: %s\n", c, s, figures[i].name, outside(&figures[i], own)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// writeApart prints the calls that are not held to a goal.
func (a *accuracy) writeApart(w io.Writer, rows []*judged) error {
	table := [][]string{{"condition", "call", "tracer", "truth p50", "p50", "truth mean", "mean"}}
	for _, c := range conditionNames(rows) {
		here := in(c, rows)
		for _, name := range kindNames(here) {
			for _, tracer := range append(a.sysprofs(), straceC, perfName) {
				own := by(tracer, selected(here, func(row *judged) bool { return row.Kind == name }))
				if len(own) == 0 {
					continue
				}
				line := []string{c, name, tracer}
				for i := range figures {
					m := &figures[i]
					got := ""
					if v := middle(own, func(row *judged) float64 { return m.of(row.Got) }); v != 0 {
						got = micros(v)
					}
					line = append(line, micros(middle(own, m.truth)), got)
				}
				table = append(table, line)
			}
		}
	}
	fmt.Fprintf(w, "\n### Latencies: without a goal\n\n")
	if err := writeTable(w, table); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nµs; medians of the rounds. The threads of pingpong are both traced and wait for each other: an upper bound. fsync depends on the disk.\n")
	return err
}

// writeRuns prints the estimates of the run time without tracing.
func (a *accuracy) writeRuns(w io.Writer, rows []*judged) error {
	table := [][]string{{"condition", "program", "tracer", "untraced ms", "traced ms", "estimate ms", "off %", "range", "has it", "within 10 %", "warned", "silent and off"}}
	for _, c := range conditionNames(rows) {
		here := in(c, rows)
		for _, name := range kindNames(here) {
			for _, s := range a.sysprofs() {
				if own := by(s, selected(here, func(row *judged) bool { return row.Kind == name })); len(own) > 0 {
					table = append(table, runLine(c, name, s, own))
				}
			}
		}
	}
	fmt.Fprintf(w, "\n### Run time without tracing\n\n")
	if err := writeTable(w, table); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nMedians of the rounds. silent and off: more than 10 %% off without a warning. redis: for how long it runs in a load, and requests in a second of that.\n")
	return err
}

// runLine is the line of one program, under one sysprof, in one condition.
func runLine(condition, name, sysprof string, rows []*judged) []string {
	var t runTally
	for _, row := range rows {
		t.add(row)
	}
	of := func(f func(*runTime) float64) float64 {
		return middle(rows, func(row *judged) float64 { return f(row.Run) })
	}
	truth := middle(rows, runTruth)
	traced := of(func(r *runTime) float64 { return r.Traced })
	ms := func(ns float64) string { return fmt.Sprintf("%.1f", ns/float64(time.Millisecond)) }
	withRate := func(ns float64) string {
		if units := rows[0].Run.Units; units > 0 {
			return fmt.Sprintf("%s (%.0f/s)", ms(ns), float64(units)/ns*1e9)
		}
		return ms(ns)
	}
	off := middle(rows, func(row *judged) float64 { return 100 * (row.Run.Estimate - runTruth(row)) / runTruth(row) })
	return []string{condition, strings.TrimPrefix(name, "run "), sysprof, withRate(truth), withRate(traced),
		ms(of(func(r *runTime) float64 { return r.Estimate })), fmt.Sprintf("%+.1f", off),
		ms(of(func(r *runTime) float64 { return r.Low })) + "–" + ms(of(func(r *runTime) float64 { return r.High })),
		t.inRange.String(), t.near.String(), t.warned.String(), t.silent.String()}
}

// writeRunTotals prints what became of the estimates, program by program and in all.
func (a *accuracy) writeRunTotals(w io.Writer, rows []*judged) error {
	table := [][]string{{"tracer", "program", "range has the truth", "within 10 %", "warned", "silent and off", "untraced itself within 10 %"}}
	for _, s := range a.sysprofs() {
		for _, name := range append(kindNames(rows), "all") {
			var t runTally
			for _, row := range by(s, rows) {
				if name == "all" || row.Kind == name {
					t.add(row)
				}
			}
			table = append(table, []string{s, strings.TrimPrefix(name, "run "), t.inRange.String(), t.near.String(), t.warned.String(), t.silent.String(), t.steady.String()})
		}
	}
	fmt.Fprintln(w)
	return writeTable(w, table)
}

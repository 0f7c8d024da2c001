package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// goal is how far what is measured may be from the truth: that share of it, or that many nanoseconds.
type goal struct{ share, ns float64 }

func (g goal) holds(err, truth float64) bool { return math.Abs(err) <= max(g.share*truth, g.ns) }

// runGoal is that of the untraced run time.
var runGoal = goal{share: 0.10}

// figure is what is said of a kind of call that has to reach a goal.
type figure struct {
	name string
	goal goal
	of   func(timing) float64
}

var figures = []figure{
	{"p50", goal{0.05, 200}, func(t timing) float64 { return t.P50 }},
	{"mean", goal{0.10, 300}, func(t timing) float64 { return t.Mean }},
}

// truth is the mean of what was just before and just after.
func (m *figure) truth(row *judged) float64 { return (m.of(row.Before) + m.of(row.After)) / 2 }

// err is how far a row is from the truth. It is not known if the tracer does not say the figure.
func (m *figure) err(row *judged) (err float64, known bool) {
	got := m.of(row.Got)
	return got - m.truth(row), got != 0
}

// within reports whether a row has reached the goal.
func (m *figure) within(row *judged) bool {
	err, known := m.err(row)
	return known && m.goal.holds(err, m.truth(row))
}

// steady reports whether the truth itself would have reached the goal: what was before, judged by what was
// after. Where it would not, whoever figures right has missed by luck, or reached it by luck.
func (m *figure) steady(row *judged) bool {
	return m.goal.holds(m.of(row.After)-m.of(row.Before), m.truth(row))
}

// tally counts how many rows have reached a goal.
type tally struct{ within, of int }

func (t *tally) add(within bool) {
	t.of++
	if within {
		t.within++
	}
}

func (t tally) String() string {
	if t.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", t.within, t.of)
}

// tallyOf counts the rows that reached the goal of a figure.
func tallyOf(m *figure, rows []*judged) (t tally) {
	for _, row := range rows {
		if _, known := m.err(row); known {
			t.add(m.within(row))
		}
	}
	return t
}

// steadyOf counts the rows whose truth is steady.
func steadyOf(m *figure, rows []*judged) (t tally) {
	for _, row := range rows {
		t.add(m.steady(row))
	}
	return t
}

// selected returns the rows that keep keeps.
func selected(rows []*judged, keep func(*judged) bool) (list []*judged) {
	for _, row := range rows {
		if keep(row) {
			list = append(list, row)
		}
	}
	return list
}

// outside names the kinds of call that did not reach a goal, each with the error of the rows that did not,
// its sign, and how many they are.
func outside(m *figure, rows []*judged) string {
	var words []string
	for _, name := range kindNames(rows) {
		of := selected(rows, func(row *judged) bool { return row.Kind == name })
		missed := selected(of, func(row *judged) bool { return !m.within(row) })
		if len(missed) > 0 {
			words = append(words, fmt.Sprintf("%s %s (%d of %d)", name, spread(m, missed), len(missed), len(of)))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// spread prints the errors of rows: their median, or the least and the greatest one if these differ in sign.
func spread(m *figure, rows []*judged) string {
	var errs, shares []float64
	for _, row := range rows {
		err, _ := m.err(row)
		errs = append(errs, err)
		shares = append(shares, 100*err/m.truth(row))
	}
	slices.Sort(errs)
	slices.Sort(shares)
	n := len(errs)
	if errs[0] < 0 && errs[n-1] > 0 {
		return fmt.Sprintf("%s…%s µs", shortMicros(errs[0]), shortMicros(errs[n-1]))
	}
	return fmt.Sprintf("%s µs, %+.0f %%", shortMicros(errs[n/2]), shares[n/2])
}

// shortMicros prints an error with two or three digits.
func shortMicros(ns float64) string {
	if math.Abs(ns) >= 9950 {
		return fmt.Sprintf("%+.0f", ns/1e3)
	}
	return fmt.Sprintf("%+.2f", ns/1e3)
}

// kindNames returns the kinds of call in rows, in the order of the tables.
func kindNames(rows []*judged) (names []string) {
	for _, row := range rows {
		if !slices.Contains(names, row.Kind) {
			names = append(names, row.Kind)
		}
	}
	order := make(map[string]int)
	for _, s := range slices.Concat(timedSteps, apartSteps) {
		for _, k := range s.kinds {
			order[k.name] = len(order)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return order[a] - order[b] })
	return names
}

// runTally counts what became of the estimates of run times.
type runTally struct {
	inRange tally // the range has the truth
	near    tally // the estimate is within 10 % of it
	warned  tally
	silent  tally // more than 10 % off without a warning
	steady  tally // the run before is within 10 % of the one after
}

func (t *runTally) add(row *judged) {
	truth, run := runTruth(row), row.Run
	near := runGoal.holds(run.Estimate-truth, truth)
	t.inRange.add(run.Low <= truth && truth <= run.High)
	t.near.add(near)
	t.warned.add(run.Warned)
	t.silent.add(!near && !run.Warned)
	t.steady.add(runGoal.holds(row.After.P50-row.Before.P50, truth))
}

func runTruth(row *judged) float64 { return (row.Before.P50 + row.After.P50) / 2 }

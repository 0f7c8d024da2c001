package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// target is what sysprof is to cost at most, as a ratio of what another tracer adds to a call.
type target struct {
	other string
	ratio float64
}

var targets = []target{{floorGo, 1.20}, {straceC, 1.00}}

// maxStackNs is what capturing a stack is to add to a call at most.
var maxStackNs = map[string]float64{deepSame: 1500, deepOther: 3000}

// maxResidentKB is what sysprof is to need at most.
const maxResidentKB = 25 * 1024

// writeTables writes the results for people: Markdown, which can be read as it is.
func (r *results) writeTables(w io.Writer) error {
	var out bytes.Buffer
	r.writeMachine(&out)
	if len(r.Timed) > 0 {
		if err := r.writeTimed(&out); err != nil {
			return err
		}
	}
	if len(r.Matrix) > 0 {
		if err := r.writeMatrix(&out); err != nil {
			return err
		}
	}
	if r.Memory != nil {
		if err := r.Memory.writeTable(&out); err != nil {
			return err
		}
	}
	if r.Accuracy != nil {
		if err := r.Accuracy.writeTable(&out); err != nil {
			return err
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

func (r *results) writeMachine(w io.Writer) {
	m := &r.Machine
	fmt.Fprintf(w, "%s, %d CPUs, what is pinned is on CPU %d; %s %s, %s, getppid loop in %s; %s\n",
		m.CPUModel, m.CPUs, m.CPU, m.Kernel, m.GOARCH, m.Go, m.Target, m.Time.Format("2006-01-02 15:04 MST"))
	for _, version := range m.Tracers {
		fmt.Fprintf(w, "- %s\n", version)
	}
	for _, line := range r.Missing {
		fmt.Fprintf(w, "- %s\n", line)
	}
	for _, s := range r.Timed {
		fmt.Fprintf(w, "- %s: %d rounds of %d calls; other work meanwhile: %.0f %% of this CPU, %.0f %% of a CPU elsewhere, %.0f %% stolen\n",
			s.Workload, len(s.NsPerOp[untraced]), s.Calls, 100*s.Load.SameCPU, 100*s.Load.OtherCPUs, 100*s.Load.Steal)
	}
	fmt.Fprintln(w)
}

func (r *results) writeTimed(w io.Writer) error {
	rows := [][]string{{"workload", "tracer", "µs/call", "added µs/call", "interval", "slowdown", "÷ floor", "÷ strace"}}
	var verdicts strings.Builder
	confidence := 1.0
	for _, s := range r.Timed {
		rows = append(rows, []string{s.Workload, untraced, micros(estimateOf(s.NsPerOp[untraced]).Median), "", "", "", "", ""})
		for _, t := range s.NsPerOp.measuredUnder(r.tracers) {
			added := estimateOf(s.NsPerOp.added(t.name))
			confidence = min(confidence, added.Confidence)
			rows = append(rows, []string{
				s.Workload, t.name,
				micros(estimateOf(s.NsPerOp[t.name]).Median),
				micros(added.Median),
				micros(added.Lo) + "–" + micros(added.Hi),
				fmt.Sprintf("%.1f", estimateOf(s.NsPerOp.slowdown(t.name)).Median),
				ratioCell(s.NsPerOp.compared(t.name, floorGo)),
				ratioCell(s.NsPerOp.compared(t.name, straceC)),
			})
		}
		for _, goal := range targets {
			if e := s.NsPerOp.compared(sysprofC, goal.other); e != nil {
				fmt.Fprintf(&verdicts, "- sysprof ÷ %s ≤ %.2f on %s: %s\n", goal.other, goal.ratio, s.Workload, goal.verdict(e))
			}
		}
		if most, ok := maxStackNs[s.Workload]; ok && len(s.NsPerOp[stacked]) > 0 {
			e := estimateOf(pairwise(s.NsPerOp[stacked], s.NsPerOp[sysprofC], func(with, without float64) float64 { return with - without }))
			fmt.Fprintf(&verdicts, "- stacks add ≤ %s µs on %s: %s (%s–%s), %s\n", micros(most), s.Workload,
				micros(e.Median), micros(e.Lo), micros(e.Hi), target{ratio: most}.word(&e))
		}
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nMedians; intervals hold the true median with at least %.0f %%; ~: the difference is noise.\n", 100*min(confidence, wantConfidence))
	if verdicts.Len() > 0 {
		fmt.Fprintf(w, "\n%s", verdicts.String())
	}
	fmt.Fprintln(w)
	return nil
}

func micros(ns float64) string { return fmt.Sprintf("%.3f", ns/1e3) }

// ratioCell prints a ratio with its interval.
func ratioCell(e *estimate) string {
	switch {
	case e == nil:
		return ""
	case e.Confidence == 0: // one value: there is no interval
		return fmt.Sprintf("%.2f", e.Median)
	case e.holds(1):
		return fmt.Sprintf("~ (%.2f–%.2f)", e.Lo, e.Hi)
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", e.Median, e.Lo, e.Hi)
}

// verdict says whether a ratio reaches the target.
func (t target) verdict(e *estimate) string {
	return fmt.Sprintf("%.2f, %s", e.Median, t.word(e))
}

func (t target) word(e *estimate) string {
	word := "missed"
	if e.Median <= t.ratio {
		word = "reached"
	}
	if e.holds(t.ratio) {
		word += ", within noise"
	}
	return word
}

// writeTable prints rows, the first of which is the heading.
func writeTable(w io.Writer, rows [][]string) error {
	cell := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
		Alignment:  tw.CellAlignment{Global: tw.AlignLeft},
	}
	table := tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewMarkdown()),
		tablewriter.WithConfig(tablewriter.Config{Header: cell, Row: cell}),
		tablewriter.WithHeader(rows[0]))
	if err := table.Bulk(rows[1:]); err != nil {
		return fmt.Errorf("lay out the table: %w", err)
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("lay out the table: %w", err)
	}
	return nil
}

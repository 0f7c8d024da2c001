package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"sysprof/profile/trials"
)

// target is a limit of what sysprof adds to a call: that many times what another tracer adds.
type target struct {
	other string
	ratio float64
}

var targets = []target{{floorGo, 1.20}, {straceC, 1.00}}

// mostOfStacks is the limit of what capturing a stack adds to a call: that many times what waiting and resuming adds to it. A
// stack was to add 1.0 µs where floor adds 4.8, and 3.5 if it is another one at every call.
var mostOfStacks = map[string]float64{deepSame: 0.21, deepOther: 0.73}

// maxResidentKB is the limit of sysprof's resident memory.
const maxResidentKB = 25 * 1024

// writeTables writes the results for people, as Markdown.
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
	if len(r.Pauses) > 0 {
		if err := writePauses(&out, r.Pauses); err != nil {
			return err
		}
	}
	if r.Accuracy != nil {
		if err := r.Accuracy.writeTable(&out); err != nil {
			return err
		}
	}
	for i, warning := range r.warnings() {
		if i == 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n\n")) {
			fmt.Fprintln(&out)
		}
		fmt.Fprintf(&out, "- warning: %s\n", warning)
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
		rows = append(rows, []string{s.Workload, untraced, micros(trials.Of(s.NsPerOp[untraced]).Median), "", "", "", "", ""})
		for _, sum := range s.summaries(r.tracers) {
			confidence = min(confidence, sum.AddedNs.Confidence)
			rows = append(rows, []string{
				s.Workload, sum.Tracer,
				micros(trials.Of(s.NsPerOp[sum.Tracer]).Median),
				micros(sum.AddedNs.Median),
				micros(sum.AddedNs.Lo) + "–" + micros(sum.AddedNs.Hi),
				fmt.Sprintf("%.1f", sum.Slowdown.Median),
				ratioCell(sum.ToFloor),
				ratioCell(sum.ToStrace),
			})
		}
		s.writeVerdicts(&verdicts)
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nMedians; intervals contain the true median with at least %.0f %%; ~: the difference is noise.\n", 100*min(confidence, trials.Level))
	if verdicts.Len() > 0 {
		fmt.Fprintf(w, "\n%s", verdicts.String())
	}
	fmt.Fprintln(w)
	return nil
}

// writeVerdicts writes what became of the targets of one workload.
func (s *series) writeVerdicts(w io.Writer) {
	for _, goal := range targets {
		if e := s.NsPerOp.compared(sysprofC, goal.other); e != nil {
			fmt.Fprintf(w, "- sysprof ÷ %s ≤ %.2f on %s: %.2f, %s\n", goal.other, goal.ratio, s.Workload, e.Median, verdictOn(e, goal.ratio))
		}
	}
	if most, ok := mostOfStacks[s.Workload]; ok {
		if e := s.NsPerOp.comparedStacks(); e != nil {
			fmt.Fprintf(w, "- stacks ÷ %s ≤ %.2f on %s: %.2f (%.2f–%.2f), %s\n", floorGo, most, s.Workload, e.Median, e.Lo, e.Hi, verdictOn(e, most))
		}
	}
}

func micros(ns float64) string { return fmt.Sprintf("%.3f", ns/1e3) }

// ratioCell prints a ratio with its interval, and ~ for a ratio that does not differ from 1.
func ratioCell(e *trials.Estimate) string {
	return cell(e, 1, func(ratio float64) string { return fmt.Sprintf("%.2f", ratio) })
}

// cell prints an estimate with its interval, and nothing for one that was not measured.
func cell(e *trials.Estimate, same float64, format func(float64) string) string {
	if e == nil {
		return ""
	}
	median, lo, hi := e.Cells(same, format)
	if lo == "" {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, lo, hi)
}

// verdictOn says whether the median is within a limit, and whether that may be noise.
func verdictOn(e *trials.Estimate, limit float64) string {
	word := "missed"
	if e.Median <= limit {
		word = "reached"
	}
	if e.Contains(limit) {
		word += ", within noise"
	}
	return word
}

// writeTable prints rows. The first one is the heading.
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

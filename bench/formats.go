package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sysprof/bench/chart"
	"sysprof/profile/trials"
)

// writeGoFormat writes every round in the Go benchmark format
// (golang.org/design/14313-benchmark-format). benchstat reads that, and computes medians and intervals
// of its own.
func (r *results) writeGoFormat(w io.Writer) error {
	var out bytes.Buffer
	m := &r.Machine
	fmt.Fprintf(&out, "goos: linux\ngoarch: %s\npkg: sysprof/bench\ncpu: %s\nkernel: %s\n", m.GOARCH, m.CPUModel, m.Kernel)
	for _, s := range r.Timed {
		for _, ns := range s.NsPerOp[untraced] {
			fmt.Fprintf(&out, "BenchmarkUntraced/%s 1 %.1f ns/call\n", s.Workload, ns)
		}
		for _, t := range s.NsPerOp.measuredUnder(r.tracers) {
			for _, ns := range s.NsPerOp.added(t.name) {
				fmt.Fprintf(&out, "BenchmarkAdded/%s/%s 1 %.1f ns/call\n", s.Workload, benchmarkName(t.name), ns)
			}
		}
	}
	for _, row := range r.Matrix {
		for _, t := range r.tracers {
			for i, ns := range row.Ns[t.name] {
				group, name, _ := strings.Cut(row.Workload, "/")
				fmt.Fprintf(&out, "BenchmarkMatrix/group=%s/workload=%s/tracer=%s 1 %.1f ns/op", group, name, benchmarkName(t.name), ns)
				if p99 := row.P99Ns[t.name]; i < len(p99) {
					fmt.Fprintf(&out, " %.0f p99-ns/op", p99[i])
				}
				if row.Calls > 0 {
					fmt.Fprintf(&out, " %.0f calls/s", row.callRate(t.name)[i])
				}
				out.WriteByte('\n')
			}
		}
	}
	if r.Memory != nil {
		for _, p := range r.Memory.Phases {
			fmt.Fprintf(&out, "BenchmarkResident/%s 1 %d B\n", p.After, p.ResidentKB*1024)
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeJSON writes every round, the medians with their intervals, and what became of the targets.
func (r *results) writeJSON(w io.Writer) error {
	var timed []timedSummary
	for _, s := range r.Timed {
		timed = append(timed, s.summaries(r.tracers)...)
	}
	var matrix []matrixSummary
	for _, row := range r.Matrix {
		matrix = append(matrix, row.summaries(r.tracers)...)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "\t")
	out.SetEscapeHTML(false) // a warning may have a > in it
	return out.Encode(struct {
		*results
		Summaries []timedSummary  `json:"summaries,omitempty"`
		Matrix    []matrixSummary `json:"matrix_summaries,omitempty"`
		Targets   []verdict       `json:"targets,omitempty"`
		Warnings  []string        `json:"warnings,omitempty"` // about the estimates
	}{r, timed, matrix, r.verdicts(), r.warnings()})
}

// benchmarkName replaces spaces, since a space ends the name of a benchmark.
func benchmarkName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// writeChart draws the slowdowns of the matrix.
func (r *results) writeChart(w io.Writer) error {
	var rows []chart.Row
	for _, row := range r.Matrix {
		drawn := chart.Row{Name: row.Workload}
		for _, t := range row.Ns.measuredUnder(r.tracers) {
			e := trials.Of(row.Ns.slowdown(t.name))
			drawn.Points = append(drawn.Points, chart.Point{Series: t.name, Value: e.Median, Low: e.Lo, High: e.Hi})
		}
		rows = append(rows, drawn)
	}
	return chart.Slowdowns(w, rows)
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sysprof/bench/chart"
)

// writeGoFormat writes every round in the Go benchmark format
// (golang.org/design/14313-benchmark-format), which benchstat reads: benchstat takes the medians
// itself.
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

// writeJSON writes everything, with the medians and their intervals.
func (r *results) writeJSON(w io.Writer) error {
	type summary struct {
		Workload string    `json:"workload"`
		Tracer   string    `json:"tracer"`
		AddedNs  estimate  `json:"added_ns_per_call"`
		Slowdown estimate  `json:"slowdown"`
		ToFloor  *estimate `json:"to_floor,omitempty"`
		ToStrace *estimate `json:"to_strace,omitempty"`
	}
	var summaries []summary
	for _, s := range r.Timed {
		for _, t := range s.NsPerOp.measuredUnder(r.tracers) {
			summaries = append(summaries, summary{s.Workload, t.name,
				estimateOf(s.NsPerOp.added(t.name)), estimateOf(s.NsPerOp.slowdown(t.name)),
				s.NsPerOp.compared(t.name, floorGo), s.NsPerOp.compared(t.name, straceC)})
		}
	}
	var matrix []matrixSummary
	for _, row := range r.Matrix {
		for _, t := range row.Ns.measuredUnder(r.tracers) {
			matrix = append(matrix, row.summary(t.name))
		}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "\t")
	return out.Encode(struct {
		*results
		Summaries []summary       `json:"summaries,omitempty"`
		Matrix    []matrixSummary `json:"matrix_summaries,omitempty"`
		Targets   []verdict       `json:"targets,omitempty"`
	}{r, summaries, matrix, r.verdicts()})
}

// matrixSummary is what the table has of one tracer and workload of the matrix.
type matrixSummary struct {
	Workload string    `json:"workload"`
	Tracer   string    `json:"tracer"`
	Slowdown estimate  `json:"slowdown"`
	AddedNs  *estimate `json:"added_ns_per_call,omitempty"`
	CallRate *estimate `json:"calls_per_second,omitempty"`
	ToFloor  *estimate `json:"to_pinned_floor,omitempty"`
	ToStrace *estimate `json:"to_strace,omitempty"`
}

func (row *row) summary(tracer string) matrixSummary {
	s := matrixSummary{Workload: row.Workload, Tracer: tracer, Slowdown: estimateOf(row.Ns.slowdown(tracer)),
		ToFloor: row.Ns.compared(tracer, floorPinned), ToStrace: row.Ns.compared(tracer, straceC)}
	if row.Calls > 0 {
		added, rate := estimateOf(row.perCall(tracer)), estimateOf(row.callRate(tracer))
		s.AddedNs, s.CallRate = &added, &rate
	}
	return s
}

// benchmarkName is a name without spaces, which would end it.
func benchmarkName(name string) string { return strings.ReplaceAll(name, " ", "_") }

// writeChart draws the slowdowns of the matrix.
func (r *results) writeChart(w io.Writer) error {
	var rows []chart.Row
	for _, row := range r.Matrix {
		drawn := chart.Row{Name: row.Workload}
		for _, t := range row.Ns.measuredUnder(r.tracers) {
			e := estimateOf(row.Ns.slowdown(t.name))
			drawn.Points = append(drawn.Points, chart.Point{Series: t.name, Value: e.Median, Low: e.Lo, High: e.Hi})
		}
		rows = append(rows, drawn)
	}
	return chart.Slowdowns(w, rows)
}

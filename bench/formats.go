package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
		for _, t := range s.measured(r.tracers) {
			for _, ns := range s.added(t.name) {
				fmt.Fprintf(&out, "BenchmarkAdded/%s/%s 1 %.1f ns/call\n", s.Workload, t.name, ns)
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
		for _, t := range s.measured(r.tracers) {
			summaries = append(summaries, summary{s.Workload, t.name,
				estimateOf(s.added(t.name)), estimateOf(s.slowdown(t.name)),
				s.compared(t.name, floorGo), s.compared(t.name, straceC)})
		}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "\t")
	return out.Encode(struct {
		*results
		Summaries []summary `json:"summaries,omitempty"`
	}{r, summaries})
}

// compared is what tracer adds ÷ what other adds; nil for itself and for what was not measured.
func (s *series) compared(tracer, other string) *estimate {
	ratios := s.ratio(tracer, other)
	if tracer == other || len(ratios) == 0 {
		return nil
	}
	e := estimateOf(ratios)
	return &e
}

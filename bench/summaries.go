package main

import "sysprof/profile/trials"

// timedSummary is what the tables and the JSON say of one tracer and one workload on one CPU.
type timedSummary struct {
	Workload string           `json:"workload"`
	Tracer   string           `json:"tracer"`
	AddedNs  trials.Estimate  `json:"added_ns_per_call"`
	Slowdown trials.Estimate  `json:"slowdown"`
	ToFloor  *trials.Estimate `json:"to_floor,omitempty"`
	ToStrace *trials.Estimate `json:"to_strace,omitempty"`
}

// summaries returns a summary for each of the tracers that was measured.
func (s *series) summaries(tracers []tracer) (list []timedSummary) {
	for _, t := range s.NsPerOp.measuredUnder(tracers) {
		list = append(list, timedSummary{s.Workload, t.name,
			trials.Of(s.NsPerOp.added(t.name)), trials.Of(s.NsPerOp.slowdown(t.name)),
			s.NsPerOp.compared(t.name, floorGo), s.NsPerOp.compared(t.name, straceC)})
	}
	return list
}

func (s *timedSummary) estimates() []*trials.Estimate {
	return []*trials.Estimate{&s.AddedNs, &s.Slowdown, s.ToFloor, s.ToStrace}
}

// matrixSummary is what the tables and the JSON say of one tracer and one workload of the matrix.
type matrixSummary struct {
	Workload string           `json:"workload"`
	Tracer   string           `json:"tracer"`
	Slowdown trials.Estimate  `json:"slowdown"`
	AddedNs  *trials.Estimate `json:"added_ns_per_call,omitempty"`
	CallRate *trials.Estimate `json:"calls_per_second,omitempty"`
	ToFloor  *trials.Estimate `json:"to_pinned_floor,omitempty"`
	ToStrace *trials.Estimate `json:"to_strace,omitempty"`
}

// summaries returns a summary for each of the tracers that was measured.
func (row *row) summaries(tracers []tracer) (list []matrixSummary) {
	for _, t := range row.Ns.measuredUnder(tracers) {
		s := matrixSummary{Workload: row.Workload, Tracer: t.name, Slowdown: trials.Of(row.Ns.slowdown(t.name)),
			ToFloor: row.Ns.compared(t.name, floorPinned), ToStrace: row.Ns.compared(t.name, straceC)}
		if row.Calls > 0 {
			added, rate := trials.Of(row.perCall(t.name)), trials.Of(row.callRate(t.name))
			s.AddedNs, s.CallRate = &added, &rate
		}
		list = append(list, s)
	}
	return list
}

func (s *matrixSummary) estimates() []*trials.Estimate {
	return []*trials.Estimate{&s.Slowdown, s.AddedNs, s.CallRate, s.ToFloor, s.ToStrace}
}

// warnings lists what the statistics say against the estimates of all parts.
func (r *results) warnings() []string {
	var all []*trials.Estimate
	for _, s := range r.Timed {
		for _, summary := range s.summaries(r.tracers) {
			all = append(all, summary.estimates()...)
		}
	}
	for _, row := range r.Matrix {
		for _, summary := range row.summaries(r.tracers) {
			all = append(all, summary.estimates()...)
		}
	}
	for _, v := range r.verdicts() {
		all = append(all, v.Measured)
	}
	return trials.Warnings(all)
}

package compare

import (
	"math"
	"slices"

	"sysprof/profile"
	"sysprof/profile/trials"
	"sysprof/report"
)

// comparison is what there is so far.
func (r *runner) comparison() *report.Comparison {
	alone := r.tracers[0]
	c := &report.Comparison{
		Rounds:     len(r.samples(alone)),
		Untraced:   report.Compared{Name: untraced, Time: trials.Of(times(r.samples(alone)))},
		Unmeasured: r.missing,
	}
	for _, t := range r.tracers {
		if t.failed != "" {
			c.LeftOut = append(c.LeftOut, report.LeftOut{Name: t.name, Why: t.failed})
			continue
		}
		samples := r.samples(t)
		if !t.hidesStatus {
			c.Endings = append(c.Endings, endings(t.name, samples)...)
		}
		if t == alone || len(samples) == 0 {
			continue
		}
		c.Tracers = append(c.Tracers, r.compared(t, samples))
		if t.name == sysprof {
			c.Estimated, c.Sysprof = r.estimated(t, &c.Untraced.Time), r.ownTime(t)
			c.Warnings = warnings(samples)
		}
	}
	return c
}

// samples are the runs of a tracer, in the order of the rounds.
func (r *runner) samples(t *tracer) (list []*sample) {
	for _, round := range r.rounds {
		if s := round[t]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// paired has a value for each round in which the command has run alone, under a tracer, and under sysprof, who knows the
// number of calls. A value that is NaN is left out.
func (r *runner) paired(t *tracer, f func(s, alone, counted *sample) float64) (values []float64) {
	for _, round := range r.rounds {
		s, alone, counted := round[t], round[r.tracers[0]], round[r.tracers[1]]
		if s == nil || alone == nil || counted == nil {
			continue
		}
		if v := f(s, alone, counted); !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	return values
}

// compared says what a tracer makes of the command's time.
func (r *runner) compared(t *tracer, samples []*sample) report.Compared {
	return report.Compared{
		Name: t.name,
		Time: trials.Of(times(samples)),
		Slowdown: trials.Of(r.paired(t, func(s, alone, _ *sample) float64 {
			return float64(s.ns) / float64(alone.ns)
		})),
		Added: trials.Of(r.paired(t, func(s, alone, counted *sample) float64 {
			return float64(s.ns-alone.ns) / float64(counted.stopped)
		})),
		Calls: callsCounted(samples),
	}
}

// estimated holds sysprof's estimates of the untraced time against the one that was measured. It returns nil if there are
// none, as with --raw.
func (r *runner) estimated(t *tracer, measured *trials.Estimate) *report.Estimated {
	e := report.Estimated{}
	var ns []float64
	for _, s := range r.samples(t) {
		if s.overhead == nil || s.overhead.UntracedNs.Ns <= 0 {
			continue
		}
		u := s.overhead.UntracedNs
		ns = append(ns, float64(u.Ns))
		e.Runs++
		if float64(u.LowNs) <= measured.Median && measured.Median <= float64(u.HighNs) {
			e.Held++
		}
	}
	if e.Runs == 0 {
		return nil
	}
	e.Time = trials.Of(ns)
	e.ToMeasured = trials.Of(r.paired(t, func(s, alone, _ *sample) float64 {
		if s.overhead == nil || s.overhead.UntracedNs.Ns <= 0 {
			return math.NaN()
		}
		return float64(s.overhead.UntracedNs.Ns) / float64(alone.ns)
	}))
	return &e
}

// ownTime tells sysprof's own time from that of tracing. It returns nil if it is not known how long sysprof traced.
func (r *runner) ownTime(t *tracer) *report.OwnTime {
	own := func(s *sample) float64 {
		if s.overhead == nil || s.overhead.WallNs <= 0 {
			return math.NaN()
		}
		return float64(s.ns - s.overhead.WallNs)
	}
	values := r.paired(t, func(s, _, _ *sample) float64 { return own(s) })
	if len(values) == 0 {
		return nil
	}
	return &report.OwnTime{
		Time: trials.Of(values),
		Added: trials.Of(r.paired(t, func(s, alone, counted *sample) float64 {
			return (float64(s.ns-alone.ns) - own(s)) / float64(counted.stopped)
		})),
	}
}

func times(samples []*sample) (ns []float64) {
	for _, s := range samples {
		ns = append(ns, float64(s.ns))
	}
	return ns
}

func callsCounted(samples []*sample) report.CallsCounted {
	var calls []uint64
	for _, s := range samples {
		calls = append(calls, s.calls)
	}
	slices.Sort(calls)
	return report.CallsCounted{Least: calls[0], Median: calls[len(calls)/2], Most: calls[len(calls)-1]}
}

// endings counts how the runs of a tracer ended.
func endings(name string, samples []*sample) (list []report.RunsEnded) {
	for _, s := range samples {
		how := how(s.status)
		i := slices.IndexFunc(list, func(e report.RunsEnded) bool { return e.How == how })
		if i < 0 {
			i, list = len(list), append(list, report.RunsEnded{Name: name, How: how})
		}
		list[i].Runs++
	}
	return list
}

// warnings counts the runs of sysprof with a warning of each kind, and keeps the last one of it.
func warnings(samples []*sample) (list []report.RunsWarned) {
	for _, s := range samples {
		var seen []profile.WarningKind
		for _, w := range s.warnings {
			i := slices.IndexFunc(list, func(r report.RunsWarned) bool { return r.Warning.Kind == w.Kind })
			if i < 0 {
				i, list = len(list), append(list, report.RunsWarned{Of: len(samples)})
			}
			list[i].Warning = w
			if !slices.Contains(seen, w.Kind) {
				seen = append(seen, w.Kind)
				list[i].Runs++
			}
		}
	}
	return list
}

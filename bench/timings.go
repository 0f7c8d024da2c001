package main

import "slices"

// timings are the nanoseconds under each tracer, by its name, round by round.
type timings map[string][]float64

// measuredUnder lists the tracers of list, untraced aside, that there are figures of.
func (t timings) measuredUnder(list []tracer) []tracer {
	return slices.DeleteFunc(slices.Clone(list), func(tr tracer) bool {
		return tr.name == untraced || len(t[tr.name]) == 0
	})
}

// added is what a tracer adds, round by round.
func (t timings) added(tracer string) []float64 {
	return pairwise(t[tracer], t[untraced], func(traced, alone float64) float64 { return traced - alone })
}

// ratio is what one tracer adds ÷ what another adds, round by round; nothing if either was not
// measured.
func (t timings) ratio(tracer, other string) []float64 {
	return pairwise(t.added(tracer), t.added(other), func(a, b float64) float64 { return a / b })
}

// slowdown is traced ÷ untraced, round by round.
func (t timings) slowdown(tracer string) []float64 {
	return pairwise(t[tracer], t[untraced], func(traced, alone float64) float64 { return traced / alone })
}

// compared is what tracer adds ÷ what other adds; nil for itself, for what was not measured, and where
// it is not certain that the other adds anything.
func (t timings) compared(tracer, other string) *estimate {
	ratios := t.ratio(tracer, other)
	if tracer == other || len(ratios) == 0 || estimateOf(t.added(other)).Lo <= 0 {
		return nil
	}
	e := estimateOf(ratios)
	return &e
}

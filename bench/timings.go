package main

import (
	"slices"

	"sysprof/profile/trials"
)

// timings are the nanoseconds of each round, by the name of the tracer.
type timings map[string][]float64

// measuredUnder lists the tracers of the list that have timings, without untraced.
func (t timings) measuredUnder(list []tracer) []tracer {
	return slices.DeleteFunc(slices.Clone(list), func(tr tracer) bool {
		return tr.name == untraced || len(t[tr.name]) == 0
	})
}

// added returns what a tracer adds to the untraced time, round by round.
func (t timings) added(tracer string) []float64 {
	return trials.Differences(t[tracer], t[untraced])
}

// ratio returns what one tracer adds ÷ what another adds, round by round. It is empty if either was not
// measured.
func (t timings) ratio(tracer, other string) []float64 {
	return trials.Quotients(t.added(tracer), t.added(other))
}

// slowdown returns traced ÷ untraced, round by round.
func (t timings) slowdown(tracer string) []float64 {
	return trials.Quotients(t[tracer], t[untraced])
}

// compared estimates what tracer adds ÷ what other adds. It returns nil if the two are the same, if one
// was not measured, and if the interval of what other adds contains 0.
func (t timings) compared(tracer, other string) *trials.Estimate {
	ratios := t.ratio(tracer, other)
	if tracer == other || len(ratios) == 0 || trials.Of(t.added(other)).Lo <= 0 {
		return nil
	}
	e := trials.Of(ratios)
	return &e
}

// comparedStacks estimates what capturing a stack adds ÷ what floor adds. It returns nil if that was not measured.
func (t timings) comparedStacks() *trials.Estimate {
	if len(t[stacked]) == 0 || len(t[floorGo]) == 0 {
		return nil
	}
	e := trials.Of(trials.Quotients(trials.Differences(t[stacked], t[sysprofC]), t.added(floorGo)))
	return &e
}

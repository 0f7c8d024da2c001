package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sysprof/bench/workload"
	"sysprof/profile/trials"
)

// verdict is what became of one target of the matrix. Every target is a ratio within one run of bench.
type verdict struct {
	Target   string           `json:"target"`
	Limit    float64          `json:"limit"`
	AtLeast  bool             `json:"at_least,omitempty"` // the limit is a minimum, not a maximum
	Measured *trials.Estimate `json:"measured"`           // nil: it was not measured
	Reached  bool             `json:"reached"`
	Noise    bool             `json:"within_noise"` // the interval contains the limit
	Note     string           `json:"note,omitempty"`
}

// String returns the line that the tables print.
func (v *verdict) String() string {
	sign := "≤"
	if v.AtLeast {
		sign = "≥"
	}
	text := fmt.Sprintf("%s %s %.2f: ", v.Target, sign, v.Limit)
	if v.Measured == nil {
		text += "not measured"
	} else {
		text += fmt.Sprintf("%.2f (%.2f–%.2f), ", v.Measured.Median, v.Measured.Lo, v.Measured.Hi)
		if v.Reached {
			text += "reached"
		} else {
			text += "MISSED"
		}
		if v.Noise {
			text += ", within noise"
		}
	}
	if v.Note != "" {
		text += " (" + v.Note + ")"
	}
	return text
}

// The targets of sysprof, on two CPUs.
const (
	maxToStrace      = 0.20 // added ÷ added by strace, on programs that do little but make system calls
	maxMeanToStrace  = 0.35 // the same as a geometric mean over all programs
	maxWorstToStrace = 1.00 // the same on the program where it is greatest
	maxParallel      = 0.80 // the same on programs and servers of which several threads call at once
	maxToFloor       = 1.15 // added ÷ added by a pinned tracer that reads nothing
	minThroughput    = 3.00 // throughput of a server ÷ throughput under strace
	maxComputing     = 1.03 // traced ÷ untraced, of a program that computes
	maxFiltered      = 1.50 // traced ÷ untraced, with a filter that matches nothing
	maxBesideIdle    = 1.30 // added to a call beside 1,000 idle threads ÷ added without them
	minSecondCPU     = 1.50 // calls a second on two CPUs ÷ on one
)

// callBound lists programs that do little but make system calls.
var callBound = []string{"batch/getppid", "batch/dd-1", "batch/find", "batch/tar"}

// parallel lists programs and servers of which several threads call at once, all traced by one thread of the tracer's.
var parallel = []string{"batch/sched-messaging", "batch/sysbench-threads", "attached/pgbench-S-postmaster"}

// verdicts judges every target whose workload was measured.
func (r *results) verdicts() []verdict {
	return slices.Concat(r.programVerdicts(), r.parallelVerdicts(), r.serverVerdicts(), r.slowdownVerdicts(), r.crowdVerdicts())
}

// judge compares the median of the rounds with a limit. atLeast makes the limit a minimum.
func judge(target string, limit float64, atLeast bool, rounds []float64, note string) verdict {
	v := verdict{Target: target, Limit: limit, AtLeast: atLeast, Note: note}
	switch {
	case slices.ContainsFunc(rounds, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }):
		v.Note = "what it is divided by is noise"
	case len(rounds) > 0:
		e := trials.Of(rounds)
		v.Measured, v.Noise = &e, e.Confidence > 0 && e.Contains(limit)
		v.Reached = e.Median <= limit
		if atLeast {
			v.Reached = e.Median >= limit
		}
	}
	return v
}

// programVerdicts judges what sysprof adds to programs that run and end.
func (r *results) programVerdicts() (list []verdict) {
	for _, name := range callBound {
		if row := r.row(name); row != nil {
			list = append(list, judge("sysprof ÷ strace, added on "+name, maxToStrace, false, row.Ns.ratio(sysprofC, straceC), ""))
		}
	}
	if mean := r.overPrograms(); mean.programs > 0 {
		list = append(list,
			judge(fmt.Sprintf("sysprof ÷ strace, added, geometric mean over %d of the programs", mean.programs), maxMeanToStrace, false, mean.rounds, mean.note()),
			judge("sysprof ÷ strace, added, the worst program", maxWorstToStrace, false, mean.worst, mean.worstName))
	}
	for _, name := range callBound[:2] {
		if row := r.row(name); row != nil {
			list = append(list, judge("sysprof ÷ floor-c pinned, added on "+name, maxToFloor, false, row.Ns.ratio(sysprofC, floorPinned), ""))
		}
	}
	return list
}

// parallelVerdicts judges what sysprof adds where several threads call at once.
func (r *results) parallelVerdicts() (list []verdict) {
	for _, name := range parallel {
		if row := r.row(name); row != nil {
			list = append(list, judge("sysprof ÷ strace, added on "+name, maxParallel, false, row.Ns.ratio(sysprofC, straceC), ""))
		}
	}
	return list
}

// serverVerdicts judges the throughput of servers.
func (r *results) serverVerdicts() (list []verdict) {
	for _, name := range []string{"attached/redis", "attached/redis-P16", "attached/nginx"} {
		if row := r.row(name); row != nil {
			list = append(list, judge("throughput under sysprof ÷ under strace, "+name, minThroughput, true, trials.Quotients(row.Ns[straceC], row.Ns[sysprofC]), ""))
		}
	}
	return list
}

// slowdownVerdicts judges programs that tracing is not to slow down.
func (r *results) slowdownVerdicts() (list []verdict) {
	for _, one := range []struct {
		name  string
		limit float64
	}{{"batch/sysbench-cpu", maxComputing}, {"filter/nothing", maxFiltered}} {
		if row := r.row(one.name); row != nil {
			list = append(list, judge("sysprof ÷ untraced on "+one.name, one.limit, false, row.Ns.slowdown(sysprofC), ""))
		}
	}
	return list
}

// crowdVerdicts judges workloads of many threads or processes against others of few.
func (r *results) crowdVerdicts() (list []verdict) {
	alone, beside := r.row(workload.BusyAlone), r.row(workload.BusyBesideIdle)
	if alone != nil && beside != nil {
		list = append(list, judge("1,000 idle threads, traced: added per call of a busy one ÷ without them", maxBesideIdle, false,
			trials.Quotients(beside.Ns.added(sysprofC), alone.Ns.added(sysprofC)), r.idleUnder(straceC, alone, beside)))
	}
	if one, two := r.row(workload.HerdOneCPU), r.row(workload.HerdTwoCPUs); one != nil && two != nil {
		note := ""
		if of := trials.Quotients(one.Ns[untraced], two.Ns[untraced]); len(of) > 0 {
			note = fmt.Sprintf("untraced %.2f", trials.Of(of).Median)
		}
		list = append(list, judge("200 processes launched: calls/s on two CPUs ÷ on one", minSecondCPU, true, trials.Quotients(one.Ns[sysprofC], two.Ns[sysprofC]), note))
	}
	if herd := r.row(workload.HerdAttached); alone != nil && herd != nil {
		list = append(list, judge("200 processes attached to: calls/s on all CPUs ÷ of one busy process", minSecondCPU, true, trials.Quotients(alone.Ns[sysprofC], herd.Ns[sysprofC]), ""))
	}
	return list
}

// idleUnder says what the idle threads cost under another tracer. It is empty if that was not measured.
func (r *results) idleUnder(tracer string, alone, beside *row) string {
	of := trials.Quotients(beside.Ns.added(tracer), alone.Ns.added(tracer))
	if len(of) == 0 {
		return ""
	}
	return fmt.Sprintf("%s %.2f", tracer, trials.Of(of).Median)
}

// row returns a workload of the matrix, and nil if it was not measured.
func (r *results) row(name string) *row {
	i := slices.IndexFunc(r.Matrix, func(row *row) bool { return row.Workload == name })
	if i < 0 {
		return nil
	}
	return r.Matrix[i]
}

// programMean is what sysprof adds ÷ what strace adds, over all programs that run and end.
type programMean struct {
	programs  int
	rounds    []float64 // the geometric mean, round by round
	leftOut   []string  // programs without a ratio, since what strace adds is noise
	clamped   []string  // programs with a ratio below leastRatio in some round
	worst     []float64 // the ratios of the program with the greatest median
	worstName string
}

// leastRatio replaces smaller ratios in a geometric mean. A ratio is 0 or less if the run under sysprof
// was no longer than the untraced one, and a geometric mean needs positive values.
const leastRatio = 0.01

// overPrograms computes the means over the programs that were measured under both tracers.
func (r *results) overPrograms() (m programMean) {
	var all [][]float64
	for _, row := range r.Matrix {
		if row.w.Group() != workload.Batch {
			continue
		}
		ratios := row.Ns.ratio(sysprofC, straceC)
		if len(ratios) == 0 {
			continue
		}
		if e := trials.Of(row.Ns.added(straceC)); e.Lo <= 0 {
			m.leftOut = append(m.leftOut, row.Workload)
			continue
		}
		if len(m.worst) == 0 || trials.Of(ratios).Median > trials.Of(m.worst).Median {
			m.worst, m.worstName = ratios, row.Workload
		}
		above := slices.Clone(ratios)
		for i := range above {
			above[i] = max(above[i], leastRatio)
		}
		if slices.Min(ratios) < leastRatio {
			m.clamped = append(m.clamped, row.Workload)
		}
		all = append(all, above)
	}
	m.programs, m.rounds = len(all), geometricMeans(all)
	return m
}

func (m *programMean) note() string {
	var notes []string
	if len(m.leftOut) > 0 {
		notes = append(notes, "left out, since what strace adds is noise: "+strings.Join(m.leftOut, ", "))
	}
	if len(m.clamped) > 0 {
		notes = append(notes, fmt.Sprintf("taken as %.2f in some round: %s", leastRatio, strings.Join(m.clamped, ", ")))
	}
	return strings.Join(notes, "; ")
}

// geometricMeans returns the geometric mean of each round, for the rounds in which all have a value.
func geometricMeans(all [][]float64) (means []float64) {
	for i := 0; len(all) > 0; i++ {
		sum := 0.0
		for _, values := range all {
			if i >= len(values) {
				return means
			}
			sum += math.Log(values[i])
		}
		means = append(means, math.Exp(sum/float64(len(all))))
	}
	return means
}

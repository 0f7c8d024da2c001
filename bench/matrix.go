package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"sysprof/bench/workload"
)

// row is one workload of the matrix: what a unit of it took under each tracer, round by round.
type row struct {
	Workload string   `json:"workload"`
	What     string   `json:"what"`
	Unit     string   `json:"unit"`           // what is timed: run, call, request, transaction
	Calls    float64  `json:"calls_per_unit"` // counted by sysprof in a run of its own; 0: unknown
	Ns       timings  `json:"ns_per_unit"`
	P99Ns    timings  `json:"p99_ns,omitempty"` // 99 % of the units took at most that, where the program says so
	Load     load     `json:"load"`             // on all CPUs
	Failed   []string `json:"failed,omitempty"` // tracers that could not be measured, and why

	w        workload.Workload
	tracers  []tracer
	measured time.Duration // for the mean of the load
}

// measureMatrix measures the chosen workloads on all CPUs, as people run them. A round runs every workload
// once under every tracer, in an order of the tracers that is shuffled anew. missing says which workloads
// are left out, and why.
func measureMatrix(ctx context.Context, k *toolkit, opt *options, tracers []tracer, progress io.Writer) (rows []*row, missing []string, err error) {
	env, err := k.workloads(opt.scale)
	if err != nil {
		return nil, nil, err
	}
	r := runner{k: k, env: env, cpus: allowedCPUs()}
	for _, w := range workload.All() {
		if !opt.only.MatchString(w.Name) {
			continue
		}
		if why := r.prepare(&w); why != "" {
			missing = append(missing, fmt.Sprintf("%s is left out: %s", w.Name, why))
			continue
		}
		rows = append(rows, newRow(w, tracers))
	}
	for _, row := range rows {
		fmt.Fprintf(progress, "bench: %s, its calls are counted\n", row.Workload)
		if row.Calls, err = r.count(ctx, &row.w); err != nil {
			row.Failed = append(row.Failed, "counting its calls: "+err.Error())
		}
	}
	for round := range opt.rounds {
		for _, row := range rows {
			start := time.Now()
			if err := row.measure(ctx, &r); err != nil {
				return nil, nil, err
			}
			fmt.Fprintf(progress, "bench: %s, round %d of %d, %d tracers, %.1f s\n",
				row.Workload, round+1, opt.rounds, len(row.tracers), time.Since(start).Seconds())
		}
	}
	return rows, missing, nil
}

// newRow returns a row without figures, for those of the tracers that the workload is measured with.
func newRow(w workload.Workload, tracers []tracer) *row {
	row := &row{Workload: w.Name, What: w.What, Unit: w.Unit, Ns: timings{}, P99Ns: timings{}, w: w}
	if row.Unit == "" {
		row.Unit = "run"
	}
	row.tracers = slices.DeleteFunc(slices.Clone(tracers), func(t tracer) bool { return !t.measures(&w) })
	return row
}

// measure measures one round. A tracer that fails is left out of this round and all later ones. An error
// is returned only if the bench has to end.
func (row *row) measure(ctx context.Context, r *runner) error {
	meter, err := startLoadMeter(allCPUs)
	if err != nil {
		return err
	}
	tracers := slices.Clone(row.tracers)
	for _, i := range rand.Perm(len(tracers)) {
		t := tracers[i]
		sample, err := r.once(ctx, &row.w, &t)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			row.fail(&t, err)
			continue
		}
		row.Ns[t.name] = append(row.Ns[t.name], sample.Ns)
		if sample.P99Ns > 0 {
			row.P99Ns[t.name] = append(row.P99Ns[t.name], sample.P99Ns)
		}
	}
	end, err := startLoadMeter(allCPUs)
	if err != nil {
		return err
	}
	row.addLoad(meter.until(end), end.start.Sub(meter.start))
	return nil
}

// fail records that a tracer failed, and leaves it out from now on. Nothing is left to measure if the
// untraced run failed.
func (row *row) fail(t *tracer, err error) {
	row.Failed = append(row.Failed, fmt.Sprintf("%s: %v", t.name, err))
	row.tracers = slices.DeleteFunc(row.tracers, func(other tracer) bool { return other.name == t.name || t.name == untraced })
}

// addLoad adds the load of one round to the mean over all rounds, weighted by their durations.
func (row *row) addLoad(l load, during time.Duration) {
	before, now := row.measured.Seconds(), during.Seconds()
	mean := func(a, b float64) float64 { return (a*before + b*now) / (before + now) }
	row.Load = load{OtherCPUs: mean(row.Load.OtherCPUs, l.OtherCPUs), Steal: mean(row.Load.Steal, l.Steal)}
	row.measured += during
}

// perCall returns the nanoseconds that a tracer adds to a call, round by round. It is empty if the number
// of calls is not known.
func (row *row) perCall(tracer string) []float64 {
	if row.Calls == 0 {
		return nil
	}
	added := row.Ns.added(tracer)
	for i := range added {
		added[i] /= row.Calls
	}
	return added
}

// callRate returns how many calls of the workload a tracer saw in a second, round by round.
func (row *row) callRate(tracer string) []float64 {
	rates := make([]float64, len(row.Ns[tracer]))
	for i, ns := range row.Ns[tracer] {
		rates[i] = row.Calls / ns * 1e9
	}
	return rates
}

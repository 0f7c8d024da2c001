package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sysprof/bench/workload"
	"sysprof/profile/trials"
)

// groups are the tables that the matrix is printed in.
var groups = []struct{ name, title string }{
	{workload.Batch, "Programs that run and end"},
	{workload.Attached, "Servers under load, attached to"},
	{workload.Filter, "With a filter"},
	{workload.Crowd, "Many threads, many processes"},
}

// writeMatrix writes the tables of the matrix, the failures, and what became of the targets.
func (r *results) writeMatrix(w io.Writer) error {
	rounds := 0
	for _, row := range r.Matrix {
		rounds = max(rounds, len(row.Ns[untraced]))
	}
	for _, g := range groups {
		rows := slices.DeleteFunc(slices.Clone(r.Matrix), func(row *row) bool { return row.w.Group() != g.name })
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s, on all CPUs:\n\n", g.title)
		cells := [][]string{{"workload", "tracer", rateOrTime(rows), "p99", "slowdown", "added µs/call", "calls, calls/s", "÷ floor-c pinned", "÷ strace"}}
		for _, row := range rows {
			cells = append(cells, row.cells(r.tracers)...)
		}
		if err := writeTable(w, cells); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Medians of %d rounds with an interval that contains the true median with %.0f %%; ~: the difference is noise.\n",
		rounds, 100*trials.Of(make([]float64, rounds)).Confidence)
	fmt.Fprintf(w, "÷: what a tracer adds ÷ what another adds. calls/s: calls of the workload that went through the tracer.\n\n")
	for _, row := range r.Matrix {
		for _, failed := range row.Failed {
			fmt.Fprintf(w, "- FAILED: %s under %s\n", row.Workload, strings.ReplaceAll(failed, "\n", "; "))
		}
	}
	r.writeOtherWork(w)
	if verdicts := r.verdicts(); len(verdicts) > 0 {
		fmt.Fprintf(w, "Targets:\n\n")
		for _, v := range verdicts {
			fmt.Fprintf(w, "- %s\n", &v)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// writeOtherWork writes, for each workload, how busy the machine was with other work.
func (r *results) writeOtherWork(w io.Writer) {
	var words []string
	for _, row := range r.Matrix {
		words = append(words, fmt.Sprintf("%s %.0f %%", row.Workload, 100*(row.Load.OtherCPUs+row.Load.Steal)))
	}
	fmt.Fprintf(w, "- other work meanwhile, in percent of a CPU, of %d: %s\n\n", r.Machine.CPUs, strings.Join(words, ", "))
}

// cells returns the lines of one workload: one for the untraced run, and one for each tracer.
func (row *row) cells(tracers []tracer) [][]string {
	first := func(tracer string) []string {
		p99 := ""
		if values := row.P99Ns[tracer]; len(values) > 0 {
			p99 = duration(trials.Of(values).Median)
		}
		return []string{row.Workload, tracer, row.value(trials.Of(row.Ns[tracer]).Median), p99}
	}
	if len(row.Ns[untraced]) == 0 {
		return nil
	}
	calls := ""
	if row.Calls > 0 {
		calls = row.callsPerUnit()
	}
	lines := [][]string{append(first(untraced), "", "", calls, "", "")}
	for _, s := range row.summaries(tracers) {
		rate := ""
		if s.CallRate != nil {
			rate = fmt.Sprintf("%.0f", s.CallRate.Median)
		}
		lines = append(lines, append(first(s.Tracer), ratioCell(&s.Slowdown), addedCell(s.AddedNs), rate,
			ratioCell(s.ToFloor), ratioCell(s.ToStrace)))
	}
	return lines
}

// addedCell prints what a tracer adds to a call, with its interval, and ~ if that does not differ from 0.
func addedCell(ns *trials.Estimate) string {
	return cell(ns, 0, func(ns float64) string { return fmt.Sprintf("%.2f", ns/1e3) })
}

// callsPerUnit says how many calls a unit makes. A request makes few calls, so it gets a decimal.
func (row *row) callsPerUnit() string {
	switch {
	case row.Unit == "call":
		return ""
	case row.Calls < 100:
		return fmt.Sprintf("%.1f a %s", row.Calls, row.Unit)
	}
	return fmt.Sprintf("%.0f a %s", row.Calls, row.Unit)
}

// rateOrTime returns the heading of the column that row.value fills.
func rateOrTime(rows []*row) string {
	if slices.ContainsFunc(rows, (*row).isRate) {
		return "throughput"
	}
	return "time"
}

func (row *row) isRate() bool { return row.Unit == "request" || row.Unit == "transaction" }

// value prints the time of a unit, or how many units there are in a second.
func (row *row) value(ns float64) string {
	if row.isRate() {
		return fmt.Sprintf("%.0f %ss/s", 1e9/ns, row.Unit)
	}
	return duration(ns)
}

// duration prints nanoseconds with three digits, in the greatest unit that fits.
func duration(ns float64) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if v := ns / float64(unit.size); v >= 1 {
			return fmt.Sprintf("%.3g %s", v, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}

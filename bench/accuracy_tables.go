package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The targets of accuracy, in nanoseconds or as a share of the truth, whichever is more.
const (
	medianShare, medianNs = 0.05, 200
	meanShare, meanNs     = 0.10, 300
	runShare              = 0.10
)

// off is how far what was measured is from the truth, round by round.
func off(measured, truth []float64) estimate {
	return estimateOf(pairwise(measured, truth, func(m, t float64) float64 { return m - t }))
}

// within reports whether an error is within the target.
func within(off, truth, share, ns float64) bool { return max(off, -off) <= max(share*truth, ns) }

// writeTable prints what was measured, with a cross where a target is missed, and names those.
func (a *accuracy) writeTable(w io.Writer) error {
	for _, line := range a.Missing {
		fmt.Fprintf(w, "- %s\n", line)
	}
	for _, s := range a.Settings {
		fmt.Fprintf(w, "\n### %s\n\n%d rounds; other work meanwhile: %.0f %% of this CPU, %.0f %% of a CPU elsewhere, %.0f %% stolen\n\n",
			s.setting, a.Rounds, 100*s.Load.SameCPU, 100*s.Load.OtherCPUs, 100*s.Load.Steal)
		if err := s.writeTables(w); err != nil {
			return err
		}
	}
	return nil
}

func (s *settingResult) writeTables(w io.Writer) error {
	middle := func(values []float64) float64 { return estimateOf(values).Median }
	var missed []string
	if len(s.Calls) > 0 {
		rows := [][]string{{"call", "truth median", "sysprof median", "off", "truth mean", "sysprof mean", "off", "strace mean", "perf mean"}}
		for _, c := range s.Calls {
			truth, truthMean := middle(c.TruthMedian), middle(c.TruthMean)
			medianOff, meanOff := off(c.Median, c.TruthMedian), off(c.Mean, c.TruthMean)
			cell := func(what string, off estimate, truth, share, ns float64) string {
				cell, noise := signedMicros(off.Median), ""
				if within(off.Median, truth, share, ns) {
					return cell
				}
				if nearest := min(max(0, off.Lo), off.Hi); within(nearest, truth, share, ns) {
					noise = " ~"
				}
				missed = append(missed, c.Call+" "+what+noise)
				return cell + " ✗" + noise
			}
			row := []string{c.Call,
				micros(truth), micros(middle(c.Median)),
				cell("median", medianOff, truth, medianShare, medianNs),
				micros(truthMean), micros(middle(c.Mean)),
				cell("mean", meanOff, truthMean, meanShare, meanNs),
				"", ""}
			if len(c.Strace) > 0 {
				row[7] = micros(middle(c.Strace))
			}
			if len(c.Perf) > 0 {
				row[8] = micros(middle(c.Perf))
			}
			rows = append(rows, row)
		}
		if err := writeTable(w, rows); err != nil {
			return err
		}
		fmt.Fprintf(w, "\nµs a call. ✗: the median is not within max(5 %%, 0.2 µs) of the truth, the mean not within max(10 %%, 0.3 µs);\n~: rounds differ so much from each other that it may be noise.\n\n")
	}
	if len(s.Runs) > 0 {
		rows := [][]string{{"program", "untraced ms", "traced ms", "estimate ms", "off %", "worst round %", "range holds it", "warned", "silent and off"}}
		for _, r := range s.Runs {
			row, silent := r.row()
			if silent > len(r.Estimate)/10 {
				missed = append(missed, r.Run)
				row[len(row)-1] += " ✗"
			}
			rows = append(rows, row)
		}
		if err := writeTable(w, rows); err != nil {
			return err
		}
		fmt.Fprintf(w, "\nMedians. silent and off: rounds more than 10 %% off without a warning. ✗: that was so in more than one round of ten.\n\n")
	}
	if len(missed) == 0 {
		missed = []string{"nothing"}
	}
	_, err := fmt.Fprintf(w, "Missed (%s): %s.\n", s.setting, strings.Join(missed, ", "))
	return err
}

// row is a program's row, and in how many rounds sysprof was off without a warning. The truth is the
// median of all rounds: a single run differs from another by more than a few per cent.
func (r *runRound) row() (row []string, silent int) {
	truth := estimateOf(r.Untraced).Median
	holds, warned, worst := 0, 0, 0.0
	for i, e := range r.Estimate {
		wrong := (e - truth) / truth
		if max(wrong, -wrong) > max(worst, -worst) {
			worst = wrong
		}
		if r.Low[i] <= truth && truth <= r.High[i] {
			holds++
		}
		if r.Warned[i] {
			warned++
		} else if !within(e-truth, truth, runShare, 0) {
			silent++
		}
	}
	n := len(r.Estimate)
	of := func(count int) string { return fmt.Sprintf("%d of %d", count, n) }
	estimated := estimateOf(r.Estimate).Median
	ms := func(ns float64) string { return fmt.Sprintf("%.2f", ns/float64(time.Millisecond)) }
	return []string{strings.TrimPrefix(r.Run, "run "), ms(truth), ms(estimateOf(r.Traced).Median), ms(estimated),
		fmt.Sprintf("%+.1f", 100*(estimated-truth)/truth), fmt.Sprintf("%+.1f", 100*worst),
		of(holds), of(warned), of(silent)}, silent
}

func signedMicros(ns float64) string { return fmt.Sprintf("%+.3f", ns/1e3) }

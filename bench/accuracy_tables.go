package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// The targets of accuracy. An error is to be at most that share of the truth, or at most that many
// nanoseconds.
const (
	medianShare, medianNs = 0.05, 200
	meanShare, meanNs     = 0.10, 300
	runShare              = 0.10
)

// errorOf estimates how far what was measured is from the truth.
func errorOf(measured, truth []float64) estimate {
	return estimateOf(pairwise(measured, truth, func(m, t float64) float64 { return m - t }))
}

// errors estimates how far sysprof's median and mean are from the true ones.
func (c *callLatency) errors() (median, mean estimate) {
	return errorOf(c.Median, c.TruthMedian), errorOf(c.Mean, c.TruthMean)
}

// estimates returns the estimates whose intervals decide what the tables say.
func (a *accuracy) estimates() (list []*estimate) {
	for _, s := range a.Settings {
		for _, c := range s.Calls {
			median, mean := c.errors()
			list = append(list, &median, &mean)
		}
	}
	return list
}

// within reports whether an error is within the target.
func within(err, truth, share, ns float64) bool { return max(err, -err) <= max(share*truth, ns) }

// medianOf returns the median of the rounds.
func medianOf(values []float64) float64 { return estimateOf(values).Median }

// writeTable prints what was measured. It marks and names the targets that were missed.
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

// writeTables prints the calls, the programs, and the names of those that missed a target.
func (s *settingResult) writeTables(w io.Writer) error {
	missed, err := s.writeCalls(w)
	if err != nil {
		return err
	}
	missedRuns, err := s.writeRuns(w)
	if err != nil {
		return err
	}
	if missed = append(missed, missedRuns...); len(missed) == 0 {
		missed = []string{"nothing"}
	}
	_, err = fmt.Fprintf(w, "Missed (%s): %s.\n", s.setting, strings.Join(missed, ", "))
	return err
}

// writeCalls prints the calls, and returns which missed a target.
func (s *settingResult) writeCalls(w io.Writer) (missed []string, err error) {
	if len(s.Calls) == 0 {
		return nil, nil
	}
	rows := [][]string{{"call", "truth median", "sysprof median", "off", "truth mean", "sysprof mean", "off", "strace mean", "perf mean"}}
	for _, c := range s.Calls {
		truth, truthMean := medianOf(c.TruthMedian), medianOf(c.TruthMean)
		medianError, meanError := c.errors()
		medianMark, meanMark := mark(medianError, truth, medianShare, medianNs), mark(meanError, truthMean, meanShare, meanNs)
		if medianMark != "" {
			missed = append(missed, c.Call+" median"+strings.TrimPrefix(medianMark, missMark))
		}
		if meanMark != "" {
			missed = append(missed, c.Call+" mean"+strings.TrimPrefix(meanMark, missMark))
		}
		row := []string{c.Call,
			micros(truth), micros(medianOf(c.Median)), signedMicros(medianError.Median) + medianMark,
			micros(truthMean), micros(medianOf(c.Mean)), signedMicros(meanError.Median) + meanMark,
			"", ""}
		if len(c.Strace) > 0 {
			row[7] = micros(medianOf(c.Strace))
		}
		if len(c.Perf) > 0 {
			row[8] = micros(medianOf(c.Perf))
		}
		rows = append(rows, row)
	}
	if err := writeTable(w, rows); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w, "\nµs a call. ✗: the median is not within max(5 %%, 0.2 µs) of the truth, the mean not within max(10 %%, 0.3 µs);\n~: rounds differ so much from each other that it may be noise.\n\n")
	return missed, err
}

const missMark = " ✗"

// mark returns missMark for an error that is not within the target, and adds ~ if the interval has a
// value that is.
func mark(err estimate, truth, share, ns float64) string {
	if within(err.Median, truth, share, ns) {
		return ""
	}
	if nearest := min(max(0, err.Lo), err.Hi); within(nearest, truth, share, ns) {
		return missMark + " ~"
	}
	return missMark
}

// writeRuns prints the programs, and returns which missed the target.
func (s *settingResult) writeRuns(w io.Writer) (missed []string, err error) {
	if len(s.Runs) == 0 {
		return nil, nil
	}
	rows := [][]string{{"program", "untraced ms", "traced ms", "estimate ms", "off %", "worst round %", "range has it", "warned", "silent and off"}}
	for _, r := range s.Runs {
		row, silent := r.row()
		if silent > len(r.Estimate)/10 {
			missed = append(missed, r.Run)
			row[len(row)-1] += missMark
		}
		rows = append(rows, row)
	}
	if err := writeTable(w, rows); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w, "\nMedians. silent and off: rounds more than 10 %% off without a warning. ✗: that was so in more than one round of ten.\n\n")
	return missed, err
}

// row returns a program's row, and in how many rounds sysprof was off without a warning. The truth is the
// median of all rounds, since single runs differ from each other by more than a few per cent.
func (r *runTime) row() (row []string, silent int) {
	truth := estimateOf(r.Untraced).Median
	inRange, warned, worst := 0, 0, 0.0
	for i, e := range r.Estimate {
		wrong := (e - truth) / truth
		if max(wrong, -wrong) > max(worst, -worst) {
			worst = wrong
		}
		if r.Low[i] <= truth && truth <= r.High[i] {
			inRange++
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
		of(inRange), of(warned), of(silent)}, silent
}

func signedMicros(ns float64) string { return fmt.Sprintf("%+.3f", ns/1e3) }

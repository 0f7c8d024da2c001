package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"sysprof/bench/workload"
)

// longestPause is how long a thread may stand still because it is attached to, and because it is left again.
const longestPause = 200 * time.Millisecond

// watched is how long a crowd is left alone, or traced, before its pauses are asked for.
const watched = 1500 * time.Millisecond

// crowdPauses are the pauses of a crowd under one tracer.
type crowdPauses struct {
	Crowd  string       `json:"crowd"`
	Tracer string       `json:"tracer"`
	Rounds []pauseRound `json:"rounds"`
}

// pauseRound are the longest pauses of one round, in ns: from the start of the tracer until it has traced for a while, and
// from before its end until the crowd has been alone for a while; untraced, of two such times with no tracer.
// What is without waits is what is left without the time that a thread waited for a CPU.
type pauseRound struct {
	Attach             int64 `json:"attach_ns"`
	AttachWithoutWaits int64 `json:"attach_without_waits_ns"`
	End                int64 `json:"end_ns"`
	EndWithoutWaits    int64 `json:"end_without_waits_ns"`
}

// pausing are the tracers whose pauses are measured.
var pausing = []string{untraced, sysprofC, straceC}

// measurePauses attaches tracers to crowds, one after the other, again and again.
func measurePauses(ctx context.Context, k *toolkit, tracers []tracer, opt *options, progress io.Writer) (all []*crowdPauses, missing []string, err error) {
	r := runner{k: k}
	for _, c := range workload.Throngs() {
		if !opt.only.MatchString(c.Name) {
			continue
		}
		if k.whyNoC != "" {
			missing = append(missing, fmt.Sprintf("%s is left out: %s", c.Name, k.whyNoC))
			continue
		}
		c = c.Scaled(opt.scale)
		fmt.Fprintf(progress, "bench: %s, %s, %d rounds\n", c.Name, c.What, opt.rounds)
		of := make(map[string]*crowdPauses)
		for _, t := range tracers {
			if slices.Contains(pausing, t.name) {
				of[t.name] = &crowdPauses{Crowd: c.Name, Tracer: t.name}
				all = append(all, of[t.name])
			}
		}
		crowd, err := workload.StartPausing(ctx, k.pauses, &c)
		if err != nil {
			return nil, nil, err
		}
		for range opt.rounds {
			for _, t := range tracers {
				if of[t.name] == nil {
					continue
				}
				round, failed := r.pauses(ctx, crowd, &t)
				if failed != nil {
					err = errors.Join(err, fmt.Errorf("%s: %w", t.name, failed))
				}
				of[t.name].Rounds = append(of[t.name].Rounds, round)
			}
		}
		if err := errors.Join(err, crowd.End()); err != nil {
			return nil, nil, err
		}
	}
	return all, missing, nil
}

// pauses attaches a tracer to a crowd, once.
func (r *runner) pauses(ctx context.Context, crowd *workload.Pausing, t *tracer) (round pauseRound, err error) {
	if _, _, err := crowd.Longest(ctx); err != nil {
		return round, err
	}
	detach := func() error { return nil }
	if t.name != untraced {
		if detach, err = r.attach(ctx, t, crowd.Pids); err != nil {
			return round, err
		}
	}
	time.Sleep(watched)
	longest, stood, err := crowd.Longest(ctx)
	round.Attach, round.AttachWithoutWaits = int64(longest), int64(stood)
	if err = errors.Join(err, detach()); err != nil {
		return round, err
	}
	time.Sleep(watched)
	longest, stood, err = crowd.Longest(ctx)
	round.End, round.EndWithoutWaits = int64(longest), int64(stood)
	return round, err
}

// writePauses prints the longest pause of all rounds, and what became of the target.
func writePauses(w io.Writer, all []*crowdPauses) error {
	rows := [][]string{{"longest pause of one thread, ms", "tracer", "at the attach", "without waits", "at the end", "without waits"}}
	worst := time.Duration(0)
	rounds := 0
	for _, p := range all {
		var most pauseRound
		for _, r := range p.Rounds {
			most.Attach = max(most.Attach, r.Attach)
			most.AttachWithoutWaits = max(most.AttachWithoutWaits, r.AttachWithoutWaits)
			most.End = max(most.End, r.End)
			most.EndWithoutWaits = max(most.EndWithoutWaits, r.EndWithoutWaits)
		}
		rounds = len(p.Rounds)
		if p.Tracer == sysprofC {
			worst = max(worst, time.Duration(max(most.AttachWithoutWaits, most.EndWithoutWaits)))
		}
		rows = append(rows, []string{p.Crowd, p.Tracer,
			millis(most.Attach), millis(most.AttachWithoutWaits), millis(most.End), millis(most.EndWithoutWaits)})
	}
	if err := writeTable(w, rows); err != nil {
		return err
	}
	word := "reached"
	if worst > longestPause {
		word = "missed"
	}
	fmt.Fprintf(w, "\nThe longest of %d rounds; without waits: less what the thread waited for a CPU meanwhile.\n\n", rounds)
	fmt.Fprintf(w, "- nobody stands still for more than %v for sysprof: %s ms, %s\n\n", longestPause, millis(int64(worst)), word)
	return nil
}

func millis(ns int64) string { return fmt.Sprintf("%.1f", float64(ns)/1e6) }

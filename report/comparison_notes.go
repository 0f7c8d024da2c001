package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sysprof/profile/trials"
)

// notes are the sentences under the table of a comparison, a line each.
func (c *Comparison) notes() string {
	var out strings.Builder
	for _, sentence := range slices.Concat([]string{c.method(), c.estimate(), c.ownTime(), c.endings()}, c.counts(), c.omissions(), c.warned()) {
		if sentence != "" {
			out.WriteString(Printable(sentence) + "\n")
		}
	}
	return out.String()
}

// method says how it was measured.
func (c *Comparison) method() string {
	if c.Rounds == 1 {
		return "one run each, after one that is not counted: that has no interval"
	}
	return fmt.Sprintf("medians of %d runs each, in turn, in an order shuffled anew each time, after one that is not counted; an interval has the true median in it with %.3g %%; %s may be chance",
		c.Rounds, 100*c.Untraced.Time.Confidence, trials.Noise)
}

// estimate holds what sysprof estimated against what was measured.
func (c *Comparison) estimate() string {
	e := c.Estimated
	if e == nil {
		return ""
	}
	median, lo, hi := e.ToMeasured.Cells(1, ratio)
	if lo != "" {
		median += " (" + dashed(lo, hi) + ")"
	}
	return fmt.Sprintf("estimated: the time without tracing, as sysprof says it after its own runs; ÷ the measured one: %s; the range that it gives had the measured one in it in %d of %s",
		median, e.Held, plural(uint64(e.Runs), "run"))
}

// ownTime says which part of the time under sysprof is not of the tracing.
func (c *Comparison) ownTime() string {
	o := c.Sysprof
	if o == nil {
		return ""
	}
	text := fmt.Sprintf("sysprof needs %s of its time once, before and after tracing (start, calibration, outputs)", humanNs(o.Time.Median))
	if math.IsNaN(o.Added.Median) || math.IsInf(o.Added.Median, 0) {
		return text
	}
	median, lo, hi := o.Added.Cells(0, humanNs)
	text += "; apart from that it adds " + median + " a call"
	if lo != "" {
		text += fmt.Sprintf(" (%s)", dashed(lo, hi))
	}
	return text
}

// endings says how the command ended, unless it succeeded always.
func (c *Comparison) endings() string {
	var ways []string
	who := make(map[string][]string)
	for _, e := range c.Endings {
		if who[e.How] == nil {
			ways = append(ways, e.How)
		}
		who[e.How] = append(who[e.How], fmt.Sprintf("%s %d", e.Name, e.Runs))
	}
	switch {
	case len(ways) == 1 && ways[0] == Succeeded, len(ways) == 0:
		return ""
	case len(ways) == 1:
		return "the command failed in every run: " + ways[0]
	}
	for i, how := range ways {
		ways[i] = fmt.Sprintf("%s (runs: %s)", how, strings.Join(who[how], ", "))
	}
	return "the command did not end in the same way in all runs, so that they may not compare: " + strings.Join(ways, "; ")
}

// Succeeded is how a run ends that went well.
const Succeeded = "exit status 0"

// notably is the part of a number of calls from which on a difference is said.
const notably = 0.05

// counts says where runs did not make the same number of calls.
func (c *Comparison) counts() (list []string) {
	var reference CallsCounted
	for i := range c.Tracers {
		t := &c.Tracers[i]
		n := t.Calls
		if n.Median == 0 {
			continue
		}
		if float64(n.Most-n.Least) > notably*float64(n.Median) {
			list = append(list, fmt.Sprintf("under %s, runs had %s to %s calls: what is added to a call is a matter of which run", t.Name, humanCount(n.Least), humanCount(n.Most)))
		}
		if reference.Median == 0 {
			reference = n
			continue
		}
		if share := float64(n.Median) / float64(reference.Median); math.Abs(share-1) > notably {
			list = append(list, fmt.Sprintf("%s counted %s, where %s counted %s", t.Name, plural(n.Median, "call"), c.Tracers[0].Name, humanCount(reference.Median)))
		}
	}
	return list
}

// omissions says which tracers are missing.
func (c *Comparison) omissions() (list []string) {
	for _, l := range c.LeftOut {
		list = append(list, fmt.Sprintf("%s is left out: %s", l.Name, l.Why))
	}
	if len(c.Unmeasured) > 0 {
		list = append(list, "not installed, and left out: "+strings.Join(c.Unmeasured, ", "))
	}
	return list
}

// warned lists what sysprof warned of.
func (c *Comparison) warned() (list []string) {
	for _, w := range c.Warnings {
		list = append(list, fmt.Sprintf("sysprof warned in %d of %s: %s", w.Runs, plural(uint64(w.Of), "run"), sentence(&w.Warning)))
	}
	return list
}

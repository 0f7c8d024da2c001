package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"sysprof/profile"
)

// Overhead prints what tracing cost, a sentence a line: a call and in all, what the run would have taken
// without it, and what it consists of. It prints nothing if that was not measured, or if nothing was
// traced.
func Overhead(w io.Writer, s *profile.Snapshot) error {
	o := s.Overhead
	if o == nil || o.Calls == 0 {
		return nil
	}
	var out bytes.Buffer
	holdNs := o.HoldNs / int64(min(o.Calls, 1<<62))
	if o.Source == profile.Uncorrected {
		fmt.Fprintf(&out, "the tracer held each call up for %s, %s in all%s, and made it slower in ways that were not measured\n",
			humanTime(holdNs), humanTime(o.HoldNs), shareOfWall(o.HoldNs, o.WallNs))
		out.WriteString("latencies are raw: the transit of each call is still in them\n")
	} else {
		fmt.Fprintf(&out, "tracing cost %s a call, %s in all%s\n",
			humanTime(int64(o.PerCall())), humanTime(o.TotalNs.Ns), shareOfWall(o.TotalNs.Ns, o.WallNs))
		writeUntraced(&out, o)
		fmt.Fprintf(&out, "of the %s a call, %s\n",
			humanTime(int64(o.PerCall())), partsOf(o, holdNs))
	}
	if o.Queued > 0 {
		inLine := ""
		if o.InLineNs.Ns > 0 {
			inLine = fmt.Sprintf("; entries and exits stood in line for about %s in all", humanTime(o.InLineNs.Ns))
		}
		fmt.Fprintf(&out, "%s (%s) ended while the tracer was busy with another thread%s\n",
			plural(o.Queued, "call"), percentSign(float64(o.Queued), float64(o.Calls)), inLine)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeUntraced says what the run would have taken without tracing, if that is known.
func writeUntraced(out *bytes.Buffer, o *profile.Overhead) {
	slowdown, low, high := o.Slowdown()
	if slowdown == 0 {
		return
	}
	between, betweenFactors := "", ""
	if u := o.UntracedNs; u.LowNs > 0 && u.LowNs < u.HighNs {
		between = span(humanTime(u.LowNs), humanTime(u.HighNs))
		betweenFactors = span(factor(low), factor(high))
	}
	fmt.Fprintf(out, "without it the run would have taken about %s%s: a slowdown of %s%s\n",
		humanTime(o.UntracedNs.Ns), between, factor(slowdown), betweenFactors)
}

// partsOf says what the overhead of a call consists of. With a transit given by hand there is no word on
// the switches.
func partsOf(o *profile.Overhead, holdNs int64) string {
	transit, hold := humanTime(o.TransitNs.Ns), humanTime(holdNs)
	if o.Source == profile.ByHand {
		return fmt.Sprintf("%s are transit, as given by hand (taken off the latencies), and %s hold", transit, hold)
	}
	return fmt.Sprintf("%s are transit (taken off the latencies) and %s switches, both %s, and %s hold",
		transit, humanTime(o.SwitchesNs.Ns), o.Source, hold)
}

// shareOfWall puts a cost into proportion. What several threads lost at the same time can add up to
// more than the time that passed.
func shareOfWall(ns, wallNs int64) string {
	switch {
	case wallNs <= 0 || ns < 0:
		return ""
	case ns > wallNs:
		return fmt.Sprintf(", all threads added up, in the %s that the run took", humanTime(wallNs))
	}
	return fmt.Sprintf(", %s of the %s that the run took", percentSign(float64(ns), float64(wallNs)), humanTime(wallNs))
}

// span is " (240 to 280 ms)": two quantities, of which the first says its unit only if it has another. It
// is nothing if they are printed alike.
func span(low, high string) string {
	if low == high {
		return ""
	}
	if number, unit, ok := strings.Cut(low, " "); ok && strings.HasSuffix(high, " "+unit) {
		low = number
	}
	return fmt.Sprintf(" (%s to %s)", low, high)
}

// Notes prints all that stands under a table: what tracing cost, the calls in flight, the warnings. Sentences
// are broken between words to fit into width columns; 0 is any width.
func Notes(w io.Writer, s *profile.Snapshot, width int) error {
	var out bytes.Buffer
	for _, note := range []func(io.Writer, *profile.Snapshot) error{Overhead, InFlight, Warnings} {
		if err := note(&out, s); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, wrap(out.String(), width))
	return err
}

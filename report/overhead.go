package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"sysprof/profile"
)

// Overhead prints what tracing cost: in one line a call, and what the run would have taken without it; more of it if all
// is set. It prints nothing if that was not measured, or if nothing was traced.
func Overhead(w io.Writer, s *profile.Snapshot, all bool) error {
	o := s.Overhead
	if o == nil || o.Calls == 0 {
		return nil
	}
	var out bytes.Buffer
	if o.Source == profile.InKernel {
		writeCounting(&out, o, all)
		_, err := w.Write(out.Bytes())
		return err
	}
	if o.Source == profile.Uncorrected {
		fmt.Fprintf(&out, "the tracer held each call up for %s, and made it slower in ways that were not measured; latencies are raw: transit is still in them\n",
			humanTime(holdPerCall(o)))
	} else {
		byHand := ""
		if o.Source == profile.ByHand {
			byHand = ", with the transit as given by hand"
		}
		fmt.Fprintf(&out, "tracing cost %s a call%s%s\n", humanTime(int64(o.PerCall())), byHand, withoutIt(o))
	}
	if all {
		writeParts(&out, o)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeCounting says what counting in the kernel cost, whom, and what that makes in all.
func writeCounting(out *bytes.Buffer, o *profile.Overhead, all bool) {
	each := func(ns int64) int64 { return ns / int64(min(o.Calls, 1<<62)) }
	if o.TotalNs.HighNs <= 0 || o.OthersNs.HighNs <= 0 {
		fmt.Fprint(out, "what counting in the kernel cost, a call and each call of all other programs on this machine, could not be measured, as its CPUs were busy\n")
		return
	}
	fmt.Fprintf(out, "counting in the kernel cost %s a call; meanwhile each call of all other programs on this machine cost %s more\n",
		between(each(o.TotalNs.LowNs), each(o.TotalNs.HighNs)), between(o.OthersNs.LowNs, o.OthersNs.HighNs))
	if all {
		fmt.Fprintf(out, "that is %s in all, %s of the %s that the run took\n",
			between(o.TotalNs.LowNs, o.TotalNs.HighNs), percentSign(float64(o.TotalNs.LowNs), float64(o.WallNs)), humanTime(o.WallNs))
	}
}

// between is a range of times.
func between(lowNs, highNs int64) string {
	low, high := humanTime(lowNs), humanTime(highNs)
	if low == high {
		return low
	}
	if number, unit, ok := strings.Cut(low, " "); ok && strings.HasSuffix(high, " "+unit) {
		low = number
	}
	return low + " to " + high
}

// withoutIt continues the sentence on what tracing cost: what there would have been without it, as far as that is known.
func withoutIt(o *profile.Overhead) string {
	slowdown, low, high := o.Slowdown()
	if slowdown == 0 {
		return lost(&o.Lost)
	}
	switch o.Known() {
	case profile.About:
		return fmt.Sprintf("; without it the run would have taken %s%s: a slowdown of %s%s",
			humanTime(o.UntracedNs.Ns), span(humanTime(o.UntracedNs.LowNs), humanTime(o.UntracedNs.HighNs)), factor(slowdown), span(factor(low), factor(high)))
	case profile.AtLeast:
		return fmt.Sprintf("; without it the run would have taken %s at most: a slowdown of at least %s", humanTime(o.UntracedNs.HighNs), factor(low))
	}
	return "; how long the run would have taken without it is unknown"
}

// lost is what share of their time threads lost that go on after the run.
func lost(s *profile.Share) string {
	faster, low, high := s.Faster()
	if faster == 0 {
		return ""
	}
	// Beyond that, what tracing left of the time is less than what is uncertain in the estimates of its parts.
	const most = 50
	without := fmt.Sprintf("without it their calls could have come %s times as fast%s", factor(faster), span(factor(low), factor(high)))
	switch {
	case low > most:
		without = "how fast their calls could have come without it is unknown"
	case high > most:
		without = fmt.Sprintf("without it their calls could have come at least %s times as fast", factor(low))
	}
	return fmt.Sprintf(", %s%s of the time that its threads were not asleep; %s", percentSign(s.Share, 1), span(percentSign(s.Low, 1), percentSign(s.High, 1)), without)
}

// writeParts says what the overhead consists of.
func writeParts(out *bytes.Buffer, o *profile.Overhead) {
	total := o.TotalNs.Ns
	if o.Source == profile.Uncorrected {
		total = o.HoldNs
	}
	fmt.Fprintf(out, "that is %s in all%s\n", humanTime(total), shareOfWall(total, o.WallNs))
	if o.Source != profile.Uncorrected {
		fmt.Fprintf(out, "of the %s a call, %s\n", humanTime(int64(o.PerCall())), partsOf(o, holdPerCall(o)))
	}
	if o.Controls > 0 {
		fmt.Fprintf(out, "%s, which cost %s in all\n", plural(o.Controls, "control"), humanTime(o.ControlsNs))
	}
	if o.Queued > 0 {
		inLine := ""
		if o.InLineNs.Ns > 0 {
			inLine = fmt.Sprintf("; entries and exits stood in line for about %s in all", humanTime(o.InLineNs.Ns))
		}
		fmt.Fprintf(out, "%s (%s) waited while the tracer was busy with another thread%s\n",
			plural(o.Queued, "call"), percentSign(float64(o.Queued), float64(o.Calls)), inLine)
	}
}

func holdPerCall(o *profile.Overhead) int64 { return o.HoldNs / int64(min(o.Calls, 1<<62)) }

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

// Notes prints all that stands under a table: what was traced, what that cost, the calls in flight, the warnings.
// Sentences are broken between words to fit into width columns; 0 is any width. With all, there is more on the cost.
func Notes(w io.Writer, s *profile.Snapshot, m Meta, width int, all bool) error {
	var out bytes.Buffer
	out.WriteString(m.line())
	if err := errors.Join(Overhead(&out, s, all), InFlight(&out, s), Engines(&out, s), Warnings(&out, s)); err != nil {
		return err
	}
	_, err := io.WriteString(w, wrap(out.String(), width))
	return err
}

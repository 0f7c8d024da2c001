package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// InFlight prints the calls that had not returned when tracing ended: a line for each call and reason,
// the longest first. It prints nothing if there are none.
func InFlight(w io.Writer, s *profile.Snapshot) error {
	if len(s.InFlight) == 0 {
		return nil
	}
	var calls uint64
	for _, f := range s.InFlight {
		calls += f.Count
	}
	flights := slices.Clone(s.InFlight)
	slices.SortStableFunc(flights, func(a, b profile.Flight) int {
		return cmp.Or(
			cmp.Compare(b.LongestNs, a.LongestNs),
			strings.Compare(callName(a.Key), callName(b.Key)),
			strings.Compare(a.Why, b.Why))
	})

	var out bytes.Buffer
	noun := "calls"
	if calls == 1 {
		noun = "call"
	}
	fmt.Fprintf(&out, "%d %s had not returned when tracing ended:\n", calls, noun)
	for i := range flights {
		f := &flights[i]
		fmt.Fprintf(&out, "  %s: %d %s%s\n", callName(f.Key), f.Count, printable(ending(f.Why)), howLong(f))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// Warnings prints what the reader must know to read the numbers right, a sentence a line.
func Warnings(w io.Writer, s *profile.Snapshot) error {
	var out bytes.Buffer
	for _, sentence := range s.Warnings {
		fmt.Fprintln(&out, printable(sentence))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// callName names a call, and its ABI where that is not the one a reader assumes.
func callName(k profile.Key) string {
	name := k.ABI.Name(k.Nr)
	if k.ABI == syscalltab.Unknown || k.ABI.Bits() != 64 {
		name += " (" + modeName(k.ABI) + ")"
	}
	return name
}

// ending is the reason as it continues the phrase "3 …".
func ending(why string) string {
	if why == "exec" {
		return "ended by an exec"
	}
	return why
}

// howLong tells the time in the call; for threads that still exist, also which one it was.
func howLong(f *profile.Flight) string {
	after := " after " + humanTime(f.LongestNs)
	if f.Resumed { // the tracer's clock did not see it begin
		after = " after at least " + humanTime(f.LongestNs)
	}
	if f.Why == "detached" {
		after = fmt.Sprintf(" (thread %d)%s", f.TID, after)
	}
	if f.Count > 1 {
		after = ", the longest" + after
	}
	return after
}

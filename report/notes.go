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
// the longest first. It prints nothing if there are none. A call that ends its thread, as exit(2) does, never
// returns, and is none of them.
func InFlight(w io.Writer, s *profile.Snapshot) error {
	flights := slices.DeleteFunc(slices.Clone(s.InFlight), func(f profile.Flight) bool { return f.Why == profile.Exited })
	if len(flights) == 0 {
		return nil
	}
	var calls uint64
	for _, f := range flights {
		calls += f.Count
	}
	slices.SortStableFunc(flights, func(a, b profile.Flight) int {
		return cmp.Or(
			cmp.Compare(b.LongestNs, a.LongestNs),
			strings.Compare(callName(a.Key), callName(b.Key)),
			cmp.Compare(a.Why, b.Why))
	})

	var out bytes.Buffer
	noun := "calls"
	if calls == 1 {
		noun = "call"
	}
	fmt.Fprintf(&out, "%d %s had not returned when tracing ended:\n", calls, noun)
	for i := range flights {
		f := &flights[i]
		fmt.Fprintf(&out, "  %s: %d %s%s\n", callName(f.Key), f.Count, Printable(ending(f.Why)), howLong(f))
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
func ending(why profile.Ending) string {
	if why == profile.Replaced {
		return "ended by an exec"
	}
	return string(why)
}

// howLong tells the time in the call; for threads that still exist, also which one it was.
func howLong(f *profile.Flight) string {
	after := " after " + humanTime(f.LongestNs)
	if f.Resumed { // the tracer's clock did not see it begin
		after = " after at least " + humanTime(f.LongestNs)
	}
	if f.Why == profile.Detached {
		thread := fmt.Sprintf("thread %d", f.TID)
		if f.Thread != "" {
			thread += " " + Printable(f.Thread)
		}
		after = " (" + thread + ")" + after
	}
	if f.Count > 1 {
		after = ", the longest" + after
	}
	return after
}

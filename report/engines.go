package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"sysprof/profile"
)

// Engines prints what the engine in the kernel says differently of the same calls. It prints nothing if only one engine saw
// them.
func Engines(w io.Writer, s *profile.Snapshot) error {
	if s.InKernel == nil {
		return nil
	}
	var out bytes.Buffer
	var counts bytes.Buffer
	var longer, shorter, broken []string // medians by ptrace
	for _, d := range profile.Disagreements(s, s.InKernel) {
		switch {
		case d.Broken:
			broken = append(broken, fmt.Sprintf("%s %s by ptrace and %s in the kernel", callName(d.Key), seen(&d.One), seen(&d.Other)))
		case d.Counts:
			fmt.Fprintf(&counts, "  %s: %s by ptrace, %s in the kernel\n", callName(d.Key), seen(&d.One), seen(&d.Other))
		default:
			to := &shorter
			if d.One.P50 > d.Other.P50 {
				to = &longer
			}
			*to = append(*to, fmt.Sprintf("%s %s by ptrace and %s in the kernel", callName(d.Key), humanTime(int64(d.One.P50)), humanTime(int64(d.Other.P50))))
		}
	}
	switch {
	case counts.Len() == 0 && len(broken) > 0:
		fmt.Fprintf(&out, "both engines counted the same, %s of %s by ptrace, but for calls that had returned in the kernel when their threads were killed, before ptrace saw them: %s\n",
			exactly(s.Total.Calls, "call"), exactly(uint64(len(s.Rows)), "kind"), strings.Join(broken, ", "))
	case counts.Len() == 0:
		fmt.Fprintf(&out, "both engines counted the same: %s of %s, %s\n",
			exactly(s.Total.Calls, "call"), exactly(uint64(len(s.Rows)), "kind"), exactly(s.Total.Errors, "error"))
	default:
		for _, b := range broken {
			fmt.Fprintf(&counts, "  %s, of threads that were killed\n", b)
		}
		fmt.Fprintf(&out, "the engines counted differently, %s and %s by ptrace, %s and %s in the kernel:\n%s",
			exactly(s.Total.Calls, "call"), exactly(s.Total.Errors, "error"), exactly(s.InKernel.Total.Calls, "call"), exactly(s.InKernel.Total.Errors, "error"), &counts)
	}
	if len(shorter) > 0 {
		fmt.Fprintf(&out, "medians differ of calls that ptrace's stops find other caches for: %s\n", strings.Join(shorter, ", "))
	}
	if len(longer) > 0 {
		fmt.Fprintf(&out, "medians differ, as ptrace's times have the way into the kernel and out of it in them, or an estimate of what stops take that is too low: %s\n", strings.Join(longer, ", "))
	}
	_, err := w.Write(out.Bytes())
	return err
}

func seen(s *profile.Seen) string {
	if s.Calls == 0 {
		return "none"
	}
	return fmt.Sprintf("%s, %s", exactly(s.Calls, "call"), exactly(s.Errors, "error"))
}

// exactly is plural with all digits.
func exactly(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

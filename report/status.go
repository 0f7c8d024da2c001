package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Status is how a run is getting on.
type Status struct {
	Elapsed        time.Duration
	Calls          uint64  // so far
	CallsPerSecond float64 // lately
	Processes      int     // traced now; 0: not said
	Threads        int     // of those processes; 0: not said
	Slowdown       float64 // so far; 0: not known
}

// Line is the status in one line of exactly that many characters, filled up with blanks so that it
// covers the one before. What does not fit is left out, the last first. On a terminal of n columns ask
// for n − 1: in the last column some terminals go to the next line.
func (s Status) Line(width int) string {
	if width <= 0 {
		return ""
	}
	parts := []string{
		clock(s.Elapsed),
		rate(s.CallsPerSecond) + " calls/s",
	}
	if s.Slowdown > 0 {
		parts = append(parts, "slowdown "+factor(s.Slowdown))
	}
	if s.Processes > 0 {
		parts = append(parts, pluralAs(uint64(s.Processes), "process", "processes"))
	}
	if s.Threads > 0 {
		parts = append(parts, plural(uint64(s.Threads), "thread"))
	}
	parts = append(parts, plural(s.Calls, "call"))

	line := ""
	for i, part := range parts {
		if i > 0 {
			part = line + " · " + part
		}
		if textWidth(part) > width {
			break
		}
		line = part
	}
	return line + strings.Repeat(" ", width-textWidth(line))
}

// clock is a running time to the second: "7 s", "2:05", "1:02:03".
func clock(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// rate is a number of calls a second.
func rate(perSecond float64) string {
	switch {
	case !(perSecond > 0): // so that NaN is taken as 0
		return "0"
	case perSecond < 9.95:
		return fmt.Sprintf("%.1f", perSecond)
	case perSecond < 1e15:
		return humanCount(uint64(math.Round(perSecond)))
	}
	return fmt.Sprintf("%.2g", perSecond)
}

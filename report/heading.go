package report

import (
	"io"
	"strings"
	"time"

	"sysprof/profile"
)

// Heading is the line over the tables of a part of a run: an interval, or all so far.
type Heading struct {
	At     time.Time // when it was over
	Length time.Duration
	Part   Part
}

// Part says how much of a run something is of.
type Part uint8

const (
	OneInterval Part = iota
	SoFar
	TheWhole // behind intervals
)

// Write prints it.
func (h Heading) Write(w io.Writer, s *profile.Snapshot) error {
	length := humanTime(int64(h.Length))
	switch h.Part {
	case SoFar:
		length += " so far"
	case TheWhole:
		length = "all of " + length
	}
	parts := []string{
		h.At.Format(time.DateTime),
		length,
		plural(s.Total.Calls, "call"),
		rate(perSecond(s.Total.Calls, h.Length)) + " calls/s",
	}
	if s.Total.Errors > 0 {
		parts = append(parts, plural(s.Total.Errors, "error"))
	}
	_, err := io.WriteString(w, strings.Join(parts, " · ")+"\n")
	return err
}

// perSecond is a number of calls in a second; 0 if they took no time.
func perSecond(calls uint64, length time.Duration) float64 {
	if length <= 0 {
		return 0
	}
	return float64(calls) / length.Seconds()
}

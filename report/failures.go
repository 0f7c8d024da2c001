package report

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// Failures is the table of failed calls: one row for each call and errno, with its count and latencies, the most
// frequent first. The zero value prints all columns in black and white.
type Failures struct {
	Width int  // characters that fit on a line; 0: any
	Color bool // with escape sequences for a terminal
}

// The order in which the columns of Failures are dropped where there is little room.
const (
	dropFailedShare = 1 + iota
	dropFailedP99
	dropFailedMean
)

// failure is one row of Failures: a call and an errno that it failed with.
type failure struct {
	name    string // of the call
	errno   int32
	calls   uint64 // of that call, whatever their outcome
	latency *profile.Histogram
}

// Write prints the table. If no call failed, one line says so.
func (t Failures) Write(w io.Writer, s *profile.Snapshot) error {
	var failures []failure
	all := new(profile.Histogram)
	for i := range s.Rows {
		r := &s.Rows[i]
		for _, f := range r.Failed {
			if f.Latency.Count() > 0 {
				failures = append(failures, failure{callName(r.Key), f.Errno, r.Calls, f.Latency})
				all.Merge(f.Latency)
			}
		}
	}
	var out bytes.Buffer
	if len(failures) == 0 {
		out.WriteString(noneFailed(s))
	} else if err := t.writeFailures(&out, failures, failure{name: "total", calls: s.Total.Calls, latency: all}); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

func noneFailed(s *profile.Snapshot) string {
	if s.Total.Calls == 0 {
		return nothingCounted
	}
	return "none of " + plural(s.Total.Calls, "system call") + " failed\n"
}

func (t Failures) writeFailures(w io.Writer, failures []failure, total failure) error {
	slices.SortFunc(failures, func(a, b failure) int {
		return cmp.Or(
			cmp.Compare(b.latency.Count(), a.latency.Count()),
			strings.Compare(a.name, b.name),
			cmp.Compare(a.errno, b.errno))
	})
	columns := []column{
		{heading: "errors"},
		{heading: "% of calls", drop: dropFailedShare},
		{heading: "mean", drop: dropFailedMean},
		{heading: "p99", drop: dropFailedP99},
		{heading: "errno", left: true, colour: red},
		{heading: headingOfCalls, left: true},
	}
	cells := func(f *failure) []string {
		h := f.latency
		errno := ""
		if f.errno != 0 {
			errno = syscalltab.Errno(int(f.errno))
		}
		return []string{
			humanCount(h.Count()), percent(float64(h.Count()), float64(f.calls)),
			humanTime(int64(h.Mean())), humanTime(int64(h.Quantile(0.99))), errno, f.name,
		}
	}
	for i := range failures {
		for j, text := range cells(&failures[i]) {
			columns[j].cells = append(columns[j].cells, text)
		}
	}
	for j, text := range cells(&total) {
		columns[j].footer = text
		columns[j].fitWidth()
	}
	columns, gap := fit(columns, t.Width)
	return draw(w, columns, look{rule: "─", gap: strings.Repeat(" ", gap), footer: true, colour: t.Color})
}

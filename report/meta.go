package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"sysprof/profile/timeline"
)

// Meta says what a snapshot is of: when, where and by what it was measured. It goes into the formats for
// machines. Fields that are not known are zero.
type Meta struct {
	Version string   `json:"sysprof_version,omitempty"` // of the sysprof that measured
	Command []string `json:"command,omitempty"`         // that was launched, with its arguments
	PIDs    []int    `json:"pids,omitempty"`            // that were attached to
	Traced  string   `json:"traced,omitempty"`          // what of: a program or a process, by its name and number
	Threads int      `json:"threads,omitempty"`         // that were traced, in all

	Start    time.Time     `json:"start,omitzero"`        // of tracing
	Duration time.Duration `json:"duration_ns,omitempty"` // of tracing

	// Of an interval of a run Start and Duration are its own. The calendar may have been set before its End.
	Interval  int       `json:"interval,omitempty"`  // its number, from 1 on; 0: this is a whole run
	Intervals int       `json:"intervals,omitempty"` // of a whole run: how many stand before it
	End       time.Time `json:"end,omitzero"`

	Host   string `json:"host,omitempty"`
	Kernel string `json:"kernel,omitempty"` // release: "6.18.5"
	Arch   string `json:"arch,omitempty"`   // machine: "x86_64"
	CPUs   int    `json:"cpus,omitempty"`   // that the tracer could use

	OverTime *timeline.Timeline `json:"-"` // how latencies were distributed over the time; nil: not known
}

// line says what was traced, where and when, in a line; nothing if that is not known.
func (m *Meta) line() string {
	if m.Traced == "" {
		return ""
	}
	parts := []string{Printable(m.Traced)}
	if m.Threads > 1 {
		parts = append(parts, plural(uint64(m.Threads), "thread"))
	}
	if m.Host != "" {
		parts = append(parts, "on "+Printable(m.Host))
	}
	if !m.Start.IsZero() {
		parts = append(parts, m.Start.Format(time.DateTime))
	}
	return fmt.Sprintf("%s, for %s\n", strings.Join(parts, ", "), humanTime(int64(m.Duration)))
}

// commandLine is a command as it would be typed into a shell, in one line.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if !plainWord.MatchString(word) {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted[i] = word
	}
	return Printable(strings.Join(quoted, " "))
}

// plainWord is what means the same to a shell with quotes and without.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

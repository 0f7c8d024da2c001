package report

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"sysprof/profile"
)

// pprofComments are the comments of a profile, which go tool pprof shows above its tables. Where profiles are merged it keeps
// equal ones once, so they have what is the same for runs of one kind: no process ids, and no more of a figure than its
// first digit.
func pprofComments(s *profile.Snapshot, m Meta) []string {
	comments := []string{m.Version}
	switch {
	case len(m.Command) > 0:
		comments = append(comments, commandLine(m.Command))
	case m.Traced != "":
		comments = append(comments, "attached to "+namesOf(m.Traced))
	}
	if o := s.Overhead; o != nil && o.Calls > 0 {
		line := fmt.Sprintf("tracing cost some %s a call (%s)", shortTime(int64(firstDigit(float64(o.PerCall())))), o.Source)
		if slowdown, _, _ := o.Slowdown(); slowdown > 0 {
			line += ", a slowdown of some " + shortFactor(slowdown)
		}
		comments = append(comments, line)
	}
	if len(s.Rows) > 0 || len(s.InFlight) > 0 {
		comments = append(comments, "-tagfocus=state=computing leaves out calls that waited, or have not returned")
	}
	for i := range s.Warnings {
		w := &s.Warnings[i]
		comment := briefly[w.Kind]
		if comment == "" {
			comment = sentence(w)
		}
		comments = append(comments, comment)
	}
	return comments
}

// namesOf are the names of processes that are traced, each once: how many there are, as of servers that have one for each
// connection, differs from run to run.
func namesOf(traced string) string {
	var names []string
	for name := range strings.SplitSeq(processID.ReplaceAllString(traced, ""), ", ") {
		if moreProcesses.MatchString(name) {
			name = "more"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// processID is as it stands behind the names of what is traced, and moreProcesses behind the last one.
var (
	processID     = regexp.MustCompile(` \(\d+\)`)
	moreProcesses = regexp.MustCompile(`^\d+ more$`)
)

// firstDigit rounds to it.
func firstDigit(v float64) float64 {
	if v <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	return math.Round(v/unit) * unit
}

// shortFactor is a ratio of 1 or more without decimal places, but for those below 2, which have one.
func shortFactor(f float64) string {
	if f < 1.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return humanCount(uint64(firstDigit(min(f, 1e18))))
}

// briefly has the words without figures for those warnings that have figures. They stand in the table of the run.
var briefly = map[profile.WarningKind]string{
	profile.QueuedCorrected:   "some calls waited while the tracer was busy: how long these took is taken from the others",
	profile.QueuedRaw:         "some calls waited while the tracer was busy: that is part of their latency",
	profile.QueuedInLatency:   "some calls waited while the tracer was busy: where there are few others, that is part of their latency",
	profile.ShorterThanByHand: "some calls took less than the transit given by hand",
	profile.SameCPUInferred:   "what tracing adds to a call was inferred where tracer and tracee are pinned to one CPU",
	profile.CrossCPUInferred:  "what tracing adds to a call was inferred where tracer and tracee are not pinned to one CPU",
	profile.CrossCPUVaries:    "what tracing adds to a call varies where tracer and tracee are not pinned to one CPU: times are less certain",
	profile.CPUsBusy:          "the CPUs were busy with other programs: times are less certain",
	profile.HostSteals:        "the host gave the CPUs' time to others: latencies have that in them",
	profile.ThreadsWait:       "traced threads waited for each other: some times would be less without tracing",
	profile.StoodStill:        "sysprof itself was stopped or frozen: that is taken off all times",
	profile.TracerStarved:     "sysprof had to wait for a CPU: that is part of what calls took",
	profile.ThreadsMissed:     "a process creates threads faster than they can be attached to: some may be missing",
	profile.TraceMeFailed:     "a process asked its parent to trace it, which is sysprof: that failed",
	profile.LeftToItsTracer:   "a process was left to a tracer of its own: its calls from then on are not counted",
	profile.PathsUnread:       "paths could not be read in time: calls on the files that -P names may be missing",
	profile.StacksLost:        "there were more stacks than there is room for: some calls are without theirs",
	profile.SamplesFolded:     "samples that are too small are added up for each call as [others] (--max-samples)",
	profile.GroupsFolded:      "there were more groups than there is room for: the smallest are among the others",
	profile.NamesLost:         "there were more names of files, processes and threads than are kept: the others are called [other]",
	profile.StacksCut:         "stacks end early at [unread], where a file could not be read in time",
	profile.StacksDrawn:       "stacks are those of calls drawn at random, weighted so that each row adds up to its exact counts and times",
	profile.CallsDrawn:        "labels are those of calls drawn at random, weighted so that each row adds up to its exact counts and times",
	profile.DrawnLost:         "some drawn calls came too fast: others stand for them",
	profile.StacksGone:        "some drawn calls have no stack, as their processes ended too soon",
	profile.StacksMissing:     "calls are without stacks, which take a /proc that shows the traced processes",
	profile.WholeMissing:      "the file ended before the run did: its intervals are added up",
	profile.CountsMissed:      "the kernel left out runs of the programs that count: counts are not exact",
	profile.ThreadsUncounted:  "some threads found no room in the kernel's tables, and are not counted",
	profile.CallsUncounted:    "some calls found no room in the kernel's tables, and are in no row",
	profile.CallsOfNobody:     "of some calls it is not known whose they are, as the kernel's tables were full",
	profile.FlightsUncounted:  "some calls in flight found no room in the kernel's tables, and are not listed",
	profile.TimesDrawn:        "some calls were timed, drawn at random: counts are exact, times are estimates",
	profile.StrictRefused:     "a process was refused seccomp's strict mode, because it has a filter already",
	profile.TracerRefused:     "a process could not trace, because it has a filter in the kernel",
	profile.CPUNotAllowed:     "sysprof may not run on the CPU that was chosen: it chooses another",
}

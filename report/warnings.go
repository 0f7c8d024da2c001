package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"

	"sysprof/profile"
)

// Warnings prints what the reader must know to read the numbers right, a sentence a line.
func Warnings(w io.Writer, s *profile.Snapshot) error {
	var out bytes.Buffer
	for i := range s.Warnings {
		fmt.Fprintln(&out, Printable(sentence(&s.Warnings[i])))
	}
	_, err := w.Write(out.Bytes())
	return err
}

// sentence puts a warning into words.
func sentence(w *profile.Warning) string {
	format, ok := sentences[w.Kind]
	if !ok { // it is a sentence as it is
		return cmp.Or(w.Text, string(w.Kind))
	}
	return format(w)
}

// sentences has the words for each kind.
var sentences = map[profile.WarningKind]func(w *profile.Warning) string{
	profile.QueuedCorrected: func(w *profile.Warning) string {
		return queued(w) + "how long these took is taken from the others"
	},
	profile.QueuedRaw: func(w *profile.Warning) string {
		return queued(w) + "the time that they stood in line is part of their latency"
	},
	profile.QueuedInLatency: func(w *profile.Warning) string {
		return queued(w) + "where there are too few others to tell how long these took, the time that they stood in line is part of their latency"
	},
	profile.ShorterThanByHand: func(w *profile.Warning) string {
		return wholePercent(w) + " of the calls took less than the transit given by hand, so that nothing is left of them"
	},
	profile.SameCPUInferred:  func(w *profile.Warning) string { return inferred(w, "pinned to one CPU") },
	profile.CrossCPUInferred: func(w *profile.Warning) string { return inferred(w, "not pinned to one CPU") },
	profile.CrossCPUVaries: func(w *profile.Warning) string {
		return fmt.Sprintf("%s of the calls were made while tracer and tracee were not pinned to one CPU; what tracing adds to these varies from %s to %s, so that their times are less certain",
			wholePercent(w), humanTime(w.LowNs), humanTime(w.HighNs))
	},
	profile.UntracedByTracing: func(*profile.Warning) string {
		return uncertain + "tracing took so much longer than the program that a few per cent of it make a difference"
	},
	profile.UntracedByOthers: func(*profile.Warning) string {
		return uncertain + "other programs had the CPU for a good part of the time"
	},
	profile.UntracedByDoubt: func(*profile.Warning) string {
		return uncertain + "some of it may have been lost to tracing, or may not"
	},
	profile.CPUsBusy: func(w *profile.Warning) string {
		return fmt.Sprintf("the CPUs were busy with other programs: at %s of the calls a thread or sysprof had to wait for one, so that times are less certain",
			wholePercent(w))
	},
	profile.HostSteals: func(w *profile.Warning) string {
		return fmt.Sprintf("the host gave %s of the CPUs' time to others than this machine: latencies and run times have that in them", wholePercent(w))
	},
	profile.ThreadsWait: func(w *profile.Warning) string {
		return fmt.Sprintf("traced threads waited for each other, and so for what tracing cost the other one: times marked ≤, %s of all, would be less without tracing",
			wholePercent(w))
	},
	profile.StoodStill: func(w *profile.Warning) string {
		return fmt.Sprintf("sysprof itself was stopped or frozen for %s (%s): that is taken off all times, so that calls that were under way may have taken longer than shown",
			humanTime(w.HighNs), times(w.Count))
	},
	profile.TracerStarved: func(w *profile.Warning) string {
		return fmt.Sprintf("sysprof had to wait for a CPU for %s (%s), which is part of what calls took: other programs had it",
			humanTime(w.HighNs), times(w.Count))
	},

	profile.AttachFailed: func(w *profile.Warning) string { return w.Text },
	profile.ThreadsMissed: func(w *profile.Warning) string {
		return fmt.Sprintf("process %d creates threads faster than they can be attached to: some may be missing", w.ID)
	},
	profile.TraceMeFailed: func(w *profile.Warning) string {
		return fmt.Sprintf("process %d asked its parent to trace it, which is sysprof: that failed, because sysprof does so already", w.ID)
	},
	profile.LeftToItsTracer: func(w *profile.Warning) string {
		return fmt.Sprintf("process %d was left to a tracer of its own: its calls from then on are not counted, nor are those of its children", w.ID)
	},
	profile.PrivilegesLost: func(w *profile.Warning) string {
		return w.Text + " ran without the privileges of its owner, because it was traced; as root, trace it with -u USER"
	},
	profile.PathsUnread: func(w *profile.Warning) string {
		return fmt.Sprintf("%s a path could not be read in time while the program stood still: calls on the files that -P names may be missing", times(w.Count))
	},
	profile.StacksLost: func(w *profile.Warning) string {
		return fmt.Sprintf("there were more stacks than there is room for: %d calls are in the profile without theirs", w.Count)
	},
	profile.SamplesFolded: func(w *profile.Warning) string {
		return fmt.Sprintf("the profile has its %s largest samples; the others, %s of the calls, are added up for each call as [others] (--max-samples)",
			humanCount(w.Count), percentSign(w.Share, 1))
	},
	profile.GroupsFolded: func(w *profile.Warning) string {
		return fmt.Sprintf("there were more groups than there is room for: %s of them, the smallest, are among the others, with %s of the calls",
			humanCount(w.Count), percentSign(w.Share, 1))
	},
	profile.NamesLost: func(w *profile.Warning) string {
		return fmt.Sprintf("there were more than %s different names of files, processes and threads: the others are called [other]", humanCount(w.Count))
	},
	profile.StacksCut: func(w *profile.Warning) string {
		return fmt.Sprintf("%d stacks end early, at [unread]: a file of theirs could not be read in time", w.Count)
	},
	profile.StacksDrawn: func(w *profile.Warning) string {
		return fmt.Sprintf("the profile's stacks are those of %s that were drawn at random, and weighted so that each row adds up to its exact counts and times; %s of all calls have a whole stack",
			plural(w.Count, "call"), percentSign(w.Share, 1))
	},
	profile.CallsDrawn: func(w *profile.Warning) string {
		return fmt.Sprintf("the profile's labels are those of %s that were drawn at random, and weighted so that each row adds up to its exact counts and times", plural(w.Count, "call"))
	},
	profile.DrawnLost: func(w *profile.Warning) string {
		return fmt.Sprintf("%s that were drawn for their stacks came too fast: others stand for them in the profile", plural(w.Count, "call"))
	},
	profile.StacksGone: func(w *profile.Warning) string {
		return fmt.Sprintf("%s that were drawn have no stack, as their processes had ended before it was known what these had mapped", plural(w.Count, "call"))
	},
	profile.StacksHidden: func(*profile.Warning) string {
		return "the profile is without stacks: sysprof runs in a PID namespace, where processes have other numbers than the kernel says"
	},
	profile.StacksMissing: func(w *profile.Warning) string {
		return fmt.Sprintf("%d calls are in the profile without stacks, which take a /proc that shows the traced processes: %s", w.Count, w.Text)
	},

	profile.WholeMissing: func(w *profile.Warning) string {
		return fmt.Sprintf("the file ends before the run did: this is what its intervals (%s) add up to, and what tracing cost is not known", humanCount(w.Count))
	},

	profile.CountsMissed: func(w *profile.Warning) string {
		return fmt.Sprintf("the kernel left out %s of the programs that count, so that counts are not exact", plural(w.Count, "run"))
	},
	profile.ThreadsUncounted: func(w *profile.Warning) string {
		return fmt.Sprintf("%s found no room in the kernel's tables: nothing of theirs is counted", plural(w.Count, "thread"))
	},
	profile.CallsUncounted: func(w *profile.Warning) string {
		return fmt.Sprintf("%s of more kinds than there is room for in the kernel's tables: they are in no row", plural(w.Count, "call"))
	},
	profile.CallsOfNobody: func(w *profile.Warning) string {
		return fmt.Sprintf("%s came when there was no room left in the kernel's tables to tell whose they are: they are among the others, or left out by --only", plural(w.Count, "call"))
	},
	profile.FlightsUncounted: func(w *profile.Warning) string {
		return fmt.Sprintf("%s in flight of more kinds than there is room for in the kernel's tables: they are not listed", plural(w.Count, "call"))
	},
	profile.TimesDrawn: func(w *profile.Warning) string {
		return fmt.Sprintf("of calls that are frequent and short 1 in %d was timed, drawn at random: counts are exact, times are estimates", w.Count)
	},

	profile.FilteredItself: func(*profile.Warning) string {
		return "sysprof runs under a seccomp filter itself, as in a container, so the command is stopped at all of its calls"
	},
	profile.NoFilter: func(w *profile.Warning) string {
		return "the command is stopped at all of its calls, not only at those that are counted: seccomp filter: " + w.Text
	},
	profile.NoNewPrivileges: func(*profile.Warning) string {
		return "the command could not gain privileges (setuid programs, file capabilities): without CAP_SYS_ADMIN its filter in the kernel takes no_new_privs; --no-seccomp does without"
	},
	profile.StrictRefused: func(w *profile.Warning) string {
		return fmt.Sprintf("process %d was refused seccomp's strict mode (EINVAL), because it has a filter already; --no-seccomp does without", w.ID)
	},
	profile.TracerRefused: func(w *profile.Warning) string {
		return fmt.Sprintf("process %d could not trace (EPERM), because a process with a filter in the kernel cannot be detached for another tracer; --no-seccomp does without", w.ID)
	},

	profile.NotPlaced: func(w *profile.Warning) string {
		return "tracer and tracees run on whatever CPUs the kernel chooses, which makes tracing dearer: " + w.Text
	},
	profile.ThreadsNotPlaced: func(w *profile.Warning) string {
		return "threads that sysprof may not move run on whatever CPUs the kernel chooses, which makes tracing dearer: " + w.Text
	},
	profile.GuardDied: func(*profile.Warning) string {
		return "sysprof's child that gives threads their CPUs back if sysprof is killed has died itself: tracer and tracees have run on whatever CPUs the kernel chooses since, which makes tracing dearer"
	},
	profile.CPUNotAllowed: func(w *profile.Warning) string {
		return fmt.Sprintf("CPU %d is not one that sysprof may run on: it chooses another", w.ID)
	},
}

const uncertain = "the run's time without tracing is uncertain: "

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func queued(w *profile.Warning) string {
	return wholePercent(w) + " of the calls waited while the tracer was busy with another thread; "
}

func inferred(w *profile.Warning, condition string) string {
	return fmt.Sprintf("what tracing adds to a call while tracer and tracee are %s was not calibrated: it is inferred from other calls, for %s of the calls",
		condition, wholePercent(w))
}

func wholePercent(w *profile.Warning) string { return fmt.Sprintf("%.0f %%", 100*w.Share) }

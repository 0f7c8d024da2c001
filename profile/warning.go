package profile

// Warning is something that a reader has to know to read the numbers right: what it is, and the numbers
// that it has in this run. It is put into words by package report alone. Warnings are comparable, so that equal
// ones can be kept once.
type Warning struct {
	Kind WarningKind `json:"kind"`

	// The kinds say which of these they have. The others are zero.
	Share  float64 `json:"share,omitempty"`   // of the calls, 0 to 1
	Count  uint64  `json:"count,omitempty"`   // of what the kind says
	ID     int     `json:"id,omitempty"`      // a process, a thread or a CPU
	LowNs  int64   `json:"low_ns,omitempty"`  // the range of
	HighNs int64   `json:"high_ns,omitempty"` // a time
	Text   string  `json:"text,omitempty"`    // an error's message, or a path
}

// WarningKind is what a Warning is about. The values stand in files: they are never changed.
type WarningKind string

// Kinds about how true the times are.
const (
	// QueuedCorrected: calls of this Share stood in line, and the calls' times are taken from the others.
	QueuedCorrected WarningKind = "queued-corrected"
	// QueuedRaw: calls of this Share stood in line, and nothing is taken off any latency.
	QueuedRaw WarningKind = "queued-raw"
	// QueuedInLatency: calls of this Share stood in line, which is part of the latency of those with too
	// few others to compare with.
	QueuedInLatency WarningKind = "queued-in-latency"
	// ShorterThanByHand: this Share of the calls took less than the transit that the user gave.
	ShorterThanByHand WarningKind = "shorter-than-by-hand"
	// SameCPUInferred: what tracing adds while tracer and tracee are pinned to one CPU was not calibrated; it
	// concerns this Share.
	SameCPUInferred WarningKind = "same-cpu-inferred"
	// CrossCPUInferred: what tracing adds while tracer and tracee are not pinned to one CPU was not calibrated; it
	// concerns this Share.
	CrossCPUInferred WarningKind = "cross-cpu-inferred"
	// CrossCPUVaries: this Share was made while tracer and tracee were not pinned to one CPU, and what tracing
	// adds to these calls varies from LowNs to HighNs.
	CrossCPUVaries WarningKind = "cross-cpu-varies"
	// UntracedByTracing: the untraced run time is uncertain, since tracing took so much longer than the program.
	UntracedByTracing WarningKind = "untraced-uncertain-tracing"
	// UntracedByOthers: the untraced run time is uncertain, since other programs had the CPU.
	UntracedByOthers WarningKind = "untraced-uncertain-others"
	// UntracedByDoubt: the untraced run time is uncertain, since some of it may have been lost to tracing, or may not.
	UntracedByDoubt WarningKind = "untraced-uncertain-doubt"
	// CPUsBusy: at this Share of the calls, or of the controls, the thread or its tracer waited for a CPU.
	CPUsBusy WarningKind = "cpus-busy"
	// HostSteals: the host had given this Share of the CPUs' time to others (steal in /proc/stat).
	HostSteals WarningKind = "host-steals"
	// ThreadsWait: this Share of the calls' time is of rows that are upper bounds, since traced threads waited for each
	// other.
	ThreadsWait WarningKind = "threads-wait"
	// StoodStill: the tracer itself was stopped or frozen Count times, HighNs in all, which is taken off.
	StoodStill WarningKind = "stood-still"
	// TracerStarved: the tracer had to wait for a CPU for long Count times, HighNs in all, which is not taken off.
	TracerStarved WarningKind = "tracer-starved"
)

// Kinds about what was traced.
const (
	// AttachFailed: one of several processes could not be attached to; Text says which and why.
	AttachFailed WarningKind = "attach-failed"
	// ThreadsMissed: process ID creates threads faster than they can be attached to.
	ThreadsMissed WarningKind = "threads-missed"
	// TraceMeFailed: process ID asked its parent to trace it, which is the tracer.
	TraceMeFailed WarningKind = "traceme-failed"
	// LeftToItsTracer: thread ID was detached for a tracer of its own.
	LeftToItsTracer WarningKind = "left-to-its-tracer"
	// PrivilegesLost: the program Text ran without the privileges of its owner, because it was traced.
	PrivilegesLost WarningKind = "privileges-lost"
	// PathsUnread: Count times a path, or a list of descriptors, could not be read in time while the program stood still, so
	// that a call may be missing that is about a chosen file.
	PathsUnread WarningKind = "paths-unread"
	// StacksLost: Count calls found no room for their stack.
	StacksLost WarningKind = "stacks-lost"
	// SamplesFolded: of this Share of the calls the samples were too small to be among the Count of a profile, and were
	// added up.
	SamplesFolded WarningKind = "samples-folded"
	// GroupsFolded: Count groups were too small to be kept, and were added up; they have this Share of the calls.
	GroupsFolded WarningKind = "groups-folded"
	// NamesLost: there were more than Count different names of files, threads and processes; the others are called [other].
	NamesLost WarningKind = "names-lost"
	// StacksCut: Count stacks end early, because a file could not be read while the program stood still.
	StacksCut WarningKind = "stacks-cut"
	// StacksDrawn: the profile is of Count calls that were drawn at random, and stand for all; of the calls this Share has a whole
	// stack.
	StacksDrawn WarningKind = "stacks-drawn"
	// CallsDrawn: likewise, without stacks.
	CallsDrawn WarningKind = "calls-drawn"
	// DrawnLost: Count drawn calls found no room in the kernel's ring.
	DrawnLost WarningKind = "drawn-lost"
	// StacksGone: Count drawn calls have no stack, as their processes ended too soon.
	StacksGone WarningKind = "stacks-gone"
	// StacksHidden: there are no stacks, as this process is in a PID namespace, and the kernel names processes otherwise.
	StacksHidden WarningKind = "stacks-hidden"
	// StacksMissing: Count calls have no stack, because /proc does not show the process; Text says why.
	StacksMissing WarningKind = "stacks-missing"
)

// Kinds about files of saved runs.
const (
	// WholeMissing: the file ends before the run did; what is shown are the Count intervals that stand there.
	WholeMissing WarningKind = "whole-missing"
)

// Kinds about counting in the kernel.
const (
	// CountsMissed: Count runs of a program in the kernel were left out, each of which was the entry or the end of a call,
	// or of a thread.
	CountsMissed WarningKind = "counts-missed"
	// ThreadsUncounted: Count threads were not counted, as there were more than there is room for.
	ThreadsUncounted WarningKind = "threads-uncounted"
	// CallsUncounted: Count calls are in no row, as there were more kinds of them than there is room for.
	CallsUncounted WarningKind = "calls-uncounted"
	// CallsOfNobody: of Count calls it is not known whose they are, likewise.
	CallsOfNobody WarningKind = "calls-of-nobody"
	// FlightsUncounted: Count calls in flight are not listed, likewise.
	FlightsUncounted WarningKind = "flights-uncounted"
	// TimesDrawn: of frequent and short calls one of Count was timed.
	TimesDrawn WarningKind = "times-drawn"
)

// Kinds about filters in the kernel.
const (
	// FilteredItself: the tracer has a seccomp filter itself, so that the command gets none.
	FilteredItself WarningKind = "filtered-itself"
	// NoFilter: the command could not be given a filter; Text says why.
	NoFilter WarningKind = "no-filter"
	// NoNewPrivileges: the command could not gain privileges, for having a filter.
	NoNewPrivileges WarningKind = "no-new-privileges"
	// StrictRefused: process ID was refused seccomp's strict mode, for having a filter.
	StrictRefused WarningKind = "strict-refused"
	// TracerRefused: process ID could not trace, for having a filter.
	TracerRefused WarningKind = "tracer-refused"
)

// Kinds about placement.
const (
	// NotPlaced: nothing is pinned; Text says why.
	NotPlaced WarningKind = "not-placed"
	// ThreadsNotPlaced: some threads may not be pinned; Text says why.
	ThreadsNotPlaced WarningKind = "threads-not-placed"
	// GuardDied: the child that would restore affinities was killed, and nothing has been pinned since.
	GuardDied WarningKind = "guard-died"
	// CPUNotAllowed: the tracer may not run on CPU number ID.
	CPUNotAllowed WarningKind = "cpu-not-allowed"
)

// Sentence: Text is the whole warning, as a file without kinds has it.
const Sentence WarningKind = "sentence"

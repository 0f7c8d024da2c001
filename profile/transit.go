package profile

import (
	"cmp"
	"slices"
	"time"
)

// Transit is what is known of the part of raw latencies that exists only because of tracing: waking
// the tracee, the switch back, waking the tracer, and that the call itself finds caches and branch
// predictors cold. It is a distribution, not a number: most transits are within some 10 % of each
// other, and a few are much longer.
type Transit struct {
	raw        Histogram // raw latencies of calls that take callNs
	gap        Histogram // between an exit-stop and the next entry-stop, with no work between them
	cpu        Histogram // CPU time seen in calls that take callNs
	callNs     int64     // what such a call takes untraced
	untracedNs []int64   // a call, a value a batch
	byHandNs   int64     // > 0: the user's word instead of all that
	source     CorrectionSource

	reference map[uint64]*Histogram // raw latencies of the calibration's other calls, by number
	colder    []coldness            // in ascending order of longerNs
	coldLent  bool                  // which was found in the other condition
}

// coldness is what a call takes longer under trace, apart from the transit of a call that does
// nothing, because it runs between two switches instead of in a loop.
type coldness struct {
	longerNs float64 // traced call, transit of a call that does nothing taken off, less callNs
	coldNs   float64 // the part of it that it would not take untraced
}

// ByHandTransit is a transit that is the same for every call, as the user says.
func ByHandTransit(d time.Duration) *Transit {
	return &Transit{byHandNs: int64(d), source: ByHand}
}

// NewTransit returns a transit that learns from a calibration: add the traced calls of a program that
// makes nothing but cheap calls, then tell how long they take untraced.
func NewTransit() *Transit { return &Transit{source: Calibrated} }

// Add takes a call of the calibration program. The first ones are for warming up: leave them out.
func (t *Transit) Add(c *Call) {
	t.raw.Record(between(c.EntryResumedNs, c.ExitSeenNs))
	if c.GapNs >= 0 {
		t.gap.Record(c.GapNs)
	}
	if c.CPUNs >= 0 {
		t.cpu.Record(c.CPUNs)
	}
}

// AddReference takes a call of the calibration program that does more than nothing.
func (t *Transit) AddReference(c *Call) {
	if t.reference == nil {
		t.reference = make(map[uint64]*Histogram)
	}
	h := t.reference[c.Nr]
	if h == nil {
		h = new(Histogram)
		t.reference[c.Nr] = h
	}
	h.Record(between(c.EntryResumedNs, c.ExitSeenNs))
}

// Untraced takes how long batches of calls took that the calibration program made untraced.
func (t *Transit) Untraced(batchNs []int64, calls int) {
	for _, ns := range batchNs {
		t.untracedNs = append(t.untracedNs, ns/int64(max(calls, 1)))
	}
	if len(t.untracedNs) > 0 {
		slices.Sort(t.untracedNs)
		t.callNs = undisturbed(t.untracedNs)
	}
}

// undisturbed is what most values are near, in sorted measurements of how long one thing takes: the
// end of their fastest quarter, since what is slower was disturbed.
func undisturbed(sorted []int64) int64 { return sorted[len(sorted)/4] }

// Reference takes how long batches took untraced that consisted of calls of these numbers in turn. It
// comes after Untraced, and after the traced ones of all these calls.
func (t *Transit) Reference(nrs []uint64, batchNs []int64, calls int) {
	const enough = 15
	rawNs := 0.0
	for _, nr := range nrs {
		h := t.reference[nr]
		if h == nil || h.Count() < enough {
			return
		}
		rawNs += float64(h.Quantile(0.5)) / float64(len(nrs))
	}
	if len(batchNs) == 0 || calls < 1 {
		return
	}
	sorted := slices.Sorted(slices.Values(batchNs))
	untracedNs := float64(undisturbed(sorted)) / float64(calls)
	longerNs := rawNs - float64(t.raw.Quantile(0.5))
	t.colder = append(t.colder, coldness{longerNs, longerNs - (untracedNs - float64(t.callNs))})
	slices.SortFunc(t.colder, func(a, b coldness) int { return cmp.Compare(a.longerNs, b.longerNs) })
}

// cold is the part of something that takes longerNs more than nothing which is due to cold caches: in
// proportion between the calls that were tried.
func (t *Transit) cold(longerNs float64) float64 {
	// What takes longer than any of these goes on meeting what the tracer has displaced, for a while: an
	// L1 cache full of it. (Python's start-up, 759 calls, lost 3 µs more a call than its calls alone
	// account for; reading 1 MB lost 1 to 2 µs more than the longest of the calibration's calls.)
	const further, most = 0.2, 3
	// The calibration's calls are short, repeated at once and made from few instructions. Programs' own
	// calls were colder: bench's write, fstat, poll, open, mmap and munmap alike took twice as long under
	// trace, above a getppid, as in a loop untraced, the longest of them 2.5 µs. A part of that is
	// common to all programs.
	const usual, usualUpTo = 0.35, 2_500

	if len(t.colder) == 0 {
		return 0
	}
	least := usual * min(max(longerNs, 0), usualUpTo)
	before := coldness{}
	for _, c := range t.colder {
		// Noise may say that a call takes longer alone than traced, or that a longer one gets less cold.
		c.coldNs = min(max(c.coldNs, before.coldNs), max(c.longerNs, 0))
		if longerNs <= c.longerNs && c.longerNs > before.longerNs {
			share := max(longerNs-before.longerNs, 0) / (c.longerNs - before.longerNs)
			return max(before.coldNs+share*(c.coldNs-before.coldNs), least)
		}
		before = c
	}
	// Up to the longest of bench's calls, the share that is due to cold caches was the same as in shorter ones.
	alikeNs := max(min(longerNs, usualUpTo)-before.longerNs, 0)
	coldNs := before.coldNs
	if before.longerNs > 0 {
		coldNs += before.coldNs / before.longerNs * alikeNs
	}
	coldNs += further * max(longerNs-before.longerNs-alikeNs, 0)
	return max(min(coldNs, most*before.coldNs), least)
}

// Usable reports whether enough was learnt to correct anything.
func (t *Transit) Usable() bool {
	const enough = 100
	return t.source == ByHand || t.raw.Count() >= enough && t.gap.Count() >= enough
}

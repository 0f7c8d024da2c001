package cost

// coldness is what a call takes longer under trace, apart from the transit of a call that does nothing, because it
// runs between two switches instead of in a loop.
type coldness struct {
	longerNs float64 // traced call, transit of a call that does nothing taken off, less callNs
	coldNs   float64 // the part of it that it would not take untraced
}

// cold is the part of something that takes longerNs more than nothing which is due to cold caches. It is in
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

package cost

// coldness is what a call takes longer under trace, apart from the transit of a call that does nothing, because it
// runs between two switches instead of in a loop: it finds caches and branch predictors cold. A control, which does
// nothing, cannot show it.
type coldness struct {
	longerNs float64 // traced call, transit of a call that does nothing taken off, less CallNs
	coldNs   float64 // the part of it that it would not take untraced
}

// cold is the part of something that takes longerNs more than nothing which is due to cold caches. It is in proportion
// between the calls that were tried, and for longer calls as much as for the longest of these: in proportion to their
// length it would be 11 µs of a preadv(2) of 33 µs that does not lose 1.
func cold(colder []coldness, longerNs float64) float64 {
	before := coldness{}
	for _, c := range colder {
		// Noise may say that a call takes longer alone than traced, or that a longer one gets less cold.
		c.coldNs = min(max(c.coldNs, before.coldNs), max(c.longerNs, 0))
		if longerNs <= c.longerNs && c.longerNs > before.longerNs {
			share := max(longerNs-before.longerNs, 0) / (c.longerNs - before.longerNs)
			return before.coldNs + share*(c.coldNs-before.coldNs)
		}
		before = c
	}
	return before.coldNs
}

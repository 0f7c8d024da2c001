package cost

// Coldness is what a call takes longer under trace, apart from the transit of a call that does nothing, because it
// runs between two switches instead of in a loop: it finds caches and branch predictors cold. A control, which does
// nothing, cannot show it.
type Coldness struct {
	LongerNs float64 // traced call, transit of a call that does nothing taken off, less CallNs
	ColdNs   float64 // the part of it that it would not take untraced
}

// cold is the part of something that takes longerNs more than nothing which is due to cold caches. It is in proportion
// between the calls that were tried, and for longer calls as much as for the longest of these: in proportion to their
// length it would be 11 µs of a preadv(2) of 33 µs that does not lose 1.
func cold(colder []Coldness, longerNs float64) float64 {
	before := Coldness{}
	for _, c := range colder {
		// Noise may say that a call takes longer alone than traced, or that a longer one gets less cold.
		c.ColdNs = min(max(c.ColdNs, before.ColdNs), max(c.LongerNs, 0))
		if longerNs <= c.LongerNs && c.LongerNs > before.LongerNs {
			share := max(longerNs-before.LongerNs, 0) / (c.LongerNs - before.LongerNs)
			return before.ColdNs + share*(c.ColdNs-before.ColdNs)
		}
		before = c
	}
	return before.ColdNs
}

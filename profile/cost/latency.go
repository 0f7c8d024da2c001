package cost

import "sysprof/profile"

// latency takes the transit off a distribution of raw latencies. It returns what it has taken for cold caches, too.
//
// Where all calls take the same time, the distribution is that of the transit, moved: the q-quantile
// of the transit has to come off the q-quantile. Where the calls themselves differ much more than
// transits do, the two have nothing to do with each other, and the middle one has to come off all.
// Between these the spread tells how much of each. Where calls differ less than transits are thought to,
// their own transits have differed less: by as much as the calls do.
//
// The order of calls is kept. It is the middle one that is known best, so that what comes out of order is
// moved towards it. No call takes less than one that does nothing.
func (f *fitted) latency(raw *profile.Histogram) (corrected *profile.Histogram, coldNs float64) {
	corrected = new(profile.Histogram)
	if raw.Count() == 0 {
		return corrected, 0
	}
	middle, least := f.at(0.5), float64(f.transit.callNs)
	same := f.sameShare(raw)
	var parts []part
	var before uint64
	middlemost, rounded := 0, 0.0
	for b := range raw.Buckets() {
		q := (float64(before) + float64(b.Count)/2) / float64(raw.Count())
		if before < (raw.Count()+1)/2 {
			middlemost = len(parts)
		}
		before += b.Count
		rawNs := float64(raw.Middle(b))
		ns := rawNs - middle - same*(f.at(q)-middle)
		cold := f.transit.cold(ns - least)
		coldNs += cold * float64(b.Count)
		parts = append(parts, part{max(ns-cold, min(least, rawNs)), b.Count})
		rounded += rawNs * float64(b.Count)
	}
	order(parts, middlemost)
	for _, p := range parts {
		corrected.RecordN(int64(p.ns), p.calls)
	}
	// The sum of the raw latencies is exact, and what was taken off them is known: for a call that
	// sleeps for seconds, the width of a bucket is more than all of it.
	corrected.ShiftSum(int64(sum(raw) - rounded))
	return corrected, coldNs
}

// part is some calls of a distribution on their way to being corrected.
type part struct {
	ns    float64
	calls uint64
}

// order moves parts that are out of order towards the middlemost.
func order(parts []part, middlemost int) {
	for i := middlemost + 1; i < len(parts); i++ {
		parts[i].ns = max(parts[i].ns, parts[i-1].ns)
	}
	for i := middlemost - 1; i >= 0; i-- {
		parts[i].ns = min(parts[i].ns, parts[i+1].ns)
	}
}

// sameShare is how much of a distribution's spread is that of the transit: 1 if calls differ as transits do, and less
// where they differ more or less than these.
func (f *fitted) sameShare(raw *profile.Histogram) float64 {
	spread, own := float64(raw.Quantile(0.9)-raw.Quantile(0.1)), f.spread()
	if spread <= 0 || own <= 0 {
		return 0
	}
	return min(own/spread, spread/own)
}

// cpu takes off what the stops themselves add to the CPU time of a call, and the cold caches. raw may be nil.
func (f *fitted) cpu(raw *profile.Histogram) *profile.Histogram {
	if raw == nil {
		return nil
	}
	if f.transit.cpu.Count() == 0 {
		return raw.Clone()
	}
	stops := max(int64(f.transit.cpu.Quantile(0.5))-f.transit.callNs, 0)
	corrected := new(profile.Histogram)
	for b := range raw.Buckets() {
		ns := float64(max(raw.Middle(b)-stops, 0))
		cold := f.transit.cold(ns - float64(f.transit.callNs))
		corrected.RecordN(int64(max(ns-cold, 0)), b.Count)
	}
	return corrected
}

// below is how many values are in buckets below ns.
func below(h *profile.Histogram, ns int64) uint64 {
	n := uint64(0)
	for b := range h.Buckets() {
		if b.HighNs >= ns {
			break
		}
		n += b.Count
	}
	return n
}

// sum is the sum of all values.
func sum(h *profile.Histogram) float64 {
	hi, lo := h.Sum128()
	return float64(hi)*(1<<64) + float64(lo)
}

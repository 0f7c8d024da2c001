package cost

// cold is the part of something that takes longerNs more than nothing which it takes only because it runs between two
// switches instead of in a loop: it finds caches and branch predictors cold. A control, which does nothing, cannot show
// it. stopNs is the least that a stop takes.
//
// Measured on a machine with 5.8 µs a stop, as what is left of medians when the transit is off: 0.05 to 0.15 µs of
// fstat, pread of 64 bytes and close (which take 0.2 to 0.4 µs longer than nothing), 0.3 of open and mmap (1.2 to 1.5), 0.7 of munmap
// (2.8), and no more of a pread of 1 MB (22). Reference calls of the calibration's child would have to be far more than
// a calibration has time for: the median of 24 was off by up to 7 µs.
func cold(stopNs int64, longerNs float64) float64 {
	const most = 1.0 / 7 // of a stop
	return max(min(coldShare*longerNs, most*float64(stopNs)), 0)
}

// coldShare is how much of what a call takes is due to that.
const coldShare = 0.2

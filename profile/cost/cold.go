package cost

// cold is the part of something that takes longerNs more than nothing which it takes only because it runs between two
// switches instead of in a loop: it finds caches and branch predictors cold. A control, which does nothing, cannot show
// it. stopNs is the least that a stop takes.
//
// Measured as what is left of medians when the transit is off. On an idle machine with 5.3 µs a stop: 0.1 to 0.3 µs of write, epoll_wait,
// futex, fstat, close and pread of 64 bytes, which take up to 0.3 µs longer than nothing; about as much of open and mmap (1.2 to 1.4);
// 0.7 of munmap (2.8), and no more of a pread of 1 MB (22); none of poll. On another one, with 2.8 µs a stop: up to 0.1 of
// all that take up to 1.5 µs, 0.9 to 1.1 of munmap (1.9 to 2.3), 0.9 of a write of 10 KB (5). Reference calls of the
// calibration's child would have to be far more than a calibration has time for: the median of 24 was off by up to 7 µs.
func cold(stopNs int64, longerNs float64) float64 {
	stop := float64(stopNs)
	short := min(shortShare*longerNs, stop/30) // what any call finds cold that looks something up
	long := min(longShare*(longerNs-0.4*stop), stop/3)
	return max(short, long, 0)
}

// How much of what a call seems to take is due to that: of all of it, and of what is longer than 0.4 of a stop.
const (
	shortShare = 0.35
	longShare  = 0.5
)

// coldWork is what cold leaves out of work that a program does once rather than again and again, such as what is done while it
// starts: that finds all its caches and branch predictors cold, and the more so the longer it takes.
func coldWork(stopNs int64, longerNs float64) float64 {
	stop := float64(stopNs)
	return max(min(longShare*(longerNs-stop), mostWork*stop)-cold(stopNs, longerNs), 0)
}

// mostWork is the most of it, in stops.
//
// Measured by tracepoints (perf record -e raw_syscalls:*) around the same calls and gaps of the start of a python, untraced and
// traced, where a stop takes 10.5 µs (medians of five runs each, less a transit or a switch): gaps of 2 to 10 µs took 6
// longer, of 10 to 40 µs 18, of 40 to 160 µs 50, of 0.3 to 1 ms 117, and longer ones no more than that. Calls of 2 to 10 µs took 9
// longer, of 10 to 50 µs 25. On another machine, with 2.8 µs a stop, all of that came to 2 to 3 µs a call, which is half as many stops.
const mostWork = 4

package report

import "time"

// Time is a time for people to read, with three digits: "12.3 µs".
func Time(d time.Duration) string { return humanTime(int64(d)) }

// Count is a count for people to read: "1,234".
func Count(n uint64) string { return humanCount(n) }

// PerSecond is how often a second something happens: "0", "3.2", "1,234".
func PerSecond(perSecond float64) string { return rate(perSecond) }

// Percent is a share for people to read, without a percent sign: "12.3", "<0.1".
func Percent(part, whole float64) string { return percent(part, whole) }

// Factor is a ratio for people to read: "1.02", "38".
func Factor(f float64) string { return factor(f) }

// Clock is a running time to the second: "7 s", "2:05", "1:02:03".
func Clock(d time.Duration) string { return clock(d) }

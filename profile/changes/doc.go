// Package changes says how the calls of some runs differ from those of others: by how much their number, their time and
// their latencies have changed, and whether that may be chance.
//
// Four runs a side or more are judged by how they differ among themselves (package trials). With fewer, there are only the
// distributions of the calls within each run to go by: each figure has the interval that its distribution gives it, widened
// by what is uncertain in every latency, and two figures whose intervals meet may be equal. What differs between any two
// runs of a program, whatever the reason, is not in these: that takes more runs to see.
//
// It is arithmetic: it reads no files and prints nothing.
package changes

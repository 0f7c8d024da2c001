// Package profile adds finished system calls up: how many, how slow, how they ended.
//
// It is arithmetic. Time comes in as numbers, so a recorded stream of calls gives the same profile
// as the live one. The package knows nothing of ptrace, processes or output formats, needs no Linux
// and no privilege, and can be fed by any source of calls.
//
// How calls flow:
//
//  1. A source (a tracer thread) owns a Shard and hands every finished Call to Shard.Add.
//  2. The shard finds the row of the call's Key and records the latency in that row's histogram
//     for the outcome: one for success and one per errno.
//  3. Profile.Snapshot merges the shards into an immutable, sorted Snapshot, which is all that
//     package report sees. Snapshots of different profiles merge with Merge.
//
// Tracing adds another time to a call where tracer and tracee are held on one CPU than where they are not, and
// a run has calls of both kinds (Call.CrossCPU). Shards tally them apart, and a Snapshot corrects each kind by its
// own Transit before it adds them up to the rows that are printed.
//
// Locking: a Profile has a few shards, each with its own mutex, and deals them out to its feeding threads
// in turn (see Profile.Shard). A feeder holds its mutex for some ten nanoseconds a call, and ptrace
// leaves microseconds between two calls, so the mutex is all but never contended, and Add pays an
// uncontended lock only. Snapshot locks one shard at a time and for the copy of one row only, so it makes
// a tracer wait for some ten microseconds (60 rows take 0.8 ms in all, garbage collection included).
//
// Memory does not depend on the number of calls, threads or processes: a row costs about 0.6 KB, plus
// 1 KB for each power of two that its latencies fall into, per shard.
package profile

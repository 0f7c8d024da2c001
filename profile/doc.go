// Package profile adds finished system calls up: how many, how slow, how they ended.
//
// It is arithmetic on numbers: time comes in as numbers, too, so that a recorded stream of calls gives the same
// profile as the live one. It knows nothing of ptrace, processes or output formats, needs no Linux and no
// privilege, and can be fed by any source of calls. It does not know what tracing adds to a call: package cost
// does, and says so in Call.TransitNs before a call is counted.
//
// How calls flow:
//
//  1. An engine hands over what it sees through a Sink: each finished Call, or, if it adds calls up itself, a
//     Raw of many.
//  2. Each thread of the engine owns a Shard of the Profile and gives its calls to Shard.Add. The shard finds
//     the row of the call's Key and records the latency in that row's histogram for the outcome: one for success
//     and one for each errno. Profile.AddRaw merges whole rows.
//  3. Profile.Raw merges the shards into a Raw: what was measured, as a value. It can be cloned, merged and
//     subtracted.
//  4. Package cost makes a Snapshot of a Raw, with mended means and an account of what tracing cost. It is sorted and immutable, and all that package report sees.
//     Raw.Snapshot makes one whose latencies are raw. Snapshots of different runs merge with Merge.
//
// Beside it, a Samples adds calls up by stack and by the values of fields (package label), and a Grouper by the values of fields, in
// less memory: each in its own way bounded, with the smallest added up as others. Package cost mends both so that they add up to the
// rows of the Snapshot.
//
// Tracing adds another time to a call where tracer and tracee are pinned to one CPU than where they are not, and
// a run has calls of both kinds (Call.CrossCPU). A Raw keeps them in two parts, so that each can be corrected on
// its own before they are added up to the rows that are printed.
//
// Locking: a Profile has a few shards, each with its own mutex, and deals them out to its feeding threads
// in turn (see Profile.Shard). A feeder holds its mutex for some ten nanoseconds a call, and ptrace
// leaves microseconds between two calls, so that Add pays for an uncontended lock in nearly all cases. Raw locks
// one shard at a time and for the copy of one row only, so that it makes a tracer wait for some ten microseconds
// (60 rows take 0.8 ms in all, garbage collection included).
//
// Memory does not depend on the number of calls, threads or processes: a row costs about 0.6 KB, plus
// 1 KB for each power of two that its latencies fall into, per shard.
package profile

// Package compare runs a command again and again, alone and under tracers, and says what each of them made of its time.
//
// How it measures:
//
//  1. A round runs the command once alone, once under sysprof, and once under each of the other tracers, in an order that
//     is shuffled for each round, so that what changes slowly on a machine meets all of them. Values are compared within
//     a round (package trials). The first round is not counted: it fills caches, and shows who cannot trace here.
//  2. The time of a run is that of the monotonic clock, from before the fork until the last of all processes of the run
//     is gone. A tracer waits for what the command leaves behind, so the command alone is waited for in the same way.
//     For that this process adopts orphans (PR_SET_CHILD_SUBREAPER in prctl(2)), which is also how it finds all of them
//     when a signal ends it.
//  3. The command reads a file if standard input is one, each time from the same place, and nothing otherwise. What it
//     writes to standard output and error is thrown away, under every tracer in the same way.
//  4. sysprof is this very program, executed again with the same options and --json. From there come the number of calls
//     and sysprof's own estimate of the time without it. What it spends before and after tracing is part of its time.
//
// It is not for processes that run already, and knows nothing of how its figures look: package report draws them.
//
// Precondition: this process has no other children, and starts none.
package compare

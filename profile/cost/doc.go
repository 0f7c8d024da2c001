// Package cost takes off what tracing adds: it makes a profile.Snapshot, which has latencies, of a profile.Raw, which
// has what a tracer's clock saw.
//
// It is arithmetic. Correct is a function of the measurements, of what a calibration showed and of a few numbers about
// the run, and of nothing else: it asks neither the clock nor the machine, and changes nothing that it is given.
// A recorded Raw can be corrected again, by another model, in a test or on another machine. The package does not
// trace, does not run the calibration, and puts nothing into words.
//
// How the correction works:
//
//  1. A calibration traces a child that makes a call that does nothing, of which the child itself has said how long it
//     takes untraced. A Calibrator finds from its calls, for each condition (tracer and tracee pinned to one CPU,
//     or not), a Transit: the distribution of what tracing adds to a raw latency. Reference calls that do more
//     show how much longer a call takes for finding cold caches.
//  2. The transit is fitted to the run (fit.go, noise.go): the run's own calls that do nothing, its fastest rows and
//     its shortest gaps between calls show by how much the machine differs from what it was when it was
//     calibrated. A condition without a calibration borrows from the other one (lend.go).
//  3. The fitted transit comes off each distribution of raw latencies (latency.go), and what stops and cold caches
//     add comes off CPU times. Calls whose exit-stop stood in line are taken to be like the others of their
//     row (queue.go).
//  4. What was taken off, the switches around stops, standing in line and hold are added up (account.go), and tell
//     how long the run would have taken without tracing, and between which bounds (overhead.go).
//  5. What makes the numbers uncertain becomes a profile.Warning (warnings.go).
//
// Samples of a profile with stacks are corrected by the rows of the Snapshot, so that both add up to the same
// (samples.go).
package cost

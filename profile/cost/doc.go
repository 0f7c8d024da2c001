// Package cost takes off what tracing adds: it makes latencies of what a tracer's clock saw, and a profile.Snapshot of a
// profile.Raw.
//
// It is arithmetic. A Stream is a function of the calls and controls that it is given, in their order, and Correct one of
// what was counted and of a few numbers about the run, and of nothing else: neither asks the clock or the machine. A
// recorded run can be corrected again, by another model, in a test or on another machine. The package does not trace,
// does not run the calibration, and puts nothing into words.
//
// What a stop costs is not the same from one moment to the next: within one run of 0.8 s beside a busy program it went
// from 5.3 to 8.8 µs. So it is measured in the traced threads, all the time, by controls (profile.Control): stops between
// two calls, which the program does not notice, and in which nothing happens but what is to be measured.
//
//  1. A calibration traces a child that makes a call that does nothing, of which the child has said how long it takes
//     untraced. A Calibrator makes a Model of that (calibrate.go, model.go): how long such a call, a transit and the
//     switches outside of it take. By how much controls take
//     longer than a transit it knows, too; where a program's own calls show that it is more, it is that: none takes
//     less than one that does nothing (own.go). What cold caches cost calls that do more, which controls do not show,
//     is a share of a transit that was measured once (cold.go): the few calls of a calibration cannot tell.
//  2. A Stream takes off each call the transit of its moment: the median of the last controls of that tracer thread, in
//     that condition (tracer and tracee pinned to one CPU, or not), and the cold caches (stream.go).
//  3. A call, or a control, that took long because the thread or its tracer waited for a CPU is known by their
//     schedstat (waits.go). Such calls, and those that stood in line for the tracer or its CPU, are counted, and taken to be like the
//     others of their row (queue.go). Calls that really took long stay.
//  4. Correct takes off the means by how much controls exceed their own median, which medians do not have in them
//     (cost.go). What was taken off, the switches, standing in line, controls and hold are added up, and what work
//     that is done once lost to cold caches (cold.go). That tells how long the run would have taken without tracing, and
//     between which bounds, or what share of their time the threads lost (overhead.go).
//  5. The time of threads that slept until another traced thread came so far has in it what tracing cost that one. Rows of
//     which that is most are marked as upper bounds (queue.go).
//  6. What makes the numbers uncertain becomes a profile.Warning (warnings.go).
//
// The tests replay recorded runs, of which the truth is known (package recording): a model is judged by the same data as
// the one before it.
//
// Samples of a profile with stacks are corrected so that they add up to the rows of the Snapshot (samples.go).
package cost

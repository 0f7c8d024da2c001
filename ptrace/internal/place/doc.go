// Package place decides where tracees and tracer threads run, and hides from tracees that it does. It knows threads
// by their ids, how long they ran between their calls, and how many stops there were. It knows nothing of calls,
// stops, or who traces whom, and makes no ptrace request.
//
// # Why
//
// Where a stop wakes the tracer on another CPU, that CPU has to be woken, and then wakes the first one again for the
// resumption. On one CPU there is but a switch. Measured on Linux 6.18 in a virtual machine with 2 CPUs, a getppid(2)
// that takes 0.09 µs untraced, under strace -c: 26 to 40 µs where tracee and tracer are on two CPUs (6.6 where the
// other CPU happens to be busy), 6.0 to 6.6 on one. Traced by sysprof, real programs that call a lot ran 3 to 8 times
// faster with both on one CPU: tar 129 ms instead of 1020, find 93 instead of 606. The worst is to pin them to
// different CPUs: 185 µs a call.
//
// It takes both: with the tracer alone pinned to a CPU, the kernel wakes the tracee on the idle CPU
// (kernel/sched/fair.c, select_idle_sibling). But threads that compute in parallel must not be pinned to one CPU. So
// it goes by what each thread does.
//
// # How
//
//  1. A thread that makes a few calls in a row with little in between is bound by its calls. It and its tracer thread
//     are pinned to one CPU, the tracer thread's Home.
//  2. A thread that runs for long between two calls computes. Its affinity is restored at its next stop (Entered) or,
//     if that is not soon, by the timer (Tick). The more often that happens, the longer it has to be bound by its
//     calls before it is pinned again.
//  3. Several such threads may get on faster apart from their tracer, if there are CPUs for them. Where their stops
//     often stand in line, both ways are tried in turn, and the faster one stays (crowd.go).
//  4. Programs are not to see that threads are pinned. Before a pinned thread enters a call that asks for or sets
//     CPUs, or that creates a thread, its affinity is restored (Reveal). So the kernel answers truthfully, the
//     thread's own wish is kept, and children inherit what they would have had.
//  5. All affinities are restored before tracing ends, and before tracees cease to stop at their calls (End). If this
//     process is killed, the guard restores them: a child that does nothing else, and that hears of it before the
//     tracees are let go (life). Where it may it is moved out of this process's cgroups, which can be killed as a whole
//     (groups.go).
//
// Where this process may run on one CPU only, nothing has to be pinned: a thread that may run there, too, shares the
// CPU as it is, and there is no guard.
//
// # Threads
//
// A Home, and the Threads that were added to it, are used by one tracer thread only. A Machine is shared by all
// Homes, and locks what they share. That a thread is still pinned is read without a lock, from the memory shared with
// the guard: another Home may have restored its affinity.
package place

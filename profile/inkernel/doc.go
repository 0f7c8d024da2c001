// Package inkernel counts system calls in the kernel: programs at the tracepoints where calls are entered and left add them
// up in tables there, which are read when somebody wants to know. No thread is stopped, and no event is sent that could be
// lost. It takes root, or CAP_BPF and CAP_PERFMON, and Linux 5.15 or newer.
//
// # How it works
//
// A thread that is counted is a member. Processes are named (Add, AddCommand), or all are (Options.Everybody); their
// threads and children are members, too. The programs are in bpf/counting.bpf.c, which says how a call finds its row.
//
//  1. Load loads the programs, and attaches them: first those that see threads end, begin and return, last the one that
//     sees calls being entered.
//  2. Price measures what they cost: a thread of this process makes calls that do nothing, before they are attached, as
//     one that is not counted, and as a member.
//  3. Begin looks at all threads there are and makes members of those that belong to what was named. Who is born
//     meanwhile belongs to its parent.
//  4. Take hands over what has come in since the last time. Each CPU has rows of its own, so that nothing is contended.
//  5. End has all programs return at once from then on, waits until none is running that had begun before, and notes
//     the calls that are in flight.
//
// A row is the calls of one number and one errno: their count, and of those that are timed the sum of their latencies,
// the extremes, and 32 buckets an octave, which are unions of those of profile.Histogram. All calls are timed, or of the
// frequent and short ones one in so many (Options.Timed), drawn at random.
//
// # Whose calls they are
//
// With Options.By calls are counted by who makes them, too (bpf/groups.h). Who that is is found out at the first call of a thread, and
// again when it, or its process, has got another name or another control group: a call belongs to who its thread was when it was
// entered. TakeGroups empties the tables; Crowded says when that has to be soon. What comes when they are full is counted, but it is
// not known whose it is.
//
// # What is different from being stopped
//
// A latency is the time from the tracepoint at the entry to that at the exit, and needs no correction. A seccomp filter
// comes before the first: a call that it answers is counted with a latency of 0. So does the stop of another tracer.
//
// A call that a deadly signal breaks off is in flight, whatever the signal: untraced, it never returns. A stopped thread
// is seen to return from it when the signal is one that could be handled.
//
// # Nothing is left behind
//
// Nothing is pinned. Programs and tables are gone with the descriptors of this process, however it ends.
//
// # Stacks
//
// With Options.Draws calls are drawn at random: of each row some, so that rare ones are all drawn, and the longer a call took, the
// more likely. Of these the registers and a piece of the stack are copied, and handed to who asked for them (Draw), with how many calls each
// stands for. The pace is the programs' own (bpf/stacks.h), but for how many there are in all, which is kept at some 1,000 a second
// from here. Counts and times do not depend on any of it.
//
// # Single calls
//
// With Options.Slower the programs tell of calls that take long (OnSlow, bpf/slow.h): of each that ends, and, as they are
// looked for now and then, of each that hangs. So many a second are told of; the others are counted (SlowLost).
//
// It does not unwind stacks, and knows no process by name: it is told which to count.
package inkernel

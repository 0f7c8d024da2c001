// Package slow writes about single calls: those that took longer than a given time, as they end, and those that have not
// returned after that time, while they hang.
//
// A tracer thread tells of each call when it is entered (Entered), when it has taken long and its thread still stands still
// (Held), and when it is known how long it took (Returned). What a call is about is asked for only then, of slow calls alone,
// with two exceptions: what an execve executes and what a close closes is gone by then, and is asked for before.
// Calls that hang are found by a timer, which reads what Entered has left behind for it, one small record a thread.
//
// Lines are put into a queue of bounded length, and written by a goroutine that may have to wait for whoever reads. No more
// than linesASecond are written; how many were left out is said every second.
//
// An engine that finds slow calls itself, also those that hang, tells of these alone (Tell).
//
// It is not for counting calls.
package slow

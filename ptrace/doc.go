// Package ptrace follows the system calls of running programs with ptrace(2): it launches or
// seizes them, waits for their stops, classifies each, resumes, and hands every finished call to
// its caller. It is mechanism only: it keeps no statistics and knows no output format.
//
// # How it works
//
// A worker is a goroutine, locked to one OS thread for life, that does everything that concerns its
// tracees, because the kernel accepts ptrace requests only from the thread that attached. There is one,
// or several where processes are attached to (share.go):
//
//  1. Attach seizes every thread of each process named, and interrupts it once; launch forks a
//     child that waits in user memory until it is seized, so that its execve is the first call.
//  2. wait4(-1, __WALL|__WNOTHREAD) returns one stop of one tracee.
//  3. A syscall stop is read with PTRACE_GET_SYSCALL_INFO, which tells entry from exit by itself:
//     nothing is ever inferred by toggling.
//  4. The tracee is resumed with PTRACE_SYSCALL, and only then is a finished call handed on, so
//     that what the caller does with it is not added to the time the tracee stands still.
//
// A call therefore costs two times wait4, GET_SYSCALL_INFO and PTRACE_SYSCALL, four readings of
// the clock, and no allocation.
//
// # Where it runs
//
// A worker shares a CPU with those of its tracees that are bound by their calls (place.go).
//
// # How it ends
//
// Tracing ends by letting the tracer threads exit. The kernel then detaches all of its tracees
// itself (kernel/ptrace.c, exit_ptrace): a running one runs on, one that sleeps in a call goes on
// sleeping in it, a stopped one stays stopped, and a stop that nobody had waited for still
// delivers its signal. No PTRACE_INTERRUPT is needed, so no call returns EINTR for it, and a
// tracee that cannot be interrupted (the parent of a vfork) needs no special case. The same holds
// when the process is killed with SIGKILL.
//
// Tracees that have a filter in the kernel are never left like that: filtering.go says why, and what
// happens instead.
//
// # What each request may meet
//
// A tracee can die between any two requests (SIGKILL, exit_group or execve in another thread), so
// ESRCH is an outcome of every one of them and never an error: its death is then reported by
// wait4. The table of tracees is the only truth about who is traced.
package ptrace

// Package ptrace follows the system calls of running programs with ptrace(2): it launches or
// seizes them, waits for their stops, classifies each, resumes, and hands every finished call to a
// profile.Sink. It is mechanism only: it keeps no statistics and knows no output format.
//
// # How it works
//
// A worker is a goroutine that is locked to one OS thread for life. It does everything that concerns its tracees,
// because the kernel accepts ptrace requests only from the thread that attached. There is one worker, or several
// where processes are attached to (share.go).
//
//  1. Calibration (calibrate.go): a child makes cheap calls, untraced and traced, to find out what tracing costs. During
//     the run, controls show it (controls.go).
//  2. Attaching (attach.go) seizes every thread of each process named, and interrupts it once, unless it sleeps in a
//     call that would not go on as if nothing had been (sleepers.go). Launching (launch.go) has another thread fork a
//     child that waits until it is seized, so that its execve is the first call.
//  3. wait4(-1, __WALL|__WNOTHREAD) returns one stop of one tracee (wait.go). Its status is classified once (event.go),
//     and acted on by one function a kind (stops.go).
//  4. A syscall-stop is read with PTRACE_GET_SYSCALL_INFO, which tells entry from exit by itself:
//     nothing is ever inferred by toggling.
//  5. The tracee is resumed with PTRACE_SYSCALL, and only then is a finished call handed to the sink, so
//     that what the sink does with it is not added to the time the tracee stands still. Before a control it is
//     handed over first: its transit would have that work in it, and no call's has.
//
// A call therefore costs two times wait4, GET_SYSCALL_INFO and PTRACE_SYSCALL, four readings of
// the clock, and no allocation.
//
// The loop asks these parts at named points: package place, where a tracee and the worker are to run; filtering.go,
// which deals with a filter in the kernel that lets uninteresting calls through without a stop; detach.go,
// which detaches tracees for tracers of their own; sleepers.go, which leaves threads asleep; cputime.go, the CPU time of
// calls.
//
// # What it costs
//
// A getppid(2) on one CPU takes 0.09 µs untraced. Traced by a C loop that reads nothing it takes 4.8 µs, and
// PTRACE_GET_SYSCALL_INFO at both stops makes that 5.3. The same loop in Go takes 7.5 µs, and 5.5 with SA_NOCLDSTOP,
// since each stop would else run the Go runtime's handler of SIGCHLD (signals.go). (Linux 6.18, a virtual machine with
// 2 CPUs.)
//
// Waiting takes time for each tracee and for each waiting thread: with 1,000 idle tracees a call of a busy one takes
// 27 µs if one thread waits for all, 38 if a thread waits for each, and 6.8 with 32 tracer threads (share.go).
//
// # Threads and locks
//
// A worker, its table of tracees and its part of each of the above are used by the worker's thread only. Other threads
// have something done there by its mailbox (thread.go). Until workers wait for stops, the goroutine that calls Start
// tells them what to do, and may look into their tables while it does not. What all workers share is set before they
// wait for stops, or atomic, or guarded by Tracer.mu. The stops of one tracee are always seen by the same worker.
//
// The states of a run and all transitions are in state.go.
//
// # How it ends
//
// Tracing ends by letting the tracer threads exit. The kernel then detaches all of its tracees
// itself (kernel/ptrace.c, exit_ptrace): a running one runs on, one that sleeps in a call goes on
// sleeping in it, a stopped one stays stopped, and a stop that nobody had waited for still
// delivers its signal. No PTRACE_INTERRUPT is needed, so no call returns EINTR for it, and a
// tracee that cannot be interrupted (the parent of a vfork) needs no special case. The same happens
// when the process is killed with SIGKILL. Before they exit, settle.go has tracees come to where they do not notice that,
// and holds those that are there until the others are.
//
// The thread that has forked the command is none of these: it stays until the command's end (launched.go, fork). Up to
// its execve the command dies with this process, whenever that is killed; so does the calibration child (gate.go).
//
// A filtered process cannot be detached: filtering.go says why, and what happens instead.
//
// # What a traced program must not notice
//
// Whatever stops a thread breaks off the call that it sleeps in: an interrupt at the attach or the end
// (interrupt_amd64.go, interrupt_generic.go), and signals that would not have reached it untraced
// (brokenoff.go). Such a call is made again, with the EINTR of one that is owed to a handler.
//
// # What each request may meet
//
// A tracee can die between any two requests (SIGKILL, exit_group or execve in another thread), so
// ESRCH is an outcome of every one of them and never an error: its death is then reported by
// wait4. The one death that is not reported is that of a process's first thread when another thread makes an
// execve (fs/exec.c, de_thread). Which threads are traced is known from the table of tracees alone.
package ptrace

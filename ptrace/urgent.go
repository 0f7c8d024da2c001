package ptrace

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// urgently runs f on a thread that gets the CPU before others, where this process may have it so (CAP_SYS_NICE, or
// RLIMIT_NICE).
//
// Where hundreds of threads want two CPUs, what takes a few milliseconds otherwise takes seconds, since it waits for
// its turn again and again. For as long as threads are seized, others that have been stand still for it. So this is for
// what is over soon. Somebody who has made this process nice wants it to wait.
//
// Threads of the runtime do not inherit it: a locked one has another start new ones (Go 1.26, runtime.newm).
func urgently(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if beUrgent() {
		defer unix.Setpriority(unix.PRIO_PROCESS, 0, usual)
	}
	f()
}

const mostUrgent, usual = -20, 0 // nice values

// beUrgent is urgently for what the calling thread does from now on. It reports whether anything has changed.
func beUrgent() bool {
	was, err := niceness()
	return err == nil && was == usual && unix.Setpriority(unix.PRIO_PROCESS, 0, mostUrgent) == nil
}

// niceness is the calling thread's nice value.
func niceness() (int, error) {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // as the kernel returns it (getpriority(2), C library/kernel differences)
	return 20 - raw, err
}

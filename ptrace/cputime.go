package ptrace

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CPU time comes from /proc/TID/schedstat, whose first number is the nanoseconds that the thread itself
// has run (kernel: sum_exec_runtime). The rusage that strace uses has the time of the whole process and
// of its reaped children, and advances by ticks.

// openCPU opens the thread's file, which is kept, because a read then costs a third of a microsecond.
// A thread without one (too many descriptors) is not measured.
func (tr *tracee) openCPU() {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/schedstat", tr.call.TID), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		tr.schedstat = fd
	}
}

// readCPU returns the CPU time of the thread so far, -1 if it is not known.
//
// Precondition: the thread is stopped, so that the number is up to date.
func (tr *tracee) readCPU() int64 {
	if tr.schedstat == 0 {
		return -1
	}
	var text [64]byte
	n, err := unix.Pread(tr.schedstat, text[:], 0)
	if err != nil || n == 0 {
		return -1
	}
	var ns int64
	for _, digit := range text[:n] {
		if digit < '0' || digit > '9' {
			break
		}
		ns = ns*10 + int64(digit-'0')
	}
	return ns
}

// cpuSinceEntry returns the CPU time since the entry-stop, -1 if it is not known.
func (tr *tracee) cpuSinceEntry() int64 {
	now := tr.readCPU()
	if now < 0 || tr.entryCPUNs < 0 {
		return -1
	}
	return now - tr.entryCPUNs
}

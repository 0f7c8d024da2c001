package ptrace

import "golang.org/x/sys/unix"

// stop is what wait4 has reported of a thread.
type stop struct {
	tid    int32
	kind   stopKind
	sig    unix.Signal     // of a signal-delivery-stop, a group-stop, or an event-stop
	status unix.WaitStatus // as reported
}

// stopKind is a kind of stop, or of end, in the words of ptrace(2).
type stopKind uint8

const (
	exited      stopKind = iota // the thread has ended by itself
	killed                      // the thread was ended by a signal
	syscallStop                 // entry to or exit from a call; PTRACE_GET_SYSCALL_INFO tells which
	signalStop                  // signal-delivery-stop
	groupStop                   // by a job-control signal, of a tracee that was seized
	eventStop                   // PTRACE_EVENT_STOP else: the end of a group-stop, a new tracee's first stop, the answer to PTRACE_INTERRUPT
	execStop                    // PTRACE_EVENT_EXEC: between the entry-stop and the exit-stop of an execve that succeeds
	filterStop                  // PTRACE_EVENT_SECCOMP: a filter has answered SECCOMP_RET_TRACE
	cloneStop                   // PTRACE_EVENT_CLONE, _FORK, _VFORK: in the thread that has created another
	otherStop                   // another event
)

var stopKindNames = [...]string{"exited", "killed", "syscall-stop", "signal-delivery-stop", "group-stop", "event-stop",
	"exec", "seccomp", "clone", "other"}

func (k stopKind) String() string { return stopKindNames[k] }

// classify tells what a wait status means. It takes the tracee to have been seized with PTRACE_O_TRACESYSGOOD.
func classify(tid int32, status unix.WaitStatus) stop {
	s := stop{tid: tid, status: status}
	switch {
	case status.Exited():
		s.kind = exited
		return s
	case !status.Stopped():
		s.kind = killed
		return s
	}
	s.sig = status.StopSignal()
	const sysGood = unix.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD
	switch event := uint32(status) >> 16; {
	case s.sig == sysGood:
		s.kind = syscallStop
	case event == 0:
		s.kind = signalStop
	case event == unix.PTRACE_EVENT_STOP:
		s.kind = eventStop
		switch s.sig {
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
			s.kind = groupStop
		}
	case event == unix.PTRACE_EVENT_EXEC:
		s.kind = execStop
	case event == unix.PTRACE_EVENT_SECCOMP:
		s.kind = filterStop
	case event == unix.PTRACE_EVENT_CLONE, event == unix.PTRACE_EVENT_FORK, event == unix.PTRACE_EVENT_VFORK:
		s.kind = cloneStop
	default:
		s.kind = otherStop
	}
	return s
}

// isEnd reports whether the thread has ended.
func (s stop) isEnd() bool { return s.kind <= killed }

package ptrace

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestClassify(t *testing.T) {
	const stopped = 0x7f
	event := func(event int, sig unix.Signal) unix.WaitStatus {
		return unix.WaitStatus(event<<16 | int(sig)<<8 | stopped)
	}
	for _, test := range []struct {
		name   string
		status unix.WaitStatus
		kind   stopKind
		sig    unix.Signal
	}{
		{"exit(0)", 0, exited, 0},
		{"exit(127)", 127 << 8, exited, 0},
		{"SIGKILL", unix.WaitStatus(unix.SIGKILL), killed, 0},
		{"SIGSEGV with a core dump", unix.WaitStatus(unix.SIGSEGV) | 0x80, killed, 0},
		{"syscall-stop", event(0, unix.SIGTRAP|0x80), syscallStop, unix.SIGTRAP | 0x80},
		{"SIGUSR1", event(0, unix.SIGUSR1), signalStop, unix.SIGUSR1},
		{"SIGTRAP of the program's own", event(0, unix.SIGTRAP), signalStop, unix.SIGTRAP},
		{"SIGSTOP is delivered", event(0, unix.SIGSTOP), signalStop, unix.SIGSTOP},
		{"the last real-time signal", event(0, 64), signalStop, 64},
		{"stopped by SIGSTOP", event(unix.PTRACE_EVENT_STOP, unix.SIGSTOP), groupStop, unix.SIGSTOP},
		{"stopped by SIGTSTP", event(unix.PTRACE_EVENT_STOP, unix.SIGTSTP), groupStop, unix.SIGTSTP},
		{"stopped by SIGTTIN", event(unix.PTRACE_EVENT_STOP, unix.SIGTTIN), groupStop, unix.SIGTTIN},
		{"stopped by SIGTTOU", event(unix.PTRACE_EVENT_STOP, unix.SIGTTOU), groupStop, unix.SIGTTOU},
		{"interrupted, new, or continued", event(unix.PTRACE_EVENT_STOP, unix.SIGTRAP), eventStop, unix.SIGTRAP},
		{"execve", event(unix.PTRACE_EVENT_EXEC, unix.SIGTRAP), execStop, unix.SIGTRAP},
		{"filter", event(unix.PTRACE_EVENT_SECCOMP, unix.SIGTRAP), filterStop, unix.SIGTRAP},
		{"clone", event(unix.PTRACE_EVENT_CLONE, unix.SIGTRAP), cloneStop, unix.SIGTRAP},
		{"fork", event(unix.PTRACE_EVENT_FORK, unix.SIGTRAP), cloneStop, unix.SIGTRAP},
		{"vfork", event(unix.PTRACE_EVENT_VFORK, unix.SIGTRAP), cloneStop, unix.SIGTRAP},
		{"exit event, which is not asked for", event(unix.PTRACE_EVENT_EXIT, unix.SIGTRAP), otherStop, unix.SIGTRAP},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := classify(7, test.status)
			if want := (stop{7, test.kind, test.sig, test.status}); got != want {
				t.Errorf("status %#x is %v, signal %v; want %v, %v", test.status, got.kind, got.sig, test.kind, test.sig)
			}
			if ends := test.kind == exited || test.kind == killed; got.isEnd() != ends {
				t.Errorf("isEnd: %v", got.isEnd())
			}
		})
	}
}

package ptrace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// statusField returns one line of /proc/TID/status (proc(5)), without its name, or "".
func statusField(tid int32, name string) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(data) {
		if key, value, ok := bytes.Cut(line, []byte(":")); ok && string(key) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// statusSet returns a set of signals of /proc/TID/status; bit n−1 is signal n.
func statusSet(tid int32, name string) uint64 {
	set, _ := strconv.ParseUint(statusField(tid, name), 16, 64)
	return set
}

// groupOf returns the thread group that tid belongs to; tid itself if it is gone.
//
// That most are the first thread of their group is asked of the kernel: it looks for the thread, and whether the group is the
// one named, before it asks who sends (kernel/signal.c, do_send_specific). To read its status takes ten calls.
func groupOf(tid int32) int32 {
	if unix.Tgkill(int(tid), int(tid), 0) == nil {
		return tid
	}
	if n, err := strconv.ParseInt(statusField(tid, "Tgid"), 10, 32); err == nil {
		return int32(n)
	}
	return tid
}

// tracerOf returns the thread that traces tid, 0 if none does. (The kernel calls it TracerPid.)
func tracerOf(tid int32) int32 {
	n, _ := strconv.ParseInt(statusField(tid, "TracerPid"), 10, 32)
	return int32(n)
}

// parentOf returns the parent of tid's process, 0 if it is gone.
func parentOf(tid int32) int32 {
	n, _ := strconv.ParseInt(statusField(tid, "PPid"), 10, 32)
	return int32(n)
}

// threadsOf lists the threads of process pid.
func threadsOf(pid int32) ([]int32, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	tids := make([]int32, 0, len(names))
	for _, name := range names {
		if tid, err := strconv.ParseInt(name, 10, 32); err == nil {
			tids = append(tids, int32(tid))
		}
	}
	if len(tids) > 0 {
		return tids, nil // the directory of a process that ends while it is read ends early
	}
	return nil, err
}

// blockedCall is what /proc/TID/syscall says of a thread that sleeps in a call.
type blockedCall struct {
	nr   uint64
	args [6]uint64
	pc   uint64
}

// sleepingCall reads the call that tid sleeps in. A thread that runs, or sleeps outside of a call,
// is in none.
func sleepingCall(tid int32) (call blockedCall, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", tid))
	if err != nil {
		return call, false
	}
	// "nr arg0 … arg5 sp pc", or "running", or "-1 sp pc" (proc(5)).
	fields := strings.Fields(string(data))
	if len(fields) != 9 {
		return call, false
	}
	var words [9]uint64
	for i, field := range fields {
		if words[i], err = strconv.ParseUint(field, 0, 64); err != nil {
			return call, false
		}
	}
	call.nr, call.pc = words[0], words[8]
	copy(call.args[:], words[1:7])
	return call, true
}

// readUntraced reads the memory of a thread that need not stand at a stop, or be traced at all. It waits for no handler
// of userfaultfd(2), as process_vm_readv(2) would (see raw.ReadMemory).
func readUntraced(tid int32, addr uint64, p []byte) bool {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return false
	}
	defer mem.Close()
	_, err = mem.ReadAt(p, int64(addr))
	return err == nil
}

// stateOf returns the letter of a thread's state, 0 if it is gone.
func stateOf(tid int32) byte {
	// pid, comm in parentheses, which may contain anything, then state (proc(5)).
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", tid, tid))
	if i := bytes.LastIndexByte(stat, ')') + 2; i < len(stat) {
		return stat[i]
	}
	return 0
}

// placeOf returns the function of the kernel in which a thread sleeps, "" if it does not, or if that is not known.
func placeOf(tid int32) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", tid))
	if string(name) == "0" {
		return ""
	}
	return string(name)
}

// whyNoThreads explains why the threads of a process could not be listed, if that is not the process's own
// fault. The answer begins with ": ", or is empty.
func whyNoThreads() string {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		return ": /proc, where its threads would be found, is not mounted"
	}
	return ""
}

// whyNoSeize explains why tid could not be attached to, and what to do, as far as that can be
// seen. The answer begins with ": ", or is empty.
func whyNoSeize(tid int32, err error) string {
	if !errors.Is(err, unix.EPERM) {
		return ""
	}
	if tracer := tracerOf(tid); tracer != 0 {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tracer))
		return fmt.Sprintf(": process %d (%s) traces it already; end that first", tracer, bytes.TrimSpace(comm))
	}
	if strings.HasPrefix(statusField(tid, "State"), "Z") {
		return ": it has ended, its parent has not waited for it yet"
	}
	if statusField(tid, "Kthread") == "1" {
		return ": it is a thread of the kernel"
	}
	scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	return missingRight(rights{
		scope: string(bytes.TrimSpace(scope)), root: os.Geteuid() == 0, may: mayTrace(statusField(int32(os.Getpid()), "CapEff")),
		child: parentOf(tid) == int32(os.Getpid()),
	})
}

// rights are what decides on whether a process may be traced.
type rights struct {
	scope string // kernel.yama.ptrace_scope; "" if there is none
	root  bool
	may   bool // it has CAP_SYS_PTRACE
	child bool // it is about a child of this process
}

// mayTrace reports whether CAP_SYS_PTRACE is in a set as proc_pid_status(5) writes it.
func mayTrace(capabilities string) bool {
	set, err := strconv.ParseUint(capabilities, 16, 64)
	return err == nil && set>>unix.CAP_SYS_PTRACE&1 == 1
}

// missingRight says what to do about EPERM from a seize. Root in a container is told to become something else than root: it
// is that already.
func missingRight(r rights) string {
	switch {
	case r.scope == "3":
		return ": kernel.yama.ptrace_scope is 3, which forbids tracing until the next boot"
	case r.child && !(r.scope == "2" && !r.may):
		return ": not even a child may be traced here; a container has to allow ptrace (--cap-add=SYS_PTRACE)"
	case r.may:
		return ": although sysprof has CAP_SYS_PTRACE: it is of another user namespace (of the host, if this is a container), or a security module forbids it"
	case r.root:
		return ": sysprof is root, but without CAP_SYS_PTRACE, as in a container, which has to allow that (--cap-add=SYS_PTRACE)"
	case r.scope == "2":
		return ": kernel.yama.ptrace_scope is 2; run sysprof as root or with CAP_SYS_PTRACE"
	case r.scope == "1":
		return ": kernel.yama.ptrace_scope is 1; run sysprof as root, or launch the command with it"
	}
	return ": it belongs to somebody else or has more privileges; run sysprof as root or with CAP_SYS_PTRACE"
}

package compare

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// family is all processes of one run: the one that was started, and what it and its children started.
type family struct {
	start  time.Time
	leader chan struct{} // closed when the one that was started has ended
	gone   chan struct{} // closed when all of them have

	// Valid when gone is closed:
	status unix.WaitStatus // of the one that was started
	end    time.Time       // of the last one
}

// adoptOrphans makes this process the parent of those of its descendants whose parent ends.
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	return nil
}

// start starts a program with these files as its first descriptors. Those beyond them that this process was started with
// are handed on.
func start(path string, args, env []string, files []*os.File) (*family, error) {
	attr := &syscall.ProcAttr{Env: env}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	f := &family{start: time.Now(), leader: make(chan struct{}), gone: make(chan struct{})}
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return nil, &ptrace.ExecError{Path: path, Err: err}
	}
	go f.await(pid)
	return f, nil
}

// await waits for the end of every child that this process has, and of every one that it is given meanwhile.
func (f *family) await(leader int) {
	defer close(f.gone)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // ECHILD: there is none
			return
		}
		f.end = time.Now()
		if pid == leader {
			f.status = status
			close(f.leader)
		}
	}
}

// How long processes that are to end may take.
const (
	termGrace = time.Second      // from SIGTERM to SIGKILL
	killGrace = 10 * time.Second // from SIGKILL on: what waits for a dead disk is not to be killed
)

// kill ends all processes, by SIGTERM, and by SIGKILL after some time, or when hurry tells to. It reports whether all are gone.
func (f *family) kill(hurry <-chan os.Signal) bool {
	for _, pid := range descendants() {
		unix.Kill(pid, unix.SIGTERM)
	}
	select {
	case <-f.gone:
		return true
	case <-hurry:
	case <-time.After(termGrace):
	}
	tooLate := time.After(killGrace)
	for { // those that are killed leave orphans, which may fork
		for _, pid := range descendants() {
			unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case <-f.gone:
			return true
		case <-tooLate:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// descendants lists the processes that this one has started, and those that they have, and so on.
func descendants() (found []int) {
	children := make(map[int][]int)
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if parent, ok := parentOf(pid); ok {
				children[parent] = append(children[parent], pid)
			}
		}
	}
	for next := []int{os.Getpid()}; len(next) > 0; next = next[1:] {
		found = append(found, children[next[0]]...)
		next = slices.Concat(next, children[next[0]])
	}
	return found
}

// parentOf finds the parent of a process that runs: proc_pid_stat(5) has its state and its parent behind the name, which
// stands in parentheses and may contain some.
func parentOf(pid int) (parent int, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" {
		return 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, err == nil
}

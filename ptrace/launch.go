package ptrace

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Command is a program to launch under trace.
type Command struct {
	Path string   // the file to execute; no search
	Args []string // with the program's own name first
	Env  []string // "NAME=value"

	// User, if not nil, is who the command runs as.
	User *Credential

	// Origin, if not nil, is what the command gets back of what the Go runtime has changed in
	// this process since it was executed.
	Origin *Origin
}

// Credential is a user with all of its groups.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
}

// Origin is the part of a process's state that survives execve(2) and that the Go runtime changes
// when it starts. The sets have bit n−1 for signal n, as the kernel has them.
type Origin struct {
	Ignored uint64          // signals that were ignored
	Blocked uint64          // the signal mask
	Pending []PendingSignal // signals that were pending, as they are if they are blocked, too
	Closed  [3]bool
	NoFile  unix.Rlimit
}

// PendingSignal is a signal that waits for a process, or for its only thread.
type PendingSignal struct {
	Info   [16]uint64 // its siginfo_t (sigaction(2)), whose first field is the signal's number
	Thread bool       // it was sent to the thread
}

// Signal is the signal's number.
func (p *PendingSignal) Signal() uint32 { return uint32(p.Info[0]) } // of 32 bits, and all architectures are little-endian

// ExecError is a command that could not be executed.
type ExecError struct {
	Path string
	Err  error // a unix.Errno
}

func (e *ExecError) Error() string { return fmt.Sprintf("execute %s: %v", e.Path, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }

// childCheckEvery is how often a child that is expected to set itself up is checked: it may have died.
const childCheckEvery = 20 * time.Millisecond

// launch starts c as a tracee. It returns when the execve has succeeded, which is the first of the tracee's calls that
// the sink is handed.
//
// Precondition: the caller is the tracer thread.
func (w *worker) launch(c *Command) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	plan.filter = w.filter.program
	if plan.gate, err = raw.MapShared[gate](); err != nil {
		return fmt.Errorf("map a page to share with the command: %w", err)
	}
	defer raw.UnmapShared(plan.gate)
	plan.gate.parent = int32(unix.Getpid())
	tr, err := w.forkCommand(plan)
	if err != nil {
		return err
	}
	if err := w.awaitReady(plan, tr); err != nil {
		return err
	}
	if w.t.options.OnReady != nil {
		w.t.options.OnReady(int(tr.call.TID))
	}
	w.t.haste.Enough() // what is left is measured: the execve
	// The first stop has to be over before the child is told to go on, or it could be through its execve
	// before it is traced.
	tr.interruptPending = true
	if err := raw.Interrupt(tr.call.TID); err != nil {
		return w.launchFailed(plan, 0)
	}
	return w.traceExec(plan, tr)
}

// forkCommand forks the child, and seizes it. Until its execve has succeeded it is killed if the tracer ends (executed).
func (w *worker) forkCommand(plan *childPlan) (*tracee, error) {
	pid, err := w.t.command.fork(plan)
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	if err := raw.Seize(pid, w.t.seizeOptions()|unix.PTRACE_O_EXITKILL); err != nil {
		why := whyNoSeize(pid, err) // as long as there is a child to ask
		unix.Kill(int(pid), unix.SIGKILL)
		unix.Wait4(int(pid), nil, unix.WALL, nil)
		w.t.command.letGo()
		return nil, fmt.Errorf("trace %s: %w%s", plan.name, err, why)
	}
	tr := w.add(pid, pid)
	tr.launching = true
	w.t.command.tracer = &w.thread
	w.t.command.pid.Store(pid)
	return tr, nil
}

// awaitReady lets the child set itself up, and waits for that.
func (w *worker) awaitReady(plan *childPlan, tr *tracee) error {
	pid, phase := tr.call.TID, &plan.gate.phase
	phase.Set(gateSeized)
	for phase.Load() == gateSeized {
		phase.Wait(gateSeized, childCheckEvery)
		if phase.Load() != gateSeized {
			break
		}
		var status unix.WaitStatus
		got, err := unix.Wait4(int(pid), &status, unix.WALL|unix.WNOHANG, nil)
		if err != nil || got == int(pid) && !status.Stopped() {
			return w.launchFailed(plan, status)
		}
		if got == int(pid) { // a signal from outside, or a job-control stop
			w.act(classify(pid, status))
		}
	}
	return nil
}

// traceExec deals with the child's stops until its execve has succeeded. At its first stop the child is told to go on: it
// is resumed from there to the next of its calls. That stop answers the interrupt, whatever its kind: a signal that came
// before (SIGCONT is seen even if it is blocked) has had the child resumed to a call already.
func (w *worker) traceExec(plan *childPlan, tr *tracee) error {
	pid, gate := tr.call.TID, plan.gate
	for gate.phase.Load() != gateGo || tr.launching {
		var status unix.WaitStatus
		_, err := unix.Wait4(int(pid), &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		s := classify(pid, status)
		if err != nil || s.isEnd() {
			return w.launchFailed(plan, status)
		}
		if gate.phase.Load() != gateGo {
			gate.phase.Set(gateGo)
			w.t.run.begin(w.t.now())
		}
		if gate.filter.tried != 0 && w.filter.program != nil && !w.filter.installed && w.filter.launched(&gate.filter) {
			raw.SetOptions(pid, w.t.seizeOptions()|unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_EXITKILL)
		}
		w.act(s)
		if err := w.t.failed(); err != nil {
			if w.filter.installed {
				unix.Kill(int(pid), unix.SIGKILL) // it could not go on by itself
			}
			return err
		}
	}
	return nil
}

// executed is told that the command's first execve has succeeded, and that the tracee stands still at that. Unless it
// has the filter, or is to die with the tracer, it goes on without one from now on.
func (w *worker) executed(tr *tracee) {
	tr.launching = false
	if !w.filter.installed {
		raw.SetOptions(tr.call.TID, w.t.seizeOptions())
	}
}

// launchFailed says why the child is gone, or kills it if it is not.
func (w *worker) launchFailed(p *childPlan, status unix.WaitStatus) error {
	pid := w.t.command.pid.Load()
	if !status.Exited() && !status.Signaled() {
		unix.Kill(int(pid), unix.SIGKILL)
		unix.Wait4(int(pid), &status, unix.WALL, nil)
	}
	w.remove(w.table.tracees[pid])
	w.t.command.pid.Store(0)
	w.t.command.letGo()
	return p.failure(status)
}

// failure says why a child has not come through its execve.
func (p *childPlan) failure(status unix.WaitStatus) error {
	step, errno := childStep(p.gate.step), unix.Errno(p.gate.errno)
	switch {
	case step == stepExec:
		return &ExecError{Path: p.name, Err: errno}
	case errno != 0:
		return fmt.Errorf("launch %s: %v: %w", p.name, step, errno)
	case status.Signaled():
		return &KilledError{Path: p.name, Signal: status.Signal()}
	}
	return fmt.Errorf("launch %s: it ended before it was executed (status %#x)", p.name, uint32(status))
}

// KilledError is a command that a signal ended before it was executed.
type KilledError struct {
	Path   string
	Signal unix.Signal
}

func (e *KilledError) Error() string {
	return fmt.Sprintf("launch %s: killed by %v before it was executed", e.Path, e.Signal)
}

// plan prepares what the forked child is going to do.
func (c *Command) plan() (*childPlan, error) {
	p := &childPlan{name: c.Path, origin: c.Origin}
	var err error
	if p.path, err = unix.BytePtrFromString(c.Path); err != nil {
		return nil, fmt.Errorf("execute %q: %w", c.Path, err)
	}
	if p.argv, err = cStrings(c.Args); err != nil {
		return nil, fmt.Errorf("execute %s: argument: %w", c.Path, err)
	}
	if p.envp, err = cStrings(c.Env); err != nil {
		return nil, fmt.Errorf("execute %s: environment: %w", c.Path, err)
	}
	if c.User != nil {
		p.setUser = true
		p.uid, p.gid, p.groups = uintptr(c.User.UID), uintptr(c.User.GID), c.User.Groups
	}
	return p, nil
}

// cStrings returns words as a NULL-terminated array of C strings.
func cStrings(words []string) (**byte, error) {
	array := make([]*byte, len(words)+1)
	for i, word := range words {
		var err error
		if array[i], err = unix.BytePtrFromString(word); err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
	}
	return &array[0], nil
}

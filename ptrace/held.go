package ptrace

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// Held is a command that is launched without being traced, for engines that need no tracee: it is set up as a traced one
// is, and waits before its execve.
type Held struct {
	plan    *childPlan
	command *Launched
	beyond  *os.File // is read to its end when the child's copy of the other end is gone, with its execve
	end     sync.Once
}

// Hold forks a command, and returns when it waits before its execve. It ends if this process does before that.
func Hold(c *Command, haste *Haste) (*Held, error) {
	plan, err := c.plan()
	if err != nil {
		return nil, err
	}
	plan.untraced = true
	if plan.gate, err = raw.MapShared[gate](); err != nil {
		return nil, fmt.Errorf("map a page to share with the command: %w", err)
	}
	plan.gate.parent = int32(unix.Getpid())
	h := &Held{plan: plan, command: newLaunched(time.Now(), haste)}
	var childs *os.File
	if h.beyond, childs, err = os.Pipe(); err != nil { // both are closed on exec
		return nil, fmt.Errorf("make a pipe to the command: %w", err)
	}
	pid, err := h.command.fork(plan)
	childs.Close()
	if err != nil {
		h.beyond.Close()
		return nil, fmt.Errorf("fork: %w", err)
	}
	h.command.pid.Store(pid)
	phase := &plan.gate.phase
	phase.Set(gateSeized)
	for phase.Load() == gateSeized {
		phase.Wait(gateSeized, childCheckEvery)
		if phase.Load() == gateSeized && h.hasEnded() {
			return nil, h.failed()
		}
	}
	return h, nil
}

// PID returns its process.
func (h *Held) PID() int { return h.command.PID() }

// Release lets it go on, and returns when its execve has succeeded.
func (h *Held) Release() error {
	h.plan.gate.phase.Set(gateGo)
	var none [1]byte
	h.beyond.Read(none[:])
	if errno := h.plan.gate.errno; errno != 0 {
		h.command.reap()
		return h.failed()
	}
	h.close()
	return nil
}

// Kill ends it before its execve.
func (h *Held) Kill() {
	unix.Kill(h.PID(), unix.SIGKILL)
	h.command.reap()
	h.close()
}

// Await waits for its end.
//
// Precondition: it has been released.
func (h *Held) Await() unix.WaitStatus { return h.command.reap() }

// Signal sends it a signal.
func (h *Held) Signal(sig syscall.Signal) { h.command.Signal(sig) }

// failed says why the child is gone before its execve has succeeded.
func (h *Held) failed() error {
	err := h.plan.failure(h.command.status)
	h.close()
	return err
}

func (h *Held) close() {
	h.end.Do(func() {
		h.beyond.Close()
		raw.UnmapShared(h.plan.gate)
	})
}

// hasEnded reports whether the child has ended, and takes its status then.
func (h *Held) hasEnded() bool {
	var status unix.WaitStatus
	pid, err := unix.Wait4(h.PID(), &status, unix.WNOHANG, nil)
	if pid == 0 && err == nil || errors.Is(err, unix.EINTR) {
		return false
	}
	h.command.end(status)
	return true
}

// reap waits for the command's end.
func (l *Launched) reap() unix.WaitStatus {
	for !l.hasEnded() {
		var status unix.WaitStatus
		if _, err := unix.Wait4(l.PID(), &status, 0, nil); !errors.Is(err, unix.EINTR) {
			l.end(status)
		}
	}
	return l.status
}

package ptrace

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// End is how a process has ended.
type End struct {
	PID    int
	Name   string // what it was called when it began to be traced, or executed its program
	Status unix.WaitStatus
}

// ends follows which processes are traced, to tell when one has ended, and how. A nil one does nothing.
//
// The kernel reports the end of a process's first thread when all others have ended, with the status of the process. But
// that thread may have ended before the attach: then the end of the last thread that is traced is the process's.
type ends struct {
	told  func(End)
	whole bool // processes are traced, not single threads of them

	mu        sync.Mutex // guards what follows
	processes map[int32]*traced
}

// traced is a process.
type traced struct {
	threads int // that are traced
	name    string
	over    bool // its end has been told
}

// added takes note of one more thread.
func (e *ends) added(pid int32) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.processes[pid]
	if p == nil {
		p = &traced{name: commOf(pid)}
		e.processes[pid] = p
	}
	p.threads++
}

// executed takes note that a process executes another program.
func (e *ends) executed(pid int32) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.processes[pid]; p != nil {
		p.name = commOf(pid)
	}
}

// dropped takes note that one thread less is traced.
func (e *ends) dropped(pid int32) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.processes[pid]; p != nil {
		if p.threads--; p.threads <= 0 {
			delete(e.processes, pid)
		}
	}
}

// died is told of the end of a thread that is about to be dropped.
func (e *ends) died(pid, tid int32, status unix.WaitStatus) {
	if e == nil {
		return
	}
	e.mu.Lock()
	p := e.processes[pid]
	if p == nil { // of the calibration
		e.mu.Unlock()
		return
	}
	over := !p.over && (tid == pid || p.threads == 1 && e.whole && !hasLiving(pid))
	p.over = p.over || over // the last thread but one may be another worker's, which says so later
	name := p.name
	e.mu.Unlock()
	if over {
		e.told(End{PID: int(pid), Name: name, Status: status})
	}
}

// hasLiving reports whether a process has a thread that has not ended.
func hasLiving(pid int32) bool {
	tids, _ := threadsOf(pid)
	return slices.ContainsFunc(tids, func(tid int32) bool { return !isEnding(tid) })
}

// commOf is what a process is called.
func commOf(pid int32) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return string(bytes.TrimSuffix(name, []byte("\n")))
}

package ptrace

import (
	"golang.org/x/sys/unix"

	"sysprof/ptrace/internal/raw"
)

// gate is how the tracer and a forked child keep in step, in memory that both share. It is gone from the child with
// its execve.
type gate struct {
	phase  raw.Futex // one of the phases below
	parent int32     // this process

	step  uint32 // what the child was doing when it failed: a childStep
	errno uint32

	filter installed
}

// The phases of a gate, in order.
const (
	gateForked = iota // the child waits to be seized
	gateSeized        // the child sets itself up
	gateReady         // the child waits to be told to go on
	gateGo            // the child executes the command, or makes the calls that are to be traced
)

// childAwaitSeizure waits until the child is seized. If this process is killed before that, so is the child. From then on
// it is PTRACE_O_EXITKILL that sees to that, which outlasts a change of user, as PR_SET_PDEATHSIG does not (prctl(2)).
// The rules of raw.Fork hold.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (g *gate) childAwaitSeizure() {
	raw.ChildDieWith(g.parent)
	g.phase.ChildWait(gateForked)
	raw.ChildSurvive()
}

// childPass says that the child is ready, and waits until it is told to go on. The rules of raw.Fork hold.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (g *gate) childPass() {
	g.phase.ChildSet(gateReady)
	g.phase.ChildWait(gateReady)
}

// installed is what became of a filter in a forked child.
type installed struct {
	tried      uint32 // not 0: it is over
	errno      uint32
	noNewPrivs uint32 // not 0: it took PR_SET_NO_NEW_PRIVS
}

// childInstall gives the child a filter. The rules of raw.Fork hold.
//
// Without CAP_SYS_ADMIN in its user namespace a thread has to promise that it will not gain privileges
// (seccomp(2), EACCES).
//
//go:nosplit
//go:norace
//go:nocheckptr
func (i *installed) childInstall(program *unix.SockFprog) {
	errno := raw.ChildSetFilter(program)
	if errno == unix.EACCES {
		raw.ChildSetNoNewPrivs()
		i.noNewPrivs = 1
		errno = raw.ChildSetFilter(program)
	}
	i.errno = uint32(errno)
	i.tried = 1
}

package ptrace

import (
	"sysprof/profile"
	"sysprof/ptrace/internal/place"
	"sysprof/syscalltab"
)

// specialCalls are the numbers of the calls that the tracer has to know, in one ABI.
type specialCalls struct {
	execve, execveat, exit, exitGroup, ptrace, restart, seccomp, prctl uint64

	epollWait, epollPwait, epollPwait2, ioGetevents, semtimedop, sigtimedwait uint64

	clone, clone3, fork, vfork, getAffinity, setAffinity, setAttr, setScheduler, setParam uint64
}

// specialOf finds the numbers. A call that there is not in the ABI has one that no call has.
func specialOf(abi syscalltab.ABI) specialCalls {
	const none = ^uint64(0)
	var s specialCalls
	numbers := map[string]*uint64{
		"execve": &s.execve, "execveat": &s.execveat,
		"exit": &s.exit, "exit_group": &s.exitGroup,
		"ptrace": &s.ptrace, "restart_syscall": &s.restart,
		"seccomp": &s.seccomp, "prctl": &s.prctl,
		"epoll_wait": &s.epollWait, "epoll_pwait": &s.epollPwait, "epoll_pwait2": &s.epollPwait2,
		"io_getevents": &s.ioGetevents, "semtimedop": &s.semtimedop, "rt_sigtimedwait": &s.sigtimedwait,
		"clone": &s.clone, "clone3": &s.clone3, "fork": &s.fork, "vfork": &s.vfork,
		"sched_getaffinity": &s.getAffinity, "sched_setaffinity": &s.setAffinity,
		"sched_setattr": &s.setAttr, "sched_setscheduler": &s.setScheduler, "sched_setparam": &s.setParam,
	}
	for _, number := range numbers {
		*number = none
	}
	for nr, name := range abi.Each() {
		if number := numbers[name]; number != nil && *number == none { // a subcall of the same name comes later
			*number = nr
		}
	}
	return s
}

// visibleCalls are the calls of which visible knows the kind.
var visibleCalls = []string{"clone", "clone3", "fork", "vfork", "sched_getaffinity", "sched_setaffinity",
	"sched_setattr", "sched_setscheduler", "sched_setparam"}

// visible says in what way a call would show that its thread is pinned.
func (s *specialCalls) visible(nr uint64) place.Visible {
	switch nr {
	case s.clone, s.clone3, s.fork, s.vfork:
		return place.Creates
	case s.getAffinity:
		return place.AsksFor
	case s.setAffinity, s.setAttr, s.setScheduler, s.setParam:
		return place.Sets
	}
	return place.Nothing
}

func (t *Tracer) isRestart(c *profile.Call) bool { return c.Nr == t.special[c.ABI].restart }

func (t *Tracer) endsThread(abi syscalltab.ABI, nr uint64) bool {
	return nr == t.special[abi].exit || nr == t.special[abi].exitGroup
}

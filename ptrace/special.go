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

func specialOf(abi syscalltab.ABI) specialCalls {
	number := func(name string) uint64 {
		nr, ok := abi.Number(name)
		if !ok {
			return ^uint64(0)
		}
		return nr
	}
	return specialCalls{
		execve: number("execve"), execveat: number("execveat"),
		exit: number("exit"), exitGroup: number("exit_group"),
		ptrace: number("ptrace"), restart: number("restart_syscall"),
		seccomp: number("seccomp"), prctl: number("prctl"),
		epollWait: number("epoll_wait"), epollPwait: number("epoll_pwait"), epollPwait2: number("epoll_pwait2"),
		ioGetevents: number("io_getevents"), semtimedop: number("semtimedop"), sigtimedwait: number("rt_sigtimedwait"),
		clone: number("clone"), clone3: number("clone3"), fork: number("fork"), vfork: number("vfork"),
		getAffinity: number("sched_getaffinity"), setAffinity: number("sched_setaffinity"),
		setAttr: number("sched_setattr"), setScheduler: number("sched_setscheduler"), setParam: number("sched_setparam"),
	}
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

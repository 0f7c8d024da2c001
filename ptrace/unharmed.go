package ptrace

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// isUnharmed reports whether a call that sleeps goes on as if nothing had been, if its thread is interrupted: it ends when
// it would have ended, and its result is the same. Of a call about which that cannot be told it reports false.
func isUnharmed(tid, pid int32, abi syscalltab.ABI, nr uint64, args *[6]uint64) bool {
	rule := goesOnRules.Of(abi, nr)
	return rule != nil && rule(sleepingIn{tid, pid, args})
}

// canGoOn reports whether a call waits for something, and goes on as if nothing had been with some arguments at least.
func canGoOn(abi syscalltab.ABI, nr uint64) bool { return goesOnRules.Of(abi, nr) != nil }

// sleepingIn is a thread in a call with these arguments.
type sleepingIn struct {
	tid, pid int32
	args     *[6]uint64
}

// goesOnRules say when a call goes on as if nothing had been. There are four kinds that do:
//
//   - the kernel keeps the end of the wait in a restart block (nanosleep, poll, futex),
//   - or has written into the program's memory how much is left (select, ppoll);
//   - the end is a point in time (mq_timedreceive);
//   - the wait is for ever, and what it is for comes all at once.
//
// Calls on several things, or of parts of something, are in none: they return what they have so far.
var goesOnRules = syscalltab.NewPerCall(map[string]func(sleepingIn) bool{
	"restart_syscall": always, "nanosleep": always,
	"clock_nanosleep": always, "clock_nanosleep_time64": always,
	"poll":  always,
	"futex": always, "futex_time64": always, "futex_wait": always, "futex_waitv": always,

	"select": always, "_newselect": always, "pselect6": always, "pselect6_time64": always,
	"ppoll": always, "ppoll_time64": always,

	"mq_timedreceive": always, "mq_timedreceive_time64": always,
	"mq_timedsend": always, "mq_timedsend_time64": always,

	"pause": always, "sigsuspend": always, "rt_sigsuspend": always,
	"wait4": always, "waitid": always, "waitpid": always,
	"msgrcv": always, "msgsnd": always, "semop": always,
	"flock": always, "fcntl": always, "fcntl64": always,

	"epoll_wait": unlessTimeout, "epoll_pwait": unlessTimeout,
	"epoll_pwait2":    ifNil(3),
	"rt_sigtimedwait": ifNil(2), "rt_sigtimedwait_time64": ifNil(2),
	"semtimedop": ifNil(3), "semtimedop_time64": ifNil(3),
	"io_uring_enter": unlessSubmitting,

	"read": ifReadUntimed, "readv": ifReadUntimed,
	"recvfrom": unlessAll(3), "recvmsg": unlessAll(2),
	"accept": ifSocketUntimed, "accept4": ifSocketUntimed, "connect": ifSocketUntimed,
})

func always(sleepingIn) bool { return true }

// ifNil is of a call whose timeout an argument points to.
func ifNil(arg int) func(sleepingIn) bool {
	return func(s sleepingIn) bool { return s.args[arg] == 0 }
}

// unlessTimeout is epoll_wait(2), whose timeout is an int, negative for none.
func unlessTimeout(s sleepingIn) bool { return int32(s.args[3]) < 0 }

// unlessSubmitting is io_uring_enter(2), which returns how many requests it has submitted if it is interrupted, and
// may have a timeout in its extended argument.
func unlessSubmitting(s sleepingIn) bool {
	const extArg = 1 << 3 // IORING_ENTER_EXT_ARG
	return s.args[1] == 0 && s.args[3]&extArg == 0
}

// unlessAll is of a call that receives from a socket, and has flags.
func unlessAll(flags int) func(sleepingIn) bool {
	return func(s sleepingIn) bool { return s.args[flags]&unix.MSG_WAITALL == 0 && ifSocketUntimed(s) }
}

// ifReadUntimed is read(2). A terminal may have a timeout (termios(3), VTIME), and a socket, too.
func ifReadUntimed(s sleepingIn) bool {
	// Nothing but what the kernel knows by itself: the file may be one that the thread would have to serve (FUSE).
	var file unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, s.file(), unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &file) != nil {
		return false
	}
	switch file.Mode & unix.S_IFMT {
	case unix.S_IFIFO, 0: // 0: eventfd(2), timerfd_create(2), signalfd(2), inotify(7), and their like
		return true
	case unix.S_IFSOCK:
		return ifSocketUntimed(s)
	case unix.S_IFCHR:
		return isTerminalUntimed(s)
	}
	return false
}

// isTerminalUntimed reports whether a terminal, from which a thread reads, has no timeout.
func isTerminalUntimed(s sleepingIn) bool {
	fd, ok := s.duplicate()
	if !ok {
		return false
	}
	defer unix.Close(fd)
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil && (mode.Lflag&unix.ICANON != 0 || mode.Cc[unix.VTIME] == 0)
}

// ifSocketUntimed is of a call that waits for ever for a whole thing, unless the socket says otherwise (socket(7)).
func ifSocketUntimed(s sleepingIn) bool {
	fd, ok := s.duplicate()
	if !ok {
		return false
	}
	defer unix.Close(fd)
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if most, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, option); err != nil || *most != (unix.Timeval{}) {
			return false
		}
	}
	least, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT)
	return err == nil && least <= 1
}

// duplicate makes a descriptor of the file that the first argument of the call is a descriptor of
// (pidfd_getfd(2), Linux 5.6).
func (s sleepingIn) duplicate() (fd int, ok bool) {
	process, err := unix.PidfdOpen(int(s.pid), 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(process)
	fd, err = unix.PidfdGetfd(process, int(int32(s.args[0])), 0)
	if err != nil {
		return 0, false
	}
	if s.pid != s.tid && !isSameFile(fd, s.file()) {
		unix.Close(fd) // the thread has descriptors of its own (clone(2), without CLONE_FILES)
		return 0, false
	}
	return fd, true
}

// file is where the file is found that the first argument of the call is a descriptor of.
func (s sleepingIn) file() string { return fmt.Sprintf("/proc/%d/fd/%d", s.tid, int32(s.args[0])) }

// isSameFile reports whether fd is of the file at path.
func isSameFile(fd int, path string) bool {
	var a, b unix.Statx_t
	return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &a) == nil &&
		unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &b) == nil &&
		a.Ino == b.Ino && a.Dev_major == b.Dev_major && a.Dev_minor == b.Dev_minor
}

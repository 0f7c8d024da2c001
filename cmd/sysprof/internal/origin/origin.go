// Package origin tells what this process was like when it was executed, before the Go runtime
// started: which signals it ignored, blocked and had pending, which of the descriptors 0 to 2 were
// closed, and its limit of open files. It also says in a sentence which limits the runtime cannot begin with.
//
// The runtime changes all of that before any Go code of a program runs: it replaces SIG_IGN by its
// own handlers (but for HUP and INT), unblocks signals, opens /dev/null on closed standard
// descriptors (runtime.checkfds) and raises RLIMIT_NOFILE. A command that is launched from here has
// to get back what was before. None of it can be found out afterwards: an ignored signal leaves no
// trace, and the /dev/null that the runtime opened looks like one that somebody redirected. A pending signal is lost, or
// ends the program: the runtime unblocks those that it thinks nobody should block, SIGHUP, SIGINT and SIGTERM among them,
// before it has handlers for them (runtime.minitSignalMask). So pending signals are not only asked for, but taken.
//
// So this package runs first. The runtime's entry code calls the function that the symbol
// _cgo_init points to, if there is one, before it does anything else (runtime/asm_*.s, rt0_go). In
// a program that uses cgo that is runtime/cgo's; in this one it is preMain, a few dozen lines of
// assembly that ask the kernel and write down the answers. That is what the hook costs: a program
// which imports this package cannot use cgo, nor a package that does (net and os/user, where a C
// compiler is installed); the linker then reports a duplicate definition of _cgo_init.
//
// It is not for package ptrace, nor for a library: only for the main package of a program.
package origin

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// The answers, written by preMain.
var (
	ran     uint64
	ignored uint64
	blocked uint64
	open    uint64 // bit n: descriptor n was open
	noFile  [2]uint64

	// The signals that were pending, in the order in which they would have been delivered, and what
	// /proc/self/status said before they were taken. Of more than mostTaken the rest is lost.
	took   uint64
	infos  [mostTaken + 1][16]uint64
	status [4096]byte

	//lint:ignore U1000 used by preMain alone
	pending uint64 // what was to be taken
	//lint:ignore U1000 used by preMain alone
	action [4]uint64 // scratch: struct sigaction
	//lint:ignore U1000 used by preMain alone
	tls [2]uint64 // amd64: where FS points to, for want of the runtime's own place
	//lint:ignore U1000 used by preMain alone
	noTime [2]uint64 // a struct timespec
	//lint:ignore U1000 used by preMain alone
	statusPath = [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 's', 't', 'a', 't', 'u', 's', 0}
)

// mostTaken is how many pending signals are kept. A signal pends once, but for real-time signals.
const mostTaken = 127

// limits are what the Go runtime cannot begin with: it ends a program with a dump of all its state then. preMain
// says so in a sentence instead and ends this process with status 1. (Measured with Go 1.26 on amd64: it begins with
// 780 MB of addresses, most of which it reserves without ever using them, and with 90 MB of data.) How many processes
// a user has is not to be asked, so of these only what is too little for sysprof alone is known.
//
//lint:ignore U1000 used by preMain alone
var limits = [3]struct {
	resource, least uint64
	says            string
}{
	{unix.RLIMIT_AS, 800 << 20, "sysprof: it cannot begin with so little room for addresses; raise the limit to 800 MB (ulimit -v 819200)\n"},
	{unix.RLIMIT_DATA, 100 << 20, "sysprof: it cannot begin with so little room for data; raise the limit to 100 MB (ulimit -d 102400)\n"},
	{processes, 12, "sysprof: it cannot begin where a user has so few processes and threads; raise the limit to 12 (ulimit -u 12)\n"},
}

// processes is RLIMIT_NPROC, which x/sys does not have for all architectures. Root is exempt, which preMain knows.
const processes = 6

// Of returns the state in which this process was executed. It returns nil where that is not known:
// in a race detector build, and on architectures without a preMain.
func Of() *ptrace.Origin {
	if ran == 0 {
		return nil
	}
	o := &ptrace.Origin{
		Ignored: ignored,
		Blocked: blocked,
		NoFile:  unix.Rlimit{Cur: noFile[0], Max: noFile[1]},
	}
	for fd := range o.Closed {
		o.Closed[fd] = open&(1<<fd) == 0
	}
	for i := range infos[:took] {
		o.Pending = append(o.Pending, ptrace.PendingSignal{Info: infos[i]})
	}
	markThreads(o.Pending, string(status[:]))
	return o
}

// markThreads says of pending signals that they were sent to the thread, where /proc/PID/status says so. Of a signal that
// waits for both the thread and the process, the thread gets its own first (kernel/signal.c, dequeue_signal); how many
// there are of a real-time signal is not said.
func markThreads(all []ptrace.PendingSignal, status string) {
	threads, both := pendingIn(status, "SigPnd"), pendingIn(status, "ShdPnd")
	var seen uint64
	for i := range all {
		bit := uint64(1) << (all[i].Signal() - 1)
		all[i].Thread = threads&bit != 0 && (both&bit == 0 || seen&bit == 0)
		seen |= bit
	}
}

// pendingIn reads a set of signals from the text of /proc/PID/status. 0 if it is not there.
func pendingIn(status, field string) uint64 {
	_, text, _ := strings.Cut(status, "\n"+field+":\t")
	text, _, _ = strings.Cut(text, "\n")
	set, _ := strconv.ParseUint(text, 16, 64)
	return set
}

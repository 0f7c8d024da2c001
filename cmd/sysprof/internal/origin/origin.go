// Package origin tells what this process was like when it was executed, before the Go runtime
// started: which signals it ignored, blocked and had pending, which of the descriptors 0 to 2 were
// closed, and its limit of open files. It also says in a sentence which limits the runtime cannot begin with.
//
// The runtime changes all of that before any Go code of a program runs: it replaces SIG_IGN by its
// own handlers (but for HUP and INT), unblocks signals, opens /dev/null on closed standard
// descriptors (runtime.checkfds) and raises RLIMIT_NOFILE. A command that is launched from here has
// to get back what was before. None of it can be found out afterwards: an ignored signal leaves no
// trace, and the /dev/null that the runtime opened looks like one that somebody redirected.
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
	"golang.org/x/sys/unix"

	"sysprof/ptrace"
)

// The answers, written by preMain.
var (
	ran     uint64
	ignored uint64
	blocked uint64
	pending uint64
	open    uint64 // bit n: descriptor n was open
	noFile  [2]uint64

	//lint:ignore U1000 used by preMain alone
	action [4]uint64 // scratch: struct sigaction
	//lint:ignore U1000 used by preMain alone
	tls [2]uint64 // amd64: where FS points to, for want of the runtime's own place
)

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
		Pending: pending,
		NoFile:  unix.Rlimit{Cur: noFile[0], Max: noFile[1]},
	}
	for fd := range o.Closed {
		o.Closed[fd] = open&(1<<fd) == 0
	}
	return o
}

package syscalltab

import (
	"strconv"
	"strings"
)

// signals: the kernel's include/uapi/asm-generic/signal.h, the same for all ABIs known here. The
// real-time signals begin at the kernel's SIGRTMIN, 32, not at libc's, which keeps the first two for
// itself.
var signals = [...]string{
	1:  "SIGHUP",
	2:  "SIGINT",
	3:  "SIGQUIT",
	4:  "SIGILL",
	5:  "SIGTRAP",
	6:  "SIGABRT",
	7:  "SIGBUS",
	8:  "SIGFPE",
	9:  "SIGKILL",
	10: "SIGUSR1",
	11: "SIGSEGV",
	12: "SIGUSR2",
	13: "SIGPIPE",
	14: "SIGALRM",
	15: "SIGTERM",
	16: "SIGSTKFLT",
	17: "SIGCHLD",
	18: "SIGCONT",
	19: "SIGSTOP",
	20: "SIGTSTP",
	21: "SIGTTIN",
	22: "SIGTTOU",
	23: "SIGURG",
	24: "SIGXCPU",
	25: "SIGXFSZ",
	26: "SIGVTALRM",
	27: "SIGPROF",
	28: "SIGWINCH",
	29: "SIGIO",
	30: "SIGPWR",
	31: "SIGSYS",
	32: "SIGRTMIN",
}

// sigMin and sigMax are the kernel's SIGRTMIN and _NSIG.
const (
	sigMin = 32
	sigMax = 64
)

// Signal names a signal as strace does: SIGINT, SIGRTMIN for 32, SIGRT_1 to SIGRT_32 for the real-time
// signals above it. What is no signal is given as its number.
func Signal(n int) string {
	switch {
	case 0 < n && n < len(signals):
		return signals[n]
	case sigMin < n && n <= sigMax:
		return "SIGRT_" + strconv.Itoa(n-sigMin)
	}
	return strconv.Itoa(n)
}

// SignalNumber finds a signal by its name (SIGINT, INT, int, SIGRT_2, and the second names IOT, CLD, POLL
// and UNUSED) or its number (2).
func SignalNumber(name string) (n int, ok bool) {
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		return int(n), 0 < n && n <= sigMax
	}
	name = "SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")
	switch name {
	case "SIGIOT":
		name = "SIGABRT"
	case "SIGCLD":
		name = "SIGCHLD"
	case "SIGPOLL":
		name = "SIGIO"
	case "SIGUNUSED":
		name = "SIGSYS"
	}
	for n := 1; n <= sigMax; n++ {
		if Signal(n) == name {
			return n, true
		}
	}
	return 0, false
}

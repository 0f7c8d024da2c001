package ptrace

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/syscalltab"
)

// TestGoesOnRulesNameCalls: a name that no ABI has would never apply.
func TestGoesOnRulesNameCalls(t *testing.T) {
	abis := []syscalltab.ABI{syscalltab.FromAudit(unix.AUDIT_ARCH_X86_64, 0), syscalltab.FromAudit(unix.AUDIT_ARCH_I386, 0)}
	for _, name := range goesOnRules.Names() {
		if !slices.ContainsFunc(abis, func(abi syscalltab.ABI) bool { _, ok := abi.Number(name); return ok }) {
			t.Errorf("there is no call %q", name)
		}
	}
}

func TestGoesOn(t *testing.T) {
	abi := syscalltab.Native()[0]
	self := int32(os.Getpid())
	socket := func(options ...func(fd int) error) uint64 {
		sv, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(sv[0]); unix.Close(sv[1]) })
		for _, set := range options {
			if err := set(sv[0]); err != nil {
				t.Fatal(err)
			}
		}
		return uint64(sv[0])
	}
	timeout := func(option int) func(fd int) error {
		return func(fd int) error {
			return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &unix.Timeval{Usec: 20_000})
		}
	}
	lowWater := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, 100) }
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(event)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cooked, raw := terminal(t, 0), terminal(t, 10)

	const somewhere, none = 0x1000, 1<<64 - 1
	for _, test := range []struct {
		what, call string
		args       [6]uint64
		want       bool
	}{
		{"a restart block", "nanosleep", [6]uint64{somewhere}, true},
		{"no timeout", "epoll_pwait", [6]uint64{3, somewhere, 1, none}, true},
		{"no timeout, with rubbish above", "epoll_pwait", [6]uint64{3, somewhere, 1, 0xffffffff}, true},
		{"a timeout", "epoll_pwait", [6]uint64{3, somewhere, 1, 100}, false},
		{"a timeout, with rubbish above", "epoll_pwait", [6]uint64{3, somewhere, 1, 0xffffffff00000064}, false},
		{"no timeout", "epoll_pwait2", [6]uint64{3, somewhere, 1, 0}, true},
		{"a timeout", "epoll_pwait2", [6]uint64{3, somewhere, 1, somewhere}, false},
		{"no timeout", "rt_sigtimedwait", [6]uint64{somewhere}, true},
		{"a timeout", "rt_sigtimedwait", [6]uint64{somewhere, 0, somewhere}, false},
		{"no timeout", "semtimedop", [6]uint64{1, somewhere, 1}, true},
		{"a timeout", "semtimedop", [6]uint64{1, somewhere, 1, somewhere}, false},
		{"waiting", "io_uring_enter", [6]uint64{3, 0, 1, 1}, true},
		{"submitting", "io_uring_enter", [6]uint64{3, 1, 1, 1}, false},
		{"an extended argument", "io_uring_enter", [6]uint64{3, 0, 1, 9}, false},
		{"of a pipe", "read", [6]uint64{uint64(r.Fd())}, true},
		{"of an eventfd", "read", [6]uint64{uint64(event)}, true},
		{"of a file", "read", [6]uint64{uint64(file.Fd())}, false},
		{"of what is closed", "read", [6]uint64{none}, false},
		{"of a terminal with lines", "read", [6]uint64{uint64(cooked)}, true},
		{"of a terminal with a timeout", "read", [6]uint64{uint64(raw)}, false},
		{"of a socket", "read", [6]uint64{socket()}, true},
		{"of a socket with SO_RCVTIMEO", "read", [6]uint64{socket(timeout(unix.SO_RCVTIMEO))}, false},
		{"plain", "recvfrom", [6]uint64{socket()}, true},
		{"MSG_WAITALL", "recvfrom", [6]uint64{socket(), somewhere, 2, unix.MSG_WAITALL}, false},
		{"MSG_WAITALL", "recvmsg", [6]uint64{socket(), somewhere, unix.MSG_WAITALL}, false},
		{"SO_RCVTIMEO", "recvmsg", [6]uint64{socket(timeout(unix.SO_RCVTIMEO))}, false},
		{"SO_RCVLOWAT", "recvfrom", [6]uint64{socket(lowWater)}, false},
		{"SO_RCVTIMEO", "accept4", [6]uint64{socket(timeout(unix.SO_RCVTIMEO))}, false},
		{"plain", "accept", [6]uint64{socket()}, true},
		{"SO_SNDTIMEO", "connect", [6]uint64{socket(timeout(unix.SO_SNDTIMEO))}, false},
		{"in part", "write", [6]uint64{uint64(w.Fd())}, false},
		{"in part", "recvmmsg", [6]uint64{socket()}, false},
	} {
		nr, ok := abi.Number(test.call)
		if !ok {
			t.Fatalf("no call %q", test.call)
		}
		if got := isUnharmed(self, self, abi, nr, &test.args); got != test.want {
			t.Errorf("%s, %s: %v, want %v", test.call, test.what, got, test.want)
		}
	}
	const socketcall, recvfrom = 102, 12
	subcall := syscalltab.I386.Demultiplex(socketcall, &[6]uint64{recvfrom, somewhere})
	if isUnharmed(self, self, syscalltab.I386, subcall, &[6]uint64{socket(), somewhere}) {
		t.Error("recvfrom by socketcall goes on, though its arguments are elsewhere")
	}
	if isUnharmed(self, self, syscalltab.Unknown, 1, new([6]uint64)) {
		t.Error("a call of an unknown ABI goes on")
	}
}

// terminal makes a terminal. If tenths is not 0 it has a timeout of so many tenths of a second, and no lines.
func terminal(t *testing.T, tenths uint8) int {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("no pseudo-terminals: ", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if tenths != 0 {
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		mode.Lflag &^= unix.ICANON
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 0, tenths
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

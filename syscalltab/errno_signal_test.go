package syscalltab

import (
	"strings"
	"testing"
)

func TestErrno(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{
		{1, "EPERM"},
		{2, "ENOENT"},
		{11, "EAGAIN"},
		{35, "EDEADLK"},
		{95, "EOPNOTSUPP"},
		{133, "EHWPOISON"},
		{512, "ERESTARTSYS"},
		{513, "ERESTARTNOINTR"},
		{514, "ERESTARTNOHAND"},
		{515, "ENOIOCTLCMD"},
		{516, "ERESTART_RESTARTBLOCK"},
		{530, "ERECALLCONFLICT"},
		{0, "errno_0"},
		{41, "errno_41"},
		{4000, "errno_4000"},
		{-2, "errno_-2"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := Errno(tt.n); got != tt.want {
				t.Errorf("Errno(%d) = %q, want %q", tt.n, got, tt.want)
			}
			named := !strings.HasPrefix(tt.want, "errno_")
			if n, ok := ErrnoNumber(tt.want); ok != named || ok && n != tt.n {
				t.Errorf("ErrnoNumber(%q) = %d, %v", tt.want, n, ok)
			}
		})
	}
}

func TestErrnoNumber(t *testing.T) {
	tests := []struct {
		name string
		want int
		ok   bool
	}{
		{"ENOENT", 2, true},
		{"enoent", 2, true},
		{"EWOULDBLOCK", 11, true},
		{"EDEADLOCK", 35, true},
		{"ENOTSUP", 95, true},
		{"ENOTSUPP", 524, true},
		{"ENOENTS", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := ErrnoNumber(tt.name); got != tt.want || ok != tt.ok {
				t.Errorf("ErrnoNumber(%q) = %d, %v; want %d, %v", tt.name, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestSignal(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{
		{1, "SIGHUP"},
		{2, "SIGINT"},
		{17, "SIGCHLD"},
		{31, "SIGSYS"},
		{32, "SIGRTMIN"},
		{33, "SIGRT_1"},
		{34, "SIGRT_2"},
		{64, "SIGRT_32"},
		{65, "65"},
		{0, "0"},
		{-1, "-1"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := Signal(tt.n); got != tt.want {
				t.Errorf("Signal(%d) = %q, want %q", tt.n, got, tt.want)
			}
		})
	}
	for n := 1; n <= sigMax; n++ {
		if got, ok := SignalNumber(Signal(n)); got != n || !ok {
			t.Errorf("SignalNumber(%q) = %d, %v; want %d", Signal(n), got, ok, n)
		}
	}
}

func TestSignalNumber(t *testing.T) {
	tests := []struct {
		name string
		want int
		ok   bool
	}{
		{"INT", 2, true},
		{"SIGINT", 2, true},
		{"sigint", 2, true},
		{"int", 2, true},
		{"2", 2, true},
		{"64", 64, true},
		{"RTMIN", 32, true},
		{"SIGRT_2", 34, true},
		{"IOT", 6, true},
		{"CLD", 17, true},
		{"SIGPOLL", 29, true},
		{"0", 0, false},
		{"65", 0, false},
		{"300", 0, false},
		{"-2", 0, false},
		{"SIGSIGINT", 0, false},
		{"SIG", 0, false},
		{"", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := SignalNumber(tt.name)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("SignalNumber(%q) = %d, %v; want %d, %v", tt.name, got, ok, tt.want, tt.ok)
			}
		})
	}
}

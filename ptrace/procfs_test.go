package ptrace

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGroupOf first threads, of others, and of ids that no thread has.
func TestGroupOf(t *testing.T) {
	self := int32(os.Getpid())
	other := make(chan int32)
	end := make(chan struct{})
	defer close(end)
	for range 2 { // one of them at least is not on the first thread
		onOwnThread(func() {
			other <- int32(unix.Gettid())
			<-end
		}, func() {})
	}
	for _, test := range []struct {
		name      string
		tid, want int32
	}{
		{"the first thread", self, self}, {"a thread", <-other, self}, {"another one", <-other, self}, {"no thread", 1 << 22, 1 << 22},
	} {
		if got := groupOf(test.tid); got != test.want {
			t.Errorf("%s, %d, is of %d, want %d", test.name, test.tid, got, test.want)
		}
	}
}

// TestMissingRight: whoever may not trace is told what is missing, and nobody to become what he is.
func TestMissingRight(t *testing.T) {
	for _, test := range []struct {
		name   string
		rights rights
		says   string
		not    string
	}{
		{"an ordinary user", rights{scope: "0"}, "run sysprof as root", "container"},
		{"without yama", rights{}, "belongs to somebody else", "yama"},
		{"an ordinary user under yama", rights{scope: "1"}, "ptrace_scope is 1", ""},
		{"an ordinary user, admins only", rights{scope: "2"}, "ptrace_scope is 2", ""},
		{"an ordinary user's child, admins only", rights{scope: "2", child: true}, "ptrace_scope is 2", ""},
		{"nobody", rights{scope: "3", root: true, may: true}, "until the next boot", "root"},
		{"root in a container", rights{scope: "1", root: true}, "--cap-add=SYS_PTRACE", "run sysprof as root"},
		{"root in a container without yama", rights{root: true}, "--cap-add=SYS_PTRACE", "run sysprof as root"},
		{"a child in a container", rights{scope: "1", root: true, child: true}, "not even a child", "run sysprof as root"},
		{"root under a security module", rights{scope: "0", root: true, may: true}, "security module", "run sysprof as root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := missingRight(test.rights)
			if !strings.HasPrefix(got, ": ") || !strings.Contains(got, test.says) || test.not != "" && strings.Contains(got, test.not) {
				t.Errorf("%q, want %q in it and not %q", got, test.says, test.not)
			}
		})
	}
}

func TestMayTrace(t *testing.T) {
	for set, want := range map[string]bool{
		"000001ffffffffff": true, "0000000000080000": true, "00000000a80425fb": false, "0000000000000000": false, "": false, "x": false,
	} {
		if got := mayTrace(set); got != want {
			t.Errorf("%q: %v", set, got)
		}
	}
}

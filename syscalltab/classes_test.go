package syscalltab

import (
	"slices"
	"strings"
	"testing"
)

func TestInClass(t *testing.T) {
	tests := []struct {
		abi   ABI
		call  string
		class string
		want  bool
	}{
		{AMD64, "open", "%file", true},
		{AMD64, "open", "file", true},
		{AMD64, "open", "%desc", true},
		{AMD64, "open", "%process", false},
		{AMD64, "open", "all", true},
		{AMD64, "open", "%nonsense", false},
		{AMD64, "open", "", false},
		{AMD64, "socket", "%network", true},
		{AMD64, "socket", "%net", true},
		{AMD64, "socket", "network", true},
		{AMD64, "socket", "net", false}, // as in strace 7.2
		{AMD64, "getuid", "creds", false},
		{AMD64, "getuid", "%creds", true},
		{AMD64, "getuid", "%pure", true},
		{AMD64, "stat", "%stat", true},
		{AMD64, "fstat", "%stat", false},
		{AMD64, "fstat", "%fstat", true},
		{AMD64, "fstat", "%%stat", true},
		{AMD64, "newfstatat", "%fstat", true},
		{AMD64, "lstat", "%lstat", true},
		{AMD64, "ustat", "%%statfs", true},
		{AMD64, "ustat", "%statfs", false},
		{AMD64, "fstatfs", "%fstatfs", true},
		{AMD64, "clock_gettime", "%clock", true},
		{AMD64, "clock_nanosleep", "%clock", false},
		{AMD64, "io_uring_enter", "%signal", true},
		{AMD64, "kill", "%process", true},
		{AMD64, "mseal", "%memory", true},
		{AMD64, "shmat", "%ipc", true},
		{AMD64, "shmat", "%memory", true},
		{AMD64, "close_range", "%desc", false},
		{I386, "oldlstat", "%lstat", true},
		{I386, "socketcall", "%network", false}, // strace has it in %desc
		{I386, "socketcall", "%desc", true},
		{I386, "semop", "%ipc", true},
		{I386, "send", "%network", true},
		{I386, "send", "%desc", false},
		{X32, "ioctl#64", "%desc", true},
		{X32, "ioctl", "%desc", true},
		{X32, "mq_notify#64", "%desc", false},
		{X32, "mq_notify", "%desc", true},
		{ARM, "cacheflush", "%memory", true},
		{RISCV64, "riscv_flush_icache", "%memory", true},
	}
	for _, tt := range tests {
		t.Run(tt.abi.String()+"/"+tt.call+"/"+tt.class, func(t *testing.T) {
			nr, ok := tt.abi.Number(tt.call)
			if !ok {
				t.Fatalf("no call %s", tt.call)
			}
			if got := tt.abi.InClass(nr, tt.class); got != tt.want {
				t.Errorf("InClass(%d, %q) = %v", nr, tt.class, got)
			}
		})
	}
	if AMD64.InClass(400, "all") || Unknown.InClass(0, "%file") {
		t.Error("an unknown number is in a class")
	}
}

func TestClassMembers(t *testing.T) {
	exists := make(map[string]bool)
	for _, a := range abis {
		for _, name := range a.Each() {
			exists[name] = true
		}
	}
	for _, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			members := strings.Fields(c.members)
			if !slices.IsSorted(members) || len(slices.Compact(members)) != len(strings.Fields(c.members)) {
				t.Error("members are not sorted, or one is there twice")
			}
			for _, name := range members {
				if !exists[name] {
					t.Errorf("%s is in no table", name)
				}
			}
		})
	}
}

func TestClasses(t *testing.T) {
	names := Classes()
	for _, want := range strings.Fields("%file %desc %process %network %signal %ipc %memory %creds %stat " +
		"%lstat %fstat %%stat %statfs %fstatfs %%statfs %clock %pure") {
		if !slices.Contains(names, want) {
			t.Errorf("no %s", want)
		}
	}
	if len(names) != 17 {
		t.Errorf("%d classes: %v", len(names), names)
	}
}

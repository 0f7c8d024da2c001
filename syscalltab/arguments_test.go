package syscalltab

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestArguments holds the counts against what the kernel says of its calls, as far as it shows that.
func TestArguments(t *testing.T) {
	abi := Native()[0]
	const events = "/sys/kernel/tracing/events/syscalls"
	renamed := map[string]string{"newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname", "sendfile64": "sendfile", "umount": "umount2"}
	field := regexp.MustCompile(`(?m)^\tfield:.*\toffset:(\d+);`)
	found, _ := filepath.Glob(events + "/sys_enter_*/format")
	for _, file := range found {
		name := strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "sys_enter_")
		if other := renamed[name]; other != "" {
			name = other
		}
		nr, ok := abi.Number(name)
		format, err := os.ReadFile(file)
		if !ok || err != nil {
			continue
		}
		const firstArgumentAt = 16
		want := 0
		for _, f := range field.FindAllSubmatch(format, -1) {
			if offset, _ := strconv.Atoi(string(f[1])); offset >= firstArgumentAt {
				want++
			}
		}
		if got := abi.Arguments(nr); got != want {
			t.Errorf("%s takes %d arguments, not %d", name, want, got)
		}
	}
	if len(found) == 0 {
		t.Log("the kernel does not show its calls")
	}
	for _, test := range []struct {
		name  string
		count int
		paths uint8
	}{{"getpid", 0, 0}, {"close", 1, 0}, {"openat", 4, 2}, {"futex", 6, 0}, {"renameat2", 5, 10}, {"fstat", 2, 0}} {
		nr, ok := abi.Number(test.name)
		if !ok {
			continue
		}
		if got := abi.Arguments(nr); got != test.count || abi.PathArguments(nr) != test.paths {
			t.Errorf("%s takes %d arguments, and the paths are %b; want %d, %b", test.name, got, abi.PathArguments(nr), test.count, test.paths)
		}
	}
	if got := AMD64.Arguments(100_000); got != MaxArguments {
		t.Errorf("a call that nobody knows takes %d arguments", got)
	}
	if nr, _ := I386.Number("pread64"); I386.Arguments(nr) != MaxArguments {
		t.Error("the counts are taken for those of 32-bit calls")
	}
}

// Each call that takes a path is one of strace's %file, and the other way round, and no paths are beyond the arguments.
func TestPathArguments(t *testing.T) {
	noPath := map[string]bool{"getcwd": true, "fsconfig": true, "fchownat": false}
	for _, abi := range Native() {
		for nr, name := range abi.Each() {
			mask := abi.PathArguments(nr)
			if file := abi.InClass(nr, "%file") && !noPath[name]; file != (mask != 0) && !strings.HasPrefix(name, "uselib") {
				t.Errorf("%v %s: %%file: %v, paths: %b", abi, name, file, mask)
			}
			if mask>>abi.Arguments(nr) != 0 {
				t.Errorf("%v %s takes %d arguments, and paths are %b", abi, name, abi.Arguments(nr), mask)
			}
		}
	}
}

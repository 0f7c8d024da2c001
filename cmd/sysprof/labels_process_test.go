package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// The target writes from one thread, which another one gives a name, as pthread_setname_np(3) does.
var _ = drive.Target("named by another", func(args []string) {
	tids, named, done := make(chan int), make(chan bool), make(chan bool)
	null, _ := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	go func() {
		runtime.LockOSThread()
		unix.Write(null, []byte("under the old name"))
		tids <- unix.Gettid()
		<-named
		for range 50 {
			unix.Write(null, []byte("under the new name"))
		}
		done <- true
	}()
	path := fmt.Sprintf("/proc/self/task/%d/comm", <-tids)
	runtime.LockOSThread()
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		os.Exit(1)
	}
	unix.Write(fd, []byte("renamed"))
	unix.Close(fd)
	named <- true
	<-done
})

// TestNamesFollowWhoGivesThem, whichever calls are asked for: what a label depends on is watched, and a filter
// in the kernel leaves it in.
func TestNamesFollowWhoGivesThem(t *testing.T) {
	for _, flags := range [][]string{nil, {"-e", "trace=write"}, {"-e", "trace=write", "--no-seccomp"}, {"-e", "trace=write", "--stacks=off"}} {
		file := filepath.Join(t.TempDir(), "profile")
		command := slices.Concat([]string{"-q", "-o", "/dev/null", "--pprof", file, "--labels=thread_name"}, flags, []string{drive.Self()})
		drive.Succeed(t, drive.As(drive.Plain(t, command...), "named by another"))
		calls := make(map[string]int64)
		for _, s := range drive.ParseProfile(t, file).Sample {
			if drive.Frames(s)[0] == "sys_write" {
				calls[s.Label["thread_name"][0]] += s.Value[0]
			}
		}
		if calls["renamed"] != 50 {
			t.Errorf("%q: 50 calls were made under the new name; calls by name: %v", flags, calls)
		}
	}
}

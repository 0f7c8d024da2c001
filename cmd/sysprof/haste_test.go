package main_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHasteIsOver: while it traces, sysprof is scheduled as any other process, and so is all that it has started, the command
// and who reads the tables, but for its guard, which sleeps, and has to come in time when it wakes.
func TestHasteIsOver(t *testing.T) {
	usually, err := unix.SchedGetAttr(0, 0)
	check(t, err)
	traced := start(t, sysprof(t, "-o", "|cat >/dev/null", "--", "sh", "-c", "echo begun; read end"))
	traced.expect("begun")
	names := ""
	for all := []int{traced.pid()}; len(all) > 0; all = all[1:] {
		pid := all[0]
		name := status(pid, "Name")
		names += name + " "
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		check(t, err)
		for _, task := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(task))
			eventually(t, fmt.Sprintf("thread %d of %s is as usual", tid, name), func() bool {
				is, err := unix.SchedGetAttr(tid, 0)
				return err != nil || name == "sysp-guard" || is.Nice == usually.Nice && is.Runtime == usually.Runtime
			})
			for _, child := range strings.Fields(read(task + "/children")) {
				pid, _ := strconv.Atoi(child)
				all = append(all, pid)
			}
		}
	}
	if want := "sysp-guard"; !strings.Contains(names, want) {
		t.Errorf("looked at %s, want %s among them", names, want)
	}
	if n := len(strings.Fields(names)); n < 4 {
		t.Errorf("looked at %d processes (%s), want 4 at least", n, names)
	}
	traced.say("end")
	traced.end()
}

package main_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// TestHasteIsOver: while it traces, sysprof is scheduled as any other process, and so is all that it has started, the command
// and who reads the tables, but for its guard and one thread of its own, which sleep, and have to come in time when they wake.
func TestHasteIsOver(t *testing.T) {
	usually, err := unix.SchedGetAttr(0, 0)
	drive.Check(t, err)
	traced := drive.Start(t, drive.Sysprof(t, "-o", "|cat >/dev/null", "--", "sh", "-c", "echo begun; read end"))
	traced.Expect("begun")
	names := ""
	for all := []int{traced.Pid()}; len(all) > 0; all = all[1:] {
		pid := all[0]
		most := 0
		if pid == traced.Pid() {
			most = 1 // what notices that sysprof stands still
		}
		drive.Eventually(t, fmt.Sprintf("%s (%d) is as usual", drive.StatusOf(pid, "Name"), pid), func() bool {
			// Its name comes only when it runs.
			return hasty(pid, usually) <= most || drive.StatusOf(pid, "Name") == "sysp-guard"
		})
		names += drive.StatusOf(pid, "Name") + " "
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		drive.Check(t, err)
		for _, list := range lists {
			for _, child := range strings.Fields(drive.Read(list)) {
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
	traced.Say("end")
	traced.End()
}

// hasty is how many threads of a process are scheduled otherwise.
func hasty(pid int, usually *unix.SchedAttr) (n int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		tid, _ := strconv.Atoi(filepath.Base(task))
		is, err := unix.SchedGetAttr(tid, 0)
		if err == nil && (is.Nice != usually.Nice || is.Runtime != usually.Runtime) {
			n++
		}
	}
	return n
}

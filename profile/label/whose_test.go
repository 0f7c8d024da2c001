package label

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"sysprof/profile"
)

// TestCgroupOfTheDead: who has exited is shown in other cgroups than it was in, and says nothing.
func TestCgroupOfTheDead(t *testing.T) {
	const before = "where it was"
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	w := &profile.Whose{CgroupID: byAddress | 1, Of: int32(cmd.Process.Pid)}
	c := &cgroupTexts{}
	if got, found := c.of(w); !found || got == "" {
		t.Errorf("of a process that lives: %q, %v", got, found)
	}
	c.known = map[uint64]string{w.CgroupID: before}
	cmd.Process.Kill()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil { // it stays a zombie
		t.Fatal(err)
	}
	if got := c.text(w); got != before {
		t.Errorf("of one that has exited: %q", got)
	}
}

package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// Whenever sysprof is killed, it leaves no process of its own behind, and no command that does not go on.
func TestKilledAtAnyTime(t *testing.T) {
	dir := drive.SharedDir(t)
	sysprof, command := filepath.Join(dir, "sysprof"), filepath.Join(dir, "true")
	drive.CopyProgram(t, drive.Program(t), sysprof)
	drive.CopyProgram(t, "/bin/true", command)
	t.Cleanup(func() {
		for _, pid := range drive.RunningFrom(dir) {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	variants := [][]string{{}, {"--raw", "--cpu=off"}, {"-e", "trace=getppid"}, {"--kill-on-exit"}}
	if os.Geteuid() == 0 {
		variants = append(variants, []string{"-u", "nobody"}, []string{"--raw", "--cpu=off", "-u", "nobody", "-e", "trace=getppid"})
	}
	const kills, within = 100, 80 * time.Millisecond
	before := 0
	for i := range kills {
		args := slices.Concat([]string{"-q", "-o", os.DevNull}, variants[i%len(variants)], []string{command})
		cmd := exec.Command(sysprof, args...)
		drive.Check(t, cmd.Start())
		if i%2 == 0 {
			time.Sleep(rand.N(within))
		} else {
			awaitChild(cmd.Process.Pid, rand.N(3))
		}
		cmd.Process.Kill()
		if drive.WaitFor(t, cmd).Signaled() {
			before++
		}
	}
	drive.Eventually(t, "nothing is left of "+fmt.Sprint(kills)+" runs", func() bool { return len(drive.RunningFrom(dir)) == 0 })
	t.Logf("%d of %d were killed before they had ended", before, kills)
	if before < kills/4 {
		t.Error("that is no test")
	}
}

// awaitChild waits until a process has had a number of children more than at first, or is gone.
func awaitChild(pid, more int) {
	seen := make(map[string]bool)
	for len(seen) <= more {
		state := drive.StatusOf(pid, "State")
		if state == "" || state[0] == 'Z' {
			return
		}
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, list := range lists {
			for _, child := range strings.Fields(drive.Read(list)) {
				seen[child] = true
			}
		}
	}
}

// The target is to get a signal when its parent ends, which it says. Otherwise it is as echo.
var _ = drive.Target("echo until the parent ends", func(args []string) {
	drive.Must(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
	drive.Targets["echo"](args)
})

// A command that asks for a signal when its parent ends gets it when sysprof ends, not when the tracing does.
func TestParentDeathSignal(t *testing.T) {
	for _, options := range [][]string{{}, {"--cpu=off"}, {"--pprof=" + os.DevNull}, {"--no-follow"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			args := slices.Concat([]string{"-q", "--duration=50ms", "-o", os.DevNull}, options, []string{drive.Self()})
			s := drive.Start(t, drive.As(drive.Sysprof(t, args...), "echo until the parent ends"))
			pid, err := strconv.Atoi(s.Line())
			drive.Must(err)
			t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
			s.Alive()
			drive.Eventually(t, "the command is not traced", func() bool { return drive.TracedBy(pid) == 0 })
			for range 20 {
				s.Alive()
			}
			s.Signal(syscall.SIGKILL)
			s.End()
			drive.Eventually(t, "the command is gone, too", func() bool { return drive.StatusOf(pid, "State") == "" || drive.StatusOf(pid, "State")[0] == 'Z' })
		})
	}
}

// The target reads all that it is written, unless its parent ends.
var _ = drive.Target("read until the parent ends", func(args []string) {
	runtime.LockOSThread()
	drive.Must(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0))
	_, err := io.Copy(io.Discard, os.Stdin)
	drive.Must(err)
})

// So does a program that reads the tables.
func TestReaderParentDeathSignal(t *testing.T) {
	for range 30 { // whether a thread ends that would be its parent is left to chance
		o := drive.Run(t, drive.As(drive.Plain(t, "-q", "-o", "|exec "+drive.Self(), "true"), "read until the parent ends"))
		o.Exited(t, 0)
	}
}

// What is killed with its whole cgroup leaves nothing pinned that is outside of it.
func TestKilledWithItsGroup(t *testing.T) {
	needs.Root(t)
	group := newGroup(t)
	p := drive.Start(t, drive.As(exec.Command(drive.Self()), "calls"))
	p.Expect("ready")
	// Below the root of a container, which is none to the kernel, a group with controllers takes no processes (cgroups(7)).
	for _, dir := range []string{group.Name(), filepath.Dir(group.Name())} {
		if os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, p.Pid()), 0) != nil {
			t.Skipf("no process may go to %s", dir)
		}
	}
	before := drive.CPUsOf(p.Pid())
	if !strings.ContainsAny(before[0], ",-") {
		t.Skip("there is but one CPU to run on")
	}
	s := drive.Sysprof(t, "-q", "-o", os.DevNull, "-p", strconv.Itoa(p.Pid()))
	s.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	drive.Check(t, s.Start())
	t.Cleanup(func() { drive.Kill(s.Process.Pid) })
	drive.Eventually(t, "a thread is pinned", func() bool { return !slices.Equal(drive.CPUsOf(p.Pid()), before) })
	drive.Eventually(t, "the guard has left the group", func() bool {
		return strings.TrimSpace(drive.Read(filepath.Join(group.Name(), "cgroup.procs"))) == strconv.Itoa(s.Process.Pid)
	})
	drive.Eventually(t, "a thread is pinned still", func() bool { return !slices.Equal(drive.CPUsOf(p.Pid()), before) })
	drive.Check(t, os.WriteFile(filepath.Join(group.Name(), "cgroup.kill"), []byte("1"), 0))
	drive.Died(t, drive.WaitFor(t, s), syscall.SIGKILL)
	drive.Eventually(t, "all threads have their CPUs back", func() bool { return slices.Equal(drive.CPUsOf(p.Pid()), before) })
}

// newGroup makes a cgroup, of version 2, that can be killed.
func newGroup(t *testing.T) *os.File {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		dir := filepath.Join(root, fmt.Sprint("sysprof-test-", os.Getpid()))
		if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { drive.Eventually(t, "the group is empty", func() bool { return os.Remove(dir) == nil }) })
		if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
			continue // Linux 5.14
		}
		group, err := os.Open(dir)
		drive.Check(t, err)
		t.Cleanup(func() { group.Close() })
		return group
	}
	t.Skip("there is no cgroup that could be killed: version 2, writable, Linux 5.14")
	return nil
}

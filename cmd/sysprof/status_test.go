package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		drive.Must(os.WriteFile(file, []byte(text), mode))
		return file
	}
	unwritable := filepath.Join(dir, "no", "such", "folder", "file")
	for _, test := range []struct {
		name   string
		args   []string
		status int
		table  bool
	}{
		{"the command's 0", []string{"true"}, 0, true},
		{"the command's 1", []string{"false"}, 1, true},
		{"the command's 7", []string{"sh", "-c", "exit 7"}, 7, true},
		{"the command's 255", []string{"sh", "-c", "exit 255"}, 255, true},
		{"a command that is not in PATH", []string{"no-such-command-anywhere"}, 127, false},
		{"a path that does not exist", []string{filepath.Join(dir, "missing")}, 127, false},
		{"a path through what is no directory", []string{"/etc/passwd/x"}, 126, false},
		{"no permission to execute", []string{write("plain", "#!/bin/sh\n", 0o644)}, 126, false},
		{"a directory", []string{dir}, 126, false},
		{"neither binary nor script", []string{write("noexec", "hello", 0o755)}, 126, false},
		{"no interpreter", []string{write("script", "#!/no/such/interpreter\n", 0o755)}, 127, false},
		{"nothing to attach to", []string{"-p", "4194305"}, 1, false},
		{"nowhere to write", []string{"-o", unwritable, "true"}, 1, false},
		{"bad usage", []string{"--no-such-option", "true"}, 2, false},
		{"no such user", []string{"-u", "no-such-user", "true"}, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := drive.Run(t, drive.Sysprof(t, test.args...))
			o.Exited(t, test.status)
			if test.table {
				drive.HasTable(t, o.Stderr, 1)
			} else if strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") {
				t.Errorf("stderr is not one line of sysprof's: %q", o.Stderr)
			}
			if o.Stdout != "" {
				t.Errorf("stdout: %q", o.Stdout)
			}
		})
	}
}

// The target makes the ptrace request that its first argument names fail with the errno that is the second,
// and becomes the program that the rest names.
var _ = drive.Target("without ptrace", func(args []string) {
	request, err := strconv.Atoi(args[0])
	drive.Must(err)
	errno, err := strconv.Atoi(args[1])
	drive.Must(err)
	const nrAt, firstArgAt = 0, 16 // struct seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nrAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_PTRACE, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArgAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(request), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	drive.Must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	drive.Must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	drive.Must(syscall.Exec(args[2], args[2:], os.Environ()))
})

// somebodyElses returns a process that neither this user nor nobody may trace.
func somebodyElses(t *testing.T) int {
	t.Helper()
	own := []string{strconv.Itoa(os.Geteuid()), "65534"}
	if os.Geteuid() == 0 {
		own = own[1:]
	}
	processes := drive.NumberedEntries("/proc")
	i := slices.IndexFunc(processes, func(pid int) bool {
		uids := strings.Fields(drive.StatusOf(pid, "Uid"))
		return len(uids) > 1 && !slices.Contains(own, uids[1])
	})
	needs.That(t, i >= 0, "a process of another user", "run the tests where there is one, such as root's")
	return processes[i]
}

// What keeps a command from being traced is said with what to do about it.
func TestLaunchErrorsSayWhatToDo(t *testing.T) {
	dir := drive.SharedDir(t)
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		drive.Must(os.WriteFile(file, []byte(text), 0o755))
		drive.Must(os.Chmod(file, mode)) // the umask may forbid some of it, and the kernel set-user-ID
		return file
	}
	for _, test := range []struct {
		name   string
		args   []string // "" is the id of somebody else's process
		status int
		says   string
	}{
		{"neither binary nor script", []string{write("noexec", "hello", 0o755)}, 126, "#!"},
		{"no interpreter", []string{write("script", "#!/no/such/interpreter\n", 0o755)}, 127, "interpreter"},
		{"a script whose own file is missing", []string{filepath.Join(dir, "missing")}, 127, "no such file"},
		{"another user, but not root", []string{"-u", "0:0", "true"}, 1, "only root"},
		{"a set-user-ID program, but not root", []string{write("setuid", "#!/bin/sh\n", 0o755|os.ModeSetuid)}, 0, "without the privileges"},
		{"somebody else's process", []string{"-p", ""}, 1, "run sysprof as root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if i := slices.Index(test.args, ""); i >= 0 {
				test.args[i] = strconv.Itoa(somebodyElses(t))
			}
			cmd := drive.Sysprof(t, test.args...)
			cmd.SysProcAttr = drive.NotRoot()
			o := drive.Run(t, cmd)
			o.Exited(t, test.status)
			if !strings.Contains(o.Stderr, test.says) || test.status != 0 && strings.Count(o.Stderr, "\n") != 1 {
				t.Errorf("stderr: %q, want a line with %q", o.Stderr, test.says)
			}
		})
	}
	for _, test := range []struct {
		name           string
		request, errno int // the ptrace request that fails
		says           string
	}{
		{"a container that forbids tracing", unix.PTRACE_SEIZE, int(unix.EPERM), "container"},
		{"an old kernel", unix.PTRACE_GET_SYSCALL_INFO, int(unix.EIO), "needs Linux 5.3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "mark")
			args := []string{strconv.Itoa(test.request), strconv.Itoa(test.errno), drive.Program(t), "-c", "touch", mark}
			o := drive.Run(t, drive.As(exec.Command(drive.Self(), args...), "without ptrace"))
			o.Exited(t, 1)
			if strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stderr: %q, want a line with %q", o.Stderr, test.says)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the command has run untraced")
			}
		})
	}
	t.Run("few files may be open", func(t *testing.T) {
		o := drive.Run(t, exec.Command("sh", "-c", `ulimit -n 6; exec "$0" -c true`, drive.Program(t)))
		o.Exited(t, 1)
		if strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, "ulimit -n") {
			t.Errorf("stderr: %q", o.Stderr)
		}
	})
	t.Run("no /proc", func(t *testing.T) {
		needs.SysAdmin(t) // to mount
		// In a chroot / is no mount, so nothing but /proc is made private.
		script := `mount --make-private /proc && mount -t tmpfs none /proc && exec "$0" -c -p $PPID`
		unshare := needs.Program(t, "unshare", "util-linux")
		o := drive.Run(t, exec.Command(unshare, "-m", "--propagation=unchanged", "sh", "-c", script, drive.Program(t)))
		o.Exited(t, 1)
		if !strings.Contains(o.Stderr, "not mounted") {
			t.Errorf("stderr: %q", o.Stderr)
		}
	})
}

func TestCommandDiesOfSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGINT, unix.SIGSEGV, unix.SIGABRT, unix.SIGPIPE, unix.SIGUSR1, 34} {
		t.Run(sig.String(), func(t *testing.T) {
			script := "ulimit -c unlimited; kill -" + strconv.Itoa(int(sig)) + " $$"
			// Its cores stay in a folder of its own.
			cmd := exec.Command("sh", "-c", script)
			cmd.Dir = t.TempDir()
			untraced := drive.Run(t, cmd)
			if !untraced.Status.Signaled() || untraced.Status.Signal() != sig {
				t.Fatalf("untraced: %s", drive.Describe(untraced.Status))
			}
			// sysprof itself may dump core, too, if it does not prevent it.
			cmd = exec.Command("sh", "-c", `ulimit -c unlimited; exec "$0" "$@"`, drive.Program(t), "-c", "sh", "-c", script)
			cmd.Dir = t.TempDir()
			o := drive.Run(t, cmd)
			drive.Died(t, o.Status, sig)
			drive.HasTable(t, o.Stderr, 1)
			cores, _ := filepath.Glob(filepath.Join(cmd.Dir, "core*"))
			want := 0
			if untraced.Status.CoreDump() && strings.HasPrefix(drive.Read("/proc/sys/kernel/core_pattern"), "core") {
				want = 1 // the command's
			}
			if len(cores) != want {
				t.Errorf("core files: %q, want %d", cores, want)
			}
		})
	}
}

func TestAttachEnds(t *testing.T) {
	t.Run("the process ends: status 0", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		s := drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid())))
		drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
		for range 10 {
			p.Alive()
		}
		p.Say("end")
		(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
		drive.HasTable(t, s.Written(), 1)
		if calls, _, _ := drive.Row(s.Written(), "getppid"); calls != 10 {
			t.Errorf("counted %d getppid, want 10\n%s", calls, s.Written())
		}
		p.End()
	})
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		t.Run("ended by "+unix.SignalName(sig), func(t *testing.T) {
			p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
			p.Line()
			s := drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid())))
			drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
			p.Alive()
			s.Signal(sig)
			drive.Died(t, s.End(), sig)
			drive.HasTable(t, s.Written(), 1)
			if drive.TracedBy(p.Pid()) != 0 {
				t.Error("the target is still traced")
			}
			p.Alive()
			if !strings.Contains(s.Written(), "futex") && !strings.Contains(s.Written(), "read") {
				t.Errorf("what the target sleeps in is not told:\n%s", s.Written())
			}
		})
	}
}

func TestAttachToOneOfTwo(t *testing.T) {
	p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	p.Line()
	pid := strconv.Itoa(p.Pid())
	s := drive.Start(t, drive.Sysprof(t, "-p", "4194305,"+pid+",4194306", "-p", pid))
	const first, second = "sysprof: attach 4194305: no such process\n", "sysprof: attach 4194306: no such process\n"
	drive.Eventually(t, "it is said at once, in a line each", func() bool { return s.Written() == first+second })
	drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
	p.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	if n := strings.Count(s.Written(), "attach 4194305: "); n != 2 {
		t.Errorf("the process that does not exist is spoken of %d times, want 2, at once and under the table:\n%s", n, s.Written())
	}
	if w := s.Written(); strings.Count(w, "("+pid+"), ") != 1 || strings.Contains(w, "(4194305)") {
		t.Errorf("the table is of more than the one process:\n%s", s.Written())
	}
	p.End()
}

func TestDuration(t *testing.T) {
	t.Run("attached", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		o := drive.Run(t, drive.Sysprof(t, "--duration", "0.2", "-p", strconv.Itoa(p.Pid())))
		o.Exited(t, 0)
		p.Alive()
	})
	t.Run("a command, which goes on and is waited for", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, "--duration=50ms", drive.Self()), "echo"))
		pid, err := strconv.Atoi(s.Line())
		drive.Must(err)
		drive.Eventually(t, "the command is not traced any more", func() bool { return drive.TracedBy(pid) == 0 })
		s.Alive()
		if drive.StatusOf(s.Pid(), "State") == "" {
			t.Error("sysprof has not waited for the command")
		}
		s.Say("end")
		(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
		drive.HasTableOfAMoment(t, s.Written())
	})
	t.Run("the command's status", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "--duration=50ms", "sh", "-c", "sleep 0.2; exit 9"))
		o.Exited(t, 9)
		drive.HasTableOfAMoment(t, o.Stderr)
	})
	t.Run("the command's signal", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "--duration=50ms", "sh", "-c", "sleep 0.2; kill -TERM $$"))
		drive.Died(t, o.Status, unix.SIGTERM)
		drive.HasTableOfAMoment(t, o.Stderr)
	})
}

func TestChildrenThatOutliveTheCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "late")
	o := drive.Run(t, drive.Sysprof(t, "sh", "-c", `(sleep 0.2; echo late > "$0") & exit 3`, file))
	o.Exited(t, 3)
	if got := drive.Read(file); got != "late\n" {
		t.Errorf("sysprof ended before the last child: its file holds %q", got)
	}
	if _, _, ok := drive.Row(o.Stderr, "clock_nanosleep"); !ok {
		t.Errorf("the call of the last child is not counted:\n%s", o.Stderr)
	}
}

func TestNoFollow(t *testing.T) {
	count := func(args ...string) int {
		o := drive.Run(t, drive.As(drive.Sysprof(t, append(args, "sh", "-c", `: ; "$0"; "$0"; exit 0`, drive.Self())...), "getppids"))
		o.Exited(t, 0)
		calls, _, _ := drive.Row(o.Stderr, "getpgid")
		return calls
	}
	if got := count(); got != 200 {
		t.Errorf("counted %d calls of two children, want 200", got)
	}
	if got := count("-f"); got != 200 {
		t.Errorf("-f: counted %d calls of two children, want 200", got)
	}
	if got := count("--no-follow"); got != 0 {
		t.Errorf("--no-follow: counted %d calls of two children, want 0", got)
	}
}

var _ = drive.Target("getppids", func(args []string) {
	for range 100 {
		syscall.RawSyscall(unix.SYS_GETPGID, 0, 0, 0)
	}
})

func TestKilledSysprof(t *testing.T) {
	t.Run("the command goes on", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self()), "echo"))
		pid, err := strconv.Atoi(s.Line())
		drive.Must(err)
		defer unix.Kill(pid, unix.SIGKILL)
		s.Alive()
		s.Signal(unix.SIGKILL)
		s.End()
		for range 20 {
			s.Alive()
		}
	})
	t.Run("with --kill-on-exit it does not", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, "--kill-on-exit", drive.Self()), "echo"))
		pid, err := strconv.Atoi(s.Line())
		drive.Must(err)
		s.Alive()
		s.Signal(unix.SIGKILL)
		s.End()
		drive.Eventually(t, "the command is gone", func() bool {
			state := drive.StatusOf(pid, "State")
			return state == "" || state[0] == 'Z'
		})
	})
	t.Run("an attached process goes on", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		s := drive.Start(t, drive.Sysprof(t, "-p", strconv.Itoa(p.Pid())))
		drive.Eventually(t, "the target is traced", func() bool { return drive.TracedBy(p.Pid()) == s.Pid() })
		s.Signal(unix.SIGKILL)
		s.End()
		for range 20 {
			p.Alive()
		}
	})
}

// Who kills sysprof by its name, or by what stands in its command line, must not kill the child that gives threads their CPUs
// back then.
func TestGuardHasAnotherName(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, drive.Self()), "echo"))
	command := s.Line()
	var guards []string
	drive.Eventually(t, "the guard is there, and has its name", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.Pid()))
		guards = nil
		for _, list := range lists {
			for _, child := range strings.Fields(drive.Read(list)) {
				if child != command && drive.Read("/proc/"+child+"/comm") == "sysp-guard\n" {
					guards = append(guards, child)
				}
			}
		}
		return len(guards) == 1
	})
	cmdline := drive.Read("/proc/" + guards[0] + "/cmdline")
	if name, _, _ := strings.Cut(cmdline, "\x00"); name != "sysp-guard" || strings.Trim(cmdline[len(name):], "\x00") != "" {
		t.Errorf("the guard's command line is %q", cmdline)
	}
	if own := drive.Read(fmt.Sprintf("/proc/%d/cmdline", s.Pid())); own != strings.Join(s.Cmd.Args, "\x00")+"\x00" {
		t.Errorf("sysprof's own command line is %q", own)
	}
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
}

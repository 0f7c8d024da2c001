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

	"sysprof/syscalltab/needs"
)

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		must(os.WriteFile(file, []byte(text), mode))
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
			o := run(t, sysprof(t, test.args...))
			o.exited(t, test.status)
			if test.table {
				hasTable(t, o.stderr, 1)
			} else if strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "sysprof: ") {
				t.Errorf("stderr is not one line of sysprof's: %q", o.stderr)
			}
			if o.stdout != "" {
				t.Errorf("stdout: %q", o.stdout)
			}
		})
	}
}

// The target makes the ptrace request that its first argument names fail with the errno that is the second,
// and becomes the program that the rest names.
var _ = target("without ptrace", func(args []string) {
	request, err := strconv.Atoi(args[0])
	must(err)
	errno, err := strconv.Atoi(args[1])
	must(err)
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
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	must(syscall.Exec(args[2], args[2:], os.Environ()))
})

// somebodyElses returns a process that neither this user nor nobody may trace.
func somebodyElses(t *testing.T) int {
	t.Helper()
	own := []string{strconv.Itoa(os.Geteuid()), "65534"}
	if os.Geteuid() == 0 {
		own = own[1:]
	}
	processes := numberedEntries("/proc")
	i := slices.IndexFunc(processes, func(pid int) bool {
		uids := strings.Fields(status(pid, "Uid"))
		return len(uids) > 1 && !slices.Contains(own, uids[1])
	})
	needs.That(t, i >= 0, "a process of another user", "run the tests where there is one, such as root's")
	return processes[i]
}

// What keeps a command from being traced is said with what to do about it.
func TestLaunchErrorsSayWhatToDo(t *testing.T) {
	dir := sharedDir(t)
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		must(os.WriteFile(file, []byte(text), 0o755))
		must(os.Chmod(file, mode)) // the umask may forbid some of it, and the kernel set-user-ID
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
			cmd := sysprof(t, test.args...)
			cmd.SysProcAttr = notRoot()
			o := run(t, cmd)
			o.exited(t, test.status)
			if !strings.Contains(o.stderr, test.says) || test.status != 0 && strings.Count(o.stderr, "\n") != 1 {
				t.Errorf("stderr: %q, want a line with %q", o.stderr, test.says)
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
			args := []string{strconv.Itoa(test.request), strconv.Itoa(test.errno), program(t), "-c", "touch", mark}
			o := run(t, as(exec.Command(self(), args...), "without ptrace"))
			o.exited(t, 1)
			if strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, test.says) {
				t.Errorf("stderr: %q, want a line with %q", o.stderr, test.says)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the command has run untraced")
			}
		})
	}
	t.Run("few files may be open", func(t *testing.T) {
		o := run(t, exec.Command("sh", "-c", `ulimit -n 6; exec "$0" -c true`, program(t)))
		o.exited(t, 1)
		if strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, "ulimit -n") {
			t.Errorf("stderr: %q", o.stderr)
		}
	})
	t.Run("no /proc", func(t *testing.T) {
		needs.SysAdmin(t) // to mount
		// In a chroot / is no mount, so nothing but /proc is made private.
		script := `mount --make-private /proc && mount -t tmpfs none /proc && exec "$0" -c -p $PPID`
		unshare := needs.Program(t, "unshare", "util-linux")
		o := run(t, exec.Command(unshare, "-m", "--propagation=unchanged", "sh", "-c", script, program(t)))
		o.exited(t, 1)
		if !strings.Contains(o.stderr, "not mounted") {
			t.Errorf("stderr: %q", o.stderr)
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
			untraced := run(t, cmd)
			if !untraced.status.Signaled() || untraced.status.Signal() != sig {
				t.Fatalf("untraced: %s", describe(untraced.status))
			}
			// sysprof itself may dump core, too, if it does not prevent it.
			cmd = exec.Command("sh", "-c", `ulimit -c unlimited; exec "$0" "$@"`, program(t), "-c", "sh", "-c", script)
			cmd.Dir = t.TempDir()
			o := run(t, cmd)
			died(t, o.status, sig)
			hasTable(t, o.stderr, 1)
			cores, _ := filepath.Glob(filepath.Join(cmd.Dir, "core*"))
			want := 0
			if untraced.status.CoreDump() && strings.HasPrefix(read("/proc/sys/kernel/core_pattern"), "core") {
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
		p := start(t, as(exec.Command(self()), "echo"))
		p.line()
		s := start(t, sysprof(t, "-p", strconv.Itoa(p.pid())))
		eventually(t, "the target is traced", func() bool { return settled(s.pid(), []int{p.pid()}) })
		for range 10 {
			p.alive()
		}
		p.say("end")
		(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
		hasTable(t, s.written(), 1)
		if calls, _, _ := row(s.written(), "getppid"); calls != 10 {
			t.Errorf("counted %d getppid, want 10\n%s", calls, s.written())
		}
		p.end()
	})
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		t.Run("ended by "+unix.SignalName(sig), func(t *testing.T) {
			p := start(t, as(exec.Command(self()), "echo"))
			p.line()
			s := start(t, sysprof(t, "-p", strconv.Itoa(p.pid())))
			eventually(t, "the target is traced", func() bool { return settled(s.pid(), []int{p.pid()}) })
			p.alive()
			s.signal(sig)
			died(t, s.end(), sig)
			hasTable(t, s.written(), 1)
			if tracedBy(p.pid()) != 0 {
				t.Error("the target is still traced")
			}
			p.alive()
			if !strings.Contains(s.written(), "futex") && !strings.Contains(s.written(), "read") {
				t.Errorf("what the target sleeps in is not told:\n%s", s.written())
			}
		})
	}
}

func TestAttachToOneOfTwo(t *testing.T) {
	p := start(t, as(exec.Command(self()), "echo"))
	p.line()
	pid := strconv.Itoa(p.pid())
	s := start(t, sysprof(t, "-p", "4194305,"+pid+",4194306", "-p", pid))
	const first, second = "sysprof: attach 4194305: no such process\n", "sysprof: attach 4194306: no such process\n"
	eventually(t, "it is said at once, in a line each", func() bool { return s.written() == first+second })
	eventually(t, "the target is traced", func() bool { return settled(s.pid(), []int{p.pid()}) })
	p.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
	if n := strings.Count(s.written(), "attach 4194305: "); n != 2 {
		t.Errorf("the process that does not exist is spoken of %d times, want 2, at once and under the table:\n%s", n, s.written())
	}
	if w := s.written(); strings.Count(w, "("+pid+"), ") != 1 || strings.Contains(w, "(4194305)") {
		t.Errorf("the table is of more than the one process:\n%s", s.written())
	}
	p.end()
}

func TestDuration(t *testing.T) {
	t.Run("attached", func(t *testing.T) {
		p := start(t, as(exec.Command(self()), "echo"))
		p.line()
		o := run(t, sysprof(t, "--duration", "0.2", "-p", strconv.Itoa(p.pid())))
		o.exited(t, 0)
		p.alive()
	})
	t.Run("a command, which goes on and is waited for", func(t *testing.T) {
		s := start(t, as(sysprof(t, "--duration=50ms", self()), "echo"))
		pid, err := strconv.Atoi(s.line())
		must(err)
		eventually(t, "the command is not traced any more", func() bool { return tracedBy(pid) == 0 })
		s.alive()
		if status(s.pid(), "State") == "" {
			t.Error("sysprof has not waited for the command")
		}
		s.say("end")
		(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
		hasTableOfAMoment(t, s.written())
	})
	t.Run("the command's status", func(t *testing.T) {
		o := run(t, sysprof(t, "--duration=50ms", "sh", "-c", "sleep 0.2; exit 9"))
		o.exited(t, 9)
		hasTableOfAMoment(t, o.stderr)
	})
	t.Run("the command's signal", func(t *testing.T) {
		o := run(t, sysprof(t, "--duration=50ms", "sh", "-c", "sleep 0.2; kill -TERM $$"))
		died(t, o.status, unix.SIGTERM)
		hasTableOfAMoment(t, o.stderr)
	})
}

func TestChildrenThatOutliveTheCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "late")
	o := run(t, sysprof(t, "sh", "-c", `(sleep 0.2; echo late > "$0") & exit 3`, file))
	o.exited(t, 3)
	if got := read(file); got != "late\n" {
		t.Errorf("sysprof ended before the last child: its file holds %q", got)
	}
	if _, _, ok := row(o.stderr, "clock_nanosleep"); !ok {
		t.Errorf("the call of the last child is not counted:\n%s", o.stderr)
	}
}

func TestNoFollow(t *testing.T) {
	count := func(args ...string) int {
		o := run(t, as(sysprof(t, append(args, "sh", "-c", `: ; "$0"; "$0"; exit 0`, self())...), "getppids"))
		o.exited(t, 0)
		calls, _, _ := row(o.stderr, "getpgid")
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

var _ = target("getppids", func(args []string) {
	for range 100 {
		syscall.RawSyscall(unix.SYS_GETPGID, 0, 0, 0)
	}
})

func TestKilledSysprof(t *testing.T) {
	t.Run("the command goes on", func(t *testing.T) {
		s := start(t, as(sysprof(t, self()), "echo"))
		pid, err := strconv.Atoi(s.line())
		must(err)
		defer unix.Kill(pid, unix.SIGKILL)
		s.alive()
		s.signal(unix.SIGKILL)
		s.end()
		for range 20 {
			s.alive()
		}
	})
	t.Run("with --kill-on-exit it does not", func(t *testing.T) {
		s := start(t, as(sysprof(t, "--kill-on-exit", self()), "echo"))
		pid, err := strconv.Atoi(s.line())
		must(err)
		s.alive()
		s.signal(unix.SIGKILL)
		s.end()
		eventually(t, "the command is gone", func() bool {
			state := status(pid, "State")
			return state == "" || state[0] == 'Z'
		})
	})
	t.Run("an attached process goes on", func(t *testing.T) {
		p := start(t, as(exec.Command(self()), "echo"))
		p.line()
		s := start(t, sysprof(t, "-p", strconv.Itoa(p.pid())))
		eventually(t, "the target is traced", func() bool { return tracedBy(p.pid()) == s.pid() })
		s.signal(unix.SIGKILL)
		s.end()
		for range 20 {
			p.alive()
		}
	})
}

// Who kills sysprof by its name, or by what stands in its command line, must not kill the child that gives threads their CPUs
// back then.
func TestGuardHasAnotherName(t *testing.T) {
	s := start(t, as(sysprof(t, self()), "echo"))
	command := s.line()
	var guards []string
	eventually(t, "the guard is there, and has its name", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid()))
		guards = nil
		for _, list := range lists {
			for _, child := range strings.Fields(read(list)) {
				if child != command && read("/proc/"+child+"/comm") == "sysp-guard\n" {
					guards = append(guards, child)
				}
			}
		}
		return len(guards) == 1
	})
	cmdline := read("/proc/" + guards[0] + "/cmdline")
	if name, _, _ := strings.Cut(cmdline, "\x00"); name != "sysp-guard" || strings.Trim(cmdline[len(name):], "\x00") != "" {
		t.Errorf("the guard's command line is %q", cmdline)
	}
	if own := read(fmt.Sprintf("/proc/%d/cmdline", s.pid())); own != strings.Join(s.cmd.Args, "\x00")+"\x00" {
		t.Errorf("sysprof's own command line is %q", own)
	}
	s.say("end")
	(outcome{status: s.end(), stderr: s.written()}).exited(t, 0)
}

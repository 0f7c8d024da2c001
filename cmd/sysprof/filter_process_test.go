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
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// TestFilterComparedWithStrace counts, in real programs, only the calls of a set, which sysprof's filter in
// the kernel chooses, and demands strace's table, which it makes without a filter.
func TestFilterComparedWithStrace(t *testing.T) {
	for _, test := range []struct {
		program string // one of realPrograms
		set     string
	}{
		{"ls -lR", "statx,readlink"},
		{"git status", "%file"},
		{"tar", "openat,close,execve,wait4"},
		{"python3", "%process,%desc"},
		{"gcc", "!mmap,munmap,brk"},
		{"shell loop", "execve,wait4,exit_group,rt_sigreturn"},
		{"32-bit code", "open,getppid@32,getpid@32,execve"},
		{"32-bit code", "!getppid"},
	} {
		t.Run(test.program+" "+test.set, func(t *testing.T) {
			i := slices.IndexFunc(realPrograms, func(p *realProgram) bool { return p.name == test.program })
			p := *realPrograms[i]
			p.rows = nil
			p.flags = []string{"-e", "trace=" + test.set}
			p.compare(t)
		})
	}
}

// filtered reports whether a process has a seccomp filter.
func filtered(pid int) bool { return drive.StatusOf(pid, "Seccomp") == "2" }

func TestFilterIsUsedWhereItHelps(t *testing.T) {
	other := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	other.Line()
	attach := []string{"-p", strconv.Itoa(other.Pid())}
	for _, test := range []struct {
		name string
		args []string
		want bool
	}{
		{"a set", []string{"-e", "trace=getppid"}, true},
		{"asked for", []string{"--seccomp-bpf", "-e", "trace=getppid"}, true},
		{"all calls", []string{"-e", "trace=all"}, false},
		{"no set", nil, false},
		{"no set, asked for", []string{"--seccomp-bpf"}, false},
		{"turned off", []string{"-e", "trace=getppid", "--no-seccomp"}, false},
		{"not followed", []string{"-e", "trace=getppid", "--no-follow"}, false},
		{"with a process that runs", append([]string{"-e", "trace=getppid"}, attach...), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := drive.Start(t, drive.As(drive.Sysprof(t, append(test.args, drive.Self())...), "echo"))
			pid, _ := strconv.Atoi(s.Line())
			if got := filtered(pid); got != test.want {
				t.Errorf("the command has a filter: %v; want %v", got, test.want)
			}
			if filtered(s.Pid()) || filtered(other.Pid()) {
				t.Error("somebody else has the filter")
			}
			s.Alive()
			s.Say("end")
			if slices.Contains(test.args, "-p") {
				return
			}
			s.End()
			if slices.Contains(test.args, "--no-follow") {
				return // any of its threads may have made the call
			}
			if calls, _, _ := drive.Row(s.Written(), "getppid"); calls != 1 {
				t.Errorf("counted %d getppid, want 1:\n%s", calls, s.Written())
			}
			// Without CAP_SYS_ADMIN a filter has a price, which is the only thing that is said of it.
			warnings := strings.Count(s.Written(), "filter")
			if test.want && !needs.HasSysAdmin() {
				warnings -= strings.Count(s.Written(), "its filter in the kernel takes no_new_privs")
			}
			if warnings != 0 {
				t.Errorf("a warning:\n%s", s.Written())
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		for _, args := range [][]string{append([]string{"--seccomp-bpf"}, attach...), {"--seccomp-bpf", "--no-follow", "true"}} {
			if o := badUsage(t, args); !strings.Contains(o.Stderr, "--seccomp-bpf") {
				t.Errorf("it does not say why: %q", o.Stderr)
			}
		}
	})
}

// A setuid program gains its privileges under a filter, as root's tracing does not take them.
func TestSetuidProgramUnderFilter(t *testing.T) {
	needs.SysAdmin(t)
	dir := drive.SharedDir(t)
	drive.Check(t, os.Chmod(dir, 0o755))
	drive.Check(t, os.WriteFile(dir+"/id", []byte(drive.Read(needs.Program(t, "id", "coreutils"))), 0o755))
	drive.Check(t, os.Chmod(dir+"/id", 0o755|os.ModeSetuid))
	o := drive.Run(t, drive.Sysprof(t, "-u", "nobody", "-e", "trace=geteuid,openat", "sh", "-c", "id -u; "+dir+"/id -u; grep NoNewPrivs /proc/self/status"))
	o.Exited(t, 0)
	if want := fmt.Sprintf("%s\n0\nNoNewPrivs:\t0\n", idOf(t, "nobody")); o.Stdout != want {
		t.Errorf("the command says %q, want %q", o.Stdout, want)
	}
	if strings.Contains(o.Stderr, "privileges") {
		t.Errorf("a warning:\n%s", o.Stderr)
	}
}

func idOf(t *testing.T, user string) string {
	t.Helper()
	out, err := exec.Command("id", "-u", user).Output()
	drive.Check(t, err)
	return strings.TrimSpace(string(out))
}

// Somebody who is not root has to give up gaining privileges for the filter, and is told.
func TestFilterWithoutPrivileges(t *testing.T) {
	for _, test := range []struct {
		flags []string
		want  string
	}{{nil, "1"}, {[]string{"--no-seccomp"}, "0"}} {
		cmd := drive.Sysprof(t, append(test.flags, "-e", "trace=openat", "--", "grep", "NoNewPrivs", "/proc/self/status")...)
		cmd.SysProcAttr = drive.NotRoot()
		cmd.Dir = "/"
		o := drive.Run(t, cmd)
		o.Exited(t, 0)
		if o.Stdout != "NoNewPrivs:\t"+test.want+"\n" {
			t.Errorf("%q: the command says %q", test.flags, o.Stdout)
		}
		if told := strings.Contains(o.Stderr, "could not gain privileges"); told != (test.want == "1") {
			t.Errorf("%q: a warning: %v\n%s", test.flags, told, o.Stderr)
		}
		if calls, _, _ := drive.Row(o.Stderr, "openat"); calls == 0 {
			t.Errorf("no openat was counted:\n%s", o.Stderr)
		}
	}
}

// The target makes a filter of its own, which refuses getppid with errno 77, and executes its arguments.
var _ = drive.Target("under filter", func(args []string) {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_GETPPID},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | 77},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	runtime.LockOSThread()
	drive.Must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	drive.Must(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	drive.Must(os.Setenv(drive.TargetEnv, "echo"))
	drive.Must(unix.Exec(args[0], args, os.Environ()))
})

// Calls that a container's filter refuses would not be stopped at by ours, so there is none.
func TestSysprofUnderFilter(t *testing.T) {
	s := drive.Start(t, drive.As(exec.Command(drive.Self(), drive.Program(t), "-c", "-O0", "-e", "trace=getppid", drive.Self()), "under filter"))
	pid, _ := strconv.Atoi(s.Line())
	if got := drive.StatusOf(pid, "Seccomp_filters"); got != "1" {
		t.Errorf("the command has %s filters, want that of the container", got)
	}
	s.Alive()
	s.Say("end")
	s.End()
	if calls, errs, _ := drive.Row(s.Written(), "getppid"); calls != 1 || errs != 1 {
		t.Errorf("counted %d getppid, %d failed, want 1 that failed:\n%s", calls, errs, s.Written())
	}
	if !strings.Contains(s.Written(), "runs under a seccomp filter itself") {
		t.Errorf("no warning:\n%s", s.Written())
	}
}

// When the counting ends, the command goes on as before, and its calls with it.
func TestDurationUnderFilter(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	s := drive.Start(t, drive.As(drive.Sysprof(t, "--duration=50ms", "-o", table, "-e", "trace=getppid,read,write", drive.Self()), "echo"))
	s.Line()
	drive.Eventually(t, "the table is written", func() bool {
		return strings.Contains(drive.Read(table), "tracing cost") || strings.Contains(drive.Read(table), "counted")
	})
	drive.HasTableOfAMoment(t, drive.Read(table))
	for range 20 {
		s.Alive()
	}
	s.Signal(syscall.SIGUSR1) // asks for nothing any more
	s.Alive()
	s.Say("end")
	if status := s.End(); status != 0 {
		t.Errorf("sysprof ended with %s", drive.Describe(status))
	}
	drive.HasTableOfAMoment(t, drive.Read(table))
	if s.Written() != "" {
		t.Errorf("sysprof says %q", s.Written())
	}
	if calls, _, ok := drive.Row(drive.Read(table), "getppid"); ok && calls > 1 {
		t.Errorf("calls were counted after the end: %d", calls)
	}
	t.Run("status", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "--duration=50ms", "-e", "trace=execve", "sh", "-c", "sleep 0.2; exit 9"))
		o.Exited(t, 9)
		o = drive.Run(t, drive.Sysprof(t, "--duration=50ms", "-e", "trace=execve", "sh", "-c", "sleep 0.2; kill -TERM $$"))
		drive.Died(t, o.Status, syscall.SIGTERM)
	})
	t.Run("a signal", func(t *testing.T) {
		s := drive.Start(t, drive.As(drive.Sysprof(t, "--duration=50ms", "-e", "trace=getppid", drive.Self(), "SIGTERM", "7"), "signals"))
		s.Line()
		drive.Eventually(t, "the table is written", func() bool {
			return strings.Contains(s.Written(), "when tracing ended") || strings.Contains(s.Written(), "counted")
		})
		s.Signal(syscall.SIGTERM)
		if c := countsOf(s); c["SIGTERM"] != 1 {
			t.Errorf("the command counted %v", c)
		}
		if status := s.End(); status.ExitStatus() != 7 {
			t.Errorf("sysprof ended with %s", drive.Describe(status))
		}
	})
}

// A child that outlives the command cannot be left when the counting ends. A signal ends sysprof then, and the
// child with it.
func TestChildOutlivesTheCommandUnderFilter(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
	}{{"duration", []string{"--duration=50ms"}}, {"signal", nil}} {
		t.Run(test.name, func(t *testing.T) {
			s := drive.Start(t, drive.Sysprof(t, append(test.flags, "-e", "trace=openat", "sh", "-c", "sleep 1000 >/dev/null & echo $!")...))
			child, err := strconv.Atoi(s.Line())
			drive.Check(t, err)
			t.Cleanup(func() { unix.Kill(child, unix.SIGKILL) })
			drive.Eventually(t, "the command has ended", func() bool { return drive.StatusOf(child, "PPid") == "1" })
			// sysprof gives the signal to the command, and it is lost, if it does not know yet that that has ended.
			const again = 5 * time.Second
			var last time.Time
			drive.Eventually(t, "the counting has ended", func() bool {
				if test.flags == nil && time.Since(last) > again {
					s.Signal(syscall.SIGINT)
					last = time.Now()
				}
				return strings.Contains(s.Written(), "waiting for")
			})
			if test.flags == nil {
				drive.HasTable(t, s.Written(), 1)
			} else {
				drive.HasTableOfAMoment(t, s.Written())
			}
			if drive.TracedBy(child) != s.Pid() {
				t.Fatal("the child was left, or killed")
			}
			s.Signal(syscall.SIGTERM)
			drive.Died(t, s.End(), syscall.SIGTERM)
			gone(t, child)
		})
	}
}

// gone waits for the end of a process, whoever is to wait for it.
func gone(t *testing.T, pid int) {
	t.Helper()
	drive.Eventually(t, "the process is gone", func() bool {
		state := drive.StatusOf(pid, "State")
		return state == "" || state[0] == 'Z'
	})
}

// Calls of somebody who has a filter and no tracer fail, which can do harm. So nobody is left behind.
func TestKilledUnderFilter(t *testing.T) {
	s := drive.Start(t, drive.As(drive.Sysprof(t, "-e", "trace=getppid", drive.Self()), "echo"))
	pid, _ := strconv.Atoi(s.Line())
	s.Alive()
	s.Signal(syscall.SIGKILL)
	s.End()
	gone(t, pid)
}

// A call that goes on by restart_syscall is counted as without a filter, also if it does not end.
func TestRestartUnderFilter(t *testing.T) {
	var tables []string
	for _, flags := range [][]string{nil, {"--no-seccomp"}} {
		for _, set := range []string{"clock_nanosleep", "restart_syscall", "clock_nanosleep,restart_syscall"} {
			s := drive.Start(t, drive.Sysprof(t, append(flags, "--raw", "-e", "trace="+set, "sh", "-c", "echo $$; exec sleep 1000")...))
			pid, err := strconv.Atoi(s.Line())
			drive.Check(t, err)
			sleeps := func(nr int) func() bool {
				return func() bool {
					return strings.HasPrefix(drive.StatusOf(pid, "State"), "S") && strings.HasPrefix(drive.Read(fmt.Sprintf("/proc/%d/syscall", pid)), strconv.Itoa(nr)+" ")
				}
			}
			drive.Eventually(t, "the command sleeps", sleeps(unix.SYS_CLOCK_NANOSLEEP))
			unix.Kill(pid, unix.SIGSTOP)
			drive.Eventually(t, "the command is stopped", func() bool { return strings.HasPrefix(strings.ToLower(drive.StatusOf(pid, "State")), "t") })
			unix.Kill(pid, unix.SIGCONT)
			drive.Eventually(t, "the command sleeps again", sleeps(unix.SYS_RESTART_SYSCALL))
			unix.Kill(pid, unix.SIGKILL)
			drive.Died(t, s.End(), syscall.SIGKILL)
			calls, errs, _ := drive.Row(s.Written(), "clock_nanosleep")
			restarts, _, _ := drive.Row(s.Written(), "restart_syscall")
			flight := strings.Count(s.Written(), "clock_nanosleep: 1 killed")
			tables = append(tables, fmt.Sprint(calls, errs, restarts, flight))
		}
	}
	if n := len(tables) / 2; !slices.Equal(tables[:n], tables[n:]) {
		t.Errorf("calls, errors, restarts, in flight: with a filter %q, without %q", tables[:n], tables[n:])
	}
	if tables[0] != "1 1 0 1" {
		t.Errorf("clock_nanosleep alone: %q", tables[0])
	}
}

// With stacks and labels, what they depend on is watched, whatever is counted.
func TestProfileUnderFilter(t *testing.T) {
	dir := t.TempDir()
	var tops []string
	for _, flags := range [][]string{nil, {"--no-seccomp"}} {
		file := filepath.Join(dir, "profile")
		args := append(flags, "-q", "-o", os.DevNull, "--pprof", file, "--labels=fd", "-e", "trace=read", "sh", "-c", "cat /etc/passwd /etc/group >/dev/null; md5sum /etc/passwd >/dev/null")
		o := drive.Run(t, drive.Plain(t, args...))
		o.Exited(t, 0)
		out, err := exec.Command("go", "tool", "pprof", "-raw", "-sample_index=calls", file).Output()
		drive.Check(t, err)
		var kept []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "fd:[") || strings.Contains(line, "libc") && strings.Contains(line, "M=") {
				if i := strings.Index(line, "M="); i >= 0 { // addresses are chosen by chance
					line = line[i:]
				}
				line, _, _ = strings.Cut(line, "state:") // which goes by how busy the machine is
				kept = append(kept, strings.TrimSpace(line))
			}
		}
		slices.Sort(kept)
		tops = append(tops, strings.Join(slices.Compact(kept), "\n"))
	}
	if tops[0] != tops[1] || !strings.Contains(tops[0], "/etc/group") {
		t.Errorf("with a filter:\n%s\nwithout:\n%s", tops[0], tops[1])
	}
}

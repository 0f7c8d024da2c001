package ptrace_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/ptrace"

	"sysprof/syscalltab/needs"
)

// badFD is a descriptor that no process has.
const badFD = 1<<31 - 1

var _ = target("calls", func(l *ledger, args []string) {
	var stat unix.Stat_t
	for range 1000 {
		l.call(unix.SYS_GETPPID)
	}
	for range 10 {
		l.call(unix.SYS_UMASK, 0o22)
	}
	for range 7 {
		l.call(unix.SYS_FSTAT, badFD, uintptr(unsafe.Pointer(&stat)))
	}
	l.call(unix.SYS_GETPGID, 0)
	for range 3 {
		l.call(unix.SYS_GETPGID, badFD)
	}
})

var _ = target("threads", func(l *ledger, args []string) {
	const waves, width, calls = 6, 20, 50
	var mu sync.Mutex
	for range waves {
		var wave sync.WaitGroup
		for range width {
			wave.Add(1)
			locked(func() {
				own := newLedger()
				for range calls {
					own.call(unix.SYS_GETPPID)
				}
				own.call(unix.SYS_GETPGID, badFD)
				mu.Lock()
				l.add(own)
				mu.Unlock()
				wave.Done()
			})
		}
		wave.Wait()
	}
})

// fork forks without an exec. The child makes calls, has a grandchild now and then, and ends; it
// must not allocate.
//
//go:norace
//go:noinline
func fork(calls int, grandchild, orphan bool) (pid int) {
	r, _, _ := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if r != 0 {
		return int(r)
	}
	for range calls {
		syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	if grandchild {
		r, _, _ = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if r == 0 {
			for range calls {
				syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
		} else if !orphan {
			syscall.RawSyscall6(unix.SYS_WAIT4, r, 0, 0, 0, 0, 0)
		}
	}
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

var _ = target("forks", func(l *ledger, args []string) {
	const children, calls, atOnce = 300, 3, 25
	var pids []int
	reap := func() {
		for _, pid := range pids {
			var status unix.WaitStatus
			if got, err := unix.Wait4(pid, &status, 0, nil); got != pid || err != nil || status != 0 {
				l.fault("wait for child %d: %d, %v, status %#x", pid, got, err, status)
			}
		}
		pids = pids[:0]
	}
	for i := range children {
		grandchild := i%5 == 0
		pid := fork(calls, grandchild, i%10 == 0)
		if pid < 0 {
			l.fault("fork fails")
			return
		}
		pids = append(pids, pid)
		l.Calls[unix.SYS_GETPPID] += calls
		if grandchild {
			l.Calls[unix.SYS_GETPPID] += calls
		}
		if len(pids) == atOnce {
			reap()
		}
	}
	reap()
})

// Package syscall starts programs with CLONE_VFORK|CLONE_VM.
var _ = target("vforks", func(l *ledger, args []string) {
	const children, calls = 20, 40
	if len(args) > 0 { // a child
		for range calls {
			l.call(unix.SYS_GETPPID)
		}
		return
	}
	for range children {
		cmd := exec.Command(self(), "child")
		cmd.Env = append(os.Environ(), ledgerEnv+"=")
		if err := cmd.Run(); err != nil {
			l.fault("child: %v", err)
		}
		l.Calls[unix.SYS_GETPPID] += calls
		l.Notes["execs"]++
	}
	l.call(unix.SYS_UMASK, 0o22)
})

// A target that replaces itself again and again.
var _ = target("execs", func(l *ledger, args []string) {
	const execs, calls = 20, 5
	generation := 0
	if len(args) > 0 {
		generation, _ = strconv.Atoi(args[0])
	}
	for range calls {
		l.call(unix.SYS_GETPPID)
	}
	if generation < execs {
		must(unix.Exec(self(), []string{"execs", strconv.Itoa(generation + 1)}, os.Environ()))
	}
	l.Calls[unix.SYS_GETPPID] += execs * calls
	l.Notes["execs"] = execs
})

func TestLedger(t *testing.T) {
	for _, test := range []struct{ name, target string }{
		{"one thread", "calls"},
		{"threads that come and go", "threads"},
		{"a storm of forks, some children with children, some of those orphans", "forks"},
		{"vfork", "vforks"},
		{"a chain of execs", "execs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, r, result := launch(t, test.target)
			r.demand(t, native(), l)
			warned(t, result)
			first := r.calls[0]
			if first.Nr != unix.SYS_EXECVE || first.Errno != 0 {
				t.Errorf("the first call counted is %s (errno %d), not the command's execve", native().Name(first.Nr), first.Errno)
			}
			execs := 0
			for i := range r.calls {
				if c := &r.calls[i]; c.Nr == unix.SYS_EXECVE && c.Errno == 0 {
					execs++
				}
			}
			if want := 1 + l.Notes["execs"]; execs != want {
				t.Errorf("counted %d successful execs, want %d", execs, want)
			}
			for i := range r.calls {
				c := &r.calls[i]
				if c.EntrySeenNs > c.EntryResumedNs || c.EntryResumedNs > c.ExitSeenNs || c.ExitSeenNs > c.ExitResumedNs {
					t.Fatalf("the times of a call are not in order: %+v", *c)
				}
			}
		})
	}
}

var _ = target("seek", func(l *ledger, args []string) {
	fd, err := unix.Open(self(), unix.O_RDONLY, 0)
	must(err)
	for i := range 100 {
		if got := l.call(unix.SYS_LSEEK, uintptr(fd), uintptr(1000+i), unix.SEEK_SET); got != uintptr(1000+i) {
			l.fault("lseek to %d returned %d", 1000+i, got)
		}
	}
	l.Notes["fd"] = fd
})

func TestArgumentsAndResults(t *testing.T) {
	l, r, _ := launch(t, "seek")
	r.demand(t, native(), l)
	i := 0
	for _, c := range r.calls {
		if c.Nr != unix.SYS_LSEEK {
			continue
		}
		if c.Args[0] != uint64(l.Notes["fd"]) || c.Args[1] != uint64(1000+i) || c.Ret != int64(1000+i) || c.Errno != 0 {
			t.Fatalf("lseek number %d: arguments %v, result %d, errno %d", i, c.Args, c.Ret, c.Errno)
		}
		i++
	}
}

// The first thread and others sleep in a read, while another thread makes the exec.
var _ = target("exec-thread", func(l *ledger, args []string) {
	if len(args) > 0 {
		for range 10 {
			l.call(unix.SYS_GETPPID)
		}
		l.Notes["group"], l.Notes["thread"] = unix.Getpid(), unix.Gettid()
		return
	}
	var pipe [2]int
	must(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	sleep := func() { unix.Read(pipe[0], make([]byte, 1)) }
	const sleepers = 8
	for range sleepers {
		locked(sleep)
	}
	locked(func() {
		for {
			asleep := 0
			for _, tid := range threads(unix.Getpid()) {
				if sleepsIn(tid) == unix.SYS_READ {
					asleep++
				}
			}
			if asleep == sleepers+1 {
				break
			}
		}
		must(unix.Exec(self(), []string{"exec-thread", "again"}, os.Environ()))
	})
	sleep()
})

// The first goroutine of a program runs on the first thread while init functions run and stays
// there if it is locked then.
func init() {
	if name := os.Getenv(targetEnv); name == "exec-thread" || name == "first waits" {
		runtime.LockOSThread()
	}
}

func TestExecByAnotherThread(t *testing.T) {
	l, r, result := launch(t, "exec-thread")
	r.demand(t, native(), l)
	warned(t, result)
	if l.Notes["group"] != l.Notes["thread"] {
		t.Fatalf("the target is no test: its exec left thread %d in process %d", l.Notes["thread"], l.Notes["group"])
	}
	execs := 0
	for _, c := range r.calls {
		if c.Nr == unix.SYS_EXECVE {
			execs++
			if int(c.TID) != l.Notes["thread"] || c.Errno != 0 {
				t.Errorf("an execve is counted for thread %d with errno %d; it ended on thread %d", c.TID, c.Errno, l.Notes["thread"])
			}
		}
	}
	if execs != 2 {
		t.Errorf("counted %d execs, want 2", execs)
	}
	reads, leader := 0, false
	for _, f := range r.flights {
		if f.Nr == unix.SYS_READ && (f.Why == profile.Killed || f.Why == profile.Replaced) {
			reads++
			leader = leader || int(f.TID) == l.Notes["group"] && f.Why == profile.Replaced
		}
	}
	if reads != 9 || !leader {
		t.Errorf("the exec cut off 9 reads, the leader's too; reported are %d (leader's: %v): %+v", reads, leader, r.flights)
	}
}

func TestStartFails(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, test := range []struct {
		name, path string
		want       error
	}{
		{"no such file", filepath.Join(dir, "missing"), unix.ENOENT},
		{"no permission to execute", write("plain", "#!/bin/sh\n", 0o644), unix.EACCES},
		{"neither binary nor script", write("noexec", "hello", 0o755), unix.ENOEXEC},
		{"a directory", dir, unix.EACCES},
		{"no interpreter", write("script", "#!/no/such/interpreter\n", 0o755), unix.ENOENT},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracer, _, err := tryTrace(t, ptrace.Options{Command: &ptrace.Command{Path: test.path, Args: []string{"x"}}, Follow: true})
			if tracer != nil {
				t.Fatal("Start succeeds")
			}
			var exec *ptrace.ExecError
			if !errors.As(err, &exec) || !errors.Is(err, test.want) {
				t.Errorf("Start: %v, want an ExecError of %v", err, test.want)
			}
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG|unix.WALL, nil); pid > 0 {
				t.Errorf("a child (%d) was left behind: %v", pid, err)
			}
		})
	}
}

// What an Origin gives back is tested in cmd/sysprof, on the real program.

func TestCommandRunsAsUser(t *testing.T) {
	needs.Root(t)
	file := filepath.Join(t.TempDir(), "ledger")
	must(os.WriteFile(file, nil, 0o666))
	must(os.Chmod(file, 0o666))
	for dir := filepath.Dir(file); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode()&1 == 0 {
			must(os.Chmod(dir, info.Mode()|0o5))
			if dir == os.TempDir() {
				break
			}
		}
	}
	command := &ptrace.Command{
		Path: "/bin/sh",
		Args: []string{"sh", "-c", `cat /proc/self/status > "$F"`},
		Env:  []string{"PATH=/bin:/usr/bin", "F=" + file},
		User: &ptrace.Credential{UID: 4711, GID: 4712, Groups: []uint32{4712, 4713}},
	}
	tracer, r := trace(t, ptrace.Options{Command: command, Follow: true})
	if result := finish(t, tracer); result.Command != 0 {
		t.Fatalf("wait status %#x", result.Command)
	}
	if r.calls[0].Nr != unix.SYS_EXECVE {
		t.Errorf("the first call counted is %s", native().Name(r.calls[0].Nr))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t4711\t4711\t4711\t4711\n", "Gid:\t4712\t4712\t4712\t4712\n", "Groups:\t4712 4713 \n"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the command's status has no %q:\n%s", want, data)
		}
	}
}

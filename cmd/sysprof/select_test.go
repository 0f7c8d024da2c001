package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

func TestSelectionBadUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		says string
	}{
		{"--tree true", "-p"},
		{"--tree --name=x", "-p"},
		{"--name=", "--name"},
		{"--name=/", "--name"},
		{"--name=/(/", `"("`},
		{"--cgroup=", "--cgroup"},
		{"-P '' true", "-P"},
		{"--name=x -u nobody", "-u"},
		{"--name=x --kill-on-exit true", "--kill-on-exit"},
		{"--cgroup=x --seccomp-bpf -e read true", "--seccomp-bpf"},
		{"--bench=2 --name=x true", "--name"},
		{"--bench=2 -P /etc true", "--trace-path"},
		{"--from-json=x --name=x", "--from-json"},
		{"--from-json=x -P /etc", "--trace-path"},
	} {
		t.Run(test.args, func(t *testing.T) {
			if o := badUsage(t, words(test.args)); !strings.Contains(o.Stderr, test.says) {
				t.Errorf("stderr does not name %s: %q", test.says, o.Stderr)
			}
		})
	}
}

// TestNothingThere says so in one line, whatever was looked for.
func TestNothingThere(t *testing.T) {
	for _, args := range [][]string{{"--name=no such\nprocess"}, {"--name=/^no such/"}, {"--cgroup=/no/such"}, {"--cgroup=0123456789abcdef"}} {
		o := drive.Run(t, drive.Plain(t, args...))
		o.Exited(t, 1)
		if o.Stdout != "" || strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") {
			t.Errorf("%q: want one line; stderr %q", args, o.Stderr)
		}
	}
}

// unique is a name that nothing else on this machine has, also if the tests run twice at the same time.
func unique(name string) string { return fmt.Sprintf("st%d-%s", os.Getpid(), name) }

// named is a copy of the test binary under another name, so that nothing else on this machine is called so.
func named(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Link(drive.Self(), path); err != nil {
		data, err := os.ReadFile(drive.Self())
		drive.Check(t, err)
		drive.Check(t, os.WriteFile(path, data, 0o755))
	}
	return path
}

// echo starts a target that answers.
func echo(t *testing.T, path string) *drive.Talk {
	t.Helper()
	k := drive.Start(t, drive.As(exec.Command(path), "echo"))
	k.Line()
	return k
}

// makesCallsFor waits until calls of a process are counted that sysprof attaches to, and reports how many calls are counted then.
// Only what is asked here makes any.
func makesCallsFor(k *drive.Talk, s *drive.Talk) (calls int) {
	k.T.Helper()
	before := lastRow(s.Written(), "getppid")
	drive.Eventually(k.T, "its calls are counted", func() bool {
		k.Alive()
		s.Signal(syscall.SIGUSR1)
		calls = lastRow(s.Written(), "getppid")
		return calls > before
	})
	return calls
}

// lastRow is how many calls the last table has.
func lastRow(tables, call string) int {
	calls, _, _ := drive.Row(tables[max(strings.LastIndex(tables, "% time"), 0):], call)
	return calls
}

// TestByName attaches to all processes of a name, and to those that come later, and to no others.
func TestByName(t *testing.T) {
	for _, test := range []struct{ name, option string }{
		{unique("a"), "--name=" + unique("a")},
		{unique("b"), "--name=/^" + unique("[bx]") + "$/"},
	} {
		t.Run(test.name[len(test.name)-1:], func(t *testing.T) {
			path := named(t, test.name)
			other := echo(t, named(t, test.name+"-other"))
			first, second := echo(t, path), echo(t, path)
			s := drive.Start(t, drive.Sysprof(t, test.option, "-e", "trace=getppid", "--duration=1h"))
			for _, k := range []*drive.Talk{first, second} {
				drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(k.Pid()) == s.Pid() })
				makesCallsFor(k, s)
			}
			later := echo(t, path)
			drive.Eventually(t, "the new one is traced", func() bool { return drive.TracedBy(later.Pid()) == s.Pid() })
			makesCallsFor(later, s)
			if drive.TracedBy(other.Pid()) != 0 {
				t.Error("another one is traced, too")
			}
			later.Say("end")
			later.End()
			drive.Eventually(t, "its end is said", func() bool {
				return strings.Contains(s.Written(), fmt.Sprintf("%s (%d) ended: exited with 0", test.name, later.Pid()))
			})
			s.Signal(syscall.SIGINT)
			drive.Died(t, s.End(), syscall.SIGINT)
			first.Alive()
			second.Alive()
		})
	}
}

// TestByNameEnds ends with the last process, and says how that has ended; with a duration it waits for others.
func TestByNameEnds(t *testing.T) {
	name := unique("c")
	path := named(t, name)
	first := echo(t, path)
	s := drive.Start(t, drive.Sysprof(t, "--name="+name))
	drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(first.Pid()) == s.Pid() })
	makesCallsFor(first, s)
	unix.Kill(first.Pid(), syscall.SIGKILL)
	first.End()
	if status := s.End(); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("%s", drive.Describe(status))
	}
	if want := fmt.Sprintf("sysprof: %s (%d) ended: killed by SIGKILL\n", name, first.Pid()); !strings.Contains(s.Written(), want) {
		t.Errorf("stderr does not have %q:\n%s", want, s.Written())
	}
	drive.HasTable(t, s.Written()[strings.LastIndex(s.Written(), "% time "):], 1)

	first = echo(t, path)
	s = drive.Start(t, drive.Sysprof(t, "-q", "--name="+name, "-e", "trace=getppid", "--duration=1h"))
	drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(first.Pid()) == s.Pid() })
	makesCallsFor(first, s)
	first.Say("end")
	first.End()
	next := echo(t, path)
	drive.Eventually(t, "the next one is traced", func() bool { return drive.TracedBy(next.Pid()) == s.Pid() })
	makesCallsFor(next, s)
	s.Signal(syscall.SIGTERM)
	drive.Died(t, s.End(), syscall.SIGTERM)
	if strings.Contains(s.Written(), "ended") {
		t.Errorf("something is said with -q\n%s", s.Written())
	}
}

// The target starts a child, which starts one, and says the ids of both; each answers on a pipe of its own.
var _ = drive.Target("lineage", func(args []string) {
	os.Setenv(drive.TargetEnv, "lineage child")
	child, err := os.StartProcess(drive.Self(), []string{drive.Self(), "child"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	drive.Must(err)
	child.Wait()
})

var _ = drive.Target("lineage child", func(args []string) {
	fmt.Println(os.Getppid())
	fmt.Println(os.Getpid())
	drive.Targets["echo"](nil)
})

func TestTree(t *testing.T) {
	for _, tree := range []bool{false, true} {
		k := drive.Start(t, drive.As(exec.Command(drive.Self()), "lineage"))
		parent, _ := strconv.Atoi(k.Line())
		child, _ := strconv.Atoi(k.Line())
		k.Line()
		args := []string{"-e", "trace=getppid", "-p", strconv.Itoa(parent)}
		if tree {
			args = append(args, "--tree")
		}
		s := drive.Start(t, drive.Sysprof(t, args...))
		drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(parent) == s.Pid() })
		drive.Eventually(t, "its child is traced if it is to be", func() bool { return !tree || drive.TracedBy(child) == s.Pid() })
		if tree {
			makesCallsFor(k, s)
		} else if k.Alive(); drive.TracedBy(child) != 0 {
			t.Error("the child is traced without --tree")
		}
		k.Say("end")
		k.End()
		if status := s.End(); !status.Exited() || status.ExitStatus() != 0 { // when all have ended, without a word
			t.Errorf("%s\n%s", drive.Describe(status), s.Written())
		}
		if calls := lastRow(s.Written(), "getppid"); !tree && calls != 0 {
			t.Errorf("%d calls of the child are counted\n%s", calls, s.Written())
		}
	}
}

// group makes a cgroup in a hierarchy, and removes it.
func group(t *testing.T, folder string) string {
	t.Helper()
	needs.That(t, os.Geteuid() == 0, "root", "run the tests as root: they make cgroups")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(drive.Patience); os.Remove(folder) != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
	})
	return folder
}

func move(t *testing.T, pid int, folder string) {
	t.Helper()
	drive.Check(t, os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
}

// hierarchies are where cgroups of each version are mounted here.
func hierarchies() (list map[string]string) {
	list = make(map[string]string)
	for line := range strings.Lines(drive.Read("/proc/self/mountinfo")) {
		m := regexp.MustCompile(`^\S+ \S+ \S+ / (\S+) .* - (cgroup2?) \S+ (\S+)`).FindStringSubmatch(line)
		if m != nil && (m[2] == "cgroup2" || strings.Contains(m[3], "freezer") || strings.Contains(m[3], "cpuacct")) {
			list[m[2]] = m[1]
		}
	}
	return list
}

// TestByCgroup attaches to a cgroup as a container engine makes it, by its path, its folder, and its id.
func TestByCgroup(t *testing.T) {
	id := fmt.Sprintf("%010x%s", os.Getpid(), strings.Repeat("1a9c3d", 9))
	found := hierarchies()
	if len(found) == 0 {
		t.Skip("no hierarchy of cgroups is mounted here")
	}
	for version, at := range found {
		t.Run(version, func(t *testing.T) {
			inside, outside, later := echo(t, drive.Self()), echo(t, drive.Self()), echo(t, drive.Self())
			name := fmt.Sprintf("/sysproftest-%d", os.Getpid())
			group(t, at+name)
			folder := group(t, at+name+"/docker-"+id+".scope")
			below := group(t, folder+"/below")
			t.Cleanup(func() {
				for _, k := range []*drive.Talk{inside, later} {
					drive.Kill(k.Pid())
					k.Cmd.Wait()
					k.Ended = true
				}
			})
			move(t, inside.Pid(), below)
			for _, which := range []string{name, folder, id, id[:12]} {
				s := drive.Start(t, drive.Sysprof(t, "-e", "trace=getppid", "--duration=1h", "--cgroup="+which))
				drive.Eventually(t, "what is in it is traced", func() bool { return drive.TracedBy(inside.Pid()) == s.Pid() })
				makesCallsFor(inside, s)
				if drive.TracedBy(outside.Pid()) != 0 {
					t.Error("what is outside is traced, too")
				}
				if which == id {
					move(t, later.Pid(), folder)
					drive.Eventually(t, "what has entered it is traced", func() bool { return drive.TracedBy(later.Pid()) == s.Pid() })
				}
				s.Signal(syscall.SIGINT)
				drive.Died(t, s.End(), syscall.SIGINT)
			}
		})
	}
}

// The target makes the calls that it is told, once each.
var _ = drive.Target("obey", func([]string) {
	calls := map[string]uintptr{"getuid": unix.SYS_GETUID, "getgid": unix.SYS_GETGID, "geteuid": unix.SYS_GETEUID, "getegid": unix.SYS_GETEGID}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println(lines.Text()) {
		syscall.RawSyscall(calls[lines.Text()], 0, 0, 0)
	}
})

// catches reports whether it has a handler for a signal.
func catches(k *drive.Talk, sig syscall.Signal) bool {
	caught, err := strconv.ParseUint(drive.StatusOf(k.Pid(), "SigCgt"), 16, 64)
	return err == nil && caught>>(sig-1)&1 != 0
}

// TestCgroupIsLeft: who has been found in a cgroup goes on to be counted when it leaves it, by either engine. The kernel knows of each
// call whether it is made there.
func TestCgroupIsLeft(t *testing.T) {
	drive.CountsInKernel(t)
	for version, at := range hierarchies() {
		name := fmt.Sprintf("/sysprofleft-%d", os.Getpid())
		for _, tt := range []struct {
			args  []string
			stays bool // counted outside, too
		}{
			{[]string{"--engine=ptrace", "--cgroup=" + at + name}, true},
			{[]string{"--engine=kernel", "--cgroup=" + at + name}, true},
			{[]string{"--engine=kernel", "--cgroup=" + at + name, "--only=cgroup=" + name}, false},
			{[]string{"-a", "--only=cgroup=" + name}, false},
		} {
			if !tt.stays && version != "cgroup2" {
				continue // of version 1 a process has several, one of which is shown
			}
			t.Run(version+" "+strings.Join(tt.args, " "), func(t *testing.T) {
				inside, outside := group(t, at+name), group(t, at+name+"-out")
				k := drive.Start(t, drive.As(exec.Command(drive.Self()), "obey"))
				does := func(call string) { k.Say(call); k.Expect(call) }
				move(t, k.Pid(), inside)
				s := drive.Start(t, drive.Sysprof(t, append(tt.args, "-e", "trace=getuid,getgid,geteuid,getegid", "--duration=1h")...))
				drive.Eventually(t, "it can be asked for tables", func() bool { return catches(s, syscall.SIGUSR1) })
				drive.Eventually(t, "its calls are counted", func() bool {
					does("getuid")
					s.Signal(syscall.SIGUSR1)
					return lastRow(s.Written(), "getuid") > 0
				})
				does("getgid")
				move(t, k.Pid(), outside)
				does("geteuid")
				move(t, k.Pid(), inside)
				does("getegid")
				s.Signal(syscall.SIGINT)
				drive.Died(t, s.End(), syscall.SIGINT)
				drive.Kill(k.Pid())
				k.End()
				tables := s.Written()
				for call, counted := range map[string]bool{"getgid": true, "geteuid": tt.stays, "getegid": true} {
					if got := lastRow(tables, call) > 0; got != counted {
						t.Errorf("%s is counted: %v\n%s", call, got, tables)
					}
				}
			})
		}
	}
}

// TestOthersProcesses, which an ordinary user may not trace, are said in one line.
func TestOthersProcesses(t *testing.T) {
	needs.That(t, os.Geteuid() == 0, "root", "run the tests as root: they become another user")
	if regexp.MustCompile(`(?m)^\S+ /proc proc \S*hidepid=`).MatchString(drive.Read("/proc/mounts")) {
		t.Skip("/proc is mounted with hidepid: an ordinary user sees no processes of others")
	}
	path := named(t, unique("d"))
	drive.Check(t, os.Chmod(filepath.Dir(path), 0o755))
	drive.Check(t, os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755))
	for range 5 {
		echo(t, path)
	}
	const nobody = 65534
	asNobody := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	o := drive.Run(t, asNobody(drive.Plain(t, "--name="+unique("d"))))
	o.Exited(t, 1)
	if strings.Count(o.Stderr, "\n") != 1 || !strings.Contains(o.Stderr, "not permitted") {
		t.Errorf("stderr: %q", o.Stderr)
	}
	own := drive.Start(t, asNobody(drive.As(exec.Command(path), "echo")))
	own.Line()
	if scope := strings.TrimSpace(drive.Read("/proc/sys/kernel/yama/ptrace_scope")); scope != "" && scope != "0" {
		t.Skip("kernel.yama.ptrace_scope forbids an ordinary user to attach")
	}
	s := drive.Start(t, asNobody(drive.Sysprof(t, "--name="+unique("d"), "--duration=1h")))
	drive.Eventually(t, "one's own is traced", func() bool { return drive.TracedBy(own.Pid()) == s.Pid() })
	own.Alive()
	s.Signal(syscall.SIGINT)
	s.End()
	if n := strings.Count(s.Written(), "not permitted"); n != 2 { // at once, and under the table
		t.Errorf("%d lines about others' processes, want 2\n%s", n, s.Written())
	}
}

// The target works on files, and says how often it did so on those that are asked for.
var _ = drive.Target("paths", func(args []string) {
	os.Chdir(args[0])
	for range 10 {
		fd, err := unix.Open("in/file", unix.O_RDWR|unix.O_CREAT, 0o600) // 1
		drive.Must(err)
		unix.Write(fd, []byte("x"))                     // 2
		two, _ := unix.Dup(fd)                          // 3
		unix.Fsync(two)                                 // 4
		unix.Close(two)                                 // 5
		unix.Renameat(-100, "in/file", -100, "out/now") // 6
		unix.Write(fd, []byte("x"))
		unix.Close(fd)
		link, err := unix.Open("link", unix.O_RDONLY|unix.O_DIRECTORY, 0) // 7
		drive.Must(err)
		unix.Faccessat(link, "nothing", 0, 0)          // 8
		unix.Close(link)                               // 9
		unix.Faccessat(-100, "./out/../in//sub", 0, 0) // 10
		unix.Faccessat(-100, "in2", 0, 0)
		unix.Getppid()
	}
})

// TestPaths demands the target's ledger, whether a filter in the kernel leaves out other calls or not.
func TestPaths(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	drive.Check(t, err)
	for _, name := range []string{"in", "out"} {
		drive.Check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	drive.Check(t, os.Symlink(dir+"/in", dir+"/link"))
	for _, flags := range [][]string{nil, {"--no-seccomp"}, {"-e", "trace=%file,%desc"}, {"--pprof", filepath.Join(dir, "prof"), "--labels=fd"}} {
		args := slices.Concat(flags, []string{"-P", dir + "/in", drive.Self(), dir})
		o := drive.Run(t, drive.As(drive.Sysprof(t, args...), "paths"))
		o.Exited(t, 0)
		got, want := make(map[string]int), map[string]int{"openat": 20, "write": 10, "dup": 10, "fsync": 10, "close": 20, "renameat": 10, "faccessat": 20}
		for call := range want {
			got[call], _, _ = drive.Row(o.Stderr, call)
		}
		for call, n := range want {
			if got[call] != n {
				t.Errorf("%q: %s: %d calls, want %d\n%s", flags, call, got[call], n, o.Stderr)
			}
		}
		if total := regexp.MustCompile(` 100 +[0-9]* *total\n`); !total.MatchString(o.Stderr) {
			t.Errorf("%q: other calls are counted, too\n%s", flags, o.Stderr)
		}
		os.Remove(dir + "/out/now")
	}
	o := drive.Run(t, drive.As(drive.Sysprof(t, "-e", "trace=getppid", "-P", dir+"/in", drive.Self(), dir), "paths"))
	o.Exited(t, 0)
	if strings.Contains(o.Stderr, "getppid") {
		t.Errorf("a call without files is counted\n%s", o.Stderr)
	}
}

// TestPathsComparedWithStrace, which knows files and no directories.
func TestPathsComparedWithStrace(t *testing.T) {
	needs.Program(t, "strace", "strace")
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		command := []string{"sh", "-c", "cat /etc/passwd; ls -l /etc; wc /etc/passwd </etc/passwd; test -e /etc/passwd; ls /etc/group"}
		theirs := drive.Run(t, exec.Command("strace", slices.Concat([]string{"-qq", "-f", "-c", "-P", file}, command)...))
		ours := drive.Run(t, drive.Sysprof(t, slices.Concat([]string{"-q", "-P", file + "/"}, command)...))
		if !strings.Contains(theirs.Stderr, " total\n") {
			t.Fatalf("strace: %s", theirs.Stderr)
		}
		calls := regexp.MustCompile(`(?m)^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) +[0-9]* *(\S+)$`)
		for _, m := range calls.FindAllStringSubmatch(theirs.Stderr, -1) {
			if n, _, _ := drive.Row(ours.Stderr, m[2]); strconv.Itoa(n) != m[1] {
				t.Errorf("%s: %s: %d calls, strace counts %s\n%s\n%s", file, m[2], n, m[1], ours.Stderr, theirs.Stderr)
			}
		}
	}
}

// TestEndsAreSaid with no more lines than somebody can read, and that of the process that was attached to among them.
func TestEndsAreSaid(t *testing.T) {
	k := drive.Start(t, exec.Command("sh", "-c", "echo ready; read go; for i in $(seq 100); do sh -c 'exit 3' & wait $!; done; kill -ABRT $$"))
	k.Expect("ready")
	s := drive.Start(t, drive.Sysprof(t, "-o", os.DevNull, "-p", strconv.Itoa(k.Pid())))
	drive.Eventually(t, "it is traced", func() bool { return drive.TracedBy(k.Pid()) == s.Pid() })
	k.Say("go")
	k.End()
	s.End()
	said := s.Written()
	if n := strings.Count(said, "\n"); n > 3 { // nobody watches who would want to know of each child
		t.Errorf("%d lines", n)
	}
	if want := fmt.Sprintf("sysprof: sh (%d) ended: killed by SIGABRT", k.Pid()); !strings.Contains(said, want) {
		t.Errorf("there is no %q in\n%s", want, said)
	}
	more := regexp.MustCompile(`(?m)^sysprof: ([0-9]+) more processes ended: [0-9]+ exited with`).FindStringSubmatch(said)
	if more == nil {
		t.Fatalf("the others are not added up:\n%s", said)
	}
	others, _ := strconv.Atoi(more[1])
	if lines := strings.Count(said, ") ended: exited with"); lines+others != 101 && lines+others != 100 { // seq, too, if it was seen
		t.Errorf("%d and %d processes are said to have ended, of 101", lines, others)
	}
}

// TestAttachedIsSaid on a terminal only.
func TestAttachedIsSaid(t *testing.T) {
	k := echo(t, drive.Self())
	threads := len(threadsOf(k.Pid()))
	args := []string{"-p", strconv.Itoa(k.Pid()), "--duration=0.1"}
	said := onTerminal(t, 100, drive.Plain(t, args...))
	if m := regexp.MustCompile(`sysprof: attached to ([0-9]+) threads? of 1 process\r?\n`).FindStringSubmatch(said); m == nil {
		t.Errorf("it is not said:\n%s", said)
	} else if n, _ := strconv.Atoi(m[1]); n < threads {
		t.Errorf("attached to %d threads, there were %d", n, threads)
	}
	for _, quiet := range []string{onTerminal(t, 100, drive.Plain(t, append(args, "-q")...)), drive.Run(t, drive.Plain(t, args...)).Stderr} {
		if strings.Contains(quiet, "attached to") {
			t.Errorf("it is said nevertheless:\n%s", quiet)
		}
	}
}

// threadsOf lists the threads of a process.
func threadsOf(pid int) []os.DirEntry {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return list
}

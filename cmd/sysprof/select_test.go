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
			if o := badUsage(t, words(test.args)); !strings.Contains(o.stderr, test.says) {
				t.Errorf("stderr does not name %s: %q", test.says, o.stderr)
			}
		})
	}
}

// TestNothingThere says so in one line, whatever was looked for.
func TestNothingThere(t *testing.T) {
	for _, args := range [][]string{{"--name=no such\nprocess"}, {"--name=/^no such/"}, {"--cgroup=/no/such"}, {"--cgroup=0123456789abcdef"}} {
		o := run(t, plain(t, args...))
		o.exited(t, 1)
		if o.stdout != "" || strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "sysprof: ") {
			t.Errorf("%q: want one line; stderr %q", args, o.stderr)
		}
	}
}

// unique is a name that nothing else on this machine has, also if the tests run twice at the same time.
func unique(name string) string { return fmt.Sprintf("st%d-%s", os.Getpid(), name) }

// named is a copy of the test binary under another name, so that nothing else on this machine is called so.
func named(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Link(self(), path); err != nil {
		data, err := os.ReadFile(self())
		check(t, err)
		check(t, os.WriteFile(path, data, 0o755))
	}
	return path
}

// echo starts a target that answers.
func echo(t *testing.T, path string) *talk {
	t.Helper()
	k := start(t, as(exec.Command(path), "echo"))
	k.line()
	return k
}

// makesCallsFor waits until calls of a process are counted that sysprof attaches to, and reports how many calls are counted then.
// Only what is asked here makes any.
func (k *talk) makesCallsFor(s *talk) (calls int) {
	k.t.Helper()
	before := lastRow(s.written(), "getppid")
	eventually(k.t, "its calls are counted", func() bool {
		k.alive()
		s.signal(syscall.SIGUSR1)
		calls = lastRow(s.written(), "getppid")
		return calls > before
	})
	return calls
}

// lastRow is how many calls the last table has.
func lastRow(tables, call string) int {
	calls, _, _ := row(tables[max(strings.LastIndex(tables, "% time"), 0):], call)
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
			s := start(t, sysprof(t, test.option, "-e", "trace=getppid", "--duration=1h"))
			for _, k := range []*talk{first, second} {
				eventually(t, "it is traced", func() bool { return tracedBy(k.pid()) == s.pid() })
				k.makesCallsFor(s)
			}
			later := echo(t, path)
			eventually(t, "the new one is traced", func() bool { return tracedBy(later.pid()) == s.pid() })
			later.makesCallsFor(s)
			if tracedBy(other.pid()) != 0 {
				t.Error("another one is traced, too")
			}
			later.say("end")
			later.end()
			eventually(t, "its end is said", func() bool {
				return strings.Contains(s.written(), fmt.Sprintf("%s (%d) ended: exited with 0", test.name, later.pid()))
			})
			s.signal(syscall.SIGINT)
			died(t, s.end(), syscall.SIGINT)
			first.alive()
			second.alive()
		})
	}
}

// TestByNameEnds ends with the last process, and says how that has ended; with a duration it waits for others.
func TestByNameEnds(t *testing.T) {
	name := unique("c")
	path := named(t, name)
	first := echo(t, path)
	s := start(t, sysprof(t, "--name="+name))
	eventually(t, "it is traced", func() bool { return tracedBy(first.pid()) == s.pid() })
	first.makesCallsFor(s)
	unix.Kill(first.pid(), syscall.SIGKILL)
	first.end()
	if status := s.end(); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("%s", describe(status))
	}
	if want := fmt.Sprintf("sysprof: %s (%d) ended: killed by SIGKILL\n", name, first.pid()); !strings.Contains(s.written(), want) {
		t.Errorf("stderr does not have %q:\n%s", want, s.written())
	}
	hasTable(t, s.written()[strings.LastIndex(s.written(), "% time "):], 1)

	first = echo(t, path)
	s = start(t, sysprof(t, "-q", "--name="+name, "-e", "trace=getppid", "--duration=1h"))
	eventually(t, "it is traced", func() bool { return tracedBy(first.pid()) == s.pid() })
	first.makesCallsFor(s)
	first.say("end")
	first.end()
	next := echo(t, path)
	eventually(t, "the next one is traced", func() bool { return tracedBy(next.pid()) == s.pid() })
	next.makesCallsFor(s)
	s.signal(syscall.SIGTERM)
	died(t, s.end(), syscall.SIGTERM)
	if strings.Contains(s.written(), "ended") {
		t.Errorf("something is said with -q\n%s", s.written())
	}
}

// The target starts a child, which starts one, and says the ids of both; each answers on a pipe of its own.
var _ = target("lineage", func(args []string) {
	os.Setenv(targetEnv, "lineage child")
	child, err := os.StartProcess(self(), []string{self(), "child"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	must(err)
	child.Wait()
})

var _ = target("lineage child", func(args []string) {
	fmt.Println(os.Getppid())
	fmt.Println(os.Getpid())
	targets["echo"](nil)
})

func TestTree(t *testing.T) {
	for _, tree := range []bool{false, true} {
		k := start(t, as(exec.Command(self()), "lineage"))
		parent, _ := strconv.Atoi(k.line())
		child, _ := strconv.Atoi(k.line())
		k.line()
		args := []string{"-e", "trace=getppid", "-p", strconv.Itoa(parent)}
		if tree {
			args = append(args, "--tree")
		}
		s := start(t, sysprof(t, args...))
		eventually(t, "it is traced", func() bool { return tracedBy(parent) == s.pid() })
		eventually(t, "its child is traced if it is to be", func() bool { return !tree || tracedBy(child) == s.pid() })
		if tree {
			k.makesCallsFor(s)
		} else if k.alive(); tracedBy(child) != 0 {
			t.Error("the child is traced without --tree")
		}
		k.say("end")
		k.end()
		if status := s.end(); !status.Exited() || status.ExitStatus() != 0 { // when all have ended, without a word
			t.Errorf("%s\n%s", describe(status), s.written())
		}
		if calls := lastRow(s.written(), "getppid"); !tree && calls != 0 {
			t.Errorf("%d calls of the child are counted\n%s", calls, s.written())
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
		for deadline := time.Now().Add(patience); os.Remove(folder) != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
	})
	return folder
}

func move(t *testing.T, pid int, folder string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
}

// hierarchies are where cgroups of each version are mounted here.
func hierarchies() (list map[string]string) {
	list = make(map[string]string)
	for line := range strings.Lines(read("/proc/self/mountinfo")) {
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
			inside, outside, later := echo(t, self()), echo(t, self()), echo(t, self())
			name := fmt.Sprintf("/sysproftest-%d", os.Getpid())
			group(t, at+name)
			folder := group(t, at+name+"/docker-"+id+".scope")
			below := group(t, folder+"/below")
			t.Cleanup(func() {
				for _, k := range []*talk{inside, later} {
					kill(k.pid())
					k.cmd.Wait()
					k.ended = true
				}
			})
			move(t, inside.pid(), below)
			for _, which := range []string{name, folder, id, id[:12]} {
				s := start(t, sysprof(t, "-e", "trace=getppid", "--duration=1h", "--cgroup="+which))
				eventually(t, "what is in it is traced", func() bool { return tracedBy(inside.pid()) == s.pid() })
				inside.makesCallsFor(s)
				if tracedBy(outside.pid()) != 0 {
					t.Error("what is outside is traced, too")
				}
				if which == id {
					move(t, later.pid(), folder)
					eventually(t, "what has entered it is traced", func() bool { return tracedBy(later.pid()) == s.pid() })
				}
				s.signal(syscall.SIGINT)
				died(t, s.end(), syscall.SIGINT)
			}
		})
	}
}

// The target makes the calls that it is told, once each.
var _ = target("obey", func([]string) {
	calls := map[string]uintptr{"getuid": unix.SYS_GETUID, "getgid": unix.SYS_GETGID, "geteuid": unix.SYS_GETEUID, "getegid": unix.SYS_GETEGID}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); fmt.Println(lines.Text()) {
		syscall.RawSyscall(calls[lines.Text()], 0, 0, 0)
	}
})

// catches reports whether it has a handler for a signal.
func (k *talk) catches(sig syscall.Signal) bool {
	caught, err := strconv.ParseUint(status(k.pid(), "SigCgt"), 16, 64)
	return err == nil && caught>>(sig-1)&1 != 0
}

// TestCgroupIsLeft: who has been found in a cgroup goes on to be counted when it leaves it, by either engine. The kernel knows of each
// call whether it is made there.
func TestCgroupIsLeft(t *testing.T) {
	countsInKernel(t)
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
				k := start(t, as(exec.Command(self()), "obey"))
				does := func(call string) { k.say(call); k.expect(call) }
				move(t, k.pid(), inside)
				s := start(t, sysprof(t, append(tt.args, "-e", "trace=getuid,getgid,geteuid,getegid", "--duration=1h")...))
				eventually(t, "it can be asked for tables", func() bool { return s.catches(syscall.SIGUSR1) })
				eventually(t, "its calls are counted", func() bool {
					does("getuid")
					s.signal(syscall.SIGUSR1)
					return lastRow(s.written(), "getuid") > 0
				})
				does("getgid")
				move(t, k.pid(), outside)
				does("geteuid")
				move(t, k.pid(), inside)
				does("getegid")
				s.signal(syscall.SIGINT)
				died(t, s.end(), syscall.SIGINT)
				kill(k.pid())
				k.end()
				tables := s.written()
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
	if regexp.MustCompile(`(?m)^\S+ /proc proc \S*hidepid=`).MatchString(read("/proc/mounts")) {
		t.Skip("/proc is mounted with hidepid: an ordinary user sees no processes of others")
	}
	path := named(t, unique("d"))
	check(t, os.Chmod(filepath.Dir(path), 0o755))
	check(t, os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755))
	for range 5 {
		echo(t, path)
	}
	const nobody = 65534
	asNobody := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	o := run(t, asNobody(plain(t, "--name="+unique("d"))))
	o.exited(t, 1)
	if strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, "not permitted") {
		t.Errorf("stderr: %q", o.stderr)
	}
	own := start(t, asNobody(as(exec.Command(path), "echo")))
	own.line()
	if scope := strings.TrimSpace(read("/proc/sys/kernel/yama/ptrace_scope")); scope != "" && scope != "0" {
		t.Skip("kernel.yama.ptrace_scope forbids an ordinary user to attach")
	}
	s := start(t, asNobody(sysprof(t, "--name="+unique("d"), "--duration=1h")))
	eventually(t, "one's own is traced", func() bool { return tracedBy(own.pid()) == s.pid() })
	own.alive()
	s.signal(syscall.SIGINT)
	s.end()
	if n := strings.Count(s.written(), "not permitted"); n != 2 { // at once, and under the table
		t.Errorf("%d lines about others' processes, want 2\n%s", n, s.written())
	}
}

// The target works on files, and says how often it did so on those that are asked for.
var _ = target("paths", func(args []string) {
	os.Chdir(args[0])
	for range 10 {
		fd, err := unix.Open("in/file", unix.O_RDWR|unix.O_CREAT, 0o600) // 1
		must(err)
		unix.Write(fd, []byte("x"))                     // 2
		two, _ := unix.Dup(fd)                          // 3
		unix.Fsync(two)                                 // 4
		unix.Close(two)                                 // 5
		unix.Renameat(-100, "in/file", -100, "out/now") // 6
		unix.Write(fd, []byte("x"))
		unix.Close(fd)
		link, err := unix.Open("link", unix.O_RDONLY|unix.O_DIRECTORY, 0) // 7
		must(err)
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
	check(t, err)
	for _, name := range []string{"in", "out"} {
		check(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	check(t, os.Symlink(dir+"/in", dir+"/link"))
	for _, flags := range [][]string{nil, {"--no-seccomp"}, {"-e", "trace=%file,%desc"}, {"--pprof", filepath.Join(dir, "prof"), "--labels=fd"}} {
		args := slices.Concat(flags, []string{"-P", dir + "/in", self(), dir})
		o := run(t, as(sysprof(t, args...), "paths"))
		o.exited(t, 0)
		got, want := make(map[string]int), map[string]int{"openat": 20, "write": 10, "dup": 10, "fsync": 10, "close": 20, "renameat": 10, "faccessat": 20}
		for call := range want {
			got[call], _, _ = row(o.stderr, call)
		}
		for call, n := range want {
			if got[call] != n {
				t.Errorf("%q: %s: %d calls, want %d\n%s", flags, call, got[call], n, o.stderr)
			}
		}
		if total := regexp.MustCompile(` 100 +[0-9]* *total\n`); !total.MatchString(o.stderr) {
			t.Errorf("%q: other calls are counted, too\n%s", flags, o.stderr)
		}
		os.Remove(dir + "/out/now")
	}
	o := run(t, as(sysprof(t, "-e", "trace=getppid", "-P", dir+"/in", self(), dir), "paths"))
	o.exited(t, 0)
	if strings.Contains(o.stderr, "getppid") {
		t.Errorf("a call without files is counted\n%s", o.stderr)
	}
}

// TestPathsComparedWithStrace, which knows files and no directories.
func TestPathsComparedWithStrace(t *testing.T) {
	needs.Program(t, "strace", "strace")
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		command := []string{"sh", "-c", "cat /etc/passwd; ls -l /etc; wc /etc/passwd </etc/passwd; test -e /etc/passwd; ls /etc/group"}
		theirs := run(t, exec.Command("strace", slices.Concat([]string{"-qq", "-f", "-c", "-P", file}, command)...))
		ours := run(t, sysprof(t, slices.Concat([]string{"-q", "-P", file + "/"}, command)...))
		if !strings.Contains(theirs.stderr, " total\n") {
			t.Fatalf("strace: %s", theirs.stderr)
		}
		calls := regexp.MustCompile(`(?m)^ *[0-9.]+ +[0-9.]+ +[0-9]+ +([0-9]+) +[0-9]* *(\S+)$`)
		for _, m := range calls.FindAllStringSubmatch(theirs.stderr, -1) {
			if n, _, _ := row(ours.stderr, m[2]); strconv.Itoa(n) != m[1] {
				t.Errorf("%s: %s: %d calls, strace counts %s\n%s\n%s", file, m[2], n, m[1], ours.stderr, theirs.stderr)
			}
		}
	}
}

// TestEndsAreSaid with no more lines than somebody can read, and that of the process that was attached to among them.
func TestEndsAreSaid(t *testing.T) {
	k := start(t, exec.Command("sh", "-c", "echo ready; read go; for i in $(seq 100); do sh -c 'exit 3' & wait $!; done; kill -ABRT $$"))
	k.expect("ready")
	s := start(t, sysprof(t, "-o", os.DevNull, "-p", strconv.Itoa(k.pid())))
	eventually(t, "it is traced", func() bool { return tracedBy(k.pid()) == s.pid() })
	k.say("go")
	k.end()
	s.end()
	said := s.written()
	if n := strings.Count(said, "\n"); n > 3 { // nobody watches who would want to know of each child
		t.Errorf("%d lines", n)
	}
	if want := fmt.Sprintf("sysprof: sh (%d) ended: killed by SIGABRT", k.pid()); !strings.Contains(said, want) {
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
	k := echo(t, self())
	threads := len(threadsOf(k.pid()))
	args := []string{"-p", strconv.Itoa(k.pid()), "--duration=0.1"}
	said := onTerminal(t, 100, plain(t, args...))
	if m := regexp.MustCompile(`sysprof: attached to ([0-9]+) threads? of 1 process\r?\n`).FindStringSubmatch(said); m == nil {
		t.Errorf("it is not said:\n%s", said)
	} else if n, _ := strconv.Atoi(m[1]); n < threads {
		t.Errorf("attached to %d threads, there were %d", n, threads)
	}
	for _, quiet := range []string{onTerminal(t, 100, plain(t, append(args, "-q")...)), run(t, plain(t, args...)).stderr} {
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

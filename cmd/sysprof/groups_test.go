package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// The target starts three children, each of which makes calls of getpriority, and says how many and who it is.
var _ = drive.Target("family", func(args []string) {
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		drive.Must(err)
		for range n {
			unix.Getpriority(unix.PRIO_PROCESS, 0)
		}
		fmt.Println(os.Getpid(), n)
		return
	}
	for n := range 3 {
		cmd := exec.Command(drive.Self(), strconv.Itoa(20+n))
		cmd.Stdout = os.Stdout
		drive.Must(cmd.Run())
	}
})

// TestGroupsOfProcesses: each process has the calls that it says it made, whether all calls are seen or only these.
func TestGroupsOfProcesses(t *testing.T) {
	for _, flags := range [][]string{nil, {"-e", "trace=getpriority"}, {"-e", "trace=getpriority", "--no-seccomp"}, {"--pprof=/dev/null", "--labels=tid"}} {
		for _, by := range []string{"pid", "pid,comm", "comm,pid,errno", "pid,cgroup"} {
			s, o := drive.GroupsOf(t, drive.As(drive.Plain(t, slices.Concat([]string{"--by", by}, flags, []string{drive.Self()})...), "family"))
			want := make(map[string]int)
			for line := range strings.Lines(o.Stdout) {
				var pid string
				var n int
				fmt.Sscan(line, &pid, &n)
				want[pid] = n
			}
			if d := cmp.Diff(want, s.Counts("getpriority", "pid")); d != "" || len(want) != 3 {
				t.Errorf("%q by %s (-ledger +counted):\n%s", flags, by, d)
			}
			for _, g := range s.Groups {
				if comm := filepath.Base(drive.Self()); !strings.HasPrefix(g.Who, fmt.Sprintf("%.15s (%.0f)", comm, g.Values["pid"])) || !strings.HasPrefix(g.Name, fmt.Sprintf("%.15s", comm)) {
					t.Errorf("by %s: one is %q, %q", by, g.Who, g.Name)
				}
			}
		}
	}
}

// TestGroupsAsStraceLogsThem: strace writes a log for each process.
func TestGroupsAsStraceLogsThem(t *testing.T) {
	strace := needs.Program(t, "strace", "strace")
	command := []string{"sh", "-c", "ls -l / >/dev/null; (cat /etc/passwd; cat /nonexistent 2>/dev/null) | sort >/dev/null; wc -l </etc/group >/dev/null"}
	for range 3 {
		logs := filepath.Join(t.TempDir(), "log")
		drive.Run(t, exec.Command(strace, slices.Concat([]string{"-ff", "-o", logs}, command)...)).Exited(t, 0)
		want := countLogs(t, logs)
		s, _ := drive.GroupsOf(t, drive.Plain(t, slices.Concat([]string{"--by=comm"}, command)...))
		got := make(map[string]map[string]int)
		for _, g := range s.Groups {
			got[g.Name] = make(map[string]int)
			for _, r := range g.Rows {
				got[g.Name][r.Name] = r.Calls
			}
		}
		for _, calls := range got { // where memory begins is random, and so whether there is room
			delete(calls, "brk")
		}
		for _, calls := range want {
			delete(calls, "brk")
		}
		// A shell whose child has ended before it waits gets no signal in between.
		for _, name := range []string{"rt_sigreturn", "wait4"} {
			delete(want["sh"], name)
			delete(got["sh"], name)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-strace +sysprof):\n%s", d)
		}
	}
}

// countLogs counts the calls in strace's logs by the name of the process. A process is called as its parent until it has executed a
// file.
func countLogs(t *testing.T, logs string) map[string]map[string]int {
	files, err := filepath.Glob(logs + ".*")
	drive.Check(t, err)
	executes := regexp.MustCompile(`^execve\("([^"]*)".* = 0$`)
	call := regexp.MustCompile(`^(\w+)\(`)
	counts := make(map[string]map[string]int)
	for _, file := range files {
		comm := "sh"
		for line := range strings.Lines(drive.Read(file)) {
			line = strings.TrimSuffix(line, "\n")
			if m := call.FindStringSubmatch(line); m != nil && m[1] != "exit_group" && !strings.HasSuffix(line, "<unfinished ...>") {
				if counts[comm] == nil {
					counts[comm] = make(map[string]int)
				}
				counts[comm][m[1]]++
			}
			if m := executes.FindStringSubmatch(line); m != nil {
				comm = filepath.Base(m[1])
			}
		}
	}
	return counts
}

// The target reads from each of its arguments, which are files, as often as its place says, through a descriptor that was another
// file's before.
var _ = drive.Target("files", func(args []string) {
	for i, path := range args {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		drive.Must(err)
		for range i + 1 {
			unix.Pread(fd, make([]byte, 1), 0)
		}
		unix.Close(fd)
	}
})

// TestGroupsOfFiles: a descriptor is what it is at each call, whatever calls are asked for.
func TestGroupsOfFiles(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	want := make(map[string]int)
	for i := range 30 {
		path := filepath.Join(dir, fmt.Sprintf("file%d", i))
		drive.WriteFile(t, path, "x")
		paths = append(paths, path)
		want[path] = i + 1
	}
	for _, flags := range [][]string{nil, {"-e", "trace=pread64"}, {"--time=cpu"}} {
		s, _ := drive.GroupsOf(t, drive.As(drive.Plain(t, slices.Concat([]string{"--by=fd"}, flags, []string{drive.Self()}, paths)...), "files"))
		got := s.Counts("pread64", "fd")
		for path := range got {
			if !strings.HasPrefix(path, dir) {
				delete(got, path) // the loader's and the runtime's
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-ledger +counted):\n%s", flags, d)
		}
	}
	// The same values choose calls.
	s, _ := drive.GroupsOf(t, drive.As(drive.Plain(t, slices.Concat([]string{"--by=fd", "--only=fd=" + dir + "/file1*", "--only=fd=" + paths[3], drive.Self()}, paths)...), "files"))
	for path := range want {
		if !strings.HasPrefix(path, dir+"/file1") && path != paths[3] {
			delete(want, path)
		}
	}
	if d := cmp.Diff(want, s.Counts("pread64", "fd")); d != "" {
		t.Errorf("of some files (-ledger +counted):\n%s", d)
	}
}

// The target has threads with names, each of which makes as many calls as its place says; the last one waits.
var _ = drive.Target("named threads", func([]string) {
	done := make(chan int)
	for i := range 4 {
		go func() {
			runtime.LockOSThread()
			drive.NameThread(fmt.Sprintf("worker-%d", i))
			for range 10 * (i + 1) {
				unix.Getpriority(unix.PRIO_PROCESS, 0)
			}
			done <- unix.Gettid()
			if i == 3 {
				unix.Pause()
			}
			select {}
		}()
	}
	tids := make(map[int]bool)
	for range 4 {
		tids[<-done] = true
	}
	fmt.Println(os.Getpid(), len(tids))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && lines.Text() != "end"; {
		fmt.Println(lines.Text())
	}
	os.Exit(0)
})

// TestGroupsOfThreads: threads are shown by name, in groups and where one has not returned from its call.
func TestGroupsOfThreads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "groups.json")
	k := drive.Start(t, drive.As(drive.Plain(t, "--by=tid", "--json", file, drive.Self()), "named threads"))
	pid, _, _ := strings.Cut(k.Line(), " ")
	k.Say("end")
	if status := k.End(); status != 0 {
		t.Errorf("%s\n%s", drive.Describe(status), k.Written())
	}
	s := drive.ReadGroups(t, file)
	got := make(map[string]int)
	for name, n := range s.Counts("getpriority", "") {
		_, thread, ok := strings.Cut(name, ", thread ")
		if !ok {
			thread = name // it is the first one, and the process is called so
		}
		if n > 0 {
			got[thread] = n
		}
	}
	want := map[string]int{"worker-0": 10, "worker-1": 20, "worker-2": 30, "worker-3": 40}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-ledger +counted):\n%s", d)
	}
	heading := regexp.MustCompile(`(?m)^(\S.* \(` + pid + `\), thread \d+ worker-2|worker-2 \(` + pid + `\)): [\d.<]+ % of the time, \d+ calls?(, \d+ errors?)?$`)
	if !heading.MatchString(k.Written()) {
		t.Errorf("no table is headed by the thread's name:\n%s", k.Written())
	}
}

// TestThreadsInFlightHaveNames, without groups, too.
func TestThreadsInFlightHaveNames(t *testing.T) {
	k := drive.Start(t, drive.As(exec.Command(drive.Self()), "named threads"))
	pid, _, _ := strings.Cut(k.Line(), " ")
	o := drive.Run(t, drive.Sysprof(t, "-p", pid, "--duration=0.1"))
	o.Exited(t, 0)
	if !regexp.MustCompile(`(?m)^  pause: 1 detached \(thread \d+ worker-3\) after at least `).MatchString(o.Stderr) {
		t.Errorf("the thread that waits has no name:\n%s", o.Stderr)
	}
	s, _ := drive.GroupsOf(t, drive.Plain(t, "--by=thread_name", "-p", pid, "--duration=0.1"))
	found := false
	for _, g := range s.Groups {
		for _, f := range g.InFlight {
			found = found || f.Name == "pause" && f.Thread == "worker-3" && g.Name == "worker-3"
		}
	}
	if !found {
		t.Errorf("the group of the thread that waits is missing: %+v", s.Groups)
	}
	k.Say("end")
	k.End()
}

// TestForkStorm: each of many short processes is a group, or among the others, and no call is lost.
func TestForkStorm(t *testing.T) {
	const n = 150
	s, _ := drive.GroupsOf(t, drive.Plain(t, "--by=pid,comm", "--top=3", "sh", "-c", fmt.Sprintf("for i in $(seq %d); do ls / >/dev/null; done", n)))
	ls := 0
	for _, g := range s.Groups {
		if g.Name == "ls" && g.Calls > 20 {
			ls++
		}
	}
	if ls != n {
		t.Errorf("%d processes of ls are groups, want %d", ls, n)
	}
}

// TestGroupsOfASavedRun are shown and compared as those of a run.
func TestGroupsOfASavedRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "groups.json")
	o := drive.Run(t, drive.Plain(t, "--by=pid", "--top=2", "--json", file, "sh", "-c", "ls / >/dev/null; ls / >/dev/null; true"))
	o.Exited(t, 0)
	again := drive.Run(t, drive.Plain(t, "--from-json", file, "--top=2"))
	again.Exited(t, 0)
	if d := cmp.Diff(o.Stderr, again.Stdout); d != "" {
		t.Errorf("(-run +saved):\n%s", d)
	}
	if !strings.Contains(o.Stderr, "\nothers (1 group): ") {
		t.Errorf("there are no others:\n%s", o.Stderr)
	}
	difference := drive.Run(t, drive.Plain(t, "--from-json", file, "--against", file))
	difference.Exited(t, 0)
	for _, want := range []string{"\nls:\n", "\nsh:\n", " pid\n"} {
		if !strings.Contains(difference.Stdout, want) {
			t.Errorf("the difference has no %q:\n%s", want, difference.Stdout)
		}
	}
	chosen := drive.Run(t, drive.Plain(t, "--from-json", file, "-Z"))
	chosen.Exited(t, 0)
	if g := regexp.MustCompile(`\nls \([0-9]+\): [0-9.]+ % of the time, ([0-9]+) calls, ([0-9]+) errors`).FindStringSubmatch(chosen.Stdout); g == nil || g[1] != g[2] {
		t.Errorf("groups of calls that failed:\n%s%s", chosen.Stdout, chosen.Stderr)
	}
}

func TestGroupUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--by=", "true"}, {"--by=pdi", "true"}, {"--by=latency", "true"}, {"--top=3", "true"}, {"--by=pid", "--top=0", "true"},
		{"--by=pid", "--top=x", "true"}, {"--only=comm", "true"}, {"--only=latency=1", "true"}, {"--only=", "true"},
		{"--by=pid", "--from-json=x"}, {"--only=comm=x", "--from-json=x"},
	} {
		badUsage(t, args)
	}
	if o := badUsage(t, []string{"--by=pdi", "true"}); !strings.Contains(o.Stderr, "(did you mean pid?)") {
		t.Error(o.Stderr)
	}
}

package main_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// realProgram is a program that strace and sysprof are both to count the calls of.
type realProgram struct {
	name string

	// prepare fills the empty folder that the command runs in. It does the same every time.
	prepare func(t *testing.T, dir string)
	command func(t *testing.T) []string
	program string // that is needed, and not part of every system; its Debian package has the same name
	env     func() []string
	warmUp  bool // run it once untraced, to fill its cache

	notFollowed bool     // trace the command alone
	flags       []string // of both tracers, beyond countColumns

	// leftOut are the calls whose number depends on chance, or on when which thread runs: any tracer
	// changes that. They are not compared.
	leftOut []string

	rows []string // that the table has to have, lest nothing be compared
}

// TestCompareWithStrace runs real programs under strace and under sysprof and demands the same table.
func TestCompareWithStrace(t *testing.T) {
	for _, p := range realPrograms {
		t.Run(p.name, func(t *testing.T) { p.compare(t) })
	}
}

// compare counts p's calls with both tracers. Each run has the same folder, freshly prepared.
//
// Some programs do not make the same calls twice. That is not for sysprof to be excused with, but to
// be shown: where sysprof and strace differ in a row, strace has to differ from itself, and what
// sysprof counted has to lie within what up to so many runs of strace did.
func (p *realProgram) compare(t *testing.T) {
	const runsOfStrace = 8
	straceProgram := needs.Program(t, "strace", "strace")
	if p.program != "" {
		needs.Program(t, p.program, p.program)
	}
	dir := filepath.Join(t.TempDir(), "work")
	straceFlags, sysprofFlags := []string{"-f"}, []string{"-f", "-q"}
	if p.notFollowed {
		straceFlags, sysprofFlags = nil, []string{"--no-follow", "-q"}
	}
	if p.warmUp {
		p.runIn(t, dir, p.command(t))
	}
	strace := func() string {
		return p.trace(t, dir, straceProgram, straceFlags)
	}
	straces, sysprofs := strace(), p.trace(t, dir, drive.Program(t), sysprofFlags)
	want, got := drive.ParseCounts(t, straces), drive.ParseCounts(t, sysprofs)
	t.Logf("%v in %d rows", got.Total(), len(got))
	for _, name := range p.rows {
		if got[name].Calls == 0 {
			t.Errorf("no call of %s was counted:\n%s", name, sysprofs)
		}
	}
	differing := got.Without(p.leftOut...).Differing(want.Without(p.leftOut...))
	if len(differing) == 0 {
		if len(p.leftOut) == 0 && sysprofs != straces {
			t.Errorf("the same counts, but not the same table; sysprof's:\n%s\nstrace's:\n%s", sysprofs, straces)
		}
		return
	}
	for runs := []drive.Counts{want}; ; runs = append(runs, drive.ParseCounts(t, strace())) {
		outside := outsideOf(runs, got, differing)
		if len(outside) == 0 {
			t.Logf("sysprof counted what %d runs of strace did: %v", len(runs), differing)
			return
		}
		if len(runs) == runsOfStrace {
			t.Errorf("not what %d runs of strace did: %v", len(runs), outside)
			return
		}
	}
}

// outsideOf says which of some rows do not lie within what several runs counted.
func outsideOf(runs []drive.Counts, got drive.Counts, rows []string) (outside []string) {
	for _, name := range rows {
		low, high := runs[0][name], runs[0][name]
		for _, run := range runs {
			low.Calls, high.Calls = min(low.Calls, run[name].Calls), max(high.Calls, run[name].Calls)
			low.Errors, high.Errors = min(low.Errors, run[name].Errors), max(high.Errors, run[name].Errors)
		}
		if g := got[name]; g.Calls < low.Calls || g.Calls > high.Calls || g.Errors < low.Errors || g.Errors > high.Errors {
			outside = append(outside, fmt.Sprintf("%s: %v; from %v to %v", name, g, low, high))
		}
	}
	return outside
}

// trace runs p's command under a tracer and returns the table of countColumns.
func (p *realProgram) trace(t *testing.T, dir, tracer string, flags []string) string {
	t.Helper()
	return p.traceTo(t, dir, tracer, slices.Concat(flags, drive.CountColumns, p.flags))
}

// traceTo runs p's command under a tracer with these flags and returns what the tracer wrote.
func (p *realProgram) traceTo(t *testing.T, dir, tracer string, flags []string) string {
	t.Helper()
	table := filepath.Join(filepath.Dir(dir), "table")
	p.runIn(t, dir, slices.Concat([]string{tracer, "-o", table}, flags, p.command(t)))
	return drive.Read(table)
}

// runIn runs args in a fresh folder.
func (p *realProgram) runIn(t *testing.T, dir string, args []string) {
	t.Helper()
	drive.Check(t, os.RemoveAll(dir))
	drive.Check(t, os.MkdirAll(dir, 0o755))
	if p.prepare != nil {
		p.prepare(t, dir)
	}
	// Without -R the kernel chooses where memory begins, and programs need one brk more now and then.
	setarch := needs.Program(t, "setarch", "util-linux")
	needs.That(t, exec.Command(setarch, "-R", "true").Run() == nil, "setarch -R", "run the tests outside of containers that forbid personality(2)")
	cmd := exec.Command(setarch, append([]string{"-R"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8",
	}
	if p.env != nil {
		cmd.Env = append(cmd.Env, p.env()...)
	}
	drive.Succeed(t, cmd)
}

var realPrograms = []*realProgram{
	{
		name:    "ls -lR",
		prepare: prepareTree,
		command: argv("ls", "-lR", "tree"),
	},
	{
		name:    "find",
		prepare: prepareTree,
		command: argv("find", "tree", "-type", "f", "-size", "+0", "-newermt", "1990-01-01", "-name", "*[13579]"),
	},
	{
		name:    "git status",
		prepare: prepareRepository,
		command: argv("git", "status"),
		program: "git",
		env:     environment("GIT_CONFIG_NOSYSTEM=1"),
	},
	{
		name:    "tar",
		prepare: prepareTree,
		command: argv("sh", "-c", "tar -cf tree.tar tree && mkdir copy && tar -xf tree.tar -C copy && tar -df tree.tar"),
	},
	{
		name:    "python3",
		prepare: preparePython,
		command: argv("python3", "-B", "script.py"),
		program: "python3",
		env:     environment("PYTHONHASHSEED=0"),
		// The script's two threads hand the interpreter's lock to each other when they meet at it.
		leftOut: []string{"futex"},
	},
	{
		name:    "gcc",
		prepare: prepareC,
		command: argv("gcc", "-O1", "-o", "program", "program.c"),
		// mkstemp(3) throws away an unsuitable random number now and then, and draws another.
		leftOut: []string{"getrandom"},
	},
	{
		name:    "go build",
		prepare: prepareGo,
		command: func(t *testing.T) []string {
			path, err := exec.LookPath("go")
			drive.Check(t, err)
			return []string{path, "build", "-o", "program", "."}
		},
		env:    goEnvironment,
		warmUp: true,
		// The go command, the compiler and the linker are Go programs. The runtime starts threads when
		// it finds work for them, and not the same number twice:
		leftOut: []string{
			"clone", "gettid", "sigaltstack", "rt_sigprocmask", "mmap", "madvise",
			// they sleep and wake each other,
			"futex", "nanosleep", "sched_yield", "epoll_pwait", "read", "write",
			// and a child's end interrupts what they are in (rt_sigreturn returns the result of that).
			"rt_sigreturn", "restart_syscall",
		},
		rows: []string{"execve", "openat", "newfstatat", "waitid", "unlinkat"},
	},
	{
		name:    "shell loop",
		command: argv("sh", "-c", `i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done`),
	},
	{
		name:        "shell loop not followed",
		command:     argv("sh", "-c", `i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done`),
		notFollowed: true,
	},
	{
		name:    "pipeline",
		prepare: prepareTree,
		command: argv("sh", "-c", "find tree -type f | sort | xargs md5sum | sort >sums; (exit 3); true"),
		// How much of what one program wrote the next one finds in the pipe.
		// When the shell learns that one has ended: while it waits, or before.
		leftOut: []string{"read", "rt_sigreturn"},
	},
	{
		name:    "trace=%file",
		prepare: preparePython,
		command: argv("python3", "-B", "script.py"),
		program: "python3",
		env:     environment("PYTHONHASHSEED=0"),
		flags:   []string{"-e", "trace=%file"},
	},
	{
		name:    "trace=!%desc,execve",
		prepare: prepareTree,
		command: argv("sh", "-c", "tar -cf tree.tar tree; ls -lR tree; ls missing; true"),
		flags:   []string{"-e", "trace=!%desc,execve"},
	},
	{
		name:    "32-bit code",
		prepare: prepareForeign,
		command: argv("./both"),
		rows:    []string{"execve", "getpid (32 bit)", "getppid (32 bit)", "open (32 bit)"},
	},
}

func environment(e ...string) func() []string { return func() []string { return e } }

func argv(w ...string) func(*testing.T) []string { return func(*testing.T) []string { return w } }

// longAgo is the age of prepared files: programs that look at the clock see old ones.
var longAgo = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// prepareTree makes a tree of files in folders, with links, an empty and an unreadable folder.
func prepareTree(t *testing.T, dir string) {
	t.Helper()
	for i := range 12 {
		for j := range 10 {
			drive.WriteFile(t, fmt.Sprintf("%s/tree/folder%d/deeper/file%d", dir, i, j), strings.Repeat("x", 1000*j))
		}
		drive.Check(t, os.Symlink("deeper/file3", fmt.Sprintf("%s/tree/folder%d/link", dir, i)))
		drive.Check(t, os.Symlink("nowhere", fmt.Sprintf("%s/tree/folder%d/dangling", dir, i)))
	}
	drive.Check(t, os.Mkdir(dir+"/tree/empty", 0o700))
	makeOld(t, dir)
}

func makeOld(t *testing.T, dir string) {
	t.Helper()
	times := []unix.Timespec{unix.NsecToTimespec(longAgo.UnixNano()), unix.NsecToTimespec(longAgo.UnixNano())}
	drive.Check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

// prepareRepository makes a repository with committed, changed, staged, ignored and unknown files.
func prepareRepository(t *testing.T, dir string) {
	t.Helper()
	prepareTree(t, dir)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command(needs.Program(t, "git", "git"), append([]string{"-c", "user.name=n", "-c", "user.email=e@example.org",
			"-c", "gc.auto=0", "-c", "init.defaultBranch=main"}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1",
			"GIT_AUTHOR_DATE=2001-02-03T04:05:06Z", "GIT_COMMITTER_DATE=2001-02-03T04:05:06Z"}
		drive.Succeed(t, cmd)
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "all")
	drive.WriteFile(t, dir+"/tree/folder1/deeper/file1", "changed and longer than it was")
	drive.WriteFile(t, dir+"/tree/folder2/deeper/staged", "staged")
	drive.WriteFile(t, dir+"/.gitignore", "ignored*\n")
	drive.WriteFile(t, dir+"/ignored", "")
	drive.Check(t, os.Remove(dir+"/tree/folder3/deeper/file3"))
	for _, name := range []string{"tree/folder1/deeper/file1", "tree/folder2/deeper/staged", ".gitignore", "ignored"} {
		makeOld(t, dir+"/"+name) // not all of the tree: git looks at when the status was changed
	}
	git("add", "tree/folder2")
	git("mv", "tree/folder4/deeper/file4", "moved")
}

func preparePython(t *testing.T, dir string) {
	t.Helper()
	prepareTree(t, dir)
	drive.WriteFile(t, dir+"/script.py", `
import json, os, re, subprocess, sys, tempfile, threading

total = 0
for top, folders, files in sorted(os.walk("tree")):
    for name in sorted(files):
        try:
            with open(os.path.join(top, name)) as f:
                total += len(f.read())
        except FileNotFoundError:
            pass
with open("out.json", "w") as f:
    json.dump({"total": total, "pattern": bool(re.match("[a-z]+", "abc"))}, f)
for i in range(5):
    subprocess.run(["/bin/true"], check=True)
thread = threading.Thread(target=lambda: os.listdir("tree"))
thread.start()
thread.join()
pid = os.fork()
if pid == 0:
    os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
`)
}

func prepareC(t *testing.T, dir string) {
	t.Helper()
	needs.C(t)
	drive.WriteFile(t, dir+"/program.c", `
#include <stdio.h>
#include <stdlib.h>
#include "program.h"
int main(int argc, char **argv) { printf("%d\n", argc + NUMBER); return EXIT_SUCCESS; }
`)
	drive.WriteFile(t, dir+"/program.h", "#define NUMBER 3\n")
}

// prepareGo makes a module that was never built before, with the go command's cache, which has the
// standard library: go build compiles one package and links.
func prepareGo(t *testing.T, dir string) {
	t.Helper()
	drive.WriteFile(t, dir+"/.config/go/telemetry/mode", "off 2001-02-03")
	drive.WriteFile(t, dir+"/go.mod", "module tiny\n\ngo 1.26\n")
	drive.WriteFile(t, dir+"/main.go", fmt.Sprintf(`package main

import "os"

func main() { os.Stdout.WriteString("built at %d\n") }
`, time.Now().UnixNano()))
	makeOld(t, dir)
}

// goEnvironment is for go build. It is the same for all builds of this test, so the first one, which
// is not traced, compiles of the standard library what the cache does not have.
var goEnvironment = sync.OnceValue(func() []string {
	cache, _ := exec.Command("go", "env", "GOCACHE").Output()
	return []string{
		"GOCACHE=" + strings.TrimSpace(string(cache)), "GOENV=off", "GOFLAGS=-buildvcs=false",
		"GOTOOLCHAIN=local", "GOPROXY=off", "CGO_ENABLED=0",
		// The runtime looks for other CPU limits once a second. It also interrupts goroutines that run for
		// long, or that the collector wants to stop: by SIGURG, which may find the thread in a call that it
		// has just begun. That then fails with ERESTARTSYS and is made again (a waitid in one of 200 builds).
		"GODEBUG=updatemaxprocs=0,asyncpreemptoff=1",
	}
})

// prepareForeign compiles a 64-bit program that makes calls through the 32-bit gate, and then executes
// one that is 32-bit altogether.
func prepareForeign(t *testing.T, dir string) {
	t.Helper()
	drive.WriteFile(t, dir+"/both.c", `
#include <fcntl.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
int main(void) {
	int status;
#ifdef __x86_64__
	for (int i = 0; i < 7; i++) {
		long ret = 20; // getpid, in the 32-bit table
		__asm__ volatile("int $0x80" : "+a"(ret) : : "memory", "r8", "r9", "r10", "r11");
		if (ret != getpid()) return 1;
	}
	if (fork() == 0) {
		execl("./small", "./small", (char *)0);
		_exit(127);
	}
	wait(&status);
	return status;
#else
	for (int i = 0; i < 11; i++) syscall(SYS_getppid);
	for (int i = 0; i < 5; i++)
		if (syscall(SYS_open, i < 3 ? "/missing" : "/dev/null", O_RDONLY) < 0 != i < 3) return 2;
	return 0;
#endif
}
`)
	gcc := needs.C32(t)
	for _, args := range [][]string{{"-o", "both"}, {"-m32", "-o", "small"}} {
		cmd := exec.Command(gcc, append(args, "both.c")...)
		cmd.Dir = dir
		drive.Succeed(t, cmd)
	}
}

// TestCompareOutcomes counts only the calls that failed, or only those that did not. strace 6.1 ignores
// -z and -Z in summaries, but its full table says what they have to be.
func TestCompareOutcomes(t *testing.T) {
	p := &realProgram{prepare: prepareTree, command: argv("ls", "-lR", "tree")}
	dir := filepath.Join(t.TempDir(), "work")
	failed, succeeded := drive.Counts{}, drive.Counts{}
	for name, c := range drive.ParseCounts(t, p.trace(t, dir, needs.Program(t, "strace", "strace"), []string{"-f"})) {
		if c.Errors > 0 {
			failed[name] = drive.Tally{Calls: c.Errors, Errors: c.Errors}
		}
		if c.Calls > c.Errors {
			succeeded[name] = drive.Tally{Calls: c.Calls - c.Errors, Errors: 0}
		}
	}
	for flag, want := range map[string]drive.Counts{"-Z": failed, "-z": succeeded} {
		got := drive.ParseCounts(t, p.trace(t, dir, drive.Program(t), []string{"-q", flag}))
		for _, name := range got.Differing(want) {
			t.Errorf("%s: %s: sysprof counted %v; strace %v", flag, name, got[name], want[name])
		}
	}
}

// TestCompareLayout compares the table that people see, with its times, against strace's: everything
// but the digits of the times.
func TestCompareLayout(t *testing.T) {
	p := &realProgram{prepare: prepareTree, command: argv("ls", "-lR", "tree")}
	dir := filepath.Join(t.TempDir(), "work")
	want := p.traceTo(t, dir, needs.Program(t, "strace", "strace"), []string{"-c", "-f", "-S", "name"})
	got := p.traceTo(t, dir, drive.Program(t), []string{"-c", "-f", "-S", "name", "-q"})
	times := regexp.MustCompile(`(?m)^( {0,2}\d+\.\d\d) ( *\d+\.\d{6}) ( *\d+) `)
	hide := func(table string) string {
		return times.ReplaceAllStringFunc(table, func(s string) string { return strings.Repeat("#", len(s)) })
	}
	if hide(got) != hide(want) {
		t.Errorf("sysprof's table:\n%s\nstrace's:\n%s", got, want)
	}
}

package main_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	pprof "github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

// chainC calls a → b → c → write(2), as often as its argument says, and prints what backtrace(3) says
// at that place.
const chainC = `
#define _GNU_SOURCE
#include <execinfo.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
#define STEP __attribute__((noinline, noclone))
static int out;
static long put(void) {
#ifdef RAW
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(SYS_write), "D"((long)out), "S"("x"), "d"(1L) : "rcx", "r11", "memory");
	return ret;
#else
	return write(out, "x", 1);
#endif
}
STEP int step_c(int n) {
	int sum = 0;
	for (int i = 0; i < n; i++) sum += put();
	void *at[64];
	backtrace_symbols_fd(at, backtrace(at, 64), 1);
	return sum + 1;
}
STEP int step_b(int n) { return step_c(n) + 1; }
STEP int step_a(int n) { return step_b(n) + 1; }
int main(int argc, char **argv) {
	out = open("/dev/null", O_WRONLY);
	return step_a(atoi(argv[1])) - atoi(argv[1]) - 3;
}
`

// compile builds a C program.
func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	drive.Check(t, err)
	drive.WriteFile(t, filepath.Join(dir, "program.c"), source)
	program := filepath.Join(dir, "program")
	args := slices.Concat([]string{"-O2", "-g", "-o", program, filepath.Join(dir, "program.c")}, flags, []string{"-pthread"})
	drive.Succeed(t, exec.Command(needs.C(t), args...))
	return program
}

// goPprof runs go tool pprof.
func goPprof(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"tool", "pprof"}, args...)...)
	cmd.Env = append(cmd.Environ(), "PPROF_TMPDIR="+t.TempDir(), "DEBUGINFOD_URLS=")
	return drive.Succeed(t, cmd)
}

// inOrder demands that text has these lines, in this order and next to each other; blanks around them and
// what stands before them in a line do not matter.
func inOrder(t *testing.T, text string, want ...string) {
	t.Helper()
	var quoted []string
	for _, w := range want {
		quoted = append(quoted, `(?:.*\s)?`+regexp.QuoteMeta(w)+`(?: \(inline\))?\s*`)
	}
	if !regexp.MustCompile(`(?m)^` + strings.Join(quoted, `\n`) + `$`).MatchString(text) {
		t.Errorf("there is no %q in\n%s", want, text)
	}
}

func TestPprofOfACProgram(t *testing.T) {
	program := compile(t, chainC, "-rdynamic")
	const calls = 25
	file, p, stdout := drive.Profiled(t, []string{"--labels=latency,pid,errno"}, program, strconv.Itoa(calls))

	// What the program itself says, without the function that asks for it and libc's part.
	var ledger []string
	for line := range strings.Lines(stdout) {
		name := regexp.MustCompile(regexp.QuoteMeta(program) + `\((\w+)\+`).FindStringSubmatch(line)
		if name != nil {
			ledger = append(ledger, name[1])
		}
	}
	if want := []string{"step_c", "step_b", "step_a", "main", "_start"}; !slices.Equal(ledger, want) {
		t.Fatalf("backtrace says %q", ledger)
	}
	got := int64(0)
	for _, s := range p.Sample {
		if names := drive.Frames(s); names[0] == "sys_write" && names[1] == "write" {
			// put is inlined into step_c; backtrace knows nothing of that.
			own := slices.DeleteFunc(drive.Frames(s, program), func(name string) bool { return name == "put" })
			if slices.Equal(own, ledger) {
				got += s.Value[0]
			} else {
				t.Errorf("the program's part of the stack is %q, want %q", own, ledger)
			}
		}
	}
	if got != calls {
		t.Errorf("%d calls of write from there, want %d", got, calls)
	}
	if names := fmt.Sprint(p.SampleType); len(p.SampleType) != 4 || p.DefaultSampleType != "latency" {
		t.Errorf("sample types %s, default %s", names, p.DefaultSampleType)
	}

	if p.Mapping[0].File != program || p.Mapping[0].BuildID == "" || p.Mapping[len(p.Mapping)-1].File != "[kernel.kallsyms]" {
		t.Errorf("mappings: %v", p.Mapping)
	}
	source := false
	for _, f := range p.Function {
		source = source || f.Name == "step_c" && filepath.Base(f.Filename) == "program.c"
	}
	if !source {
		t.Error("the source of step_c is not known")
	}

	t.Run("-top", func(t *testing.T) {
		text := goPprof(t, "-top", "-cum", "-sample_index=calls", file)
		for _, name := range []string{"sys_write", "step_a", "step_b", "step_c", "main"} {
			if !regexp.MustCompile(`(?m) ` + name + `$`).MatchString(text) {
				t.Errorf("there is no %s in\n%s", name, text)
			}
		}
		if !strings.Contains(text, "File: program") {
			t.Errorf("it is not called program:\n%s", text)
		}
		if def := goPprof(t, "-top", file); !strings.Contains(def, "Type: latency") {
			t.Errorf("the default is another type:\n%s", def)
		}
	})
	t.Run("-traces", func(t *testing.T) {
		inOrder(t, goPprof(t, "-traces", "-sample_index=calls", file), "sys_write", "write", "put", "step_c", "step_b", "step_a", "main")
	})
	t.Run("-peek", func(t *testing.T) {
		text := goPprof(t, "-peek", "^step_b$", "-focus=^put$", "-sample_index=calls", file)
		for _, line := range []string{`\| +step_a`, `\| step_b`, `\| +step_c`} { // who calls it, and whom it calls
			if !regexp.MustCompile(`(?m)^.* ` + strconv.Itoa(calls) + ` .*` + line + `( \(inline\))?$`).MatchString(text) {
				t.Errorf("no line with %d and %s:\n%s", calls, line, text)
			}
		}
	})
	t.Run("-list", func(t *testing.T) {
		text := goPprof(t, "-list", "^step_c$", "-sample_index=calls", file)
		if !regexp.MustCompile(`(?m)^ +\. +` + strconv.Itoa(calls) + ` +\d+:.*sum \+= put\(\);$`).MatchString(text) {
			t.Errorf("the line that calls is not listed with %d calls:\n%s", calls, text)
		}
	})
	t.Run("-tags", func(t *testing.T) {
		text := goPprof(t, "-tags", "-sample_index=calls", file)
		for _, name := range []string{"latency: Total", "pid: Total", "errno: Total", "ENOENT"} {
			if !strings.Contains(text, name) {
				t.Errorf("there is no %s in\n%s", name, text)
			}
		}
	})
	t.Run("-diff_base", func(t *testing.T) {
		other, _, _ := drive.Profiled(t, []string{"--labels=errno"}, program, strconv.Itoa(calls+17))
		text := goPprof(t, "-top", "-cum", "-sample_index=calls", "-focus=step_c", "-diff_base="+file, other)
		if !regexp.MustCompile(`(?m)^ +17 .* sys_write$`).MatchString(text) && !regexp.MustCompile(`(?m)^ +17 .*sys_write`).MatchString(text) {
			t.Errorf("write has not 17 calls more:\n%s", text)
		}
	})
}

// TestPprofRunsCompareAcrossASLR: the same place of two runs is one place, wherever it was in memory.
func TestPprofRunsCompareAcrossASLR(t *testing.T) {
	program := compile(t, chainC)
	_, a, _ := drive.Profiled(t, nil, program, "40")
	_, b, _ := drive.Profiled(t, nil, program, "10")
	b.Scale(-1)
	diff, err := pprof.Merge([]*pprof.Profile{a, b})
	drive.Check(t, err)
	places := map[string]int64{} // whatever the threads did in their calls
	for _, s := range diff.Sample {
		if names := drive.Frames(s); names[0] == "sys_write" && slices.Contains(names, "put") {
			places[fmt.Sprint(s.Location)] += s.Value[0]
		}
	}
	if all := slices.Collect(maps.Values(places)); !slices.Equal(all, []int64{30}) {
		t.Errorf("differences of %d calls, want 30 at one place", all)
	}
}

// TestPprofNamesTheProgram, by whatever name it was called: viewers show the first mapping's file.
func TestPprofNamesTheProgram(t *testing.T) {
	program := compile(t, chainC)
	dir := filepath.Dir(program)
	drive.Check(t, os.Symlink("program", filepath.Join(dir, "link")))
	for _, name := range []string{program, "./program", "./link", "program"} {
		file := filepath.Join(t.TempDir(), "profile")
		cmd := drive.Plain(t, "--pprof", file, name, "1")
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		drive.Succeed(t, cmd)
		if p := drive.ParseProfile(t, file); p.Mapping[0].File != program {
			t.Errorf("%s: the first mapping is %s", name, p.Mapping[0].File)
		}
	}
}

// TestPprofOfAScriptNamesWhatRunsIt: the script itself is in no mapping.
func TestPprofOfAScriptNamesWhatRunsIt(t *testing.T) {
	program := compile(t, chainC)
	script := filepath.Join(filepath.Dir(program), "script")
	drive.WriteFile(t, script, "#!"+program+" 500\n")
	drive.Check(t, os.Chmod(script, 0o700))
	_, p, _ := drive.Profiled(t, nil, script)
	if p.Mapping[0].File != program {
		t.Errorf("the first mapping is %s", p.Mapping[0].File)
	}
}

// goChain calls main.a → main.b → main.c, which writes, and prints what runtime.Callers says there.
const goChain = `package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

//go:noinline
func a(fd int) { b(fd) }

func b(fd int) { c(fd) } // inlined into a

//go:noinline
func c(fd int) {
	for range 30 {
		syscall.Write(fd, []byte("x"))
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		fmt.Println(f.Function)
		if !more {
			return
		}
	}
}

func main() {
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	a(int(null.Fd()))
}
`

func TestPprofOfAGoProgram(t *testing.T) {
	dir := t.TempDir()
	drive.WriteFile(t, filepath.Join(dir, "go.mod"), "module chain\n\ngo 1.26\n")
	drive.WriteFile(t, filepath.Join(dir, "main.go"), goChain)
	for _, test := range []struct{ name, ldflags string }{{"with symbols", ""}, {"stripped", "-s -w"}} {
		t.Run(test.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "chain")
			build := exec.Command("go", "build", "-o", program, "-ldflags="+test.ldflags, ".")
			build.Dir = dir
			build.Env = append(build.Environ(), "GOFLAGS=-buildvcs=false", "CGO_ENABLED=0")
			drive.Succeed(t, build)
			file, p, stdout := drive.Profiled(t, nil, program)
			ledger := strings.Fields(stdout)
			if want := []string{"main.c", "main.b", "main.a", "main.main", "runtime.main", "runtime.goexit"}; !slices.Equal(ledger, want) {
				t.Fatalf("runtime.Callers says %q", ledger)
			}
			calls := int64(0)
			for _, s := range p.Sample {
				names := drive.Frames(s)
				from := slices.Index(names, "main.c")
				if names[0] != "sys_write" || from < 0 || slices.Contains(names, "fmt.Println") {
					continue
				}
				calls += s.Value[0]
				if !slices.Equal(names[from:], ledger) {
					t.Errorf("the stack is %q, want %q", names[from:], ledger)
				}
			}
			if calls != 30 {
				t.Errorf("%d calls, want 30", calls)
			}
			inOrder(t, goPprof(t, "-traces", "-sample_index=calls", file), ledger...)
		})
	}
}

func TestStackModes(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		_, p, _ := drive.Profiled(t, []string{"--stacks=off"}, "true")
		for _, s := range p.Sample {
			if len(s.Location) != 1 || !strings.HasPrefix(drive.Frames(s)[0], "sys_") {
				t.Errorf("a stack: %q", drive.Frames(s))
			}
		}
		if len(p.Mapping) != 2 || drive.MadeBy(p, "sys_execve", "sys_execve", 0) != 1 {
			t.Errorf("mappings %v, samples %v", p.Mapping, p.Sample)
		}
	})
	// The call itself is made in step_c: with frame pointers alone, who calls libc's write can't be seen.
	program := compile(t, chainC, "-fno-omit-frame-pointer", "-DRAW")
	for _, mode := range []string{"fp", "full"} {
		t.Run(mode, func(t *testing.T) {
			file, p, _ := drive.Profiled(t, []string{"--stacks=" + mode}, program, "12")
			if got := drive.MadeBy(p, "sys_write", "put", 0); got != 12 {
				t.Errorf("%d calls from put, want 12", got)
			}
			inOrder(t, goPprof(t, "-traces", "-sample_index=calls", file), "sys_write", "put", "step_c", "step_b", "step_a", "main")
		})
	}
}

// TestPprofSumsAreTheTables: samples add up to what the table of the same run says.
func TestPprofSumsAreTheTables(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "profile")
	saved := filepath.Join(dir, "run.json")
	table := filepath.Join(dir, "table")
	flags := slices.Concat(drive.CountColumns, []string{"-q", "-o", table, "--labels=tid,errno", "--pprof", file, "--json", saved, drive.Self()})
	o := drive.Run(t, drive.As(drive.Plain(t, flags...), "outcomes"))
	o.Exited(t, 0)
	p := drive.ParseProfile(t, file)
	perCall := map[string][]int64{}
	for _, s := range p.Sample {
		if isUnfinished(s) { // no row of the table has those
			continue
		}
		name := strings.TrimPrefix(drive.Frames(s)[0], "sys_")
		if perCall[name] == nil {
			perCall[name] = make([]int64, len(s.Value))
		}
		for i, v := range s.Value {
			perCall[name][i] += v
		}
	}
	for name, want := range drive.ParseCounts(t, drive.Read(table)) {
		got := perCall[name]
		if got == nil || got[0] != int64(want.Calls) || got[1] != int64(want.Errors) {
			t.Errorf("%s: %v in the profile, %v in the table", name, got, want)
		}
	}
	latency := drive.ValueOf(t, p, "latency")
	run := readSaved(t, saved)
	for _, r := range run.Rows {
		got, want := perCall[r.Name][latency], r.Latency.Sum
		if slack := want/100 + 1_000; got < want-slack || got > want+slack {
			t.Errorf("%s: %d ns in the profile, %d in the table", r.Name, got, want)
		}
	}
	if !slices.ContainsFunc(p.Comments, func(c string) bool { return strings.Contains(c, "tracing cost") }) {
		t.Errorf("comments: %q", p.Comments)
	}
}

// labelsC does something for every label, and prints what.
const labelsC = `
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
static void *thread(void *arg) {
	(void)arg;
	prctl(PR_SET_NAME, "worker");
	for (int i = 0; i < 9; i++) getpgid(0);
	printf("tid %ld\n", syscall(SYS_gettid));
	return 0;
}
int main(void) {
	pthread_t t;
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	for (int i = 0; i < 4; i++) open("/no/such/file", O_RDONLY);
	struct timespec long_time = {0, 50000000}, short_time = {0, 1};
	for (int i = 0; i < 2; i++) nanosleep(&long_time, 0);
	/* Where others want the CPU a short one may take long: then there are more, but not so many that there is no end. */
	int soon = 0, sleeps = 2;
	while (soon < 3 && sleeps < 1000) {
		struct timespec a, b;
		clock_gettime(CLOCK_MONOTONIC, &a);
		nanosleep(&short_time, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		soon += (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 20;
		sleeps++;
	}
	printf("pid %d\nsleeps %d\n", getpid(), sleeps);
	return 0;
}
`

func TestPprofLabels(t *testing.T) {
	program := compile(t, labelsC)
	file, p, stdout := drive.Profiled(t, []string{"--labels=pid,tid,comm,thread_name,errno,latency"}, program)
	var pid, tid, sleeps int64
	if _, err := fmt.Sscanf(stdout, "tid %d\npid %d\nsleeps %d", &tid, &pid, &sleeps); err != nil {
		t.Fatalf("%v: %q", err, stdout)
	}
	calls := func(call string, which func(*pprof.Sample) bool) (n int64) {
		for _, s := range p.Sample {
			if drive.Frames(s)[0] == call && which(s) {
				n += s.Value[0]
			}
		}
		return n
	}
	expect := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d calls, want %d", what, got, want)
		}
	}
	expect("the worker's", calls("sys_getpgid", func(s *pprof.Sample) bool {
		return slices.Equal(s.NumLabel["tid"], []int64{tid}) && slices.Equal(s.Label["thread_name"], []string{"worker"}) &&
			slices.Equal(s.Label["comm"], []string{"program"})
	}), 9)
	expect("of another process", calls("sys_getpgid", func(s *pprof.Sample) bool {
		return !slices.Equal(s.NumLabel["pid"], []int64{pid})
	}), 0)
	expect("the main thread's", calls("sys_clock_nanosleep", func(s *pprof.Sample) bool {
		return slices.Equal(s.NumLabel["tid"], []int64{pid}) && slices.Equal(s.Label["comm"], []string{"program"})
	}), sleeps)
	expect("failed", calls("sys_openat", func(s *pprof.Sample) bool {
		return slices.Equal(s.Label["errno"], []string{"ENOENT"}) && slices.Contains(drive.Frames(s), "main")
	}), 4)
	expect("failed in no way", calls("sys_openat", func(s *pprof.Sample) bool {
		return s.Value[1] == 0 && len(s.Label["errno"]) > 0
	}), 0)
	long := calls("sys_clock_nanosleep", func(s *pprof.Sample) bool {
		return s.NumLabel["latency"][0] > 20e6 && slices.Equal(s.NumUnit["latency"], []string{"nanoseconds"})
	})
	if long < 2 || long > sleeps-3 {
		t.Errorf("%d of %d sleeps were long; 2 slept for 50 ms, and 3 took less than 20", long, sleeps)
	}

	for _, s := range p.Sample {
		lowNs, meanNs := s.NumLabel["latency"][0], s.Value[len(s.Value)-1]/s.Value[0]
		if meanNs < lowNs || meanNs > lowNs+max(lowNs/2, 64) {
			t.Errorf("%q: %d calls of %d ns each have the label %d ns", drive.Frames(s)[0], s.Value[0], meanNs, lowNs)
		}
	}

	top := goPprof(t, "-top", "-sample_index=calls", "-tagfocus=latency=20ms:", file)
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^ +%d .* sys_clock_nanosleep$`, long)).MatchString(top) || strings.Contains(top, "sys_getpgid") {
		t.Errorf("calls of more than 20 ms:\n%s", top)
	}
	top = goPprof(t, "-top", "-sample_index=calls", "-tagfocus=tid="+strconv.FormatInt(tid, 10), file)
	if !regexp.MustCompile(`(?m)^ +9 .* sys_getpgid$`).MatchString(top) || strings.Contains(top, "sys_clock_nanosleep") {
		t.Errorf("calls of the worker:\n%s", top)
	}
	top = goPprof(t, "-top", "-sample_index=calls", "-tagfocus=ENOENT", file)
	if !strings.Contains(top, "sys_openat") || strings.Contains(top, "sys_getpgid") {
		t.Errorf("calls that failed with ENOENT:\n%s", top)
	}
}

// filesC reads from many things through one descriptor, and prints the port of its connection.
const filesC = `
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
enum { FD = 9 };
static char buf[64];
static void move(int fd) { if (fd < 0 || dup2(fd, FD) != FD || close(fd)) abort(); }
static void reads(int n) { while (n-- > 0) if (pread(FD, buf, 1, 0) < 0) abort(); }
static void sends(int fd, int n) { while (n-- > 0) if (send(fd, "x", 1, 0) != 1) abort(); }
int main(int argc, char **argv) {
	(void)argc;
	fcntl(FD, F_GETFD); /* closed */
	move(open(argv[1], O_RDONLY));
	reads(3);
	close(FD);
	if (open("/dev/null", O_RDONLY) == FD) abort();
	move(open(argv[2], O_RDONLY));
	reads(5);
	move(open(argv[3], O_RDONLY)); /* onto an open one */
	reads(7);
	if (fork() == 0) { /* has its own */
		move(open(argv[1], O_RDONLY));
		reads(11);
		_exit(0);
	}
	wait(0);
	reads(1);
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) abort();
	sends(pair[0], 13);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	setsockopt(c, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	if (bind(l, (void *)&a, size) || listen(l, 5) || getsockname(l, (void *)&a, &size) || connect(c, (void *)&a, size)) abort();
	sends(c, 17);
	printf("%d\n", ntohs(a.sin_port));
	return 0;
}
`

func TestPprofFileLabels(t *testing.T) {
	program := compile(t, filesC)
	dir := filepath.Dir(program)
	var paths []string
	for _, name := range []string{"first", "second", "third"} {
		paths = append(paths, filepath.Join(dir, name))
		drive.WriteFile(t, filepath.Join(dir, name), "text")
	}
	file, p, stdout := drive.Profiled(t, []string{"--labels=fd"}, append([]string{program}, paths...)...)
	var server int
	if _, err := fmt.Sscan(stdout, &server); err != nil {
		t.Fatalf("%v: %q", err, stdout)
	}
	got := map[string]int64{}
	for _, s := range p.Sample {
		names := drive.Frames(s)
		if call := names[0]; (call == "sys_pread64" || call == "sys_sendto" || call == "sys_openat") && slices.Contains(names, "main") {
			got[call+" "+strings.Join(s.Label["fd"], "|")] += s.Value[0]
		}
		if label := s.Label["fd"]; slices.Contains([]string{"sys_access", "sys_mprotect", "sys_brk"}, names[0]) && len(label) > 0 {
			t.Errorf("%s works on %q", names[0], label)
		}
	}
	want := map[string]int64{
		"sys_pread64 " + paths[0]: 3 + 11, "sys_pread64 " + paths[1]: 5, "sys_pread64 " + paths[2]: 7 + 1,
		"sys_openat " + paths[0]: 2, "sys_openat " + paths[1]: 1, "sys_openat " + paths[2]: 1, "sys_openat /dev/null": 1,
		"sys_sendto unix": 13, fmt.Sprintf("sys_sendto tcp 127.0.0.1:%d", server): 17,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("calls by file:\n%v, want\n%v", got, want)
	}
	top := goPprof(t, "-top", "-sample_index=calls", "-tagfocus="+regexp.QuoteMeta(paths[1])+"$", file)
	if !regexp.MustCompile(`(?m)^ +5 .* sys_pread64$`).MatchString(top) {
		t.Errorf("reads of the second file:\n%s", top)
	}
}

// TestPprofOfExec: sysprof's own part of the new process is not the command's, and a program is not the one
// before it.
func TestPprofOfExec(t *testing.T) {
	chain := compile(t, chainC)
	_, p, _ := drive.Profiled(t, []string{"--labels=pid"}, "sh", "-c", `exec "$0" 6`, chain)
	for _, m := range p.Mapping {
		if strings.Contains(m.File, "sysprof") && !strings.HasPrefix(m.File, filepath.Dir(chain)) {
			t.Errorf("the mapping %s is sysprof's", m.File)
		}
	}
	pids := map[int64]bool{}
	for _, s := range p.Sample {
		pids[s.NumLabel["pid"][0]] = true
		for _, name := range drive.Frames(s) {
			if strings.Contains(name, "sysprof/") || strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "main.") {
				t.Errorf("sysprof's own frame in %q", drive.Frames(s))
				break
			}
		}
		files := map[string]bool{}
		for _, l := range s.Location {
			if l.Mapping != nil {
				files[filepath.Base(l.Mapping.File)] = true
			}
		}
		if files["program"] && (files["dash"] || files["bash"] || files["sh"]) {
			t.Errorf("a stack of two programs: %q", drive.Frames(s))
		}
	}
	if len(pids) != 1 {
		t.Errorf("%d processes, want 1", len(pids))
	}
	if got := drive.MadeBy(p, "sys_write", "step_c", 0); got < 6 {
		t.Errorf("%d calls of write by the executed program", got)
	}
	if got := drive.MadeBy(p, "sys_execve", "sys_execve", 0); got != 2 {
		t.Errorf("%d calls of execve, want the shell's and sysprof's", got)
	}
}

func TestPprofOfAnAttachedProcess(t *testing.T) {
	target := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	target.Line()
	file := filepath.Join(t.TempDir(), "profile")
	s := drive.Start(t, drive.Plain(t, "--pprof", file, "-p", strconv.Itoa(target.Pid())))
	drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{target.Pid()}) })
	for range 10 {
		target.Alive()
	}
	target.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	target.End()
	p := drive.ParseProfile(t, file)
	if got := drive.MadeBy(p, "sys_getppid", "main.main", 0) + drive.MadeBy(p, "sys_getppid", "main_test.TestMain", 0); got < 10 {
		t.Errorf("%d calls of getppid have a stack, want 10", got)
	}
	if p.Mapping[0].File != drive.Self() {
		t.Errorf("the first mapping is %s", p.Mapping[0].File)
	}
}

// TestPprofIsWrittenWholeOrNot: what was there stays until there is something better.
func TestPprofIsWrittenWholeOrNot(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   func(file string) []string
		status int
	}{
		{"no such command", func(string) []string { return []string{"no-such-command-anywhere"} }, 127},
		{"nothing to attach to", func(string) []string { return []string{"-p", "4194305"} }, 1},
		{"bad usage", func(string) []string { return []string{"--labels=nonsense", "true"} }, 2},
		{"no output", func(string) []string { return []string{"-o", "/no/such/folder/file", "true"} }, 1},
		{"a folder in the way", func(file string) []string {
			return []string{"sh", "-c", "rm $0 && mkdir $0 && touch $0/mark", file}
		}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "profile")
			drive.WriteFile(t, file, "what was here")
			o := drive.Run(t, drive.Plain(t, append([]string{"--pprof", file}, test.args(file)...)...))
			o.Exited(t, test.status)
			if _, err := os.Stat(filepath.Join(file, "mark")); err != nil && drive.Read(file) != "what was here" {
				t.Errorf("the file holds %q", drive.Read(file))
			}
			onlyEntry(t, dir, "profile")
		})
	}
	t.Run("killed", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "profile")
		drive.WriteFile(t, file, "what was here")
		s := drive.Start(t, drive.As(drive.Plain(t, "--pprof", file, "--kill-on-exit", drive.Self()), "echo"))
		s.Line()
		s.Alive()
		s.Signal(unix.SIGKILL)
		s.End()
		if drive.Read(file) != "what was here" {
			t.Errorf("the file holds %q", drive.Read(file))
		}
		onlyEntry(t, dir, "profile")
	})
	t.Run("replaced", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "profile")
		drive.WriteFile(t, file, "what was here")
		drive.Succeed(t, drive.Plain(t, "--pprof", file, "true"))
		drive.ParseProfile(t, file)
		onlyEntry(t, dir, "profile")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o600 != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	})
	t.Run("a command that fails has a profile", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "profile")
		drive.Run(t, drive.Plain(t, "--pprof", file, "sh", "-c", "exit 3")).Exited(t, 3)
		drive.ParseProfile(t, file)
	})
	t.Run("to a pipe", func(t *testing.T) {
		dir := t.TempDir()
		pipe, copied := filepath.Join(dir, "pipe"), filepath.Join(dir, "copy")
		drive.Check(t, unix.Mkfifo(pipe, 0o600))
		reader := drive.Start(t, exec.Command("sh", "-c", `cat "$0" > "$1"`, pipe, copied))
		drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--pprof", pipe, "true"))
		if status := reader.End(); status != 0 {
			t.Errorf("cat: %s", drive.Describe(status))
		}
		drive.ParseProfile(t, copied)
	})
}

// onlyEntry demands that a folder has one entry.
func onlyEntry(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	drive.Check(t, err)
	if len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("the folder holds %v", entries)
	}
}

// TestProfilesSoFar asks for the profile again and again while processes come and go.
func TestProfilesSoFar(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile")
	s := drive.Start(t, drive.Plain(t, "-q", "-o", "/dev/null", "--pprof", file, "--labels=comm,fd", "sh", "-c",
		"echo on; i=0; while [ $i -lt 150 ]; do /bin/true; i=$((i+1)); done; echo off; read end"))
	s.Expect("on")
	for range 8 {
		os.Remove(file)
		s.Signal(unix.SIGUSR1)
		drive.Eventually(t, "there is a profile", func() bool {
			_, err := os.Stat(file)
			return err == nil || strings.HasPrefix(drive.StatusOf(s.Pid(), "State"), "Z") // it crashed
		})
		drive.ParseProfile(t, file)
	}
	s.Expect("off")
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	p := drive.ParseProfile(t, file)
	if got := drive.MadeBy(p, "sys_execve", "sys_execve", 0); got != 151 {
		t.Errorf("%d calls of execve, want 151", got)
	}
}

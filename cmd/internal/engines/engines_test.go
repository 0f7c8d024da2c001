package engines_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"
	"sysprof/syscalltab/needs"
)

func TestMain(m *testing.M) { drive.Main(m, 0) }

// engineTarget builds what makes the calls that one of the engines could get wrong.
func engineTarget(t *testing.T, flags ...string) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "engines")
	args := append(flags, "-O1", "-pthread", "-o", target, "testdata/engines.c")
	drive.Succeed(t, exec.Command(needs.C(t), args...))
	return target
}

// engineRun is what a run is said to have been in JSON.
type engineRun struct {
	Rows []struct {
		Name   string
		ABI    string
		Calls  uint64
		Errors uint64
		Failed []struct {
			Errno int
			Calls uint64
		}
		Latency struct {
			P50 float64 `json:"p50_ns"`
		}
	}
	InFlight []struct {
		Name, ABI, Why string
		Count          uint64
		Resumed        bool
	} `json:"in_flight"`
	Warnings []string
}

func runBy(t *testing.T, engine string, command ...string) engineRun {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	o := runInTime(t, append([]string{"--engine=" + engine, "-q", "--json", file, "-o", "/dev/null"}, command...)...)
	if !o.Status.Exited() {
		t.Fatalf("%v by %s: %s\n%s", command, engine, drive.Describe(o.Status), o.Stderr)
	}
	var r engineRun
	drive.Check(t, json.Unmarshal([]byte(drive.Read(file)), &r))
	return r
}

// runInTime runs sysprof until what it runs does not say that something came too early, as it does when no CPU is free.
func runInTime(t *testing.T, args ...string) drive.Outcome {
	t.Helper()
	const early, tries = 75, 20
	for range tries {
		if o := drive.Run(t, drive.Plain(t, args...)); o.Status.ExitStatus() != early {
			return o
		}
	}
	t.Fatalf("%v: something came too early %d times", args, tries)
	return drive.Outcome{}
}

// counts are the calls and what they failed with, without calls that depend on how fast things go.
func (r *engineRun) counts(without string) string {
	var b strings.Builder
	for _, row := range r.Rows {
		if strings.Contains(without, row.Name+" ") {
			continue
		}
		fmt.Fprintf(&b, "%s %s %d", row.ABI, row.Name, row.Calls)
		for _, f := range row.Failed {
			fmt.Fprintf(&b, " %d:%d", f.Errno, f.Calls)
		}
		b.WriteByte('\n')
	}
	for _, f := range r.InFlight {
		fmt.Fprintf(&b, "in flight: %s %s %s %v %d\n", f.ABI, f.Name, f.Why, f.Resumed, f.Count)
	}
	return b.String()
}

// TestEnginesAgree holds the engines against each other: run by run, where programs make the same calls each time, and
// over the same run, which has to be the same whatever the program is.
func TestEnginesAgree(t *testing.T) {
	drive.CountsInKernel(t)
	wide := engineTarget(t)
	tests := []struct {
		name    string
		command []string
		without string // calls that each run makes another number of
	}{
		{name: "git", command: []string{needs.Program(t, "git", "git"), "-C", repository(t), "log", "--oneline", "-n", "300"}, without: "futex clone3 rseq set_robust_list madvise "},
		{name: "forks", command: []string{wide, "forks", "300"}, without: "wait4 clone "},
		{name: "threads", command: []string{wide, "threads", "300", "100"}, without: "futex mprotect mmap munmap madvise "},
		{name: "exec from a thread", command: []string{wide, "exec"}},
		{name: "restarts", command: []string{wide, "restarts", "10"}},
		{name: "filtered", command: []string{wide, "filtered", "100"}},
		{name: "killed", command: []string{wide, "killed", "5"}},
		{name: "vforks", command: []string{wide, "vforks", "20"}},
		{name: "narrow", command: []string{wide, "narrow", "100"}},
	}
	for name, command := range steady(t, wide) {
		t.Run(name, func(t *testing.T) { enginesAgree(t, command, "") })
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "narrow" && runtime.GOARCH == "amd64" {
				needs.NarrowCalls(t)
			}
			enginesAgree(t, tt.command, tt.without)
		})
	}
	t.Run("32 bit", func(t *testing.T) {
		if runtime.GOARCH != "amd64" {
			t.Skip("there are no 32-bit programs to be built")
		}
		needs.C32(t)
		narrow := engineTarget(t, "-m32")
		for _, mode := range []string{"calls 1000", "restarts 5", "killed 3", "vforks 5"} {
			t.Run(mode, func(t *testing.T) { enginesAgree(t, append([]string{narrow}, strings.Fields(mode)...), "") })
		}
	})
}

// steady are programs that make some calls often, and the same ones each time. target is one of the engines'.
func steady(t *testing.T, target string) map[string][]string {
	t.Helper()
	return map[string][]string{
		"find":  {needs.Program(t, "find", "findutils"), "/usr/share/doc"},
		"tar":   {needs.Program(t, "tar", "tar"), "-cf", "/dev/null", "/usr/share/perl5", "/usr/share/doc/git"},
		"dd":    {needs.Program(t, "dd", "coreutils"), "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000", "status=none"},
		"calls": {target, "calls", "5000"},
	}
}

// repository makes one that nobody commits to meanwhile: git makes other calls then.
func repository(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repository")
	var commits strings.Builder
	for n := range 300 {
		fmt.Fprintf(&commits, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 5\nwords\nM 644 inline file\ndata 3\n%03d\n", 1e9+n, n)
	}
	git := needs.Program(t, "git", "git")
	drive.Succeed(t, exec.Command(git, "init", "-q", "-b", "main", dir))
	importing := exec.Command(git, "-C", dir, "fast-import", "--quiet")
	importing.Stdin = strings.NewReader(commits.String())
	drive.Succeed(t, importing)
	return dir
}

func enginesAgree(t *testing.T, command []string, without string) {
	o := runInTime(t, append([]string{"--engine=both", "-c"}, command...)...)
	o.Exited(t, 0)
	if !strings.Contains(o.Stderr, "both engines counted the same: ") {
		t.Errorf("the same run:\n%s", o.Stderr)
	}
	stopped, counted := runBy(t, "ptrace", command...), runBy(t, "kernel", command...)
	if got, want := counted.counts(without), stopped.counts(without); got != want {
		t.Errorf("in the kernel:\n%s\nby ptrace:\n%s", got, want)
	}
}

// TestMediansAgree holds the latencies against each other that one engine measures, and the other one works out by taking off
// what tracing takes. That is an estimate, which other programs disturb: each call has another chance, and while they run it is
// only asked whether it is near at all.
func TestMediansAgree(t *testing.T) {
	drive.CountsInKernel(t)
	for name, command := range steady(t, engineTarget(t)) {
		t.Run(name, func(t *testing.T) {
			const tries = 8
			var apart, far map[string]string
			quiet := 0
			for n := range tries {
				others := cpuOfOthers(t)
				stopped, counted := runBy(t, "ptrace", command...), runBy(t, "kernel", command...)
				share := others()
				still, stillFar := mediansApart(&stopped, &counted, 0.1), mediansApart(&stopped, &counted, 0.8)
				busy := share > 0.25 // the guard, ticks and the host use some 0.1
				if !busy {
					quiet++
				}
				if n == 0 {
					apart, far = still, stillFar
				}
				maps.DeleteFunc(apart, func(call, _ string) bool { return still[call] == "" })
				maps.DeleteFunc(far, func(call, _ string) bool { return stillFar[call] == "" })
				t.Logf("others use %.2f CPUs: %v", share, still)
				if len(apart) == 0 || busy && n > 0 && len(far) == 0 {
					return
				}
			}
			if quiet < tries/2 {
				apart = far
			}
			if len(apart) > 0 {
				t.Errorf("medians are apart: %v", apart)
			}
		})
	}
}

// cpuOfOthers begins to count the CPUs that others use than this process and its children that end meanwhile.
func cpuOfOthers(t *testing.T) func() float64 {
	t.Helper()
	of := func(who int) time.Duration {
		var use syscall.Rusage
		drive.Check(t, syscall.Getrusage(who, &use))
		return time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	now := func() (busy, own time.Duration) {
		line, _, _ := strings.Cut(drive.Read("/proc/stat"), "\n")
		const idle, iowait, guest, tick = 4, 5, 9, time.Second / 100 // proc_stat(5); guest's time is in user's, too
		for i, field := range strings.Fields(line) {
			if n, err := strconv.Atoi(field); err == nil && i != idle && i != iowait && i < guest {
				busy += time.Duration(n) * tick
			}
		}
		return busy, of(syscall.RUSAGE_SELF) + of(syscall.RUSAGE_CHILDREN)
	}
	begin := time.Now()
	busyBefore, ownBefore := now()
	return func() float64 {
		busy, own := now()
		return float64(busy-busyBefore-own+ownBefore) / float64(time.Since(begin))
	}
}

// mediansApart has the frequent calls whose medians are further apart than a share of the larger one and 0.3 µs, but for the way
// into the kernel and back.
func mediansApart(stopped, counted *engineRun, share float64) map[string]string {
	const frequent, ns = 1000, 300
	apart, way := make(map[string]string), wayIn()
	// Where the way is long, so is what a stop leaves cold for the call: 0.44 and 0.54 µs of getdents64 were seen where it is 1 µs.
	near := ns + way/2
	for _, x := range stopped.Rows {
		for _, y := range counted.Rows {
			p, q := x.Latency.P50, y.Latency.P50+way
			if x.Name == y.Name && x.ABI == y.ABI && x.Calls >= frequent && math.Abs(p-q) > near && math.Abs(p-q) > share*max(p, q) {
				apart[x.Name] = fmt.Sprintf("%.0f ns by ptrace, %.0f in the kernel", p, q)
			}
		}
	}
	return apart
}

// wayIn is what a call takes before the kernel's engine sees it and after that, in ns: nearly nothing on most machines, and a
// microsecond where a hypervisor changes page tables meanwhile (PVM).
func wayIn() float64 {
	const (
		batches, calls = 200, 1000
		seenNs         = 100 // of an empty call, about: by the kernel's engine
	)
	least := math.Inf(1)
	for range batches {
		begin := time.Now()
		for range calls {
			syscall.RawSyscall(syscall.SYS_GETPPID, 0, 0, 0)
		}
		least = min(least, float64(time.Since(begin).Nanoseconds())/calls)
	}
	return max(least-seenNs, 0)
}

// What is missing to the kernel's engine is said, with the other engine to use instead.
func TestEngineRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--engine=kernel", "--pprof=x", "--labels=pid,fd", "true"}, "--labels=fd needs a look at each call, which counting in the kernel does not have: use --engine=ptrace"},
		{[]string{"--engine=kernel", "--by=fd", "true"}, "--by and --only by fd need a look at each call, which counting in the kernel does not have: use --engine=ptrace"},
		{[]string{"--engine=kernel", "--only=state=waiting", "true"}, "--by and --only by state need a look at each call"},
		{[]string{"--engine=kernel", "--slower=1ms", "--timed=1/16", "true"}, "--timed does not go with --slower"},
		{[]string{"--engine=kernel", "--slower=1ms", "--only=comm=x", "true"}, "--slower goes with --only where each call is seen"},
		{[]string{"--engine=kernel", "--slower=1ms", "--stacks=full", "true"}, "--slower has stacks where threads are stopped"},
		{[]string{"--engine=kernel", "--time=cpu", "true"}, "--time=cpu needs a look at each call"},
		{[]string{"--engine=kernel", "--no-follow", "true"}, "--no-follow is for --engine=ptrace"},
		{[]string{"--engine=kernel", "--kill-on-exit", "true"}, "--kill-on-exit is for --engine=ptrace"},
		{[]string{"--engine=kernel", "--cpu=0", "true"}, "--cpu is for --engine=ptrace"},
		{[]string{"--engine=kernel", "-O1", "true"}, "-O is for --engine=ptrace"},
		{[]string{"--engine=strace", "true"}, "\"strace\" is no engine; there are ptrace, kernel, auto, both"},
		{[]string{"-a", "--engine=ptrace"}, "-a counts the calls of the whole machine"},
		{[]string{"-a", "-p", "1"}, "-a counts all processes, and -p"},
		{[]string{"--timed=1/16", "true"}, "--timed is for counting in the kernel"},
		{[]string{"--timed=2/3", "--engine=kernel", "true"}, "\"2/3\" is no share of the calls"},
		{[]string{"--engine=both", "--no-follow", "true"}, "--no-follow does not go with --engine=both"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			o := drive.Run(t, drive.Plain(t, tt.args...))
			o.Exited(t, 2)
			if !strings.Contains(o.Stderr, tt.want) || strings.Count(o.Stderr, "\n") != 1 {
				t.Errorf("%q\nwant %q", o.Stderr, tt.want)
			}
		})
	}
}

// An ordinary user is told what it takes, and what does without; --engine=auto does without by itself.
func TestEngineWithoutRights(t *testing.T) {
	needs.Root(t)
	as := needs.Program(t, "setpriv", "util-linux")
	user := []string{"--reuid=65534", "--regid=65534", "--clear-groups", drive.Program(t), "-c"}
	o := drive.Run(t, exec.Command(as, append(user, "--engine=kernel", "/bin/true")...))
	o.Exited(t, 1)
	if want := "sysprof: counting in the kernel takes root, or the capabilities CAP_BPF and CAP_PERFMON (operation not permitted); --engine=ptrace does without\n"; o.Stderr != want {
		t.Errorf("%q\nwant %q", o.Stderr, want)
	}
	o = drive.Run(t, exec.Command(as, append(user, "--engine=auto", "/bin/true")...))
	o.Exited(t, 0)
	if want := "sysprof: --engine=auto: ptrace, as counting in the kernel takes root"; !strings.HasPrefix(o.Stderr, want) {
		t.Errorf("%q\nwant %q first", o.Stderr, want)
	}
	if _, _, ok := drive.Row(o.Stderr, "execve"); !ok {
		t.Errorf("no table:\n%s", o.Stderr)
	}
}

// Nothing stays in the kernel when sysprof is killed, and what it counted goes on.
func TestKernelEngineKilled(t *testing.T) {
	drive.CountsInKernel(t)
	sleeper := drive.Start(t, exec.Command("sleep", "1000"))
	before := loadedPrograms(t)
	s := drive.Start(t, drive.Plain(t, "--engine=kernel", "--pprof", filepath.Join(t.TempDir(), "never"), "-p", fmt.Sprint(sleeper.Pid())))
	drive.Eventually(t, "programs are loaded", func() bool { return loadedPrograms(t) > before })
	drive.Kill(s.Pid())
	drive.Eventually(t, "programs are gone", func() bool { return loadedPrograms(t) <= before })
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", sleeper.Pid())); err != nil {
		t.Error("the program that was counted is gone, too")
	}
}

// loadedPrograms is how many of our programs processes have descriptors of.
func loadedPrograms(t *testing.T) (n int) {
	t.Helper()
	infos, _ := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	for _, info := range infos {
		if text, err := os.ReadFile(info); err == nil && strings.Contains(string(text), "prog_type:") {
			n++
		}
	}
	return n
}

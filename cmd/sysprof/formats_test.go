package main_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
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
	"unicode/utf8"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// savedRun is what these tests need of a file of --json.
type savedRun struct {
	Format   string
	Overhead struct {
		Source   string
		Calls    int64
		Transit  struct{ Ns int64 }         `json:"transit_per_call"`
		Total    struct{ Ns int64 }         `json:"total"`
		Untraced struct{ Ns int64 }         `json:"untraced"`
		HoldNs   int64                      `json:"hold_ns"`
		WallNs   int64                      `json:"wall_ns"`
		Slowdown struct{ Estimate float64 } `json:"slowdown"`
	}
	Total    savedTotals
	Rows     []savedRow
	Warnings []string
}

type savedTotals struct {
	Calls, Errors int64
	CPUCalls      int64  `json:"cpu_calls"`
	CPUNs         *int64 `json:"cpu_ns"`
	OffCPUNs      *int64 `json:"off_cpu_ns"`
	Latency       struct {
		Sum int64 `json:"sum_ns"`
		P50 int64 `json:"p50_ns"`
		Max int64 `json:"max_ns"`
	}
}

type savedRow struct {
	Name  string
	RawNs int64 `json:"raw_ns"`

	UpperBound bool `json:"upper_bound"`
	savedTotals
}

func readSaved(t *testing.T, file string) (run savedRun) {
	t.Helper()
	drive.Check(t, json.Unmarshal([]byte(drive.Read(file)), &run))
	if run.Format != "sysprof" {
		t.Fatalf("its format is %q", run.Format)
	}
	return run
}

func (r savedRun) row(t *testing.T, name string) savedRow {
	t.Helper()
	i := slices.IndexFunc(r.Rows, func(r savedRow) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no row of %s", name)
	}
	return r.Rows[i]
}

// saved runs a command under sysprof --json.
func saved(t *testing.T, flags []string, command ...string) savedRun {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.json")
	drive.Succeed(t, drive.Plain(t, slices.Concat([]string{"-o", "/dev/null", "--json", file}, flags, command)...))
	return readSaved(t, file)
}

func TestASavedRunLooksTheSame(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "run.json")
	for i, flags := range [][]string{
		{}, {"-c"}, {"--errors"}, {"--histogram"}, {"-c", "--histogram=getpgid", "--errors"},
		{"--time=cpu"}, {"-c", "--time=cpu"}, {"--raw"}, {"-O", "1us"}, {"-q"}, {"-c", "-S", "name", "-U", "name,calls"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			csvs := []string{filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv")}
			o := drive.Run(t, drive.As(drive.Plain(t, slices.Concat(flags, []string{"--json", file, "--csv", csvs[0], drive.Self()})...), "outcomes"))
			if flags = slices.Clone(flags); len(flags) > 0 && (flags[0] == "--raw" || flags[0] == "-O") {
				flags = nil // the saved times are what these have made of them
			}
			o.Exited(t, 0)
			again := drive.Run(t, drive.Plain(t, slices.Concat(flags, []string{"--from-json", file, "--csv", csvs[1], "--json", file + "2"})...))
			again.Exited(t, 0)
			if o.Stderr != again.Stdout || o.Stderr == "" || again.Stderr != "" {
				t.Errorf("run %d:\n%s\nshown again:\n%s%s", i, o.Stderr, again.Stdout, again.Stderr)
			}
			if drive.Read(csvs[0]) != drive.Read(csvs[1]) {
				t.Errorf("another CSV:\n%s\n%s", drive.Read(csvs[0]), drive.Read(csvs[1]))
			}
			if drive.Read(file) != drive.Read(file+"2") {
				t.Error("another JSON")
			}
		})
	}
}

func TestFromJSONFailures(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	drive.WriteFile(t, bad, "{}")
	for _, test := range []struct {
		args   []string
		status int
	}{
		{[]string{"--from-json", filepath.Join(dir, "missing")}, 1},
		{[]string{"--from-json", bad}, 1},
		{[]string{"--from-json", dir}, 1},
		{[]string{"--from-json", bad, "true"}, 2},
		{[]string{"--from-json", bad, "-p", "1"}, 2},
	} {
		o := drive.Run(t, drive.Plain(t, test.args...))
		o.Exited(t, test.status)
		if strings.Count(o.Stderr, "\n") != 1 || !strings.HasPrefix(o.Stderr, "sysprof: ") || o.Stdout != "" {
			t.Errorf("%q: stdout %q, stderr %q", test.args, o.Stdout, o.Stderr)
		}
	}
}

func TestCSV(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run.csv")
	table := filepath.Join(t.TempDir(), "table")
	flags := slices.Concat(drive.CountColumns, []string{"-q", "-o", table, "--csv", file, drive.Self()})
	o := drive.Run(t, drive.As(drive.Plain(t, flags...), "outcomes"))
	o.Exited(t, 0)
	records, err := csv.NewReader(strings.NewReader(drive.Read(file))).ReadAll()
	drive.Check(t, err)
	column := func(name string) int {
		i := slices.IndexFunc(records[0], func(head string) bool { return head == name })
		if i < 0 {
			t.Fatalf("there is no column %q: %q", name, records[0])
		}
		return i
	}
	name, calls, errs := column("call"), column("calls"), column("errors")
	got := drive.Counts{}
	for _, r := range records[1:] {
		c, err1 := strconv.Atoi(r[calls])
		e, err2 := strconv.Atoi(r[errs])
		if err1 != nil || err2 != nil {
			t.Fatalf("a record: %q", r)
		}
		got[r[name]] = drive.Tally{Calls: c, Errors: e}
	}
	if want := drive.ParseCounts(t, drive.Read(table)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the CSV says\n%v, the table\n%v", got, want)
	}
}

func TestErrorsAndHistogram(t *testing.T) {
	o := drive.Run(t, drive.As(drive.Plain(t, "--errors", drive.Self()), "outcomes"))
	o.Exited(t, 0)
	if !regexp.MustCompile(`(?m)^.*\bgetpgid\b.*\bESRCH\b.*\b12\b.*$`).MatchString(o.Stderr) &&
		!regexp.MustCompile(`(?m)^.*\b12\b.*\bESRCH\b.*$`).MatchString(o.Stderr) {
		t.Errorf("there are no 12 ESRCH:\n%s", o.Stderr)
	}
	o = drive.Run(t, drive.As(drive.Plain(t, "--histogram=getpgid", drive.Self()), "outcomes"))
	o.Exited(t, 0)
	if !strings.Contains(o.Stderr, "getpgid") || !strings.ContainsAny(o.Stderr, "█▏▎▍▌▋▊▉") || strings.Contains(o.Stderr, "umask") {
		t.Errorf("no histogram of getpgid:\n%s", o.Stderr)
	}
	whole := drive.Run(t, drive.As(drive.Plain(t, "--histogram", drive.Self()), "outcomes"))
	whole.Exited(t, 0)
	if !strings.ContainsAny(whole.Stderr, "█▏▎▍▌▋▊▉") {
		t.Errorf("no histogram:\n%s", whole.Stderr)
	}
}

// cpuC has a thread that is busy for about 50 ms in calls, another that sleeps at the same time, and one
// that waits for a busy child. It prints the CPU time of the first one's calls.
const cpuC = `
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static char buf[1 << 20];
static long cpu(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
static void *busy(void *arg) {
	int zero = open("/dev/zero", O_RDONLY);
	long start = cpu(), n = 0;
	for (; cpu() - start < 50000000; n++) if (pread(zero, buf, sizeof buf, 0) < 0) abort();
	printf("%ld %ld\n", n, cpu() - start);
	return arg;
}
static void *asleep(void *arg) {
	struct timespec t = {0, 50000000};
	nanosleep(&t, 0);
	return arg;
}
int main(void) {
	pthread_t a, b;
	pthread_create(&a, 0, busy, 0);
	pthread_create(&b, 0, asleep, 0);
	pthread_join(a, 0);
	pthread_join(b, 0);
	pid_t child = fork();
	if (child == 0) {
		for (long start = cpu(); cpu() - start < 50000000;) ;
		_exit(0);
	}
	waitpid(child, 0, 0);
	return 0;
}
`

func TestCPUTimeOfThreads(t *testing.T) {
	program := compile(t, cpuC)
	file := filepath.Join(t.TempDir(), "run.json")
	o := drive.Run(t, drive.Plain(t, "-c", "--time=cpu", "--json", file, program))
	o.Exited(t, 0)
	var reads, cpuNs int64
	if _, err := fmt.Sscan(o.Stdout, &reads, &cpuNs); err != nil {
		t.Fatalf("%v: %q", err, o.Stdout)
	}
	r := readSaved(t, file)
	pread, sleep, wait := r.row(t, "pread64"), r.row(t, "clock_nanosleep"), r.row(t, "wait4")
	// Half of what the program's clock says is of its clock_gettime calls, and of what stops add.
	if pread.Calls < reads || pread.CPUCalls != pread.Calls || *pread.CPUNs < cpuNs/3 || *pread.CPUNs > cpuNs*11/10 {
		t.Errorf("%d reads with %d ns of CPU time; by the program's clock %d with %d", pread.Calls, *pread.CPUNs, reads, cpuNs)
	}
	if sleep.Calls != 1 || *sleep.CPUNs > 2e6 || *sleep.OffCPUNs < 45e6 {
		t.Errorf("a sleep of 50 ms: CPU time %d ns, off CPU %d ns", *sleep.CPUNs, *sleep.OffCPUNs)
	}
	if *wait.CPUNs > 5e6 || *wait.OffCPUNs < 30e6 {
		t.Errorf("a wait for a busy child: CPU time %d ns, off CPU %d ns", *wait.CPUNs, *wait.OffCPUNs)
	}
	// The table of -c shows CPU time then.
	for _, line := range strings.Split(o.Stderr, "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[len(f)-1] == "clock_nanosleep" {
			if seconds, _ := strconv.ParseFloat(f[1], 64); seconds > 0.002 {
				t.Errorf("the table bills a sleeper %v s", seconds)
			}
		}
	}
	without := saved(t, nil, "true")
	if without.Total.CPUNs != nil || without.Total.OffCPUNs != nil {
		t.Error("there is CPU time that nobody asked for")
	}
}

func TestCorrectionByHandAndNone(t *testing.T) {
	command := []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=2000", "status=none"}
	second := saved(t, []string{"-O", "1s"}, command...)
	if second.Overhead.Source != "by hand" || second.Total.Latency.Sum != 0 {
		t.Errorf("-O 1s leaves %+v of latencies; %+v", second.Total, second.Overhead)
	}
	if o := second.Overhead; o.Transit.Ns <= 0 || o.Total.Ns > o.WallNs {
		t.Errorf("calls are said to have lost more time to tracing than they took: %+v", o)
	}
	if w := strings.Join(second.Warnings, "\n"); !strings.Contains(w, "100 % of the calls took less than the transit given by hand") {
		t.Errorf("nothing is said of -O 1s: %q", w)
	}
	raw := saved(t, []string{"--raw"}, command...)
	if raw.Overhead.Source != "uncorrected" || raw.Overhead.Untraced.Ns != 0 || raw.Overhead.HoldNs <= 0 {
		t.Errorf("--raw: %+v", raw.Overhead)
	}
	for _, r := range raw.Rows {
		if r.RawNs != r.Latency.Sum {
			t.Errorf("--raw: %s has a latency of %d ns and a raw one of %d", r.Name, r.Latency.Sum, r.RawNs)
		}
	}
	// strace's ways to write a time, all shorter than any traced call.
	for arg, wantNs := range map[string]float64{
		"1": 1_000, ".5": 500, "0": 0, "1e0": 1_000, "1e0us": 1_000, "1e-3ms": 1_000, "1e-6s": 1_000, "700ns": 700,
	} {
		o := saved(t, []string{"-O", arg}, "true").Overhead
		if math.Abs(float64(o.Transit.Ns)-wantNs) > 0.02*wantNs {
			t.Errorf("-O %s: %+v", arg, o)
		}
	}
	measured := saved(t, nil, command...)
	if o := measured.Overhead; o.Source != "calibrated" || o.Transit.Ns <= 0 || o.Calls != measured.Total.Calls ||
		o.Untraced.Ns <= 0 || o.Untraced.Ns > o.WallNs || o.Slowdown.Estimate < 1 {
		t.Errorf("measured: %+v", o)
	}
	if got, untouched := measured.row(t, "read").Latency.P50, raw.row(t, "read").Latency.P50; got >= untouched {
		t.Errorf("the median of read is %d ns, and %d raw", got, untouched)
	}

	o := drive.Run(t, drive.Plain(t, append([]string{"--raw"}, command...)...))
	if !strings.Contains(o.Stderr, "latencies are raw") {
		t.Errorf("--raw does not say so:\n%s", o.Stderr)
	}
	o = drive.Run(t, drive.Plain(t, append([]string{"-O", "1us"}, command...)...))
	if !strings.Contains(o.Stderr, "as given by hand") {
		t.Errorf("-O does not say so:\n%s", o.Stderr)
	}
}

// TestFilesAreReplacedWhole: see TestPprofIsWrittenWholeOrNot.
func TestFilesAreReplacedWhole(t *testing.T) {
	for _, option := range []string{"--json", "--csv", "--html"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		drive.WriteFile(t, file, "what was here")
		drive.Run(t, drive.Plain(t, option, file, "no-such-command-anywhere")).Exited(t, 127)
		if drive.Read(file) != "what was here" {
			t.Errorf("%s: the file holds %q", option, drive.Read(file))
		}
		drive.Run(t, drive.Plain(t, option, filepath.Join(dir, "missing", "file"), "true")).Exited(t, 1)
		drive.Run(t, drive.Plain(t, option, file, "sh", "-c", "exit 4")).Exited(t, 4)
		if drive.Read(file) == "what was here" {
			t.Errorf("%s: nothing was written", option)
		}
		onlyEntry(t, dir, "file")
	}
}

// TestLinksStayLinks: who writes through a link wants what it names to be written, and /dev/stdout is one.
func TestLinksStayLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	drive.WriteFile(t, file, "what was here")
	drive.Check(t, os.Symlink("file", link))
	drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--json", link, "true"))
	if target, err := os.Readlink(link); err != nil || target != "file" {
		t.Errorf("the link is gone: %v", err)
	}
	readSaved(t, file)
}

// TestFilesOnDescriptors: what /dev/stdout is to a user, these paths are as well.
func TestFilesOnDescriptors(t *testing.T) {
	const stdout = "/proc/self/fd/1"
	t.Run("a pipe", func(t *testing.T) {
		out := drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--json", stdout, "echo", "said"))
		text, ok := strings.CutPrefix(out, "said\n")
		if !ok || !json.Valid([]byte(text)) {
			t.Errorf("stdout: %.200q", out)
		}
	})
	t.Run("a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		drive.Succeed(t, exec.Command("sh", "-c", `"$0" -q -o /dev/null --json "$1" echo said > "$2"`, drive.Program(t), stdout, file))
		text, ok := strings.CutPrefix(drive.Read(file), "said\n")
		if !ok || !json.Valid([]byte(text)) {
			t.Errorf("the file holds %.200q", drive.Read(file))
		}
	})
	t.Run("attached", func(t *testing.T) {
		target := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		target.Line()
		out := drive.Succeed(t, drive.Plain(t, "-q", "-o", os.DevNull, "--json", stdout, "--duration=100ms", "-p", strconv.Itoa(target.Pid())))
		if !json.Valid([]byte(out)) {
			t.Errorf("stdout: %.200q", out)
		}
	})
	t.Run("another descriptor", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		drive.Succeed(t, exec.Command("sh", "-c", `"$0" -q -o /dev/null --csv /proc/self/fd/5 echo said 5> "$1"`, drive.Program(t), file))
		if !strings.HasPrefix(drive.Read(file), "call,") {
			t.Errorf("the file holds %.200q", drive.Read(file))
		}
	})
}

// onTerminal runs a command whose stderr is a terminal of that many columns, and returns all that is written
// to it.
func onTerminal(t *testing.T, columns uint16, cmd *exec.Cmd) string {
	t.Helper()
	master, terminal := drive.OpenTerminal(t)
	drive.Check(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	cmd.Stderr = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	drive.Check(t, cmd.Start())
	terminal.Close() // so that it ends with the command
	var text bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&text, master)
	}()
	status := drive.WaitFor(t, cmd)
	select {
	case <-done:
	case <-time.After(drive.Patience):
		t.Fatal("the terminal is still open")
	}
	(drive.Outcome{Status: status, Stderr: text.String()}).Exited(t, 0)
	return strings.ReplaceAll(text.String(), "\r\n", "\n")
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

func TestTableOnATerminal(t *testing.T) {
	for _, columns := range []uint16{60, 80, 132} {
		for _, flags := range [][]string{nil, {"--histogram"}, {"--errors"}} {
			t.Run(fmt.Sprint(columns, flags), func(t *testing.T) {
				cmd := drive.As(drive.Plain(t, append(slices.Clone(flags), drive.Self())...), "outcomes")
				cmd.Env = append(cmd.Environ(), "TERM=xterm", "NO_COLOR=")
				text := onTerminal(t, columns, cmd)
				if !escape.MatchString(text) {
					t.Errorf("there is no colour in %q", text)
				}
				if strings.Count(text, "\n") < 3 {
					t.Errorf("no table: %q", text)
				}
				for line := range strings.SplitSeq(escape.ReplaceAllString(text, ""), "\n") {
					line = line[strings.LastIndexByte(line, '\r')+1:] // behind a status line, if it took that long
					if n := utf8.RuneCountInString(line); n > int(columns) {
						t.Errorf("a line has %d columns of %d: %q", n, columns, line)
					}
					if strings.ContainsAny(line, "\x1b") {
						t.Errorf("an odd escape sequence in %q", line)
					}
				}
			})
		}
	}
}

func TestNoColor(t *testing.T) {
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
		cmd := drive.Plain(t, "true")
		cmd.Env = append(cmd.Environ(), "TERM=xterm", "NO_COLOR=", env)
		if text := onTerminal(t, 80, cmd); strings.Contains(text, "\x1b") || !strings.Contains(text, "execve") {
			t.Errorf("%s: %q", env, text)
		}
	}
	if o := drive.Run(t, drive.Plain(t, "true")); strings.Contains(o.Stderr, "\x1b") {
		t.Errorf("colour where there is no terminal: %q", o.Stderr)
	}
	file := filepath.Join(t.TempDir(), "table")
	onTerminal(t, 80, drive.Plain(t, "-o", file, "true"))
	if strings.Contains(drive.Read(file), "\x1b") || !strings.Contains(drive.Read(file), "execve") {
		t.Errorf("a file: %q", drive.Read(file))
	}
	cmd := drive.Plain(t, "-c", "true")
	cmd.Env = append(cmd.Environ(), "TERM=xterm", "NO_COLOR=")
	if text := onTerminal(t, 80, cmd); strings.Contains(text, "\x1b[") && strings.Contains(text, "m% time") {
		t.Errorf("strace's table in colour: %q", text)
	}
}

func TestStatusLine(t *testing.T) {
	const shown = "calls/s"
	target := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
	target.Line()
	attach := func(flags ...string) string {
		cmd := drive.Plain(t, append(flags, "--duration=1.7", "-p", strconv.Itoa(target.Pid()))...)
		cmd.Env = append(cmd.Environ(), "TERM=xterm", "NO_COLOR=")
		return onTerminal(t, 70, cmd)
	}
	t.Run("attached", func(t *testing.T) {
		text := attach()
		if !regexp.MustCompile(`· 1 process · \d+ threads? ·`).MatchString(text) {
			t.Errorf("one process is traced: %q", text)
		}
		last := strings.LastIndex(text, shown)
		if last < 0 {
			t.Fatalf("there is no status line in %q", text)
		}
		erased := strings.Index(text[last:], "\r"+strings.Repeat(" ", 69)+"\r")
		if erased < 0 || strings.Contains(text[last:last+erased], "\n") {
			t.Fatalf("it is not erased: %q", text)
		}
		for line := range strings.SplitSeq(text[:last+erased], "\r") {
			if n := utf8.RuneCountInString(line); n > 69 {
				t.Errorf("a status line has %d columns of 70: %q", n, line)
			}
		}
	})
	t.Run("quiet", func(t *testing.T) {
		if text := attach("-q"); strings.Contains(text, shown) {
			t.Errorf("there is a status line in %q", text)
		}
	})
	t.Run("a table in a file", func(t *testing.T) {
		text := attach("-o", os.DevNull)
		attached, rest, _ := strings.Cut(text, "\n")
		if !strings.HasPrefix(attached, "sysprof: attached to ") || !strings.Contains(rest, shown) || strings.Contains(rest, "\n") {
			t.Errorf("the terminal shows %q", text)
		}
	})
	t.Run("a short run", func(t *testing.T) {
		if text := onTerminal(t, 70, drive.Plain(t, "true")); strings.Contains(text, shown) {
			t.Errorf("there is a status line in %q", text)
		}
	})
	target.Alive()
}

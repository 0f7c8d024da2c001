package compare

import (
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysprof/profile"
	"sysprof/report"
)

// samplesOf makes a runner with rounds of untraced, sysprof and strace, in ms; 0 is a run that is missing.
func samplesOf(rounds ...[3]int64) *runner {
	r := &runner{Plan: &Plan{}, tracers: []*tracer{{name: untraced}, {name: sysprof}, {name: "strace -f -c"}}}
	for _, ms := range rounds {
		round := make(map[*tracer]*sample)
		for i, t := range r.tracers {
			if ms[i] == 0 {
				continue
			}
			round[t] = &sample{ns: ms[i] * 1e6, calls: 1000, stopped: 1001}
			if i == 1 {
				round[t].overhead = &profile.Overhead{WallNs: ms[i]*1e6 - 20e6, UntracedNs: profile.Estimate{Ns: 11e6, LowNs: 9e6, HighNs: 12e6}}
			}
		}
		r.rounds = append(r.rounds, round)
	}
	return r
}

// Values are compared within a round: a machine that becomes slower changes no ratio. Rounds that have not all of what is
// compared are left out of it.
func TestFigures(t *testing.T) {
	r := samplesOf([3]int64{10, 100, 200}, [3]int64{20, 200, 400}, [3]int64{0, 999, 40}, [3]int64{40, 400, 0})
	c := r.comparison()
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	if c.Rounds != 3 || len(c.Tracers) != 2 {
		t.Fatalf("%d rounds, %d tracers", c.Rounds, len(c.Tracers))
	}
	near("the time alone", c.Untraced.Time.Median, 20e6)
	near("sysprof's time", c.Tracers[0].Time.Median, 300e6)
	near("sysprof's slowdown, at least", c.Tracers[0].Slowdown.Lo, 10)
	near("sysprof's slowdown, at most", c.Tracers[0].Slowdown.Hi, 10)
	near("strace's slowdown", c.Tracers[1].Slowdown.Median, 20)
	near("added by sysprof", c.Tracers[0].Added.Median, 180e6/1001.)
	near("added by strace", c.Tracers[1].Added.Median, (190e6+380e6)/2/1001.)
	near("sysprof's own time", c.Sysprof.Time.Median, 20e6)
	near("added apart from that", c.Sysprof.Added.Median, 160e6/1001.)
	near("the estimate", c.Estimated.Time.Median, 11e6)
	near("the estimate ÷ the time", c.Estimated.ToMeasured.Median, 0.55)
	if c.Estimated.Held != 0 || c.Estimated.Runs != 4 {
		t.Errorf("the range holds %d of %d", c.Estimated.Held, c.Estimated.Runs)
	}
	if held := samplesOf([3]int64{9, 100, 200}, [3]int64{12, 100, 200}).comparison().Estimated.Held; held != 2 {
		t.Errorf("the range holds %d of 2", held)
	}
}

// Without an account of what tracing cost, as with --raw, there is no estimate; without calls, nothing is added to one.
func TestFiguresThatAreMissing(t *testing.T) {
	r := samplesOf([3]int64{10, 100, 200})
	s := r.rounds[0][r.tracers[1]]
	s.overhead, s.stopped = nil, 0
	c := r.comparison()
	if c.Estimated != nil || c.Sysprof != nil || !math.IsNaN(c.Tracers[0].Added.Median) {
		t.Errorf("estimate %v, own time %v, added %v", c.Estimated, c.Sysprof, c.Tracers[0].Added)
	}
	r.tracers[2].failed = "it may not"
	if c := r.comparison(); len(c.LeftOut) != 1 || len(c.Tracers) != 1 {
		t.Errorf("left out %v", c.LeftOut)
	}
}

func TestWarningsAndEndings(t *testing.T) {
	warned := func(status unix.WaitStatus, kinds ...profile.WarningKind) *sample {
		s := &sample{status: status}
		for i, kind := range kinds {
			s.warnings = append(s.warnings, profile.Warning{Kind: kind, Count: uint64(i)})
		}
		return s
	}
	samples := []*sample{
		warned(0, profile.StoodStill, profile.TracerStarved, profile.StoodStill),
		warned(7<<8, profile.StoodStill),
		warned(unix.WaitStatus(unix.SIGSEGV)),
	}
	list := warnings(samples)
	if len(list) != 2 || list[0].Runs != 2 || list[0].Of != 3 || list[1].Runs != 1 {
		t.Errorf("%+v", list)
	}
	ends := endings("x", samples)
	if len(ends) != 3 || ends[0].How != report.Succeeded || ends[1].How != "exit status 7" || ends[2].How != "died of SIGSEGV" {
		t.Errorf("%+v", ends)
	}
}

// The calls in what tracers write, of old and of new versions.
func TestReadOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	for _, test := range []struct {
		name, text string
		read       func(*tracer, *sample) error
		status     unix.WaitStatus
		calls      uint64
		fails      bool
	}{
		{"strace 6.1", "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n100.00    0.000049           1        31        13 total\n", readStrace, 0, 31, false},
		{"strace 6.1 without errors", "------ ----------- ----------- --------- --------- ----------------\n100.00    0.000000           0     12345           total\n", readStrace, 256, 12345, false},
		{"strace 5.0", "------ ----------- ----------- --------- --------- ----------------\n100.00    0.000000                    29         1 total\n", readStrace, 0, 29, false},
		{"strace 5.0 without errors", "------ ----------- ----------- --------- --------- ----------------\n100.00    0.000000                    29           total\n", readStrace, 0, 29, false},
		{"strace of no calls", "", readStrace, 0, 0, false},
		{"strace fails", "", readStrace, 256, 0, true},
		{"perf", "\n Summary of events:\n\n ls (1), 114 events, 93.4%\n\n   syscall            calls  errors  total       min       avg       max       stddev\n                                     (msec)    (msec)    (msec)    (msec)        (%)\n   --------------- --------  ------ -------- --------- --------- ---------     ------\n   openat                34     13     0.542     0.012     0.016     0.035      5.64%\n   close                 23      0     0.317     0.011     0.014     0.037      9.04%\n", readPerf, 0, 57, false},
		{"perf without errors in its table", "\n Summary of events:\n\n   openat                34     0.542     0.012     0.016     0.035      5.64%\n", readPerf, 0, 34, false},
		{"perf of no calls", "\n Summary of events:\n\n", readPerf, 0, 0, false},
		{"perf fails", "Error:\tNo permissions\n", readPerf, 255 << 8, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			s := &sample{status: test.status}
			err := test.read(&tracer{out: file}, s)
			if s.calls != test.calls || (err != nil) != test.fails {
				t.Errorf("%d calls, %v", s.calls, err)
			}
		})
	}
}

func TestComplaint(t *testing.T) {
	for _, test := range []struct{ stderr, want string }{
		{"ls: x\nstrace: no\nstrace: more\n", "no"},
		{"Error:\tNo permissions\nHint:\tx\n", "No permissions"},
		{"\n  event syntax error: '%file'\n   ^\n", "event syntax error: '%file'"},
		{"", ""},
	} {
		if got := complaint("strace", test.stderr); got != test.want {
			t.Errorf("%q says %q, want %q", test.stderr, got, test.want)
		}
	}
}

// A signal that comes just after a run may be what ended it.
func TestRunBeforeASignalIsForgotten(t *testing.T) {
	for _, test := range []struct {
		name  string
		ended time.Time
		runs  int
	}{
		{"at once", time.Now().Add(time.Hour), 1}, // however long this takes
		{"long after", time.Now().Add(-time.Hour), 2},
	} {
		r := samplesOf([3]int64{10, 100, 200}, [3]int64{10, 100, 200})
		r.last, r.lastEnd = r.tracers[1], test.ended
		if !r.take(syscall.SIGINT) || r.stoppedBy != unix.SIGINT {
			t.Errorf("%s: it does not end", test.name)
		}
		if runs := len(r.samples(r.tracers[1])); runs != test.runs {
			t.Errorf("%s: %d runs are left, want %d", test.name, runs, test.runs)
		}
	}
}

func TestParentOf(t *testing.T) {
	if parent, ok := parentOf(os.Getpid()); !ok || parent != os.Getppid() {
		t.Errorf("%d, %v", parent, ok)
	}
	// A name with all that makes it hard to read.
	if err := os.WriteFile("/proc/self/comm", []byte("a) Z 1 (b"), 0); err != nil {
		t.Fatal(err)
	}
	if parent, ok := parentOf(os.Getpid()); !ok || parent != os.Getppid() {
		t.Errorf("with a name of parentheses: %d, %v", parent, ok)
	}
}

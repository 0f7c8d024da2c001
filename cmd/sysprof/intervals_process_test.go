package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysprof/cmd/internal/drive"

	"golang.org/x/sys/unix"
)

// object is what a line of --json says, as far as the tests below ask.
type object struct {
	Meta struct {
		Interval  int           `json:"interval"`
		Intervals int           `json:"intervals"`
		Start     time.Time     `json:"start"`
		End       time.Time     `json:"end"`
		Duration  time.Duration `json:"duration_ns"`
	} `json:"meta"`
	PerSecond float64 `json:"calls_per_second"`
	Total     totals  `json:"total"`
	Rows      []struct {
		Name string `json:"name"`
		totals
	} `json:"rows"`
}

type totals struct {
	Calls   int `json:"calls"`
	Errors  int `json:"errors"`
	Latency struct {
		SumNs int64 `json:"sum_ns"`
	} `json:"latency"`
}

// objects reads the lines of --json. The last one, which is of the whole run, is checked to be what the others add up to.
func objects(t *testing.T, text string) (intervals []object, whole object) {
	t.Helper()
	sum := make(map[string]totals)
	add := func(name string, of totals) {
		s := sum[name]
		s.Calls += of.Calls
		s.Errors += of.Errors
		s.Latency.SumNs += of.Latency.SumNs
		sum[name] = s
	}
	for line := range strings.Lines(text) {
		var o object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		if o.Meta.Interval == 0 {
			if whole.Rows != nil {
				t.Error("there are two objects of the whole run")
			}
			whole = o
			continue
		}
		intervals = append(intervals, o)
		if o.Meta.Interval != len(intervals) || whole.Meta.Intervals != 0 {
			t.Errorf("interval %d is the object number %d", o.Meta.Interval, len(intervals))
		}
		add("", o.Total)
		for _, r := range o.Rows {
			add(r.Name, r.totals)
		}
	}
	if whole.Meta.Intervals != len(intervals) || len(intervals) == 0 {
		t.Errorf("the whole run says that it has %d intervals, and there are %d", whole.Meta.Intervals, len(intervals))
	}
	if whole.Total != sum[""] {
		t.Errorf("the run has %+v, its intervals %+v", whole.Total, sum[""])
	}
	if len(whole.Rows) != len(sum)-1 {
		t.Errorf("the run has %d rows, its intervals %d", len(whole.Rows), len(sum)-1)
	}
	for _, r := range whole.Rows {
		if r.totals != sum[r.Name] {
			t.Errorf("%s: the run has %+v, its intervals %+v", r.Name, r.totals, sum[r.Name])
		}
	}
	return intervals, whole
}

// headings are the lines over tables.
var headings = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d · (.*) · ([\d,]+) calls? · [\d.,]+ calls/s`)

// An interval may be long or short, and in all outputs they add up to the run.
func TestIntervalsAddUp(t *testing.T) {
	dir := t.TempDir()
	saved, lines := filepath.Join(dir, "json"), filepath.Join(dir, "csv")
	drive.Must(os.WriteFile(saved, []byte(strings.Repeat("what was there before\n", 10_000)), 0o644))
	s := drive.Start(t, drive.As(drive.Plain(t, "-i50ms", "--json", saved, "--csv", lines, drive.Self()), "echo"))
	s.Line()
	const calls = 20
	for done := 0; done < calls || len(headings.FindAllString(s.Written(), -1)) < 4; done++ {
		s.Alive()
		if done == calls-1 {
			time.Sleep(time.Millisecond) // the rest is made at leisure
		}
	}
	s.Say("end")
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	intervals, whole := objects(t, drive.Read(saved))

	heads := headings.FindAllStringSubmatch(s.Written(), -1)
	if last := heads[len(heads)-1]; !strings.HasPrefix(last[1], "all of ") || last[2] != grouped(whole.Total.Calls) {
		t.Errorf("the last heading is %q; the run has %d calls", last[0], whole.Total.Calls)
	}
	tables := 0
	for i, o := range intervals {
		if tables < len(heads) && heads[tables][2] == grouped(o.Total.Calls) {
			tables++
		}
		if o.Meta.Duration < 0 || i > 0 && !o.Meta.Start.Equal(intervals[i-1].Meta.End) {
			t.Errorf("interval %d takes %v and begins at %v; the one before ends at %v", i+1, o.Meta.Duration, o.Meta.Start, intervals[max(i-1, 0)].Meta.End)
		}
		if o.Meta.Duration == 0 { // sysprof stood still for as long, for want of a CPU
			continue
		}
		if want := float64(o.Total.Calls) / o.Meta.Duration.Seconds(); o.PerSecond < want*0.999 || o.PerSecond > want*1.001 {
			t.Errorf("interval %d has %v calls a second, want %v", i+1, o.PerSecond, want)
		}
	}
	if tables != len(heads)-1 {
		t.Errorf("%d of the %d tables are of the intervals of the file:\n%s", tables, len(heads)-1, s.Written())
	}

	rows := strings.Split(strings.TrimSpace(drive.Read(lines)), "\n")
	sum, all := 0, 0
	for _, row := range rows[1:] {
		cells := strings.Split(row, ",")
		calls, err := strconv.Atoi(cells[3])
		drive.Must(err)
		if number := cells[len(cells)-4]; number == "" {
			all += calls
		} else {
			sum += calls
		}
	}
	if strings.Count(drive.Read(lines), "call,abi,nr") != 1 || sum != all || all != whole.Total.Calls {
		t.Errorf("the rows of the intervals have %d calls, those of the whole %d, the run %d", sum, all, whole.Total.Calls)
	}

	shown := drive.Run(t, drive.Plain(t, "-c", "--from-json", saved))
	shown.Exited(t, 0)
	if !strings.Contains(shown.Stdout, " "+strconv.Itoa(whole.Total.Calls)+" ") {
		t.Errorf("--from-json does not show the whole run, of %d calls:\n%s", whole.Total.Calls, shown.Stdout)
	}
}

// The groups of an interval are of its calls, in every output.
func TestIntervalsHaveGroups(t *testing.T) {
	dir := t.TempDir()
	saved, lines := filepath.Join(dir, "json"), filepath.Join(dir, "csv")
	o := drive.Run(t, drive.As(drive.Plain(t, "-i20ms", "--by=tid", "--json", saved, "--csv", lines, drive.Self(), "8", "30"), "sleeps"))
	o.Exited(t, 0)
	type grouped struct {
		Meta   struct{ Interval int }
		Total  totals
		Groups []struct {
			Values struct{ TID int }
			Calls  int
			Rows   []struct{ Calls int }
		}
	}
	sum, whole := make(map[int]int), make(map[int]int)
	for line := range strings.Lines(drive.Read(saved)) {
		var g grouped
		drive.Must(json.Unmarshal([]byte(line), &g))
		of, calls := sum, 0
		if g.Meta.Interval == 0 {
			of = whole
		}
		for _, one := range g.Groups {
			for _, r := range one.Rows {
				of[one.Values.TID] += r.Calls
				calls += r.Calls
			}
		}
		if calls != g.Total.Calls {
			t.Errorf("the groups of interval %d have %d calls, the interval has %d", g.Meta.Interval, calls, g.Total.Calls)
		}
	}
	maps.DeleteFunc(whole, func(_, calls int) bool { return calls == 0 })
	if len(whole) < 8 || !maps.Equal(sum, whole) {
		t.Errorf("the groups of the run: %v, of its intervals: %v", whole, sum)
	}
	if strings.Count(drive.Read(lines), ",by_tid,") != 1 {
		t.Errorf("the columns: %.1000s", drive.Read(lines))
	}
}

// grouped is a count as people read it.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// The target makes so many getppid as its first argument says, in turn with a pause of 1 ms every hundred.
var _ = drive.Target("getppids with pauses", func(args []string) {
	n, err := strconv.Atoi(args[0])
	drive.Must(err)
	for i := range n {
		unix.Getppid()
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	fmt.Println("done")
})

// While nobody reads, the program goes on, and the interval with it. Nothing is lost.
func TestIntervalsThatNobodyReads(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	drive.Must(unix.Mkfifo(fifo, 0o600))
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	drive.Must(err)
	defer reader.Close()
	_, err = unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, 4096)
	drive.Must(err)
	const calls = 5_000
	s := drive.Start(t, drive.As(drive.Plain(t, "-q", "-o", "/dev/null", "-i10ms", "--json", fifo, drive.Self(), strconv.Itoa(calls)), "getppids with pauses"))
	s.Expect("done") // though the pipe has long been full
	text := make(chan string)
	go func() {
		var all strings.Builder
		buffer := make([]byte, 1<<16)
		for {
			reader.SetReadDeadline(time.Now().Add(drive.Patience))
			n, err := reader.Read(buffer)
			all.Write(buffer[:n])
			if err != nil || strings.Contains(all.String(), `"intervals":`) && strings.HasSuffix(all.String(), "}\n") {
				text <- all.String()
				return
			}
		}
	}()
	(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
	intervals, whole := objects(t, <-text)
	getppids := 0
	for _, r := range whole.Rows {
		if r.Name == "getppid" {
			getppids = r.Calls
		}
	}
	if getppids < calls {
		t.Errorf("%d of %d calls of the program are counted, in %d intervals", getppids, calls, len(intervals))
	}
	longest := time.Duration(0)
	for _, o := range intervals {
		longest = max(longest, o.Meta.Duration)
	}
	if longest < 40*time.Millisecond {
		t.Errorf("the longest interval is of %v: none waited for the reader", longest)
	}
}

func TestIntervalsAndTheEnd(t *testing.T) {
	t.Run("a run shorter than one", func(t *testing.T) {
		saved := filepath.Join(t.TempDir(), "json")
		o := drive.Run(t, drive.Sysprof(t, "-i60s", "--json", saved, "true"))
		o.Exited(t, 0)
		drive.HasTable(t, o.Stderr, 1)
		if intervals, _ := objects(t, drive.Read(saved)); len(intervals) != 1 {
			t.Errorf("%d intervals", len(intervals))
		}
	})
	t.Run("--duration ends the last one", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		saved := filepath.Join(t.TempDir(), "json")
		drive.Run(t, drive.Sysprof(t, "-i100ms", "--duration=300ms", "--json", saved, "-p", strconv.Itoa(p.Pid()))).Exited(t, 0)
		p.Alive()
		intervals, whole := objects(t, drive.Read(saved))
		if n := len(intervals); n > 3 {
			t.Errorf("%d intervals, the last one of %v, of a run of %v", n, intervals[n-1].Meta.Duration, whole.Meta.Duration)
		}
	})
	t.Run("SIGINT", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		saved := filepath.Join(t.TempDir(), "json")
		s := drive.Start(t, drive.Sysprof(t, "-i20ms", "--json", saved, "-p", strconv.Itoa(p.Pid())))
		drive.Eventually(t, "an interval is written", func() bool { return strings.Contains(drive.Read(saved), "\n") })
		p.Alive()
		s.Signal(unix.SIGINT)
		drive.Died(t, s.End(), unix.SIGINT)
		p.Alive()
		objects(t, drive.Read(saved))
	})
	t.Run("killed: what there is can be shown", func(t *testing.T) {
		p := drive.Start(t, drive.As(exec.Command(drive.Self()), "echo"))
		p.Line()
		saved := filepath.Join(t.TempDir(), "json")
		s := drive.Start(t, drive.Sysprof(t, "-i20ms", "--json", saved, "-p", strconv.Itoa(p.Pid())))
		drive.Eventually(t, "the target is traced", func() bool { return drive.Settled(s.Pid(), []int{p.Pid()}) })
		p.Alive()
		drive.Eventually(t, "the call is in an interval that is whole: a kill may cut what is being written", func() bool {
			_, behind, found := strings.Cut(drive.Read(saved), `"getppid"`)
			return found && strings.Contains(behind, "\n")
		})
		s.Signal(unix.SIGKILL)
		s.End()
		shown := drive.Run(t, drive.Plain(t, "-c", "--from-json", saved))
		shown.Exited(t, 0)
		if calls, _, _ := drive.Row(shown.Stdout, "getppid"); calls != 1 || !strings.Contains(shown.Stdout, "the file ends before the run did") {
			t.Errorf("it shows\n%s", shown.Stdout)
		}
		p.Alive()
	})
	t.Run("a full disk is said once, and by the status", func(t *testing.T) {
		o := drive.Run(t, drive.Sysprof(t, "-i20ms", "--json", "/dev/full", "sleep", "0.2"))
		o.Exited(t, 1)
		if n := strings.Count(o.Stderr, "no space left"); n == 0 || n > 2 {
			t.Errorf("it is said %d times:\n%s", n, o.Stderr)
		}
	})
}

// TestIntervalsAfterAProcessHasEnded: time goes on for another one, which another thread of sysprof traces.
func TestIntervalsAfterAProcessHasEnded(t *testing.T) {
	running := func() *drive.Talk {
		cmd := exec.Command("sh", "-c", "echo; while :; do :; done") // it has one thread, and has run for most of its life
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		p := drive.Start(t, cmd)
		p.Line()
		return p
	}
	first, other := running(), running()
	saved := filepath.Join(t.TempDir(), "json")
	s := drive.Start(t, drive.Sysprof(t, "-i50ms", "--json", saved, "-p", fmt.Sprintf("%d,%d", first.Pid(), other.Pid())))
	drive.Eventually(t, "both are traced", func() bool { return drive.TracedBy(first.Pid()) == s.Pid() && drive.TracedBy(other.Pid()) == s.Pid() })
	first.Signal(unix.SIGKILL)
	first.End()
	written := func() int { return strings.Count(drive.Read(saved), "\n") }
	then := written()
	drive.Eventually(t, "there are intervals without it", func() bool { return written() >= then+6 })
	s.Signal(unix.SIGINT)
	drive.Died(t, s.End(), unix.SIGINT)
	intervals, _ := objects(t, drive.Read(saved))
	var said, were time.Duration
	for _, o := range intervals[:len(intervals)-1] { // the last one would have what the others lack
		said += o.Meta.Duration
		were += o.Meta.End.Sub(o.Meta.Start)
	}
	if said < were/2 {
		t.Errorf("%d intervals of %v are said to be %v long", len(intervals)-1, were, said)
	}
}

// SIGUSR1's table is headed as well, and does not end an interval.
func TestHeadingOfTheTableSoFar(t *testing.T) {
	for _, args := range [][]string{nil, {"-i60s"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			saved := filepath.Join(t.TempDir(), "json")
			s := drive.Start(t, drive.As(drive.Plain(t, append(args, "--json", saved, drive.Self())...), "echo"))
			s.Line()
			s.Alive()
			s.Signal(syscall.SIGUSR1)
			drive.Eventually(t, "a table is written", func() bool { return strings.Contains(s.Written(), " total\n") })
			s.Say("end")
			(drive.Outcome{Status: s.End(), Stderr: s.Written()}).Exited(t, 0)
			heads := headings.FindAllStringSubmatch(s.Written(), -1)
			if len(heads) != 1+len(args) || !strings.HasSuffix(heads[0][1], " so far") {
				t.Errorf("headings: %q", heads)
			}
			if len(args) > 0 {
				objects(t, drive.Read(saved)) // all of it is in one interval, and in the whole
			}
		})
	}
}

func TestIntervalsUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"-i", "5ms", "true"}, "too short"},
		{[]string{"--interval=0", "true"}, "not a duration"},
		{[]string{"-i", "ls"}, "instruction pointers"},
		{[]string{"-i1", "--bench=2", "true"}, "--bench"},
		{[]string{"-i1", "--from-json", "x"}, "says how to run something"},
	} {
		o := drive.Run(t, drive.Plain(t, test.args...))
		o.Exited(t, 2)
		if !strings.Contains(o.Stderr, test.says) || strings.Count(o.Stderr, "\n") != 1 {
			t.Errorf("%q: %q, want a line with %q", test.args, o.Stderr, test.says)
		}
	}
}

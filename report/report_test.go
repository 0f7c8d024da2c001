package report

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// TestGolden compares the whole output for snapshots that no strace could be made to print. A golden file
// is named by the snapshot and the flags that made it; -q drops what stands under the table.
func TestGolden(t *testing.T) {
	snapshots := map[string]*profile.Snapshot{
		"nothing":  {},
		"busy":     busy(),
		"sleeping": sleeping(),
		"foreign":  foreign(),
		"endless":  endless(),
	}
	for _, name := range []string{
		"busy -c", "busy -c -q", "busy -c -S calls", "busy -c -S errors", "busy -c -S min-time", "busy -c -S none -U name",
		"nothing -c", "sleeping -c", "sleeping -c -q", "foreign -c -S calls -U calls", "endless -c",
	} {
		t.Run(name, func(t *testing.T) {
			what, options, _ := strings.Cut(name, " ")
			s := snapshots[what]
			options, quiet := strings.CutSuffix(options, " -q")
			var out bytes.Buffer
			out.WriteString(write(t, summaryFor(t, options), s))
			if !quiet {
				if err := errors.Join(InFlight(&out, s), Warnings(&out, s)); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name, out.String())
		})
	}
}

// golden compares with testdata/golden/NAME.txt.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(readFile(t, file), got); d != "" {
		t.Errorf("-golden +now:\n%s", d)
	}
}

// busy went through a profile, has many rows that are equal in every key, and is in no order.
func busy() *profile.Snapshot {
	p := profile.New()
	for _, nr := range []uint64{500, 39, 1, 0, 400, 102, 59, 3} {
		for i := range int64(4) {
			p.Add(&profile.Call{ABI: syscalltab.AMD64, CPUNs: -1, Nr: nr, Errno: int32(i/2) * 11, ExitSeenNs: (i + 1) * 1_000})
		}
	}
	p.Add(&profile.Call{ABI: syscalltab.AMD64, CPUNs: -1, Nr: 3, ExitSeenNs: 10_000})
	p.Add(&profile.Call{ABI: syscalltab.I386, CPUNs: -1, Nr: 39, ExitSeenNs: 999_999_999_999})
	s := p.Raw().Snapshot()
	s.Warnings = []profile.Warning{
		{Kind: profile.QueuedCorrected, Share: 0.12},
		{Kind: profile.Sentence, Text: "The clock was stepped."}}
	return s
}

// sleeping has calls in flight of every kind and none that returned.
func sleeping() *profile.Snapshot {
	p := profile.New()
	add := func(n int, abi syscalltab.ABI, nr uint64, why string, resumed bool, ns int64) {
		for i := range int64(n) {
			p.AddInFlight(profile.InFlight{PID: 4711, TID: 4711 + int32(i), ABI: abi, Nr: nr, Why: profile.Ending(why), Resumed: resumed, SoFarNs: ns - i})
		}
	}
	add(1, syscalltab.AMD64, 7, "detached", false, 3_210_000_000)
	add(3, syscalltab.AMD64, 232, "detached", true, 12_345_000_000)
	add(2, syscalltab.I386, 240, "killed", false, 50_250)
	add(1, syscalltab.AMD64, 0, "exec", false, 1_002_000)
	add(1, syscalltab.AMD64, 1, "killed", false, 0)
	add(2, syscalltab.AMD64, 61, "left to its tracer", true, 7_000_000_000)
	add(300, syscalltab.AMD64, 231, "exited", false, 999)
	add(1, syscalltab.AMD64, 500_000, "exited", false, 999)
	return p.Raw().Snapshot()
}

// foreign is of other machines and of none.
func foreign() *profile.Snapshot {
	var s profile.Snapshot
	for _, abi := range []syscalltab.ABI{syscalltab.Unknown, syscalltab.ARM, syscalltab.ARM64, 200} {
		s.Rows = append(s.Rows, profile.Row{Key: profile.Key{ABI: abi, Nr: 1}, Totals: profile.Totals{Calls: 1}})
	}
	s.Rows = append(s.Rows, profile.Row{Key: profile.Key{ABI: syscalltab.X32}}) // without calls: no table
	return &s
}

// endless has more time than fits.
func endless() *profile.Snapshot {
	p := profile.New()
	for range 3 {
		p.Add(&profile.Call{ABI: syscalltab.AMD64, CPUNs: -1, Nr: 0, ExitSeenNs: math.MaxInt64})
		p.Add(&profile.Call{ABI: syscalltab.AMD64, CPUNs: -1, Nr: 1, ExitSeenNs: math.MaxInt64})
	}
	return p.Raw().Snapshot()
}

func TestOneInFlightCallIsSingular(t *testing.T) {
	p := profile.New()
	p.AddInFlight(profile.InFlight{TID: 7, ABI: syscalltab.AMD64, Nr: 7, Why: "detached", SoFarNs: 5})
	var out bytes.Buffer
	if err := InFlight(&out, p.Raw().Snapshot()); err != nil {
		t.Fatal(err)
	}
	want := "1 call had not returned when tracing ended:\n  poll: 1 detached (thread 7) after 5 ns\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

// straceNames has every name that strace 7.2 takes for -S and -U.
var straceNames = map[Column]string{
	TimePercent: "time time_percent time-percent",
	TotalTime:   "time_total time-total total_time total-time",
	MinTime:     "min_time min-time shortest time_min time-min",
	MaxTime:     "longest max_time max-time time_max time-max",
	AvgTime:     "avg_time avg-time time_avg time-avg",
	Calls:       "calls count",
	Errors:      "error errors",
	Name:        "name syscall syscall_name syscall-name",
	WallTotal:   "wall_total wall-total total_wall total-wall",
	WallMin:     "wall_min wall-min min_wall min-wall",
	WallMax:     "wall_max wall-max max_wall max-wall",
	WallAvg:     "wall_avg wall-avg avg_wall avg-wall",
}

func TestAllOfStracesNames(t *testing.T) {
	sortKeys := map[Column]SortKey{
		TimePercent: SortTotalTime, TotalTime: SortTotalTime, MinTime: SortMinTime, MaxTime: SortMaxTime,
		AvgTime: SortAvgTime, Calls: SortCalls, Errors: SortErrors, Name: SortName,
		WallTotal: SortTotalTime, WallMin: SortMinTime, WallMax: SortMaxTime, WallAvg: SortAvgTime,
	}
	for column, names := range straceNames {
		for name := range strings.FieldsSeq(names) {
			got, err := ParseColumns(name)
			want := []Column{column, Name}
			if column == Name {
				want = []Column{Name}
			}
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("-U %s: %v %s", name, err, d)
			}
			if key, err := ParseSortKey(name); key != sortKeys[column] || err != nil {
				t.Errorf("-S %s = %d, %v", name, key, err)
			}
		}
		if got, err := ParseColumns(column.String()); err != nil || got[0] != column {
			t.Errorf("%v does not parse as itself: %v, %v", column, got, err)
		}
	}
	for _, name := range []string{"none", "nothing"} {
		if key, err := ParseSortKey(name); key != Unsorted || err != nil {
			t.Errorf("-S %s = %d, %v", name, key, err)
		}
	}
}

func TestRefusedNames(t *testing.T) {
	const names = "time-percent, total-time, min-time, max-time, avg-time, calls, errors, name, wall-total, wall-min, wall-max, wall-avg"
	for arg, want := range map[string]string{
		"":            `unknown column ""; the columns are ` + names,
		"calls,":      `unknown column ""; the columns are ` + names,
		"none":        `unknown column "none"; the columns are ` + names,
		"nothing":     `unknown column "nothing"; the columns are ` + names,
		"calls,Name":  `unknown column "Name" (did you mean name?); the columns are ` + names,
		"calls, name": `unknown column " name" (did you mean name?); the columns are ` + names,

		"calls,name,calls":             `column calls is given more than once in "calls,name,calls"`,
		"time,calls,time-avg,avg_time": `column avg-time is given more than once in "time,calls,time-avg,avg_time"`,
	} {
		if got, err := ParseColumns(arg); err == nil || err.Error() != want {
			t.Errorf("-U %q = %v, %v\nwant the error %s", arg, got, err, want)
		}
	}
	for _, arg := range []string{"", "calls,name", "Calls", "time percent", "nrs"} {
		if key, err := ParseSortKey(arg); err == nil || !strings.HasSuffix(err.Error(), "the keys are "+names+", total, cpu, off-cpu, mean, p50, p99, max, call, none") {
			t.Errorf("-S %q = %v, %v", arg, key, err)
		}
	}
}

// TestSortsByEveryColumn: what heads a column of the table for people is a sort key, and sorts by what is in it.
func TestSortsByEveryColumn(t *testing.T) {
	p := profile.New()
	add := func(n int, nr uint64, errno int32, ns, cpuNs int64) {
		for range n {
			p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, Errno: errno, ExitSeenNs: ns, CPUNs: cpuNs, GapNs: -1})
		}
	}
	add(100, 0, 0, 10_000, 0) // read
	add(97, 1, 0, 1_000, 1_000)
	add(3, 1, 0, 1_000_000, 1_000_000) // write
	add(1000, 2, 2, 2_000, 0)          // open
	add(1000, 3, 0, 500, 500)          // close
	s := p.Raw().Snapshot()
	for heading, want := range map[string]string{
		"% time": "", "total": "write", "CPU": "write", "off-CPU": "open", "calls": "close", "errors": "open", "mean": "write",
		"p50": "read", "p99": "write", "max": "write", "call": "close", "cpu": "write", "off_cpu": "open",
	} {
		key, err := ParseSortKey(heading)
		if want == "" {
			if err == nil {
				t.Errorf("-S %q is a key", heading)
			}
			continue
		}
		if err != nil {
			t.Errorf("-S %s: %v", heading, err)
			continue
		}
		for _, cpu := range []bool{false, true} {
			var out bytes.Buffer
			if err := (Summary{Sort: key, CPU: cpu}).Write(&out, s); err != nil {
				t.Fatal(err)
			}
			if cpu && (heading == "mean" || heading == "max") {
				continue // of CPU time
			}
			if first := strings.Fields(strings.Split(out.String(), "\n")[2]); first[len(first)-1] != want {
				t.Errorf("-S %s, CPU %v: want %s first in\n%s", heading, cpu, want, out.String())
			}
		}
	}
}

func TestWriteErrorsAreReturned(t *testing.T) {
	s := busy()
	s.InFlight = sleeping().InFlight
	for name, print := range map[string]func(w *full) error{
		"summary":   func(w *full) error { return Summary{}.Write(w, s) },
		"in flight": func(w *full) error { return InFlight(w, s) },
		"warnings":  func(w *full) error { return Warnings(w, s) },
		"overhead":  func(w *full) error { return Overhead(w, mixed(), true) },
		"notes":     func(w *full) error { return Notes(w, s, Meta{}, 0, true) },
		"table":     func(w *full) error { return Table{}.Write(w, s) },
		"drawing":   func(w *full) error { return Distribution{}.Write(w, s) },
		"failures":  func(w *full) error { return Failures{}.Write(w, s) },
		"JSON":      func(w *full) error { return WriteJSON(w, s, Meta{}) },
		"CSV":       func(w *full) error { return WriteCSV(w, s) },
	} {
		if err := print(new(full)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s on a closed file: %v", name, err)
		}
	}
}

type full struct{}

func (*full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func BenchmarkSummary(b *testing.B) {
	s := busy()
	for b.Loop() {
		if err := (Summary{}).Write(new(bytes.Buffer), s); err != nil {
			b.Fatal(err)
		}
	}
}

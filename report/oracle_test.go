package report

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// oracleDir has tables that strace itself printed; its oracle.sh says how they came to be.
const oracleDir = "testdata/strace"

const allColumns = "time,total-time,min-time,max-time,avg-time,calls,errors,name,wall-total,wall-min,wall-max,wall-avg"

// TestStracesOwnTables feeds us the numbers that strace 7.2 was made to print, with the same options.
func TestStracesOwnTables(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(oracleDir, "*.txt"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, error %v; want the tables of oracle.sh", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			numbers, options, _ := strings.Cut(name, " ")
			s := readNumbers(t, filepath.Join(oracleDir, numbers+".numbers"))
			got := write(t, summaryFor(t, strings.ReplaceAll(options, "ALL", allColumns)), s)
			if d := cmp.Diff(readFile(t, file), got); d != "" {
				t.Errorf("not strace's table (-strace +sysprof):\n%s", d)
			}
		})
	}
}

// TestRecordedTablesReadBack reads tables back that unchanged straces printed about a real program, and
// prints them again. They are of CPU time, which has whole microseconds, so that nothing is lost.
func TestRecordedTablesReadBack(t *testing.T) {
	for _, version := range []string{"6.1", "7.2"} {
		t.Run(version, func(t *testing.T) {
			want := readFile(t, filepath.Join(oracleDir, version+".recorded"))
			table := summaryFor(t, "-c -S name -U time,total-time,min-time,max-time,avg-time,calls,errors,name")
			if d := cmp.Diff(want, write(t, table, parseTable(t, want))); d != "" {
				t.Errorf("not the recorded table (-strace +sysprof):\n%s", d)
			}
		})
	}
}

// parseTable turns a table of the columns % time, seconds, shortest, longest, usecs/call, calls, errors,
// syscall into numbers.
func parseTable(t *testing.T, table string) *profile.Snapshot {
	t.Helper()
	s := new(profile.Snapshot)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if strings.HasPrefix(line, "-") || f[0] == "%" || f[len(f)-1] == "total" {
			continue
		}
		var r profile.Row
		if len(f) == 8 {
			r.Errors = must(strconv.ParseUint(f[6], 10, 64))(t)
		}
		nr, ok := syscalltab.AMD64.Number(f[len(f)-1])
		if !ok {
			t.Fatalf("no such call: %q", line)
		}
		r.Key = profile.Key{ABI: syscalltab.AMD64, Nr: nr}
		r.Calls = must(strconv.ParseUint(f[5], 10, 64))(t)
		r.SumNs, r.MinNs, r.MaxNs = parseSeconds(t, f[1]), parseSeconds(t, f[2]), parseSeconds(t, f[3])
		s.Rows = append(s.Rows, r)
	}
	return s
}

func parseSeconds(t *testing.T, s string) int64 {
	t.Helper()
	return int64(math.Round(must(strconv.ParseFloat(s, 64))(t) * 1e9))
}

// readNumbers reads lines of: strace's personality, number, calls, errors, sum, shortest, longest in ns.
func readNumbers(t *testing.T, file string) *profile.Snapshot {
	t.Helper()
	personalities := []syscalltab.ABI{syscalltab.AMD64, syscalltab.I386, syscalltab.X32}
	s := new(profile.Snapshot)
	for line := range strings.Lines(readFile(t, file)) {
		var personality int
		var r profile.Row
		if _, err := fmt.Sscan(line, &personality, &r.Nr, &r.Calls, &r.Errors, &r.SumNs, &r.MinNs, &r.MaxNs); err != nil {
			t.Fatalf("%s: %q: %v", file, line, err)
		}
		r.ABI = personalities[personality]
		s.Rows = append(s.Rows, r)
	}
	slices.Reverse(s.Rows) // so that no order is right by chance
	return s
}

// summaryFor parses -c, -S KEY and -U COLUMNS.
func summaryFor(t *testing.T, options string) Summary {
	t.Helper()
	var table Summary
	args := strings.Fields(options)
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-c":
			continue
		case "-S":
			table.Sort = must(ParseSortKey(args[i+1]))(t)
		case "-U":
			table.Columns = must(ParseColumns(args[i+1]))(t)
		default:
			t.Fatalf("option %q in %q", args[i], options)
		}
		i++
	}
	return table
}

func write(t *testing.T, table Summary, s *profile.Snapshot) string {
	t.Helper()
	var out bytes.Buffer
	if err := table.Write(&out, s); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	return string(must(os.ReadFile(name))(t))
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

package report

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// TestBlanksStay lays out cells, headings and a footer with blanks at their start, in their middle and at
// their end, and reads every cell back from the columns that the rule spans.
func TestBlanksStay(t *testing.T) {
	texts := []string{"plain", "one two", "two  blanks", "  leading", "trailing  ", "    ", "", "▁   █", "  ▁ █  ", "a  b   c    d"}
	for _, left := range []bool{true, false} {
		for _, colour := range []bool{false, true} {
			t.Run(fmt.Sprintf("left %v colour %v", left, colour), func(t *testing.T) {
				columns := []column{
					{heading: "a  heading", cells: texts, footer: "the   total", left: left},
					{heading: "  ▁   █", cells: texts, footer: "▁   █  ", left: left, colour: cyan},
					{heading: "last", cells: texts, footer: "a   footer", left: true, colour: red},
				}
				for i := range columns {
					columns[i].fitWidth()
				}
				var out bytes.Buffer
				if err := draw(&out, columns, look{rule: "─", gap: "  ", footer: true, colour: colour}); err != nil {
					t.Fatal(err)
				}
				tables := readTables(t, out.String())
				if len(tables) != 1 || len(tables[0].rows) != len(texts)+1 {
					t.Fatalf("want one table of %d rows and a footer:\n%s", len(texts), &out)
				}
				for i, c := range columns {
					want := slices.Concat([]string{c.heading}, c.cells, []string{c.footer})
					for j, got := range slices.Concat([][]string{tables[0].heading}, tables[0].rows) {
						padding := strings.Repeat(" ", c.width-textWidth(want[j]))
						if whole := want[j] + padding; c.left && got[i] != whole {
							t.Errorf("column %d: %q, want %q", i, got[i], whole)
						} else if whole := padding + want[j]; !c.left && got[i] != whole {
							t.Errorf("column %d: %q, want %q", i, got[i], whole)
						}
					}
				}
			})
		}
	}
}

// TestDrawingsStandWhereTheLatenciesAre reads the marks back from the table that is printed: in each row
// they are in the parts of the axis that the row's latencies fall into, and in no other, whatever the
// width, the colours, the order of the rows and the other columns are.
func TestDrawingsStandWhereTheLatenciesAre(t *testing.T) {
	latencies := map[string][]int64{ // none is near a bound of two parts, where a bucket of a histogram spans both
		"read":   {100, 1_000_000},
		"write":  {1_000_000},
		"openat": {100},
		"close":  {333, 47_000, 777_000},
		"getpid": {9_300, 9_500},
		"mmap":   {111, 222, 14_000, 220_000},
		"brk":    {27_000},
	}
	const calls = 100 // of each latency
	for _, cpuNs := range []int64{-1, 90} {
		s := snapshotOf(t, latencies, calls, cpuNs)
		var histograms []*profile.Histogram
		for i := range s.Rows {
			histograms = append(histograms, s.Rows[i].Latency())
		}
		axis := axisOf(histograms)
		for _, width := range []int{0, 200, 120, 110, 105, 100, 95, 90, 80, 60} {
			for _, color := range []bool{false, true} {
				for _, key := range []SortKey{SortTotalTime, SortName} {
					t.Run(fmt.Sprintf("CPU %d width %d color %v sort %d", cpuNs, width, color, key), func(t *testing.T) {
						var out bytes.Buffer
						if err := (Table{Sort: key, Width: width, Color: color}).Write(&out, s); err != nil {
							t.Fatal(err)
						}
						checkMarks(t, out.String(), axis, latencies, width == 0 || width >= 110)
					})
				}
			}
		}
	}
}

// snapshotOf is a profile with n calls of each latency, which take cpuNs of CPU time, -1 being unknown. What
// is named write is called through another ABI, so that it is in a table of its own over the same axis.
func snapshotOf(t *testing.T, latencies map[string][]int64, n int, cpuNs int64) *profile.Snapshot {
	t.Helper()
	p := profile.New()
	for name, values := range latencies {
		abi := syscalltab.AMD64
		if name == "write" {
			abi = syscalltab.I386
		}
		nr, known := abi.Number(name)
		if !known {
			t.Fatalf("no call is named %s", name)
		}
		for _, ns := range values {
			for range n {
				p.Add(&profile.Call{ABI: abi, Nr: nr, ExitSeenNs: ns, CPUNs: cpuNs, GapNs: -1})
			}
		}
	}
	return p.Raw().Snapshot()
}

// checkMarks compares the drawings in the tables with the latencies of each row, and that of a total with
// those of the rows above it. Tables without drawings are fine unless drawn is set.
func checkMarks(t *testing.T, text string, a axis, latencies map[string][]int64, drawn bool) {
	t.Helper()
	var seen []string
	for _, table := range readTables(t, text) {
		call := len(table.heading) - 1
		drawing := call - 1
		if !strings.Contains(table.heading[drawing], "·") {
			if drawn {
				t.Errorf("no drawing in\n%s", text)
			}
			return
		}
		all := make(map[int]bool)
		for _, row := range table.rows {
			name := strings.TrimRight(row[call], " ")
			want := make(map[int]bool)
			if name == "total" {
				want = all
			}
			for _, ns := range latencies[name] {
				want[a.bin(ns, textWidth(row[drawing]))] = true
			}
			maps.Copy(all, want)
			got := make(map[int]bool)
			for i, r := range []rune(row[drawing]) {
				if r != ' ' {
					got[i] = true
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s is drawn as %q (-want +got):\n%s", name, row[drawing], d)
			}
			seen = append(seen, name)
		}
	}
	if want := len(latencies) + 2; len(seen) != want { // and the totals of both ABIs
		t.Errorf("rows %q, want %d", seen, want)
	}
}

// printedTable is a table as it was printed, cut into cells where its rule has its gaps.
type printedTable struct {
	heading []string
	rows    [][]string // with the footer, if there is one
}

// readTables cuts the tables out of a text. Colours are taken off first, and what was trimmed off the end
// of a line is put back.
func readTables(t *testing.T, text string) []printedTable {
	t.Helper()
	var tables []printedTable
	var rule []rune
	before := ""
	for line := range strings.Lines(escapes.ReplaceAllString(text, "")) {
		line = strings.TrimSuffix(line, "\n")
		isRule := strings.HasPrefix(line, "──")
		switch {
		case isRule && rule == nil:
			rule = []rune(line)
			tables = append(tables, printedTable{heading: cutCells(t, before, rule)})
		case isRule && line != string(rule):
			t.Fatalf("two rules in one table:\n%s", text)
		case isRule:
		case strings.HasPrefix(line, "System call usage"):
			rule = nil
		case rule != nil:
			last := &tables[len(tables)-1]
			last.rows = append(last.rows, cutCells(t, line, rule))
		}
		before = line
	}
	return tables
}

// cutCells cuts a line into the columns that the rule spans. Nothing may stand in the gaps.
func cutCells(t *testing.T, line string, rule []rune) []string {
	t.Helper()
	runes := []rune(line)
	if len(runes) > len(rule) {
		t.Fatalf("longer than its rule:\n%s\n%s", string(rule), line)
	}
	for len(runes) < len(rule) {
		runes = append(runes, ' ')
	}
	cells := []string{""}
	for i, r := range rule {
		switch last := len(cells) - 1; {
		case r != ' ':
			cells[last] += string(runes[i])
		case runes[i] != ' ':
			t.Fatalf("%q in a gap:\n%s\n%s", runes[i], string(rule), line)
		case cells[last] != "":
			cells = append(cells, "")
		}
	}
	return cells
}

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/syscalltab"
)

// cut is a run in three intervals, the second of which is empty, and the whole of it.
func cut() (parts []*profile.Snapshot, of []Meta) {
	p := profile.New()
	calls := func(nr uint64, errno int32, ns ...int64) {
		for _, ns := range ns {
			p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: nr, Errno: errno, ExitSeenNs: ns, CPUNs: -1, GapNs: -1})
		}
	}
	add := func(interval int, length time.Duration, s *profile.Snapshot) {
		m := meta
		m.Interval, m.Duration, m.End = interval, length, m.Start.Add(length)
		parts, of = append(parts, s), append(of, m)
	}
	calls(0, 0, 1_000, 2_000, 3_000)
	calls(2, 2, 500)
	add(1, time.Second, p.Cut().Snapshot())
	add(2, time.Second, p.Cut().Snapshot())
	calls(0, 0, 9_000)
	p.AddInFlight(profile.InFlight{ABI: syscalltab.AMD64, Nr: 34, SoFarNs: 77, Why: profile.Detached, TID: 7})
	add(3, 500*time.Millisecond, p.Cut().Snapshot())
	whole := p.Raw().Snapshot()
	whole.Overhead = mixed().Overhead
	add(0, 2500*time.Millisecond, whole)
	of[3].Intervals = 3
	return parts, of
}

func lines(t *testing.T) (all []string) {
	t.Helper()
	parts, of := cut()
	for i := range parts {
		var line bytes.Buffer
		if err := WriteJSONLine(&line, parts[i], of[i]); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(line.String(), "\n"); n != 1 || !strings.HasSuffix(line.String(), "\n") {
			t.Errorf("object %d has %d ends of lines", i, n)
		}
		all = append(all, line.String())
	}
	return all
}

func TestGoldenIntervals(t *testing.T) {
	golden(t, "intervals --json", strings.Join(lines(t), ""))
	var table, heads bytes.Buffer
	parts, of := cut()
	for i := range parts {
		if err := WriteCSVOfInterval(&table, parts[i], &of[i], nil, i == 0); err != nil {
			t.Fatal(err)
		}
		part := OneInterval
		if of[i].Interval == 0 {
			part = TheWhole
		}
		Heading{At: of[i].End, Length: of[i].Duration, Part: part}.Write(&heads, parts[i])
	}
	Heading{At: meta.Start, Part: SoFar}.Write(&heads, parts[0])
	golden(t, "intervals --csv", table.String())
	golden(t, "intervals headings", heads.String())
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 1+2+0+1+2 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestReadLines reads the file of a run with intervals: whole, without the object of the whole, and broken off.
func TestReadLines(t *testing.T) {
	all := lines(t)
	parts, of := cut()
	read := func(text string) (*profile.Snapshot, Meta, error) { return ReadJSON(strings.NewReader(text)) }

	got, m, err := read(strings.Join(all, ""))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the run", got, parts[3])
	if m.Intervals != 3 || m.Interval != 0 || m.Duration != of[3].Duration || !m.End.Equal(of[3].End) {
		t.Errorf("meta: %+v", m)
	}

	for name, text := range map[string]string{
		"the end is missing":       strings.Join(all[:3], ""),
		"the end is half":          strings.Join(all[:3], "") + all[3][:len(all[3])/2],
		"and there are blank ends": all[0] + "\n" + all[1] + all[2] + "\n\n",
	} {
		got, m, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := profile.Merge(parts[:3]...)
		want.Warnings = []profile.Warning{{Kind: profile.WholeMissing, Count: 3}}
		same(t, name, got, want)
		if m.Interval != 0 || m.Intervals != 3 || m.Duration != of[3].Duration || !m.Start.Equal(of[0].Start) {
			t.Errorf("%s: meta: %+v", name, m)
		}
	}

	got, _, err = read(all[3]) // one line alone
	if err != nil || got.Total.Calls != 5 {
		t.Errorf("the whole alone: %v", err)
	}
	got, _, err = read(strings.Join(all, "") + strings.Join(all, "")) // -A, or cat: the last one
	if err != nil || got.Total.Calls != 5 {
		t.Errorf("two runs: %v", err)
	}
	for name, text := range map[string]string{
		"damaged":   all[0] + strings.ReplaceAll(all[2], "amd64", "pdp11") + all[3],
		"not JSON":  all[0] + "}\n" + all[3],
		"not ours":  all[0] + "{}\n",
		"only text": "hello\nworld\n",
	} {
		if _, _, err := read(text); err == nil {
			t.Errorf("%s: no error", name)
		} else if name != "only text" && !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyIntervalsTakeLittleMemory: the sum is bounded, whatever a file has in its lines.
func TestManyIntervalsTakeLittleMemory(t *testing.T) {
	var text strings.Builder
	for i := range 3 {
		var rows []*profile.Row
		for nr := range uint64(30_000) {
			h := new(profile.Histogram)
			h.Record(1)
			rows = append(rows, &profile.Row{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr + uint64(i)*30_000}, OK: h})
		}
		if err := WriteJSONLine(&text, profile.NewSnapshot(rows, nil), Meta{Interval: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := ReadJSON(strings.NewReader(text.String()))
	if want := "line 3: "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestOneObjectWithoutBlanks is what other programs make of a file.
func TestOneObjectWithoutBlanks(t *testing.T) {
	text := strings.ReplaceAll(writeJSON(t, profileOf(mixed()), meta), "\n", "")
	for _, end := range []string{"", "\n", "\n\n"} {
		got, _, err := ReadJSON(strings.NewReader(text + end))
		if err != nil {
			t.Fatal(fmt.Sprintf("with %q at the end: ", end), err)
		}
		same(t, "one line", got, profileOf(mixed()))
	}
}

func same(t *testing.T, what string, got, want *profile.Snapshot) {
	t.Helper()
	t.Run(what, func(t *testing.T) { sameSnapshot(t, got, want) })
}

// writes counts them.
type writes struct {
	bytes.Buffer
	n int
}

func (w *writes) Write(p []byte) (int, error) {
	w.n++
	return w.Buffer.Write(p)
}

// TestLinesAreWrittenAtOnce, with their ends: of a run that is killed no half of one is found. Long ones are not kept in memory.
func TestLinesAreWrittenAtOnce(t *testing.T) {
	for _, few := range []bool{true, false} {
		rows := make([]*profile.Row, 200)
		for i := range rows {
			rows[i] = &profile.Row{Key: profile.Key{Nr: uint64(i)}, Totals: profile.Totals{Calls: 1}, OK: new(profile.Histogram)}
			for ns := range int64(100) {
				rows[i].OK.Record(ns * 1000)
			}
		}
		if few {
			rows = rows[:3]
		}
		var w writes
		if err := WriteJSONLine(&w, profile.NewSnapshot(rows, nil), Meta{Interval: 1}); err != nil {
			t.Fatal(err)
		}
		text := w.Bytes()
		if !json.Valid(text) || bytes.IndexByte(text, '\n') != len(text)-1 {
			t.Errorf("%d bytes are no line: %.100s", len(text), text)
		}
		if (w.n == 1) != few {
			t.Errorf("%d bytes in %d writes", len(text), w.n)
		}
	}
}

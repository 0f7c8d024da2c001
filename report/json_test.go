package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sysprof/profile"
	"sysprof/profile/timeline"
	"sysprof/syscalltab"
)

// meta has every field set.
var meta = Meta{
	Version: "1.2.3", Command: []string{"sh", "-c", "echo <a> & \"µ\" \x00"}, PIDs: []int{17, 4}, Traced: "sh (17)", Threads: 3,
	Start: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Duration: 3210 * time.Millisecond,
	Host: "host", Kernel: "6.18.5", Arch: "x86_64", CPUs: 2,
	OverTime: &timeline.Timeline{
		Ends: []time.Duration{10 * time.Millisecond, 25 * time.Millisecond},
		All:  []timeline.Cell{{Slice: 0, Bucket: 7, Calls: 2}, {Slice: 1, Bucket: 9, Calls: 3}},
		Rows: []timeline.Row{{Key: profile.Key{ABI: syscalltab.AMD64, Nr: 1}, Calls: 3, SumNs: 3_000, Cells: []timeline.Cell{{Slice: 1, Bucket: 9, Calls: 3}}}},
	},
}

func TestGoldenJSON(t *testing.T) {
	s := busy()
	s.InFlight, s.Overhead = sleeping().InFlight[:2], mixed().Overhead
	s.Rows = append(s.Rows, measured().Rows[2])
	golden(t, "busy --json", writeJSON(t, profileOf(s), meta))
	golden(t, "nothing --json", writeJSON(t, &profile.Snapshot{}, Meta{}))
}

// profileOf makes the totals fit rows that were put together by hand.
func profileOf(s *profile.Snapshot) *profile.Snapshot {
	whole := profile.Merge(s)
	whole.Overhead, whole.Warnings = s.Overhead, s.Warnings
	return whole
}

func TestJSONRoundTrip(t *testing.T) {
	full := mixed()
	full.Rows = append(full.Rows, measured().Rows...)
	full.Rows = append(full.Rows, sleeping().Rows...)
	full.InFlight = sleeping().InFlight
	foreign := new(profile.Snapshot)
	for _, abi := range []syscalltab.ABI{syscalltab.Unknown, syscalltab.AMD64, syscalltab.I386, syscalltab.X32,
		syscalltab.ARM64, syscalltab.ARM, syscalltab.RISCV64, syscalltab.LoongArch64} {
		h := new(profile.Histogram)
		h.Record(int64(abi))
		foreign.Rows = append(foreign.Rows, profile.Row{Key: profile.Key{ABI: abi, Nr: math.MaxUint64}, OK: h, Failed: nil})
	}
	uncorrected, byHand := mixed(), mixed()
	uncorrected.Overhead = &profile.Overhead{Calls: 5, HoldNs: 7, WallNs: 1_000}
	byHand.Overhead = &profile.Overhead{Source: profile.ByHand, Calls: 5, TransitNs: profile.Estimate{Ns: 1, LowNs: -1, HighNs: 2}}
	for name, s := range map[string]*profile.Snapshot{
		"nothing": {}, "mixed": mixed(), "busy": busy(), "sleeping": sleeping(), "endless": endless(), "measured": measured(),
		"gigantic": gigantic(), "full": profileOf(full), "foreign": profileOf(foreign), "grouped": grouped(), "folded": folded(), "raw": uncorrected, "by hand": byHand,
	} {
		for _, m := range []Meta{{}, meta} {
			t.Run(name, func(t *testing.T) {
				text := writeJSON(t, s, m)
				if !json.Valid([]byte(text)) {
					t.Fatalf("not JSON:\n%s", text)
				}
				got, gotMeta, err := ReadJSON(strings.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				sameSnapshot(t, got, s)
				if d := cmp.Diff(m, gotMeta); d != "" {
					t.Errorf("meta (-written +read):\n%s", d)
				}
				if again := writeJSON(t, got, gotMeta); again != text {
					t.Errorf("written again (-first +second):\n%s", cmp.Diff(text, again))
				}
				if d := cmp.Diff(printFor(t, s, ""), printFor(t, got, "")); d != "" {
					t.Errorf("the table of what was read (-written +read):\n%s", d)
				}
			})
		}
	}
}

// TestForeignTextSurvives: other tools write the same with other blanks and another order of fields.
func TestForeignTextSurvives(t *testing.T) {
	var anything map[string]any
	d := json.NewDecoder(strings.NewReader(writeJSON(t, gigantic(), meta)))
	d.UseNumber()
	if err := d.Decode(&anything); err != nil {
		t.Fatal(err)
	}
	anything["later"] = []any{"a field of a later version", 1.5}
	text := must(json.MarshalIndent(anything, "\t", "   "))(t) // sorts by name
	got, _, err := ReadJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	sameSnapshot(t, got, gigantic())
}

func TestJSONStartIsUTC(t *testing.T) {
	m := Meta{Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}
	if text := writeJSON(t, &profile.Snapshot{}, m); !strings.Contains(text, `"2026-01-02T02:04:05Z"`) {
		t.Errorf("start is not in UTC:\n%s", text)
	}
	var out bytes.Buffer
	m.Start = time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := WriteJSON(&out, &profile.Snapshot{}, m); err == nil || out.Len() > 0 {
		t.Errorf("a year that JSON has no form for: %v, %q", err, &out)
	}
}

// TestBadJSON changes one thing in a good file.
func TestBadJSON(t *testing.T) {
	p := profile.New()
	p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: 0, ExitSeenNs: 1_000, CPUNs: 77, GapNs: -1})
	p.Add(&profile.Call{ABI: syscalltab.AMD64, Nr: 0, ExitSeenNs: 3_000, Errno: 11, CPUNs: -1, GapNs: -1})
	p.AddInFlight(profile.InFlight{ABI: syscalltab.AMD64, Nr: 7, Why: "killed", SoFarNs: 5})
	s := p.Raw().Snapshot()
	s.Overhead = &profile.Overhead{Source: profile.Calibrated, Calls: 2, WallNs: 9}
	good := writeJSON(t, s, meta)
	const okSum, okBucket = `{"calls":1,"sum_ns":1000,`, `[[1000,1003,1]]`
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing", good, "", "unexpected end of JSON input"},
		{"another format", good, `{"format": "pprof"}`, `its format is "pprof", not "sysprof"`},
		{"a list", good, `[]`, "cannot unmarshal array"},
		{"null", good, `null`, `its format is ""`},
		{"more behind it", good, good + "{}", "invalid character '{' after top-level value"},
		{"cut off", good, good[:len(good)-3], "unexpected end of JSON input"},
		{"another format behind what is wrong", good, `{"rows": 7, "in_flight": [7], "format": "pprof"}`, `its format is "pprof"`},
		{"a later version behind what is wrong", good, `{"format": "sysprof", "rows": [{}, {}], "x": {"y": [[], {}]}, "version": 2}`, "this sysprof reads up to 1"},
		{"cut off behind what is wrong", good, `{"format": "sysprof", "version": 1, "rows": [7, {"name": "a`, "unexpected end of JSON input"},
		{"no JSON behind what is wrong", good, `{"format": "sysprof", "version": 1, "rows": {"a": [1]}, "x": ]}`, "invalid character ']'"},
		{"a format that is a number", good, `{"format": 1}`, "it is not what --json writes, or not all of it: json: cannot unmarshal number"},
		{"a later version", `"version": 1`, `"version": 2`, "version 2 of the format; this sysprof reads up to 1"},
		{"no version", `"version": 1`, `"version": 0`, "there is no version 0"},
		{"a broken version", `"version": 1`, `"version": 1.5`, "cannot unmarshal number 1.5"},
		{"slices of time out of order", `"ends_ns":[10000000,25000000]`, `"ends_ns":[25000000,25000000]`, "over_time: the slices are out of order"},
		{"a slice that there is not", `"all":[0,7,2,1,9,3]`, `"all":[0,7,2,2,9,3]`, "over_time: there is no cell 2, 9 of 3 calls"},
		{"a bucket that there is not", `"all":[0,7,2,1,9,3]`, `"all":[0,7,2,1,9999,3]`, "over_time: there is no cell 1, 9999 of 3 calls"},
		{"half a cell", `"all":[0,7,2,1,9,3]`, `"all":[0,7,2,1,9]`, "over_time: a cell has not three numbers"},
		{"cells out of order", `"all":[0,7,2,1,9,3]`, `"all":[1,9,3,0,7,2]`, "over_time: the cells are out of order"},
		{"cells of an unknown ABI", `"abi":"amd64","nr":1,"calls":3`, `"abi":"","nr":1,"calls":3`, "over_time: write: unknown abi"},
		{"rows are an object", `"rows": [`, `"rows": {"a": {"b": [1]}}, "x": [`, "rows: want a list, not {…}"},
		{"rows are an object with a number that fits into nothing", `"rows": [`, `"rows": {"a": 1e800, "b": 2}, "x": [`, "rows: want a list, not {…}"},
		{"rows are no list", `"rows": [`, `"rows": {}, "x": [`, "rows: want a list, not {}"},
		{"a row is a number", `"rows": [`, `"rows": [7,`, "rows: item 0: json: cannot unmarshal number"},
		{"a row is null", `"rows": [`, `"rows": [null,`, `rows: item 0:  (abi , nr 0): unknown abi ""`},
		{"another ABI", `"abi":"amd64","nr":0`, `"abi":"mips\u001b","nr":0`, `unknown abi "mips�"`},
		{"a negative number", `"nr":0`, `"nr":-1`, "cannot unmarshal number -1"},
		{"a number that does not fit", `"nr":0`, `"nr":18446744073709551616`, "cannot unmarshal number 18446744073709551616"},
		{"a number that is a fraction", `"nr":0`, `"nr":0.5`, "cannot unmarshal number 0.5"},
		{"other calls", `"time_share":1,"calls":2,`, `"time_share":1,"calls":3,`, "it says 3 calls, 1 of them errors, and its histograms say 2 and 1"},
		{"other errors", `"time_share":1,"calls":2,"errors":1,`, `"time_share":1,"calls":2,"errors":2,`, "it says 2 calls, 2 of them errors"},
		{"a negative hold", `"time_share":1,"calls":2,"errors":1,"queued":0,"hold_ns":0,`, `"calls":2,"errors":1,"hold_ns":-5,`, "hold_ns is -5"},
		{"a negative raw time", `"raw_ns":4000`, `"raw_ns":-4000`, "raw_ns -4000"},
		{"errno 0", `"errno":11`, `"errno":0`, "errno 0 is not in 1 to 4095"},
		{"errno 4096", `"errno":11`, `"errno":4096`, "errno 4096 is not in 1 to 4095"},
		{"other calls in a histogram", okSum, `{"calls":5,"sum_ns":1000,`, "ok: it says 5 calls, and its buckets 1"},
		{"a sum that does not fit", okSum, `{"calls":1,"sum_ns":1001,`, "ok: the sum does not fit"},
		{"a negative sum", okSum, `{"calls":1,"sum_ns":-1000,`, `sum_ns "-1000" is not a whole number`},
		{"a broken sum", okSum, `{"calls":1,"sum_ns":1e3,`, `sum_ns "1e3" is not a whole number`},
		{"no sum", okSum, `{"calls":1,`, `sum_ns "" is not a whole number`},
		{"an endless sum", okSum, `{"calls":1,"sum_ns":1` + strings.Repeat("0", 100_000) + `,`, "is not a whole number of at most 128 bits"},
		{"a sum of 129 bits", okSum, `{"calls":1,"sum_ns":340282366920938463463374607431768211456,`, "is not a whole number of at most 128 bits"},
		{"no buckets", okBucket, `[]`, "ok: it has no buckets"},
		{"buckets are null", okBucket, `null`, "ok: it has no buckets"},
		{"buckets are a word", okBucket, `"no"`, `want a list, not "no"`},
		{"a bucket of two", okBucket, `[[1000,1003]]`, "a bucket has 2 numbers"},
		{"a bucket of four", okBucket, `[[1000,1003,1,1]]`, "a bucket has 4 numbers"},
		{"an endless bucket", okBucket, `[[` + strings.Repeat("1,", 100_000) + `1]]`, "want [low, high, count], not [1,1,1"},
		{"a bucket that is none", okBucket, `[[1000,1004,1]]`, "there is no bucket of 1000 to 1004 ns"},
		{"a negative bucket", okBucket, `[[-1,1003,1]]`, "cannot unmarshal number -1"},
		{"a bucket beyond time", okBucket, `[[18446744073709551615,18446744073709551615,1]]`, "there is no bucket of -1 to -1 ns"},
		{"an empty bucket", okBucket, `[[1000,1003,0]]`, "is empty"},
		{"buckets out of order", okBucket, `[[1000,1003,1],[5,5,1]]`, "out of order"},
		{"more CPU times than calls", `"cpu":{`, `"cpu":{"calls":9,"sum_ns":693,"min_ns":77,"max_ns":77,"buckets":[[77,77,9]]},"x":{`,
			"it has CPU times of 9 calls, but only 2 calls"},
		{"no calls in flight", `"count":1`, `"count":0`, "in_flight 0: its count is 0"},
		{"negative time in flight", `"longest_ns":5`, `"longest_ns":-5`, "its longest_ns -5"},
		{"in flight elsewhere", `"abi":"amd64","nr":7`, `"abi":"","nr":7`, `in_flight 0: unknown abi ""`},
		{"a thread beyond 32 bits", `"tid":0`, `"tid":2147483648`, "cannot unmarshal number 2147483648"},
		{"another source", `"calibrated"`, `"guessed"`, `overhead: unknown source "guessed"`},
		{"negative wall time", `"wall_ns":9`, `"wall_ns":-9`, "overhead: hold_ns is 0, wall_ns -9"},
		{"a negative duration", `"duration_ns":3210000000`, `"duration_ns":-1`, "meta: a negative duration"},
		{"a broken time", `"2026-01-02T`, `"yesterdayT`, "meta: "},
		{"warnings are a word", `"warnings": []`, `"warnings": "x"`, `want a list, not "x"`},
		{"a warning is a number", `"warnings": []`, `"warnings": [4]`, "cannot unmarshal number"},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: there is no %s in\n%s", c.name, c.old, good)
		}
		s, m, err := ReadJSON(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), "read JSON: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant the error %s", c.name, err, c.want)
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("%s: no message for a terminal: %q", c.name, err)
		}
		if s != nil || !reflect.ValueOf(m).IsZero() {
			t.Errorf("%s: something was read: %v, %v", c.name, s, m)
		}
	}
	if _, _, err := ReadJSON(io.MultiReader(strings.NewReader(good[:9]), brokenReader{})); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken pipe: %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestHugeJSON reads files that would take many times their size in memory if they were believed.
func TestHugeJSON(t *testing.T) {
	wide := new(strings.Builder) // a bucket in each power of two
	for shift := 7; shift < 63; shift++ {
		low, high := profile.BucketBounds(profile.BucketIndex(1 << shift))
		fmt.Fprintf(wide, ",[%d,%d,1]", low, high)
	}
	row := fmt.Sprintf(`{"abi":"amd64","calls":57,"ok":{"calls":57,"sum_ns":%d,"max_ns":%d,"buckets":[[0,0,1]%s]}}`,
		uint64(1<<63-128), int64(1<<62), wide)
	doc := func(field, item string, n int) io.Reader {
		return io.MultiReader(strings.NewReader(`{"format":"sysprof","version":1,"`+field+`":[`+item),
			strings.NewReader(strings.Repeat(","+item, n)+`]}`))
	}
	for _, c := range []struct {
		name string
		file io.Reader
		want string // "": it can be read
	}{
		{"blanks without end", endlessBlanks{}, "larger than 192 MB"},
		{"wide histograms", doc("rows", row, 1_000), ""},
		{"too many wide histograms", doc("rows", row, 1_200), "more histograms than fit into memory"},
		{"calls in flight", doc("in_flight", "{}", 1<<20), "more than 65536 items"},
		{"warnings", doc("warnings", `""`, 1<<20), "more than 65536 items"},
		{"failures", doc("rows", `{"failed":[{}`+strings.Repeat(",{}", 1<<20)+`]}`, 1), "more than 65536 items"},
		{"a long meta", strings.NewReader(`{"format":"sysprof","version":1,"meta":{"command":[""` + strings.Repeat(`,""`, 4<<20) + `]}}`), "meta is larger than 8 MB"},
		{"nesting", strings.NewReader(`{"format":"sysprof","version":1,"rows":` + strings.Repeat("[", 1<<20)), "exceeded max depth"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := ReadJSON(c.file)
			runtime.ReadMemStats(&after)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %.200v, want %q", err, c.want)
			}
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d MB", used>>20)
			// Allocated, not held: what grows is copied, twice as often under the race detector.
			if used > 5*maxJSONBytes {
				t.Errorf("reading it took %d MB", used>>20)
			}
		})
	}
}

type endlessBlanks struct{}

func (endlessBlanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// FuzzReadJSON: whatever is read without an error can be printed in every form, and survives being
// written and read.
func FuzzReadJSON(f *testing.F) {
	small := measured() // the fuzzer gets nowhere with long texts
	small.Rows, small.Overhead = small.Rows[:1], mixed().Overhead
	few := folded()
	few.Rows, few.Groups.List = few.Rows[:1], few.Groups.List[1:]
	for _, s := range []*profile.Snapshot{{}, profileOf(small), few, sleeping(), endless(), gigantic()} {
		var out bytes.Buffer
		if err := WriteJSON(&out, s, meta); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Add([]byte(`{"format":"sysprof","version":1,"future":{"a":[1e800,2]}}`))
	f.Add([]byte(`{"format":"sysprof","version":1,"rows":[{"abi":"386","calls":1,"errors":1,"failed":[{"errno":7,"calls":1,"sum_ns":3,"min_ns":3,"max_ns":3,"buckets":[[3,3,1]]}]}]}`))
	f.Add([]byte(`{"format":"sysprof","version":1,"overhead":{"source":"calibrated","calls":1,"total":{"ns":-9223372036854775808}},"in_flight":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, m, err := ReadJSON(bytes.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := errors.Join(
			Summary{}.Write(&out, s), Table{Width: 100}.Write(&out, s), Distribution{}.Write(&out, s),
			Failures{}.Write(&out, s), Groups{Top: 2}.Write(&out, s), Groups{Top: 2, Summary: &Summary{}}.Write(&out, s), Notes(&out, s, Meta{}, 0, true), WriteCSV(&out, s)); err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := WriteJSON(&again, s, m); err != nil {
			t.Fatal(err)
		}
		got, gotMeta, err := ReadJSON(&again)
		if err != nil {
			t.Fatal(err)
		}
		sameSnapshot(t, got, s)
		if d := cmp.Diff(m, gotMeta); d != "" {
			t.Errorf("meta:\n%s", d)
		}
	})
}

func writeJSON(t *testing.T, s *profile.Snapshot, m Meta) string {
	t.Helper()
	var out bytes.Buffer
	if err := WriteJSON(&out, s, m); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sameSnapshot(t *testing.T, got, want *profile.Snapshot) {
	t.Helper()
	histograms := cmp.Comparer(func(a, b *profile.Histogram) bool { return reflect.DeepEqual(a, b) })
	if d := cmp.Diff(want, got, histograms); d != "" {
		t.Errorf("snapshot (-want +got):\n%s", d)
	}
}

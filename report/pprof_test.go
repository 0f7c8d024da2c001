package report

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	pprof "github.com/google/pprof/profile"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/label"
	"sysprof/profile/stack/symbol"
	"sysprof/syscalltab"
)

// traced is a run whose calls went into a profile and into samples.
type traced struct {
	profile *profile.Profile
	samples *profile.Samples
	stream  *cost.Stream
	calls   int64
	queued  bool // the calls that are added stood in line
}

func newTraced() *traced {
	return &traced{profile: profile.New(), samples: profile.NewSamples(profile.DefaultSamples, nil), stream: byHand.NewStream()}
}

// byHand takes the same off each call.
var byHand = cost.Model{ByHand: new(2 * time.Microsecond)}

// call adds n calls that took rawNs.
func (r *traced) call(n int, nr uint64, stack uint32, errno int32, rawNs int64, v values) {
	for range n {
		r.calls++
		at := r.calls * 1_000_000
		c := &profile.Call{PID: 10, TID: 11, ABI: syscalltab.AMD64, Nr: nr, Errno: errno, Stack: stack, CPUNs: -1, GapNs: -1, Queued: r.queued,
			EntrySeenNs: at, EntryResumedNs: at + 100, ExitSeenNs: at + 100 + rawNs, ExitResumedNs: at + 300 + rawNs}
		if v.tid == cpuTID {
			c.CPUNs = rawNs / 2
		}
		r.stream.Call(c)
		r.profile.Add(c)
		r.samples.Add(c, profile.SampleKey{Values: profile.Values{v.pid, v.tid, profile.LatencyBucket(int64(c.Latency())), v.errno, v.comm, v.fd}})
	}
}

// values are those of a sample's fields, but for its latency.
type values struct{ pid, tid, errno, comm, fd uint32 }

// cpuTID is the thread whose CPU time is measured.
const cpuTID = 77

// The program of the profiles: main calls work, which has two functions inlined, and work calls libc.
var (
	program = &symbol.Mapping{Start: 0x400000, Limit: 0x500000, Offset: 0x1000, File: "/srv/app", BuildID: "0badf00d",
		HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true}
	libc = &symbol.Mapping{Start: 0x7f0000000000, Limit: 0x7f0000200000, File: "/usr/lib/libc.so.6", BuildID: "1ce"}

	inMain = &symbol.Location{Address: 0x400100, Mapping: program,
		Lines: []symbol.Frame{{Function: "main", File: "/src/app.c", Line: 40, StartLine: 30}}}
	inWork = &symbol.Location{Address: 0x400200, Mapping: program, Lines: []symbol.Frame{
		{Function: "inner", File: "/src/app.h", Line: 7, StartLine: 5},
		{Function: "outer<int>", SystemName: "_Z5outerIiE", File: "/src/app.h", Line: 12, StartLine: 10},
		{Function: "work", File: "/src/app.c", Line: 22, StartLine: 20},
	}}
	inLibc  = &symbol.Location{Address: 0x7f00000000ff, Mapping: libc, Lines: []symbol.Frame{{Function: "libc.so.6+0xff"}}}
	unknown = &symbol.Location{Address: 0x99, Lines: []symbol.Frame{{Function: "[unmapped] 0x99"}}}

	// Their frames, innermost first.
	stacks = map[uint32][]*symbol.Location{
		1: {inLibc, inWork, inMain},
		2: {inLibc, inMain},
		3: {unknown},
	}
)

const readNr, writeNr = 0, 1

// mixedRun has some of everything.
func mixedRun() *traced {
	r := newTraced()
	r.call(3, readNr, 1, 0, 5_000, values{})
	r.call(2, readNr, 1, 11, 4_000, values{errno: 11})
	r.call(4, readNr, 2, 0, 5_000, values{})
	r.call(1, writeNr, 2, 0, 1_000_000, values{})
	r.call(1, writeNr, 0, 0, 7_000, values{}) // without a stack
	r.call(1, 500_000, 3, 38, 3_000, values{errno: 38, pid: 10, tid: 11, comm: 2, fd: 3})
	return r
}

var labelNames = []string{"", "sh", "app\tx", "tcp 127.0.0.1:6379"}

// fields are those of the samples that become labels.
type fields struct{ pid, tid, latency, errno bool }

const latencyAt = 2

func (f fields) Labels(v profile.Values) (labels []label.Label) {
	number := func(chosen bool, name string, value int64, unit string) {
		if chosen {
			labels = append(labels, label.Label{Name: name, Number: value, Unit: unit})
		}
	}
	text := func(chosen bool, name, value string) {
		if chosen && value != "" {
			labels = append(labels, label.Label{Name: name, Text: value, IsText: true})
		}
	}
	number(f.pid, "pid", int64(v[0]), "")
	number(f.tid, "tid", int64(v[1]), "")
	number(f.latency, label.Latency, profile.LatencyBucketNs(v[latencyAt]), "nanoseconds")
	text(f.errno && v[3] != 0, "errno", syscalltab.Errno(int(v[3])))
	text(true, "comm", labelNames[v[4]])
	text(true, "fd", labelNames[v[5]])
	return labels
}

// pprof is the profile of the run with these labels.
func (r *traced) pprof(by fields) Pprof {
	snapshot := cost.Correct(r.profile.Raw(), byHand, cost.Run{Wall: 50 * time.Millisecond, CPUs: 2})
	samples, _ := r.samples.All()
	return Pprof{
		Snapshot: snapshot,
		Samples:  cost.CorrectSamples(snapshot, samples, nil),
		Meta:     meta,
		Program:  "/srv/app",
		Stack:    func(id uint32) []*symbol.Location { return stacks[id] },
		Labels:   by,
	}
}

// written is the profile as a viewer reads it.
func written(t *testing.T, p Pprof) *pprof.Profile {
	t.Helper()
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(out.Bytes(), []byte{0x1f, 0x8b}) {
		t.Error("the profile is not compressed")
	}
	read, err := pprof.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := read.CheckValid(); err != nil {
		t.Error(err)
	}
	return read
}

// text is a profile as go tool pprof -raw shows it, without what depends on the time zone.
func text(p *pprof.Profile) string {
	return regexp.MustCompile(`(?m)^Time: .*$`).ReplaceAllString(p.String(), fmt.Sprintf("Time: %d", p.TimeNanos))
}

var allLabels = fields{true, true, true, true}

func TestGoldenPprof(t *testing.T) {
	golden(t, "mixed --pprof", text(written(t, mixedRun().pprof(fields{}))))
	golden(t, "mixed --pprof --labels=pid,tid,latency,errno", text(written(t, mixedRun().pprof(allLabels))))
	none := Pprof{Snapshot: new(profile.Snapshot), Stack: func(uint32) []*symbol.Location { return nil }, Labels: fields{}}
	golden(t, "nothing --pprof", text(written(t, none)))
}

func TestPprofLayout(t *testing.T) {
	p := written(t, mixedRun().pprof(fields{}))
	types := func(p *pprof.Profile) (types []string) {
		for _, s := range p.SampleType {
			types = append(types, s.Type+"/"+s.Unit)
		}
		return types
	}
	equal(t, "sample types", types(p), []string{"calls/count", "errors/count", "overhead/nanoseconds", "latency/nanoseconds"})
	equal(t, "default", p.DefaultSampleType, "latency")
	equal(t, "period type", *p.PeriodType, pprof.ValueType{Type: "calls", Unit: "count"})
	equal(t, "period", p.Period, 1)
	equal(t, "time", p.TimeNanos, meta.Start.UnixNano())
	equal(t, "duration", p.DurationNanos, int64(meta.Duration))
	equal(t, "the first comments", p.Comments[:2], []string{"1.2.3", "sh -c 'echo <a> & \"µ\" \ufffd'"})
	if c := p.Comments[2]; !strings.Contains(c, "a call (by hand)") || strings.Contains(c, "\n") {
		t.Errorf("the comment on overhead is %q", c)
	}
	attached := mixedRun().pprof(fields{})
	for traced, want := range map[string]string{
		"redis-server (17), nginx (4711), 2 more":             "attached to redis-server, nginx, more",
		"postgres (17), postgres (18), postgres (19), 7 more": "attached to postgres, more",
		"nginx (4711)": "attached to nginx",
	} {
		attached.Meta.Command, attached.Meta.Traced = nil, traced
		equal(t, "the comment on what was attached to", written(t, attached).Comments[1], want)
	}
	for _, s := range p.SampleType { // Pyroscope
		if strings.Contains(s.Type, "-") {
			t.Errorf("sample type %s", s.Type)
		}
	}

	// Each stack begins with the call.
	for _, s := range p.Sample {
		leaf := s.Location[0]
		if len(leaf.Line) != 1 || leaf.Mapping.File != "[kernel.kallsyms]" {
			t.Fatalf("the leaf is %+v in %+v", leaf, leaf.Mapping)
		}
		f := leaf.Line[0].Function
		if !strings.HasPrefix(f.Name, "sys_") || f.SystemName != "__x64_"+f.Name {
			t.Errorf("the leaf is %s, %s", f.Name, f.SystemName)
		}
		for _, above := range s.Location[1:] {
			if above.Mapping != nil && above.Mapping.File == "[kernel.kallsyms]" {
				t.Error("the kernel calls itself")
			}
		}
		for _, l := range s.Location { // speedscope
			if len(l.Line) == 0 || slices.ContainsFunc(l.Line, func(l pprof.Line) bool { return l.Function == nil || l.Function.Name == "" }) {
				t.Errorf("location %d has no function", l.ID)
			}
		}
	}
	names := map[string]string{}
	for _, f := range p.Function {
		names[f.Name] = f.SystemName
	}
	equal(t, "names", names, map[string]string{
		"sys_read": "__x64_sys_read", "sys_write": "__x64_sys_write", "sys_syscall_0x7a120": "__x64_sys_syscall_0x7a120",
		"main": "main", "inner": "inner", "outer<int>": "_Z5outerIiE", "work": "work", "libc.so.6+0xff": "libc.so.6+0xff",
		"[unmapped] 0x99": "[unmapped] 0x99",
	})

	// Ids in order, without gaps (Parca).
	for i, m := range p.Mapping {
		equal(t, "the id of a mapping", m.ID, uint64(i+1))
	}
	for i, l := range p.Location {
		equal(t, "the id of a location", l.ID, uint64(i+1))
	}
	for i, f := range p.Function {
		equal(t, "the id of a function", f.ID, uint64(i+1))
	}
	files := []string{}
	for _, m := range p.Mapping {
		files = append(files, m.File)
	}
	equal(t, "mappings", files, []string{"/srv/app", "/usr/lib/libc.so.6", "[kernel.kallsyms]"})
	app := p.Mapping[0]
	equal(t, "the program", *app, pprof.Mapping{ID: 1, Start: 0x400000, Limit: 0x500000, Offset: 0x1000, File: "/srv/app",
		BuildID: "0badf00d", HasFunctions: true, HasFilenames: true, HasLineNumbers: true, HasInlineFrames: true})
	if m := p.Mapping[1]; m.HasFunctions || m.HasFilenames || m.HasLineNumbers || m.HasInlineFrames {
		t.Error("the mapping without symbols says that it has some")
	}
}

// TestPprofMapsTheProgramFirst, in whatever order stacks come.
func TestPprofMapsTheProgramFirst(t *testing.T) {
	for _, program := range []string{"/srv/app", "/usr/lib/libc.so.6", "/elsewhere", ""} {
		r := mixedRun().pprof(fields{})
		r.Program = program
		p := written(t, r)
		mappings := 3
		if program == "/elsewhere" {
			mappings++
		}
		equal(t, "mappings", len(p.Mapping), mappings)
		equal(t, "the last", p.Mapping[mappings-1].File, "[kernel.kallsyms]")
		want := program
		if program == "" {
			want = "/srv/app" // where stacks begin
		}
		equal(t, "the first", p.Mapping[0].File, want)
	}
	r := mixedRun().pprof(fields{})
	r.Stack = func(uint32) []*symbol.Location { return nil }
	p := written(t, r)
	equal(t, "mappings without stacks", len(p.Mapping), 2)
	equal(t, "the first without stacks", p.Mapping[0].File, "/srv/app")
	// Merging keeps the first mapping, used or not.
	both, err := pprof.Merge([]*pprof.Profile{p, p})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the first of two without stacks", both.Mapping[0].File, "/srv/app")
}

func TestPprofInlinedLines(t *testing.T) {
	p := written(t, mixedRun().pprof(fields{}))
	found := false
	for _, l := range p.Location {
		if l.Address != inWork.Address {
			continue
		}
		found = true
		var lines []string
		for _, line := range l.Line {
			f := line.Function
			lines = append(lines, fmt.Sprintf("%s %s:%d from %d", f.Name, f.Filename, line.Line, f.StartLine))
		}
		equal(t, "lines", lines, []string{"inner /src/app.h:7 from 5", "outer<int> /src/app.h:12 from 10", "work /src/app.c:22 from 20"})
	}
	if !found {
		t.Error("there is no such location")
	}
}

// TestPprofSums: what the samples say is what the table says.
func TestPprofSums(t *testing.T) {
	r := mixedRun()
	// Some calls of another length, on another stack.
	for i := range int64(500) {
		r.call(1, writeNr, uint32(i%4), int32(i%3)*2, 20_000+17*i, values{errno: uint32(i%3) * 2})
	}
	for _, by := range []fields{{}, allLabels} {
		in := r.pprof(by)
		p := written(t, in)
		total := in.Snapshot.Total
		sums := make([]int64, len(p.SampleType))
		perCall := map[string][]int64{}
		for _, s := range p.Sample {
			name := s.Location[0].Line[0].Function.Name
			if perCall[name] == nil {
				perCall[name] = make([]int64, len(s.Value))
			}
			for i, v := range s.Value {
				sums[i] += v
				perCall[name][i] += v
			}
		}
		equal(t, "calls", sums[0], int64(total.Calls))
		equal(t, "errors", sums[1], int64(total.Errors))
		latency := len(sums) - 1
		near := func(what string, got, want, samples int64) {
			t.Helper()
			if got < want-samples || got > want+samples {
				t.Errorf("%s: %d ns, want %d", what, got, want)
			}
		}
		near("latency", sums[latency], total.SumNs, int64(len(p.Sample)))
		near("overhead", sums[2], in.Snapshot.Overhead.TotalNs.Ns, total.SumNs/100+int64(len(p.Sample)))
		for i := range in.Snapshot.Rows {
			row := &in.Snapshot.Rows[i]
			got := perCall["sys_"+row.ABI.Name(row.Nr)]
			equal(t, "calls of a row", got[0], int64(row.Calls))
			equal(t, "errors of a row", got[1], int64(row.Errors))
			near("latency of a row", got[latency], row.SumNs, int64(len(p.Sample)))
		}
	}
}

// TestPprofSumsOfUnequalCalls: some calls took less than what is taken off the others.
func TestPprofSumsOfUnequalCalls(t *testing.T) {
	r := newTraced()
	r.call(50, readNr, 1, 0, 300, values{})
	r.call(30, readNr, 2, 0, 1_000, values{})
	r.call(10, readNr, 3, 0, 10_000, values{})
	r.call(1, readNr, 0, 0, 400_000, values{})
	r.call(5, writeNr, 1, 0, 100, values{}) // nothing is left
	in := r.pprof(fields{})
	sums := map[string]int64{}
	for _, s := range written(t, in).Sample {
		if latency := s.Value[3]; latency < 0 {
			t.Errorf("a latency of %d ns", latency)
		}
		sums[s.Location[0].Line[0].Function.Name] += s.Value[3]
	}
	for i, name := range []string{"sys_read", "sys_write"} {
		if want := in.Snapshot.Rows[i].SumNs; sums[name] < want-10 || sums[name] > want+10 {
			t.Errorf("%s: %d ns in the profile, %d in the table", name, sums[name], want)
		}
	}
}

// TestPprofSumsOfQueuedCalls: the table says that they took as long as the others, unless they are seen to be much shorter.
func TestPprofSumsOfQueuedCalls(t *testing.T) {
	r := newTraced()
	r.call(30, readNr, 1, 0, 100_000, values{})
	r.queued = true
	r.call(10, readNr, 2, 0, 60_000, values{})
	in := r.pprof(fields{latency: true})
	latency, overhead := int64(0), int64(0)
	for _, s := range written(t, in).Sample {
		overhead += s.Value[2]
		latency += s.Value[3]
	}
	row := &in.Snapshot.Rows[0]
	if row.SumNs <= 30*100_000+10*60_000 {
		t.Fatalf("the table says %d ns", row.SumNs)
	}
	if latency < row.SumNs-10 || latency > row.SumNs+10 {
		t.Errorf("%d ns in the profile, %d in the table", latency, row.SumNs)
	}
	if overhead < row.HoldNs {
		t.Errorf("an overhead of %d ns, and %d of them are hold", overhead, row.HoldNs)
	}
}

func TestPprofCPUTime(t *testing.T) {
	r := newTraced()
	r.call(4, readNr, 1, 0, 9_000, values{tid: cpuTID})
	r.call(1, readNr, 1, 0, 9_000, values{})
	p := written(t, r.pprof(fields{tid: true}))
	equal(t, "the type before the last", *p.SampleType[3], pprof.ValueType{Type: "cpu", Unit: "nanoseconds"})
	equal(t, "the last type", p.SampleType[4].Type, "latency")
	cpu := map[int64]int64{}
	for _, s := range p.Sample {
		if tid := s.NumLabel["tid"]; len(tid) == 1 { // the format has no label 0
			cpu[tid[0]] = s.Value[3]
		} else {
			equal(t, "CPU time of the call of which it was not measured", s.Value[3], 0)
		}
	}
	equal(t, "CPU time by thread", cpu, map[int64]int64{cpuTID: 4 * 4_500})
}

func TestPprofLabelsAreOptIn(t *testing.T) {
	in := mixedRun().pprof(fields{})
	in.Labels = (*label.Projection)(nil)
	for _, s := range written(t, in).Sample {
		if len(s.Label)+len(s.NumLabel) > 0 {
			t.Errorf("labels %v, %v that nobody asked for", s.Label, s.NumLabel)
		}
	}
	seen := map[string]bool{}
	for _, s := range written(t, mixedRun().pprof(allLabels)).Sample {
		for name, values := range s.Label {
			seen[name+"="+strings.Join(values, ",")] = true
		}
		for name, values := range s.NumLabel {
			seen[fmt.Sprintf("%s=%v%v", name, values, s.NumUnit[name])] = true
		}
		if _, failed := s.Label["errno"]; failed != (s.Value[1] > 0) {
			t.Errorf("a sample with %d errors has the labels %v", s.Value[1], s.Label)
		}
	}
	equal(t, "labels", slices.Sorted(maps.Keys(seen)), []string{
		"comm=app\tx", "errno=EAGAIN", "errno=ENOSYS", "fd=tcp 127.0.0.1:6379", "latency=[1536][nanoseconds]",
		"latency=[2048][nanoseconds]", "latency=[4096][nanoseconds]", "latency=[768][nanoseconds]", "latency=[786432][nanoseconds]", "pid=[10][]", "tid=[11][]",
	})
}

// TestPprofCommentsDoNotPileUp: two runs that differ a little have the same comments.
func TestPprofCommentsDoNotPileUp(t *testing.T) {
	in := mixedRun().pprof(fields{})
	in.Snapshot.Warnings = []profile.Warning{{Kind: profile.CPUsBusy, Share: 0.12}, {Kind: profile.SamplesFolded, Share: 0.3, Count: 16_000}}
	a := written(t, in)
	in.Snapshot.Overhead.TotalNs.Ns += in.Snapshot.Overhead.TotalNs.Ns / 1_000
	in.Snapshot.Warnings = []profile.Warning{{Kind: profile.CPUsBusy, Share: 0.14}, {Kind: profile.SamplesFolded, Share: 0.1, Count: 16_000}}
	both, err := pprof.Merge([]*pprof.Profile{a, written(t, in)})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "comments", both.Comments, a.Comments)
	for _, c := range a.Comments {
		if len(c) > 120 {
			t.Errorf("a comment of %d bytes: %s", len(c), c)
		}
	}
}

func TestFirstDigit(t *testing.T) {
	for v, want := range map[float64]string{74_500: "70 µs", 5_300: "5 µs", 940: "900 ns", 960: "1 µs", 96_000: "100 µs", 0: "0 ns", 999_999_999: "1 s"} {
		equal(t, fmt.Sprint(v), shortTime(int64(firstDigit(v))), want)
	}
	for v, want := range map[float64]string{1: "1.0", 1.26: "1.3", 1.96: "2", 2.4: "2", 347: "300", 12_345: "10,000"} {
		equal(t, fmt.Sprint(v), shortFactor(v), want)
	}
}

// TestPprofMergesAndCompares: the parts of two runs are the same parts.
func TestPprofMergesAndCompares(t *testing.T) {
	a, b := written(t, mixedRun().pprof(allLabels)), written(t, mixedRun().pprof(allLabels))
	both, err := pprof.Merge([]*pprof.Profile{a, b})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "samples of two equal profiles", len(both.Sample), len(a.Sample))
	equal(t, "locations", len(both.Location), len(a.Location))
	equal(t, "functions", len(both.Function), len(a.Function))
	equal(t, "mappings", len(both.Mapping), len(a.Mapping))
	equal(t, "the first mapping", both.Mapping[0].File, "/srv/app")
	calls := int64(0)
	for _, s := range both.Sample {
		calls += s.Value[0]
	}
	equal(t, "calls", calls, 24)

	b.Scale(-1) // as -diff_base does
	diff, err := pprof.Merge([]*pprof.Profile{a, b})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range diff.Sample {
		if slices.ContainsFunc(s.Value, func(v int64) bool { return v != 0 }) {
			t.Errorf("equal profiles differ by %v", s.Value)
		}
	}
}

// TestPprofIsReproducible: samples come in no order, and the file does not show it.
func TestPprofIsReproducible(t *testing.T) {
	in := mixedRun().pprof(allLabels)
	want := text(written(t, in))
	for range 5 {
		samples := slices.Clone(in.Samples)
		slices.Reverse(samples)
		in.Samples = append(samples[3:], samples[:3]...)
		if d := cmp.Diff(want, text(written(t, in))); d != "" {
			t.Fatalf("the same samples in another order:\n%s", d)
		}
	}
}

func TestPprofOfOtherMachines(t *testing.T) {
	for abi, want := range map[syscalltab.ABI]string{
		syscalltab.AMD64: "__x64_sys_read", syscalltab.I386: "__ia32_sys_read", syscalltab.ARM64: "__arm64_sys_read",
		syscalltab.RISCV64: "__riscv_sys_read",
	} {
		nr, ok := abi.Number("read")
		if !ok {
			t.Fatalf("%v has no read", abi)
		}
		r := newTraced()
		c := &profile.Call{ABI: abi, Nr: nr, ExitSeenNs: 5_000, CPUNs: -1, GapNs: -1}
		r.stream.Call(c)
		r.profile.Add(c)
		r.samples.Add(c, profile.SampleKey{})
		p := written(t, r.pprof(fields{}))
		equal(t, "a function", *p.Function[0], pprof.Function{ID: 1, Name: "sys_read", SystemName: want})
	}
}

// TestPprofOfOddNames: a traced program can have anything in its names.
func TestPprofOfOddNames(t *testing.T) {
	in := mixedRun().pprof(fields{})
	in.Meta.Command = []string{"app", "a\nb", "\xff\xfe", ""}
	in.Stack = func(uint32) []*symbol.Location {
		return []*symbol.Location{{Address: 1, Mapping: &symbol.Mapping{Start: 0, Limit: 10, File: "/a\nb \xff"},
			Lines: []symbol.Frame{{Function: "f\n\xff", SystemName: "\xfe", File: "\xff"}}}}
	}
	in.Labels = oddLabels{}
	in.Snapshot.Warnings = append(in.Snapshot.Warnings, profile.Warning{Kind: profile.Sentence, Text: "\xff"})
	p := written(t, in)
	strs := slices.Clone(p.Comments)
	for _, f := range p.Function {
		strs = append(strs, f.Name, f.SystemName, f.Filename)
	}
	for _, m := range p.Mapping {
		strs = append(strs, m.File)
	}
	for _, s := range p.Sample {
		strs = append(strs, s.Label["comm"]...)
	}
	for _, s := range strs {
		if !utf8.ValidString(s) {
			t.Errorf("a profile has no string %q", s)
		}
	}
	if !slices.Contains(strs, "x\ufffdy") {
		t.Errorf("the label is lost: %q", strs)
	}
}

// TestPprofShortensNoNames: go tool pprof, which takes some names for C++'s, shows all of them as they are.
func TestPprofShortensNoNames(t *testing.T) {
	names := []string{
		"<module>", "<lambda>", "f.<locals>.<listcomp>", // Python's
		"void A.<init>()", "java.util.List::add(int)", "instance void [A] B::C(int32)[D]", // of Java and .NET
		"main.(*T).f", "main.f[...].func1", "main.(*T[...]).f", "operator()<int>", "libfoo.so+0x12", "[incomplete]",
	}
	in := mixedRun().pprof(fields{})
	in.Stack = func(uint32) []*symbol.Location {
		l := &symbol.Location{Address: 1}
		for _, name := range names {
			l.Lines = append(l.Lines, symbol.Frame{Function: name, SystemName: name})
		}
		return []*symbol.Location{l}
	}
	file := filepath.Join(t.TempDir(), "profile")
	var out bytes.Buffer
	if err := in.Write(&out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command("go", "tool", "pprof", "-top", "-nodefraction=0", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !regexp.MustCompile(`(?m) ` + regexp.QuoteMeta(name) + `( \(inline\))?$`).Match(text) {
			t.Errorf("%s is not there:\n%s", name, text)
		}
	}
}

type oddLabels struct{}

func (oddLabels) Labels(profile.Values) []label.Label {
	return []label.Label{{Name: "comm", Text: "x\xff\xfey", IsText: true}}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestCommandLine(t *testing.T) {
	for want, words := range map[string][]string{
		"":                          nil,
		"ls -lR --x=1,2 /etc/a.b+c": {"ls", "-lR", "--x=1,2", "/etc/a.b+c"},
		"python3 -c 'import os\ufffdos.stat(\"/\")' ''": {"python3", "-c", "import os\nos.stat(\"/\")", ""},
		`sh -c 'echo '\''$x'\'' µ'`:                     {"sh", "-c", "echo '$x' µ"},
	} {
		if got := commandLine(words); got != want {
			t.Errorf("%q is %q, want %q", words, got, want)
		}
	}
}

// TestPprofHasTheStructureThatParcaDemands: its normalizer refuses a profile whose mappings, functions and locations are
// not numbered from 1 in the order in which they stand, or that names one which is not there. It takes the name of the
// program from the first mapping, and of the types what is before and behind the slash.
func TestPprofHasTheStructureThatParcaDemands(t *testing.T) {
	nothing := newTraced().pprof(fields{})
	for name, in := range map[string]Pprof{"mixed": mixedRun().pprof(allLabels), "nothing": nothing} {
		p := written(t, in)
		for i, m := range p.Mapping {
			equal(t, name+": the number of a mapping", m.ID, uint64(i+1))
		}
		for i, f := range p.Function {
			equal(t, name+": the number of a function", f.ID, uint64(i+1))
			if f.Name == "" {
				t.Errorf("%s: function %d has no name", name, f.ID)
			}
		}
		for i, l := range p.Location {
			equal(t, name+": the number of a location", l.ID, uint64(i+1))
			if len(l.Line) == 0 {
				t.Errorf("%s: location %d has no function, so that a name would be looked up by its address", name, l.ID)
			}
			for _, line := range l.Line {
				if line.Function == nil || p.Function[line.Function.ID-1] != line.Function {
					t.Errorf("%s: location %d has a function that is not in the table", name, l.ID)
				}
			}
			if l.Mapping != nil && p.Mapping[l.Mapping.ID-1] != l.Mapping {
				t.Errorf("%s: location %d has a mapping that is not in the table", name, l.ID)
			}
		}
		stacks := map[string]bool{}
		for i, s := range p.Sample {
			if len(s.Value) != len(p.SampleType) || len(s.Location) == 0 {
				t.Errorf("%s: sample %d has %d values of %d types, and %d frames", name, i, len(s.Value), len(p.SampleType), len(s.Location))
			}
			var key strings.Builder
			for _, l := range s.Location {
				fmt.Fprintf(&key, "%d ", l.ID)
			}
			fmt.Fprint(&key, s.Label, s.NumLabel)
			if stacks[key.String()] {
				t.Errorf("%s: sample %d has the stack and labels of another one, of which one would be lost", name, i)
			}
			stacks[key.String()] = true
		}
		if p.PeriodType == nil || p.Period == 0 || p.TimeNanos == 0 || p.DurationNanos == 0 {
			t.Errorf("%s: period type %v, period %d, time %d, duration %d", name, p.PeriodType, p.Period, p.TimeNanos, p.DurationNanos)
		}
		for _, v := range append(p.SampleType, p.PeriodType) {
			if !regexp.MustCompile(`^[a-z]+$`).MatchString(v.Type) || !regexp.MustCompile(`^[a-z]+$`).MatchString(v.Unit) {
				t.Errorf("%s: a type of %s in %s", name, v.Type, v.Unit)
			}
		}
	}
}

// TestPprofOfUnfinishedCalls: they are calls with the time so far, on their stacks, and take nothing from the others.
func TestPprofOfUnfinishedCalls(t *testing.T) {
	r := mixedRun()
	for _, f := range []profile.InFlight{{Nr: readNr, Stack: 2, SoFarNs: 7e9}, {Nr: readNr, Stack: 2, SoFarNs: 1e9}, {Nr: writeNr, NotStopped: true, SoFarNs: 3e9}} {
		f.ABI = syscalltab.AMD64
		r.samples.AddInFlight(&f, profile.SampleKey{Values: profile.Values{0, 0, 0, 0, 1}}) // as one that has a label
	}
	in := r.pprof(fields{})
	total := in.Snapshot.Total
	found := map[string][]int64{}
	var calls, latency int64
	for _, s := range written(t, in).Sample {
		if s.Label["comm"] == nil || s.Value[3] < 1e9 {
			calls += s.Value[0]
			latency += s.Value[3]
			continue
		}
		names := ""
		for _, l := range s.Location {
			names += " " + l.Line[0].Function.Name
		}
		found[names] = s.Value
	}
	equal(t, "unfinished calls", found, map[string][]int64{
		" sys_read libc.so.6+0xff main": {2, 0, 0, 8e9}, " sys_write [not stopped]": {1, 0, 0, 3e9},
	})
	equal(t, "finished calls", calls, int64(total.Calls))
	if latency < total.SumNs-20 || latency > total.SumNs+20 {
		t.Errorf("%d ns in the profile, %d in the table", latency, total.SumNs)
	}
}

// TestPprofOfOthers: what is too small for a sample of its own is in one of its call, and in the totals.
func TestPprofOfOthers(t *testing.T) {
	r := newTraced()
	r.samples = profile.NewSamples(4, nil)
	r.call(9, readNr, 1, 0, 900_000, values{comm: 1})
	r.call(9, writeNr, 2, 0, 900_000, values{comm: 1})
	for i := range uint32(50) {
		r.call(1, uint64(i%2), i, 0, 5_000, values{pid: i, comm: 1})
	}
	in := r.pprof(allLabels)
	var calls, latency, others int64
	for _, s := range written(t, in).Sample {
		calls += s.Value[0]
		latency += s.Value[3]
		if s.Location[1].Line[0].Function.Name == "[others]" {
			others++
		}
	}
	equal(t, "others", others, 2)
	equal(t, "calls", calls, 68)
	if total := in.Snapshot.Total.SumNs; latency < total-20 || latency > total+20 {
		t.Errorf("%d ns in the profile, %d in the table", latency, total)
	}
}

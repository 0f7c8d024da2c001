package page_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sysprof/profile"
	"sysprof/profile/cost"
	"sysprof/profile/stack/symbol"
	"sysprof/profile/timeline"
	"sysprof/report"
	"sysprof/report/page"
	"sysprof/syscalltab"
)

// written writes a page into a file, and returns it.
func written(t testing.TB, p page.Page) (file, text string) {
	t.Helper()
	var out bytes.Buffer
	check(t, p.Write(&out))
	file = filepath.Join(t.TempDir(), "page.html")
	check(t, os.WriteFile(file, out.Bytes(), 0o644))
	return file, out.String()
}

// nr is the number of a call.
func nr(name string) uint64 {
	n, ok := syscalltab.AMD64.Number(name)
	if !ok {
		panic(name)
	}
	return n
}

// latencies are n times around a middle, some of them much longer.
func latencies(rng *rand.Rand, n int, middleNs float64) *profile.Histogram {
	h := new(profile.Histogram)
	for range n {
		h.Record(int64(middleNs * math.Exp(rng.NormFloat64())))
	}
	return h
}

// calls are rows of a snapshot, of which the first takes most time.
func calls(rng *rand.Rand) *profile.Snapshot {
	rows := []*profile.Row{
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("futex")}, OK: latencies(rng, 300, 40_000_000), UpperBound: true,
			Failed: []profile.Outcome{{Errno: 11, Latency: latencies(rng, 70, 700)}, {Errno: 110, Latency: latencies(rng, 20, 9_000_000)}}},
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("read")}, OK: latencies(rng, 40_000, 900)},
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("openat")}, OK: latencies(rng, 900, 5_000), Failed: []profile.Outcome{{Errno: 2, Latency: latencies(rng, 400, 3_000)}}},
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("getpid")}, OK: latencies(rng, 17, 90)},
		{Key: profile.Key{ABI: syscalltab.I386, Nr: 3}, OK: latencies(rng, 1, 2_000_000_000)},
	}
	return profile.NewSnapshot(rows, []profile.Flight{
		{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("poll")}, Why: profile.Detached, Resumed: true, Count: 3, LongestNs: 12_000_000_000, PID: 7, TID: 8}})
}

// groups are a snapshot's calls told apart by who makes them.
func groups(names ...string) *profile.Groups {
	var list []profile.Group
	for i, name := range names {
		n := uint64(i + 1)
		list = append(list, profile.Group{Values: []string{name}, Who: name, Rows: []profile.GroupRow{
			{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("read")}, Totals: profile.Totals{Calls: 10 * n, SumNs: 10_000_000, MinNs: 100, MaxNs: 2_000_000},
				Buckets: []profile.Bucket{{LowNs: 100, HighNs: 199, Count: 9 * n}, {LowNs: 1_500_000, HighNs: 2_000_000, Count: n}}},
			{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("futex")}, Totals: profile.Totals{Calls: n, Errors: 1, SumNs: 5_000_000_000 * int64(n), MinNs: 5_000_000_000, MaxNs: 5_000_000_000},
				Buckets: []profile.Bucket{{LowNs: 5_000_000_000, HighNs: 5_000_000_000, Count: n}}},
		}})
	}
	list[0].InFlight = []profile.Flight{{Key: profile.Key{ABI: syscalltab.AMD64, Nr: nr("poll")}, Why: profile.Detached, Count: 1, LongestNs: 7_000_000_000, TID: 77}}
	return profile.NewGroups([]string{"comm"}, list)
}

// frames are a stack, outermost first.
func frames(names ...string) []*symbol.Location {
	var stack []*symbol.Location
	for _, name := range names {
		stack = append([]*symbol.Location{{Lines: []symbol.Frame{{Function: name, File: "/src/" + name + ".c"}}}}, stack...)
	}
	return stack
}

func sample(call string, stack uint32, calls uint64, ns int64, state profile.State) cost.Sample {
	s := cost.Sample{LatencyNs: ns}
	s.Key, s.Stack, s.Calls = profile.Key{ABI: syscalltab.AMD64, Nr: nr(call)}, stack, calls
	s.Values[0] = uint32(state)
	return s
}

func computing(v profile.Values) bool { return profile.State(v[0]) == profile.Computing }

// whole is a page that has everything.
func whole() page.Page {
	rng := rand.New(rand.NewPCG(1, 2))
	s := calls(rng)
	s.Overhead = &profile.Overhead{Source: profile.Calibrated, Calls: s.Total.Calls, HoldNs: 300_000_000, WallNs: 3_000_000_000,
		TransitNs: profile.Estimate{Ns: 5_000}, SwitchesNs: profile.Estimate{Ns: 1_000}, TotalNs: profile.Estimate{Ns: 600_000_000}}
	s.Warnings = []profile.Warning{{Kind: profile.CPUsBusy, Share: 0.3}}
	var slices timeline.Builder
	for i := range 100 {
		slices.Add(time.Duration(i+1)*30*time.Millisecond, calls(rng))
	}
	stacks := map[uint32][]*symbol.Location{
		1: frames("main", "serve", "read_file"),
		2: frames("main", "serve", "lock"),
		3: frames("main", "Log"),
	}
	return page.Page{
		Snapshot: s,
		Meta: report.Meta{Version: "sysprof (devel)", Command: []string{"serve", "--port", "80 80"}, Traced: "serve (42)", Threads: 3,
			Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Duration: 3 * time.Second, Host: "host", Kernel: "6.18.5", Arch: "x86_64", CPUs: 2},
		Timeline: slices.Timeline(),
		Stacks: &page.Stacks{Find: func(id uint32) []*symbol.Location { return stacks[id] }, Computing: computing, Samples: []cost.Sample{
			sample("openat", 1, 1300, 8_000_000, profile.Computing),
			sample("read", 1, 40_000, 60_000_000, profile.Computing),
			sample("futex", 2, 390, 12_000_000_000, profile.Waiting),
			sample("write", 3, 10, 1_000_000_000, profile.Computing),
			sample("write", profile.Others, 10, 1_000_000, profile.Computing),
		}},
	}
}

// TestPageStandsAlone: it has nothing that leads out of it, and a policy that would keep it from going there.
func TestPageStandsAlone(t *testing.T) {
	_, text := written(t, whole())
	for _, bad := range []string{"http:", "https:", "//", "url(", "@import", "innerHTML", "<img", "onclick"} {
		if strings.Contains(strings.NewReplacer("http://www.w3.org/2000/svg", "", "\n//", "").Replace(comment.ReplaceAllString(text, "")), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if !strings.Contains(text, `content="default-src 'none'; `) {
		t.Error("the page has no content security policy")
	}
	const most = 60 << 10
	small := page.Page{Snapshot: &profile.Snapshot{}}
	if _, text := written(t, small); len(text) > most {
		t.Errorf("a page of nothing has %d bytes, want %d at most", len(text), most)
	}
}

var comment = regexp.MustCompile(`(?m)^\s*//.*$| // .*$`)

// hostile are names that would be something else than names if they could.
var hostile = map[string]string{
	"script": `</script><img src=x onerror="window.hit=1">`,
	"markup": `<b>bold</b>&amp;<!--`,
	"long":   strings.Repeat("very_long_name_", 334),
	"rtl":    "\u05d0\u05d1\u05d2 \u202egnp.exe",
	"nul":    "a\x00b\x1b[31m\u2028c\xff",
	"style":  `</style></title></noscript><script>window.hit=1</script>`,
}

// evil is a page whose names are all hostile.
func evil() page.Page {
	p := whole()
	p.Meta.Command, p.Meta.Kernel = nil, hostile["script"]
	var stack []string
	for _, name := range hostile {
		p.Meta.Command = append(p.Meta.Command, name)
		p.Meta.Traced += name
		p.Meta.Host += name
		p.Snapshot.Warnings = append(p.Snapshot.Warnings, profile.Warning{Kind: profile.AttachFailed, Text: name})
		stack = append(stack, name)
	}
	p.Snapshot.Groups = groups(stack...)
	p.Stacks.Find = func(uint32) []*symbol.Location { return frames(stack...) }
	return p
}

// TestNamesStayText: whatever names are, the page has the elements that it has without them, and its data are JSON.
func TestNamesStayText(t *testing.T) {
	_, text := written(t, evil())
	_, plain := written(t, whole())
	for _, tag := range []string{"<script", "</script", "<style", "</style", "</title", "<noscript", "</noscript", "<img", "<b>", "<!--"} {
		if got, want := strings.Count(text, tag), strings.Count(plain, tag); got != want {
			t.Errorf("there are %d %s, want %d", got, tag, want)
		}
	}
	for _, r := range "\x00\x1b\u2028\u202e" {
		if strings.ContainsRune(text, r) {
			t.Errorf("the page has %q", r)
		}
	}
	var data map[string]any
	check(t, json.Unmarshal([]byte(dataOf(t, text)), &data))
}

func dataOf(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, `<script type="application/json" id="data">`)
	data, _, end := strings.Cut(rest, "</script>")
	if !ok || !end {
		t.Fatal("the page has no data")
	}
	return data
}

// TestFlameGraphIsBounded: it has the largest frames of too many, each with all of those above it, and sums that are those of
// all samples.
func TestFlameGraphIsBounded(t *testing.T) {
	const samples = 16_000
	p := page.Page{Snapshot: &profile.Snapshot{}, Stacks: &page.Stacks{Computing: computing}}
	p.Stacks.Find = func(id uint32) []*symbol.Location {
		names := []string{"main"}
		for depth := range 8 {
			names = append(names, fmt.Sprintf("f%d_%d", depth, int(id)>>(7-depth)))
		}
		return frames(names...)
	}
	wantCalls, wantNs := uint64(0), int64(0)
	for i := range uint32(samples) {
		s := sample("read", i+1, uint64(i+1), int64(samples-i)*1000, profile.Computing)
		p.Stacks.Samples = append(p.Stacks.Samples, s)
		wantCalls, wantNs = wantCalls+s.Calls, wantNs+s.LatencyNs
	}
	_, text := written(t, p)
	var data struct {
		Flame struct {
			N, D, C []uint64
			L       []int64
			Out     int
		}
	}
	check(t, json.Unmarshal([]byte(dataOf(t, text)), &data))
	f := data.Flame
	const most = 30_000
	if len(f.N) != most || f.Out < 1 {
		t.Errorf("there are %d frames, and %d were left out", len(f.N), f.Out)
	}
	if f.C[0] != wantCalls || f.L[0] != wantNs {
		t.Errorf("in all %d calls, %d ns; want %d, %d", f.C[0], f.L[0], wantCalls, wantNs)
	}
	for i := 1; i < len(f.D); i++ {
		if f.D[i] < 1 || f.D[i] > f.D[i-1]+1 {
			t.Fatalf("a frame of depth %d stands behind one of %d", f.D[i], f.D[i-1])
		}
	}
}

// TestWithoutScripts: the page has the table and the lines under it as text.
func TestWithoutScripts(t *testing.T) {
	p := whole()
	_, text := written(t, p)
	var want bytes.Buffer
	check(t, (report.Table{}).Write(&want, p.Snapshot))
	check(t, report.Notes(&want, p.Snapshot, p.Meta, 0, true))
	if !strings.Contains(html.UnescapeString(text), "<noscript><pre>"+want.String()+"</pre></noscript>") {
		t.Errorf("the page does not have\n%s", &want)
	}
}

// large is a page of as many samples as there are.
func large() page.Page {
	rng := rand.New(rand.NewPCG(3, 4))
	s := &page.Stacks{Computing: computing}
	locations := make(map[string][]*symbol.Location)
	stacks := make(map[uint32][]*symbol.Location)
	for i := range uint32(profile.DefaultSamples) {
		var stack []*symbol.Location
		for depth := range 10 + rng.IntN(40) {
			name := fmt.Sprintf("package.function%d", rng.IntN(1+depth%3)+7*depth)
			if locations[name] == nil {
				locations[name] = frames(name)
			}
			stack = append(locations[name][:1:1], stack...)
		}
		stacks[i+1] = stack
		s.Samples = append(s.Samples, sample("read", i+1, uint64(1+rng.IntN(100)), rng.Int64N(1_000_000), profile.Computing))
	}
	s.Find = func(id uint32) []*symbol.Location { return stacks[id] }
	return page.Page{Snapshot: whole().Snapshot, Stacks: s}
}

func BenchmarkWrite(b *testing.B) {
	p := large()
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		check(b, p.Write(&out))
	}
}

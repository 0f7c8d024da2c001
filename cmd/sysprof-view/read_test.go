package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"sysprof/syscalltab/needs"
)

// small is a profile of one sample.
func small(name string) *profile.Profile {
	f := &profile.Function{ID: 1, Name: name}
	l := &profile.Location{ID: 1, Address: 1, Line: []profile.Line{{Function: f}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "calls", Unit: "count"}},
		PeriodType: &profile.ValueType{}, Function: []*profile.Function{f}, Location: []*profile.Location{l},
		Sample: []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{1}}},
	}
}

func written(t testing.TB, p *profile.Profile, write func(*profile.Profile, io.Writer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(p, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(data)
	z.Close()
	return out.Bytes()
}

func TestParse(t *testing.T) {
	whole := written(t, small("main"), (*profile.Profile).Write)
	plain := written(t, small("main"), (*profile.Profile).WriteUncompressed)
	untyped := small("main")
	untyped.SampleType, untyped.Sample = nil, nil
	const limit = 10 << 20
	for _, test := range []struct {
		name string
		data []byte
		says string // "": it is a profile
	}{
		{"compressed", whole, ""},
		{"not compressed", plain, ""},
		{"a legacy profile", []byte("goroutine profile: total 1\n1 @ 0x401000 0x402000\n"), ""},
		{"nothing", nil, "empty"},
		{"nothing, compressed", zipped(nil), "empty"},
		{"text", []byte("{\"version\": 1}"), "no profile in pprof format"},
		{"cut off", whole[:len(whole)-9], "unexpected EOF"},
		{"cut off, not compressed", plain[:len(plain)/2], "no profile in pprof format"},
		{"compressed twice", zipped(whole), "compressed twice"},
		{"without types", written(t, untyped, (*profile.Profile).Write), "of no value"},
		{"little that becomes much", zipped(make([]byte, limit+1)), "more than 10 MB"},
		{"much", make([]byte, limit+1), "more than 10 MB"},
	} {
		p, err := parse(bytes.NewReader(test.data), limit)
		switch {
		case test.says == "" && (err != nil || len(p.Sample) != 1):
			t.Errorf("%s: %v", test.name, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: error %v, want one line with %q", test.name, err, test.says)
		}
	}
}

// FuzzParse: whatever is read ends in a profile that the pages can take, or in an error.
func FuzzParse(f *testing.F) {
	f.Add(written(f, small("a\x00b"), (*profile.Profile).WriteUncompressed))
	f.Add(written(f, small("main"), (*profile.Profile).Write))
	f.Add([]byte("heap profile: 1: 2 [3: 4] @ heapprofile\n1: 2 [3: 4] @ 0x401000\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(bytes.NewReader(data), 1<<20)
		if err != nil {
			return
		}
		for _, fn := range p.Function {
			if strings.ContainsRune(fn.Name, 0) || len(fn.Name) > longest {
				t.Errorf("a name of %d bytes: %q", len(fn.Name), fn.Name)
			}
		}
		if err := p.CheckValid(); err != nil {
			t.Error(err)
		}
	})
}

// TestTamed: different names remain different.
func TestTamed(t *testing.T) {
	for _, s := range []string{"main", "operator\n<", "std::map<int, é>"} {
		if got := tamed(s); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	for _, long := range []string{strings.Repeat("é", 50_000), strings.Repeat("x", 100_000)} {
		a, b := tamed(long+"a"), tamed(long+"b")
		if a == b || len(a) > longest || strings.ContainsRune(a, '\ufffd') {
			t.Errorf("long names become %d bytes, the same: %v", len(a), a == b)
		}
	}
}

// TestTameLabels: labels are made tame wherever they are not, and no others are copied, of which each sample has some.
func TestTameLabels(t *testing.T) {
	p := small("main")
	for range 1_000 {
		p.Sample = append(p.Sample, &profile.Sample{Location: p.Location, Value: []int64{1},
			Label: map[string][]string{"state": {"computing"}}, NumLabel: map[string][]int64{"tid": {7}}, NumUnit: map[string][]string{"tid": {""}}})
	}
	if n := testing.AllocsPerRun(1, func() { tame(p) }); n > 10 {
		t.Errorf("%v allocations for labels that are tame", n)
	}
	odd := p.Sample[500]
	odd.Label = map[string][]string{"a\x00": {"b", "c\x1b"}, "d": {`e"`}}
	odd.NumLabel, odd.NumUnit = map[string][]int64{`f\`: {1, 2}}, map[string][]string{`f\`: {"g", "h\x00"}}
	tame(p)
	if got, want := fmt.Sprint(odd.Label, odd.NumLabel, odd.NumUnit), "map[a\ufffd:[b c\ufffd] d:[e”]] map[f＼:[1 2]] map[f＼:[g h\ufffd]]"; got != want {
		t.Errorf("labels %s, want %s", got, want)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
	}{
		{nil, 2}, {[]string{"a", "b"}, 2}, {[]string{"--", "a", "b"}, 2}, {[]string{"-x"}, 2}, {[]string{"--http=:80"}, 2},
		{[]string{"--help"}, 0}, {[]string{"-h"}, 0}, {[]string{"--", "-x"}, 1}, {[]string{filepath.Join(t.TempDir(), "none\n\x1b[31m")}, 1},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(context.Background(), test.args, strings.NewReader(""), &stdout, &stderr); status != test.status {
			t.Errorf("%q: status %d, want %d", test.args, status, test.status)
		}
		if lines := strings.Count(stderr.String(), "\n"); (lines == 1) != (test.status != 0) || lines > 1 {
			t.Errorf("%q: stderr %q", test.args, &stderr)
		}
		if strings.Contains(stderr.String(), "\x1b") {
			t.Errorf("%q: control characters in %q", test.args, &stderr)
		}
	}
}

// shown serves the pages of a profile until the returned function is called, which returns the exit status.
func shown(t *testing.T, p *profile.Profile, stderr io.Writer) (address string, end func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile")
	check(t, os.WriteFile(file, written(t, p, (*profile.Profile).Write), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		status := run(ctx, []string{file}, nil, write, stderr)
		write.Close()
		ended <- status
	}()
	line := make([]byte, 500)
	n, err := read.Read(line)
	if err != nil {
		t.Fatalf("%v, status %d", err, <-ended)
	}
	address, _, _ = strings.Cut(string(line[:n]), " ")
	return address, func() int {
		cancel()
		return <-ended
	}
}

// TestGraphOfOddStrings, wherever in a profile they stand: dot can read them, and they become no attributes.
func TestGraphOfOddStrings(t *testing.T) {
	needs.Program(t, "dot", "graphviz")
	for _, odd := range []string{`"`, `\`, `\"`, `x" URL="javascript:alert(1)`, "a\nb\x00\x1b[31m\xff", strings.Repeat("é", 50_000), "</svg>", "&;", "{|}"} {
		p := small(odd)
		p.Comments, p.Function[0].Filename, p.DocURL = []string{odd}, "/x/"+odd, "http://x/"+odd
		p.Mapping = []*profile.Mapping{{ID: 1, Start: 1, Limit: 9, File: odd, BuildID: odd}}
		p.Location[0].Mapping = p.Mapping[0]
		p.SampleType[0] = &profile.ValueType{Type: odd, Unit: odd}
		s := p.Sample[0]
		s.Label, s.NumLabel, s.NumUnit = map[string][]string{odd: {odd}}, map[string][]int64{odd + "n": {7}}, map[string][]string{odd + "n": {odd}}
		address, end := shown(t, p, io.Discard)
		for _, granularity := range []string{"functions", "files", "lines", "addresses"} {
			status, text := fetch(t, address+"graph?g="+granularity)
			_, svg, _ := strings.Cut(text, "<svg")
			svg, _, _ = strings.Cut(svg, "</svg>")
			if status != 200 || !strings.Contains(svg, "node1") || strings.Contains(svg, `xlink:href="javascript`) {
				t.Errorf("%.40q, %s: status %d\n%s", odd, granularity, status, text[:min(len(text), 2_000)])
			}
		}
		end()
	}
}

// TestWithoutDotOrHome: what is missing is said, and the pages are there.
func TestWithoutDotOrHome(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	var stderr bytes.Buffer
	address, end := shown(t, small("here"), &stderr)
	for _, page := range []string{"flamegraph", "top", "peek", "source", "download"} {
		if status, text := fetch(t, address+page); status != 200 || page == "top" && !strings.Contains(text, "here") {
			t.Errorf("%s: status %d\n%s", page, status, text)
		}
	}
	if status, text := fetch(t, address+"graph"); status == 200 || !strings.Contains(text, "install graphviz") {
		t.Errorf("graph: status %d\n%s", status, text)
	}
	if status := end(); status != 0 {
		t.Errorf("status %d", status)
	}
	if !strings.HasPrefix(stderr.String(), "sysprof: dot is not there") {
		t.Errorf("stderr: %q", &stderr)
	}
}

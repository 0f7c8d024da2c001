package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	pprof "github.com/google/pprof/profile"

	"sysprof/syscalltab/needs"
)

// fetch gets a page as it is, without a browser.
func fetch(t *testing.T, address string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	r, err := client.Get(address)
	check(t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	check(t, err)
	return r.StatusCode, string(data)
}

func TestViewServesUntilASignal(t *testing.T) {
	file := profiled(t, "true")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			v, address := view(t, file, file, nil)
			if status, text := fetch(t, address); status != 200 || !strings.Contains(text, "sys_execve") {
				t.Errorf("status %d, and a page of\n%s", status, text)
			}
			// Who does not know the address, as other users and other pages, reads nothing.
			u, err := url.Parse(address)
			check(t, err)
			for _, path := range []string{"/", "/top", "/ui/", "/download", "/x/top"} {
				u.Path = path
				if status, _ := fetch(t, u.String()); status != 404 {
					t.Errorf("%s: status %d, want 404", path, status)
				}
			}
			check(t, v.cmd.Process.Signal(sig))
			v.end().exited(t, 0)
		})
	}
}

func TestViewReadsStandardInput(t *testing.T) {
	in, err := os.Open(profiled(t, "true"))
	check(t, err)
	defer in.Close()
	v, _ := view(t, "-", "standard input", in)
	check(t, v.cmd.Process.Signal(syscall.SIGTERM))
	v.end().exited(t, 0)
}

// TestBrowserPages opens pprof's pages of a profile that sysprof has written.
func TestBrowserPages(t *testing.T) {
	needs.Program(t, "dot", "graphviz")
	file := profiled(t, compiledChain(t), "500")
	_, address := view(t, file, file, nil)
	for _, test := range []struct {
		path  string
		shows []string
	}{
		{"flamegraph?si=calls", []string{"step_a", "step_b", "step_c", "sys_write"}},
		{"top?si=calls", []string{"step_c", "sys_write", "500"}},
		{"graph?si=calls", []string{"step_c", "sys_write", "500"}},
		{"peek?f=step_b&si=calls", []string{"| ", "step_a", "step_b"}},
		{"source?f=step_c&si=calls", []string{"program.c", "sum += write(out", "500"}},
	} {
		t.Run(test.path, func(t *testing.T) {
			p := browse(t, address+test.path, test.shows...)
			p.silent(t)
		})
	}
}

// TestBrowserHostileNames: what a profile says is shown, and does nothing.
func TestBrowserHostileNames(t *testing.T) {
	needs.Program(t, "dot", "graphviz")
	names := []string{
		`<img src=x onerror=console.error("run")>`, `</script><script>console.error("run")</script>`,
		`"'><svg onload=console.error("run")>`, "a\nb\x00\x1b[31m", `\" ];}`, "${console.error(`run`)}", strings.Repeat("x", 100_000), "&lt;", "",
	}
	p := &pprof.Profile{
		SampleType: []*pprof.ValueType{{Type: names[1], Unit: names[0]}, {Type: "calls", Unit: "count"}},
		PeriodType: &pprof.ValueType{Type: names[0], Unit: names[1]},
		Comments:   names, DocURL: `javascript:console.error("run")`, DefaultSampleType: "calls",
		Mapping: []*pprof.Mapping{{ID: 1, Start: 1, Limit: 1 << 20, File: names[1], BuildID: names[0]}},
	}
	for i, name := range names {
		id := uint64(i + 1)
		f := &pprof.Function{ID: id, Name: name, SystemName: name, Filename: names[(i+1)%len(names)]}
		l := &pprof.Location{ID: id, Mapping: p.Mapping[0], Address: id, Line: []pprof.Line{{Function: f, Line: -1}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
	}
	p.Sample = []*pprof.Sample{{
		Location: p.Location, Value: []int64{1, 1 << 62},
		Label: map[string][]string{names[0]: {names[1]}}, NumLabel: map[string][]int64{names[2]: {-1}}, NumUnit: map[string][]string{names[2]: {names[1]}},
	}}
	file := filepath.Join(t.TempDir(), "hostile")
	out, err := os.Create(file)
	check(t, err)
	check(t, p.Write(out))
	check(t, out.Close())
	v, address := view(t, file, file, nil)
	for _, path := range []string{"flamegraph", "top", "graph", "source?f=img"} {
		t.Run(path, func(t *testing.T) {
			got := browse(t, address+path)
			if path != "source?f=img" { // there is no such file
				got.shows(t, `<img src=x onerror=console.error("run")>`)
			}
			got.silent(t)
		})
	}
	check(t, v.cmd.Process.Signal(syscall.SIGTERM))
	v.end().exited(t, 0)
}

// TestBrowserReportsErrors: without it the tests above could not fail.
func TestBrowserReportsErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<p id=p>before</p><script>document.getElementById("p").textContent = "af" + "ter"; none.such()</script>`)
	}))
	defer server.Close()
	p := browse(t, server.URL, "after")
	if strings.Contains(p.text, "before") || len(p.console) != 1 || !strings.Contains(p.console[0], "none is not defined") {
		t.Errorf("text %q, console %q", p.text, p.console)
	}
}

// TestBrowserSpeedscope opens a profile in speedscope, in the view that lists all frames.
func TestBrowserSpeedscope(t *testing.T) {
	site := needs.Speedscope(t)
	file := profiled(t, compiledChain(t), "500")
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(site)))
	mux.HandleFunc("/profile.pb.gz", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	server := httptest.NewServer(mux)
	defer server.Close()
	p := browse(t, server.URL+"/index.html#profileURL=/profile.pb.gz&view=sandwich", "sys_write", "step_a", "step_b", "step_c", "main")
	if !slices.ContainsFunc(p.console, func(s string) bool { return strings.Contains(s, "Importing as protobuf encoded pprof file") }) {
		t.Errorf("it has not imported the profile: %q", p.console)
	}
	for _, line := range p.console {
		if strings.Contains(line, "Uncaught") || strings.Contains(strings.ToLower(line), "fail") {
			t.Error(line)
		}
	}
}

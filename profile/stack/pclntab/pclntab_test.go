package pclntab

import (
	debugelf "debug/elf"
	"debug/gosym"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"sysprof/profile/stack/elf"
	"sysprof/syscalltab/needs"
)

const target = `package main

import ("fmt"; "os"; "strings")

func main() {
	fmt.Fprintln(os.Stdout, strings.Repeat("x", len(os.Args)))
}
`

// build compiles the target program and returns its path.
func build(t testing.TB, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": target, "go.mod": "module target\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", "target"}, args...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %v: %v\n%s", args, err, out)
	}
	return filepath.Join(dir, "target")
}

func openFile(t testing.TB, path string) *elf.File {
	t.Helper()
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	st, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(r, st.Size(), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return f
}

func open(t testing.TB, path string) *Table {
	t.Helper()
	table, err := Open(openFile(t, path), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return table
}

// gosymTable is the oracle: the standard library's reader of the same table.
func gosymTable(t testing.TB, path string, text uint64) *gosym.Table {
	t.Helper()
	f, err := debugelf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Section(".gopclntab")
	if s == nil {
		s = f.Section(".data.rel.ro.gopclntab")
	}
	data, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// compare checks functions, and a few positions in each, against debug/gosym.
// stride 1 looks at every function.
func compare(t *testing.T, path string, stride int) {
	table := open(t, path)
	oracle := gosymTable(t, path, table.text)
	if len(oracle.Funcs) == 0 {
		t.Fatalf("%s: the oracle sees no function", path)
	}
	for i := 0; i < len(oracle.Funcs); i += stride {
		want := &oracle.Funcs[i]
		if want.End <= want.Entry || strings.HasPrefix(want.Name, "go:") {
			continue // a mark that the linker set, not a function
		}
		for _, pc := range []uint64{want.Entry, (want.Entry + want.End) / 2, want.End - 1} {
			got, ok := table.Func(pc)
			if !ok || got.Entry != want.Entry || got.End != want.End || got.Name() != want.Name {
				t.Fatalf("%s: %#x is in %q [%#x,%#x) (%v), want %q [%#x,%#x)",
					path, pc, got.Name(), got.Entry, got.End, ok, want.Name, want.Entry, want.End)
			}
			file, line, _ := oracle.PCToLine(pc)
			gotFile, gotLine, ok := got.FileLine(pc)
			if ok && (gotFile != file || gotLine != line) || !ok && file != "" {
				t.Fatalf("%s: %#x in %s is at %s:%d (%v), want %s:%d", path, pc, want.Name, gotFile, gotLine, ok, file, line)
			}
		}
	}
}

func TestFunctionsAndLinesEqualDebugGosym(t *testing.T) {
	for name, args := range map[string][]string{
		"static":       nil,
		"stripped":     {"-ldflags=-s -w"},
		"pie":          {"-buildmode=pie"},
		"external":     {"-ldflags=-linkmode=external"},
		"external pie": {"-buildmode=pie", "-ldflags=-linkmode=external -s -w"},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "external") {
				needs.C(t) // to link
			}
			compare(t, build(t, args...), 1)
		})
	}
}

// The Go programs that happen to be installed were built by several releases.
func TestInstalledGoProgramsEqualDebugGosym(t *testing.T) {
	for _, glob := range []string{"/usr/bin/*", "/usr/local/bin/*"} {
		paths, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			f, err := debugelf.Open(path)
			if err != nil {
				continue
			}
			s := f.Section(".gopclntab")
			f.Close()
			if s != nil && f.Class == debugelf.ELFCLASS64 {
				compare(t, path, 20)
			}
		}
	}
}

// TestInlinedEqualsRuntime asks the runtime about this very program.
func TestInlinedEqualsRuntime(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	table := open(t, path)
	if table.gofunc == 0 {
		t.Fatal("inline trees not found")
	}
	here, _, _, _ := runtime.Caller(0)
	linked, ok := findByName(table, runtime.FuncForPC(here).Name())
	if !ok {
		t.Fatal("this function is not in the table")
	}
	bias := uint64(runtime.FuncForPC(here).Entry()) - linked.Entry
	inlined := 0
	// From 1: the runtime takes a name at offset 0 for none.
	for i := uint64(1); i < table.nfunc; i += 3 {
		entry, _ := table.f.Uint32(table.pcln + i*ftabEntry)
		fn, ok := table.Func(table.text + uint64(entry))
		if !ok {
			continue
		}
		for pc := fn.Entry; pc+1 < fn.End; pc += 13 {
			got := fn.Inlined(pc, nil)
			if len(got) > 1 {
				inlined++
			}
			frame, _ := runtime.CallersFrames([]uintptr{uintptr(pc + bias + 1)}).Next()
			if frame.Line == 0 || strings.Contains(got[0].Name, "[") {
				continue // wrappers, which it hides, and type arguments, which it abbreviates
			}
			if got[0].Name != frame.Function || got[0].File != frame.File || got[0].Line != frame.Line {
				t.Fatalf("%#x: got %v, want %v", pc, got, frame)
			}
			if last := got[len(got)-1]; last.Name != fn.Name() {
				t.Fatalf("%#x: %v does not end in %s", pc, got, fn.Name())
			}
		}
	}
	if inlined < 1000 {
		t.Fatalf("only %d places with inlined functions", inlined)
	}
}

// Callers reports each function of an inlined chain; the table must give the same
// chain for the one address that they share.
func outer(pcs []uintptr) int  { return middle(pcs) + 1 }
func middle(pcs []uintptr) int { return inner(pcs) + 1 }
func inner(pcs []uintptr) int  { return runtime.Callers(1, pcs) }

func TestInlinedChainEqualsCallers(t *testing.T) {
	pcs := make([]uintptr, 10)
	n := outer(pcs) - 2
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	table := open(t, path)
	linked, ok := findByName(table, runtime.FuncForPC(reflect.ValueOf(TestInlinedChainEqualsCallers).Pointer()).Name())
	if !ok {
		t.Fatal("this function is not in the table")
	}
	bias := uint64(reflect.ValueOf(TestInlinedChainEqualsCallers).Pointer()) - linked.Entry
	fn, _ := table.Func(uint64(pcs[0]) - bias - 1)
	got := fn.Inlined(uint64(pcs[0])-bias-1, nil)
	var want []InlinedFrame
	frames := runtime.CallersFrames(pcs[:n])
	for i := range got {
		got[i].StartLine = 0
		f, _ := frames.Next()
		want = append(want, InlinedFrame{Name: f.Function, File: f.File, Line: f.Line})
	}
	if len(got) < 3 {
		t.Errorf("inner, middle and outer are one code, got %v", got)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

func findByName(table *Table, name string) (Func, bool) {
	for i := range table.nfunc {
		entry, _ := table.f.Uint32(table.pcln + i*ftabEntry)
		if fn, ok := table.Func(table.text + uint64(entry)); ok && fn.Name() == name {
			return fn, true
		}
	}
	return Func{}, false
}

// Without section names the table is found by its header.
func TestFoundWithoutSections(t *testing.T) {
	for name, args := range map[string][]string{"static": nil, "pie": {"-buildmode=pie"}} {
		t.Run(name, func(t *testing.T) {
			path := build(t, args...)
			want := open(t, path)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clear(data[40:48]) // e_shoff
			clear(data[60:64]) // e_shnum, e_shstrndx
			stripped := filepath.Join(t.TempDir(), "stripped")
			if err := os.WriteFile(stripped, data, 0o755); err != nil {
				t.Fatal(err)
			}
			got := open(t, stripped)
			if got.text != want.text || got.gofunc != want.gofunc || got.nfunc != want.nfunc || got.addr != want.addr {
				t.Fatalf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// A PIE whose relocated words are zero in the file, as most linkers leave them.
func TestModuledataFromRelocations(t *testing.T) {
	path := build(t, "-buildmode=pie")
	want := open(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := openFile(t, path)
	s, ok := f.Section(".go.module")
	if !ok {
		t.Fatal("no .go.module")
	}
	clear(data[s.Off : s.Off+mdSize])
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, data, 0o755); err != nil {
		t.Fatal(err)
	}
	got := open(t, blank)
	if got.text != want.text || got.gofunc != want.gofunc {
		t.Fatalf("text %#x gofunc %#x, want %#x %#x", got.text, got.gofunc, want.text, want.gofunc)
	}
}

func TestNoTable(t *testing.T) {
	if _, err := Open(openFile(t, "/bin/ls"), nil); err != ErrNoTable {
		t.Fatalf("ls: %v", err)
	}
}

func BenchmarkFuncAndSPDelta(b *testing.B) {
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	table := open(b, path)
	lo, hi := table.Range()
	b.ReportAllocs()
	pc := lo
	for b.Loop() {
		if fn, ok := table.Func(pc); ok {
			fn.SPDelta(pc)
		}
		if pc += 4099; pc >= hi {
			pc -= hi - lo
		}
	}
}

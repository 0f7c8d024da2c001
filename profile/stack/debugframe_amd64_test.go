package stack

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
)

// rowsOf returns the rows of a program's functions by name and distance from their beginning.
func rowsOf(t *testing.T, path string, names ...string) (rows map[string][]row, tables *tables) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	o := NewObjects(nil, 0, 0)
	tables = load(f, st.Size(), o)
	c := &code{obj: &object{id: lastObject.Add(1), clock: &o.clock}, t: tables}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	u := NewUnwinder()
	rows = map[string][]row{}
	for _, s := range symbols {
		for _, name := range names {
			for at := s.Value; s.Name == name && at < s.Value+s.Size; at++ {
				r, ok := u.row(c, at)
				if !ok {
					t.Fatalf("%s: not read", path)
				}
				plain := *r
				plain.object, plain.vaddr = 0, 0
				if plain.full != nil {
					plain.full = nil
				}
				rows[name] = append(rows[name], plain)
			}
		}
	}
	return rows, tables
}

// .debug_frame says of a function what .eh_frame would have said.
func TestDebugFrame(t *testing.T) {
	names := []string{"recurse", "vla", "aligned", "huge", "main"}
	common := []string{"-O2", "-no-pie"}
	want, withTables := rowsOf(t, compile(t, "testdata/marks.c", append(common, "-fasynchronous-unwind-tables")...), names...)
	if withTables.debug != nil {
		t.Fatal("a program without .debug_frame has one")
	}
	for name, flags := range map[string][]string{
		"plain":       {"-g"},
		"compressed":  {"-g", "-gz=zlib"},
		"64 bits":     {"-g", "-gdwarf64", "-gdwarf-5"},
		"old version": {"-gdwarf-2"},
	} {
		t.Run(name, func(t *testing.T) {
			bare := append([]string{"-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-exceptions"}, common...)
			path := compile(t, "testdata/marks.c", append(bare, flags...)...)
			got, tables := rowsOf(t, path, names...)
			if tables.debug == nil {
				t.Fatalf("%s: no .debug_frame", filepath.Base(path))
			}
			for _, fn := range names {
				if len(got[fn]) == 0 || len(got[fn]) != len(want[fn]) {
					t.Fatalf("%s has %d bytes, and %d", fn, len(got[fn]), len(want[fn]))
				}
				for at := range got[fn] {
					if got[fn][at] != want[fn][at] {
						t.Fatalf("%s+%d: %+v, want %+v", fn, at, got[fn][at], want[fn][at])
					}
				}
			}
		})
	}
}

// All that .debug_frame has of a Go program is in its own table, and takes long to index if the program is large.
func TestDebugFrameOfGoIsNotRead(t *testing.T) {
	_, tables := rowsOf(t, buildGo(t, "gomarks"))
	if _, ok := tables.image.Section(".debug_frame", ".zdebug_frame"); !ok {
		t.Fatal("the program has none")
	}
	if tables.golang == nil || tables.debug != nil {
		t.Errorf("a table of its own: %t; .debug_frame: %t", tables.golang != nil, tables.debug != nil)
	}
}

package symbol

import (
	"context"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ianlancetaylor/demangle"

	"sysprof/profile/stack/debugfile"
)

// codeAddresses returns addresses in the functions of a file's .symtab: the first, and then one every few bytes.
func codeAddresses(tb testing.TB, name string, step, limit int) []uint64 {
	tb.Helper()
	f, err := elf.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		syms, err = f.DynamicSymbols()
	}
	set := map[uint64]bool{}
	if text := f.Section(".text"); err != nil && text != nil { // it is stripped
		for off := uint64(0); off < text.Size; off += max(text.Size/uint64(limit), uint64(step)) {
			set[text.Addr+off] = true
		}
	} else if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF {
			continue
		}
		for off := uint64(0); off < s.Size; off += uint64(step) {
			set[s.Value+off] = true
		}
	}
	out := slices.Sorted(maps.Keys(set))
	if len(out) > limit {
		every := len(out)/limit + 1
		var some []uint64
		for i := 0; i < len(out); i += every {
			some = append(some, out[i])
		}
		out = some
	}
	return out
}

// addr2line asks binutils. Frames have SystemName, or, if it was asked to demangle, Function.
func addr2line(tb testing.TB, name string, addrs []uint64, flags ...string) [][]Frame {
	tb.Helper()
	var in strings.Builder
	for _, a := range addrs {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	args := append([]string{"addr2line", "-f", "-i", "-a", "-e", name}, flags...)
	lines := strings.Split(strings.TrimSpace(run(tb, in.String(), args...)), "\n")
	out := make([][]Frame, 0, len(addrs))
	for i := 0; i < len(lines); {
		if strings.HasPrefix(lines[i], "0x") {
			out = append(out, nil)
			i++
			continue
		}
		f := Frame{SystemName: lines[i]}
		place, _, _ := strings.Cut(lines[i+1], " (discriminator")
		j := strings.LastIndexByte(place, ':')
		f.File = place[:j]
		f.Line, _ = strconv.Atoi(place[j+1:])
		if f.File == "??" || f.Line == 0 && !strings.Contains(f.File, "/") {
			// A bare name is the file symbol of a program without line numbers.
			f.File = ""
		} else {
			f.File = path.Clean(f.File)
		}
		i += 2
		if f.SystemName != "??" {
			out[len(out)-1] = append(out[len(out)-1], f)
		}
	}
	if len(out) != len(addrs) {
		tb.Fatalf("addr2line answered %d of %d addresses", len(out), len(addrs))
	}
	return out
}

// resolveFile resolves link-time addresses of a file.
func resolveFile(tb testing.TB, opt Options, src Source, addrs []uint64) ([][]Frame, *Object) {
	tb.Helper()
	o := NewObject(src)
	list := make([]Address, len(addrs))
	for i, a := range addrs {
		list[i] = Address{Object: o, Offset: a, Vaddr: true}
	}
	frames := New(opt).Resolve(context.Background(), list)
	if o.Err() != nil {
		tb.Fatalf("%s: %v", src.Path, o.Err())
	}
	return frames, o
}

// asOracle keeps of frames what addr2line says too.
func asOracle(frames []Frame) []Frame {
	var out []Frame
	for _, f := range frames {
		out = append(out, Frame{SystemName: f.SystemName, File: f.File, Line: f.Line})
	}
	return out
}

// show prints frames, innermost first.
func show(frames []Frame) string {
	var out []string
	for _, f := range frames {
		out = append(out, fmt.Sprintf("%s %s:%d", f.SystemName, f.File, f.Line))
	}
	return strings.Join(out, " < ")
}

// An arbiter says who is right where addr2line and this package differ. binutils 2.40 has faults of its own: it
// gives an inlined function without linkage name the name of the symbol around it, and takes the first file of a
// DWARF 5 table for the second.
type arbiter struct {
	syms  []elf.Symbol
	debug *dwarf.Data
}

func newArbiter(tb testing.TB, name string) *arbiter {
	tb.Helper()
	f, err := elf.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	a := &arbiter{}
	a.syms, _ = f.Symbols()
	dynamic, _ := f.DynamicSymbols()
	a.syms = append(a.syms, dynamic...)
	a.debug, _ = f.DWARF()
	return a
}

// symbol reports whether a symbol of that name covers the address.
func (a *arbiter) symbol(name string, addr uint64) bool {
	return slices.ContainsFunc(a.syms, func(s elf.Symbol) bool {
		return s.Name == name && addr >= s.Value && addr-s.Value < max(s.Size, 1)
	})
}

// line is what the standard library reads in the line table.
func (a *arbiter) line(addr uint64) (file string, line int) {
	if a.debug == nil {
		return "", 0
	}
	cu, err := a.debug.Reader().SeekPC(addr)
	if err != nil {
		return "", 0
	}
	lr, err := a.debug.LineReader(cu)
	if err != nil || lr == nil {
		return "", 0
	}
	// Its SeekPC does not find what stands in a later sequence at a lower address.
	var row, next dwarf.LineEntry
	for row.EndSequence = true; lr.Next(&next) == nil; row = next {
		if !row.EndSequence && row.File != nil && row.Address <= addr && addr < next.Address {
			return path.Clean(row.File.Name), row.Line
		}
	}
	return "", 0
}

// excuses reports whether the difference is a known fault of addr2line.
func (a *arbiter) excuses(addr uint64, want, got []Frame) bool {
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		g := got[i]
		if g.SystemName != w.SystemName && (mangled(g.SystemName) || !a.symbol(w.SystemName, addr)) &&
			(!a.symbol(g.SystemName, addr) || mangled(w.SystemName)) {
			return false
		}
		if g.File != w.File || g.Line != w.Line {
			if i > 0 {
				return false
			}
			if file, line := a.line(addr); path.Base(file) != path.Base(g.File) || line != g.Line {
				return false
			}
		}
	}
	return true
}

// compare fails if there is a difference from addr2line that is not a known fault.
func compare(t *testing.T, name string, addrs []uint64, got, want [][]Frame) {
	t.Helper()
	bad, named, excused := 0, 0, 0
	a := newArbiter(t, name)
	for i := range addrs {
		if len(want[i]) > 0 {
			named++
		}
		have := asOracle(got[i])
		switch {
		case slices.Equal(have, want[i]):
		case a.excuses(addrs[i], want[i], have):
			excused++
		default:
			if bad++; bad <= 10 {
				t.Errorf("%#x\naddr2line %v\nsymbol    %v", addrs[i], show(want[i]), show(have))
			}
		}
	}
	t.Logf("%d addresses, %d with a name, %d faults of addr2line", len(addrs), named, excused)
	if bad > 10 {
		t.Errorf("and %d more", bad-10)
	}
	if named < len(addrs)/2 || excused > len(addrs)/2 {
		t.Errorf("nothing is shown: %d addresses, %d with a name, %d faults of addr2line", len(addrs), named, excused)
	}
}

func TestEqualsAddr2line(t *testing.T) {
	for _, c := range []struct {
		name     string
		compiler string
		flags    []string
	}{
		{"C", "gcc", []string{"-g", "-O2"}},
		{"C unoptimized", "gcc", []string{"-g", "-O0"}},
		{"C static position", "gcc", []string{"-g", "-O2", "-no-pie"}},
		{"C DWARF 2", "gcc", []string{"-gdwarf-2", "-gstrict-dwarf", "-O2"}},
		{"C DWARF 3", "gcc", []string{"-gdwarf-3", "-O2"}},
		{"C DWARF 4", "gcc", []string{"-gdwarf-4", "-O2"}},
		{"C link-time optimized", "gcc", []string{"-g", "-O2", "-flto", "-ffat-lto-objects"}},
		{"C sections", "gcc", []string{"-g", "-O2", "-ffunction-sections", "-Wl,--gc-sections"}},
		{"C compressed", "gcc", []string{"-g", "-O2", "-gz=zlib"}},
		{"C++", "g++", []string{"-g", "-O2"}},
		{"C++ unoptimized", "g++", []string{"-g", "-O0"}},
		{"C++ DWARF 4", "g++", []string{"-gdwarf-4", "-O2"}},
		{"C++ compressed", "g++", []string{"-g", "-O3", "-gz=zlib"}},
		{"C++ symbols only", "g++", []string{"-O2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prog := buildC(t, c.compiler, c.flags...)
			addrs := codeAddresses(t, prog, 3, 4000)
			got, _ := resolveFile(t, Options{}, fileSource(prog), addrs)
			compare(t, prog, addrs, got, addr2line(t, prog, addrs))
		})
	}
}

// The way debug information is written down changes no answer. addr2line 2.40 can't read all of these.
func TestFormatsAgree(t *testing.T) {
	for _, c := range []struct {
		compiler string
		flags    [][]string
	}{
		{"gcc", [][]string{
			{"-gdwarf-5"}, {"-gdwarf-5", "-gdwarf64"}, {"-gdwarf-5", "-fdebug-types-section"}, {"-gdwarf-5", "-gz=zlib"},
		}},
		{"gcc", [][]string{
			{"-gdwarf-4"}, {"-gdwarf-3"}, {"-gdwarf-4", "-gdwarf64"}, {"-gdwarf-4", "-fdebug-types-section"},
			{"-gdwarf-4", "-gz=zlib-gnu"},
		}},
		{"g++", [][]string{
			{"-gdwarf-5"}, {"-gdwarf-4"}, {"-gdwarf-5", "-gdwarf64"}, {"-gdwarf-5", "-fdebug-types-section"}, {"-gdwarf-5", "-gz=zlib"},
		}},
	} {
		t.Run(c.compiler+c.flags[0][0], func(t *testing.T) {
			t.Parallel()
			var addrs []uint64
			var want [][]Frame
			for _, flags := range c.flags {
				prog := buildC(t, c.compiler, append([]string{"-O2"}, flags...)...)
				if addrs == nil {
					addrs = codeAddresses(t, prog, 3, 3000)
				}
				got, _ := resolveFile(t, Options{}, fileSource(prog), addrs)
				if want == nil {
					want = got
				}
				for i := range got {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("%v: %#x\n%s %v\nwant %v", flags, addrs[i], show(got[i]), got[i], want[i])
						break
					}
				}
			}
		})
	}
}

func TestDemangledEqualsAddr2line(t *testing.T) {
	prog := buildC(t, "g++", "-g", "-O2")
	addrs := codeAddresses(t, prog, 11, 1500)
	got, _ := resolveFile(t, Options{}, fileSource(prog), addrs)
	raw, demangled := addr2line(t, prog, addrs), addr2line(t, prog, addrs, "-C")
	equal := 0
	for i, frames := range got {
		for j, f := range frames {
			if j >= len(raw[i]) || f.SystemName != raw[i][j].SystemName {
				continue
			}
			equal++
			full := demangle.Filter(f.SystemName)
			if want := demangled[i][j].SystemName; full != want {
				t.Errorf("%#x: %s, want %s", addrs[i], full, want)
			}
		}
	}
	if equal < len(addrs) {
		t.Errorf("only %d names compared", equal)
	}
}

// openFiles counts the open files of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestSeparateDebugFile(t *testing.T) {
	whole := buildC(t, "g++", "-g", "-O2")
	addrs := codeAddresses(t, whole, 5, 2000)
	want, _ := resolveFile(t, Options{}, fileSource(whole), addrs)
	f, err := OpenFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := openELF(f, &budget{work: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if e.buildID == "" {
		t.Fatal("no build-id")
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir, stripped string) Options
	}{
		{"by build-id", func(t *testing.T, dir, stripped string) Options {
			p := debugfile.ByID(dir, e.buildID)
			run(t, "", "mkdir", "-p", filepath.Dir(p))
			run(t, "", "objcopy", "--only-keep-debug", whole, p)
			return Options{DebugDirs: []string{dir}}
		}},
		{"by build-id, compressed", func(t *testing.T, dir, stripped string) Options {
			p := debugfile.ByID(dir, e.buildID)
			run(t, "", "mkdir", "-p", filepath.Dir(p))
			run(t, "", "objcopy", "--only-keep-debug", "--compress-debug-sections=zlib", whole, p)
			return Options{DebugDirs: []string{dir}}
		}},
		{"by build-id, compressed with zstd", func(t *testing.T, dir, stripped string) Options {
			p := debugfile.ByID(dir, e.buildID)
			run(t, "", "mkdir", "-p", filepath.Dir(p))
			run(t, "", "objcopy", "--only-keep-debug", "--compress-debug-sections=zstd", whole, p)
			return Options{DebugDirs: []string{dir}}
		}},
		{"by link beside it", func(t *testing.T, dir, stripped string) Options {
			run(t, "", "objcopy", "--only-keep-debug", whole, filepath.Join(dir, "x.debug"))
			run(t, "", "objcopy", "--add-gnu-debuglink="+filepath.Join(dir, "x.debug"), stripped)
			return Options{DebugDirs: []string{}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			stripped := filepath.Join(dir, "prog")
			run(t, "", "strip", "-o", stripped, whole)
			opt := c.make(t, dir, stripped)
			before := openFiles(t)
			got, o := resolveFile(t, opt, fileSource(stripped), addrs)
			if after := openFiles(t); after != before {
				t.Errorf("%d files open, %d before", after, before)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if !o.Has().InlineFrames || !o.Has().LineNumbers {
				t.Errorf("Has() = %+v", o.Has())
			}
		})
	}
}

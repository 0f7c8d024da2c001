package symbol

import (
	"bytes"
	"context"
	debugelf "debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/internal/bounded"
)

// tiny is a program without libraries, small enough to be mutated usefully.
const tiny = `
struct s { int a; struct { int b; } c[3]; };
enum e { one, two };
static inline __attribute__((always_inline)) int in2(int x) { return x * 3 + one; }
static inline __attribute__((always_inline)) int in1(struct s *s) { int r = 0; for (int i = 0; i < 3; i++) r += in2(s->c[i].b); return r; }
__attribute__((noinline)) int work(struct s *s) { return in1(s) + s->a; }
__attribute__((noinline, cold)) void cold(void) { for (;;) ; }
void _start(void) { struct s s = { 1 }; if (work(&s) > 5) cold(); for (;;) ; }
`

// tinyScopes is one whose functions have scopes, and no linkage names.
const tinyScopes = `
#define INLINE inline __attribute__((always_inline))
volatile int sink;
namespace n { template <class T> struct S { T t; struct I; INLINE void f() { sink = t; } }; }
namespace { struct H { INLINE int operator()(int x) { sink = x; return x; } }; namespace d { INLINE void g() { sink = 4; } } }
template <class F> INLINE void apply(F f) { f(); }
extern "C" void _start() {
	struct L { INLINE void in() { sink = 3; } } l;
	l.in(); n::S<int>{2}.f(); H()(sink); d::g(); apply([&] { sink = 7; });
	for (;;) ;
}
`

// tinyPrograms builds the programs in many ways.
func tinyPrograms(tb testing.TB) [][]byte {
	tb.Helper()
	dir := tb.TempDir()
	src := filepath.Join(dir, "tiny.c")
	if err := os.WriteFile(src, []byte(tiny), 0o644); err != nil {
		tb.Fatal(err)
	}
	var out [][]byte
	for _, flags := range [][]string{
		{"-gdwarf-5", "-O2"}, {"-gdwarf-4", "-O2"}, {"-gdwarf-2", "-O1"}, {"-gdwarf-5", "-O2", "-gz=zlib"},
		{"-gdwarf-4", "-O2", "-gz=zlib-gnu"}, {"-gdwarf-5", "-gdwarf64", "-O2"}, {"-O2"}, {"-O2", "-s"},
		{"-gdwarf-5", "-O2", "-ffunction-sections", "-shared", "-fPIC"},
		{"-gdwarf-4", "-fdebug-types-section", "-O2"},
	} {
		bin := filepath.Join(dir, "tiny")
		args := append([]string{"gcc", "-nostdlib", "-Wl,--build-id", "-Wl,-z,noseparate-code", "-o", bin}, flags...)
		run(tb, "", append(args, src)...)
		data, err := os.ReadFile(bin)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, data)
	}
	scopes := filepath.Join(dir, "scopes.cc")
	if err := os.WriteFile(scopes, []byte(tinyScopes), 0o644); err != nil {
		tb.Fatal(err)
	}
	for _, flags := range [][]string{{"-gdwarf-5"}, {"-gdwarf-4"}, {"-gdwarf-5", "-gdwarf64"}, {"-gdwarf-5", "-fdebug-types-section"}} {
		bin := filepath.Join(dir, "scopes")
		run(tb, "", slices.Concat([]string{"g++", "-O2", "-nostdlib", "-Wl,-z,noseparate-code", "-o", bin, scopes}, flags)...)
		data, err := os.ReadFile(bin)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, data)
	}
	mini, err := os.ReadFile(filepath.Join("testdata", "minidebug"))
	if err != nil {
		tb.Fatal(err)
	}
	return append(out, mini, vdsoImage(tb))
}

// Small budgets, so that reaching them is quick: what is used of them is what would be of large ones.
var fuzzOptions = Options{DebugDirs: []string{}, MaxMemory: 32 << 20, MaxWork: 32 << 20}

func FuzzObject(f *testing.F) {
	for _, data := range tinyPrograms(f) {
		f.Add(data, uint64(0x1000))
	}
	f.Fuzz(func(t *testing.T, data []byte, addr uint64) {
		bounded.Run(t, 512, func() {
			o := NewObject(Source{Path: "/x/y", Open: func() (File, error) { return Bytes(data), nil },
				OpenPath: func(string) (File, error) { return Bytes(data), nil }})
			addrs := []Address{{Object: o, Offset: addr}, {Object: o, Offset: addr, Vaddr: true}}
			if e, err := openELF(Bytes(data), &budget{work: 1 << 30}); err == nil {
				for _, s := range e.Segments {
					for i := range uint64(16) {
						addrs = append(addrs, Address{Object: o, Offset: s.Vaddr + s.Memsz*i/16, Vaddr: true})
					}
				}
			}
			for i, frames := range New(fuzzOptions).Resolve(context.Background(), addrs) {
				if len(frames) > maxInlined {
					t.Errorf("%#x has %d frames", addrs[i].Offset, len(frames))
				}
				for _, fr := range frames {
					if len(fr.Function) > maxName+8 || len(fr.File) > 4*maxName || fr.Line < 0 || fr.StartLine < 0 {
						t.Errorf("%#x: %.100q %.100q:%d", addrs[i].Offset, fr.Function, fr.File, fr.Line)
					}
				}
			}
		})
	})
}

// dwarfSections are those that FuzzDwarf mutates.
var dwarfSections = []string{
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str", ".debug_ranges", ".debug_rnglists",
	".debug_addr", ".debug_str_offsets",
}

func FuzzDwarf(f *testing.F) {
	for _, data := range tinyPrograms(f) {
		e, err := debugelf.NewFile(bytes.NewReader(data))
		if err != nil {
			continue
		}
		parts := make([][]byte, 9)
		for i, name := range dwarfSections {
			if s := e.Section(name); s != nil {
				parts[i], _ = s.Data()
			}
		}
		if len(parts[0]) > 0 {
			f.Add(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7], parts[8])
		}
	}
	f.Fuzz(func(t *testing.T, info, abbrev, line, str, lineStr, ranges, rnglists, addr, strOffsets []byte) {
		bounded.Run(t, 512, func() {
			b := &budget{work: fuzzOptions.MaxWork, mem: fuzzOptions.MaxMemory}
			code := elf.Segment{Type: elf.PT_LOAD, Flags: elf.PF_X, Vaddr: 0x100, Memsz: 1 << 30}
			e := &elfFile{b: b, views: map[string]*view{}, code: &elf.File{Segments: []elf.Segment{code}}}
			for i, data := range [][]byte{info, abbrev, line, str, lineStr, ranges, rnglists, addr, strOffsets} {
				if len(data) > 0 {
					e.views[dwarfSections[i]] = &view{mem: data, size: uint64(len(data)), b: b}
				}
			}
			d := openDwarf(e, New(Options{}).demangle)
			if d == nil {
				return
			}
			d.alt = openDwarf(e, New(Options{}).demangle)
			var addrs []uint64
			for a := uint64(0x200); a < 0x600; a += 5 {
				addrs = append(addrs, a, a+0x1000)
			}
			slices.Sort(addrs)
			for _, frames := range d.resolve(context.Background(), addrs) {
				if len(frames) > maxInlined {
					t.Errorf("%d frames", len(frames))
				}
			}
		})
	})
}

func FuzzPerfMap(f *testing.F) {
	f.Add([]byte("7f0010 20 LazyCompile:~f /x.js:1\n7f0020 10 inner name\n0x7f0030 0x8 _ZN1a1bEv\nbad line\n7f0010 0 none\n"), uint64(0x7f0015))
	f.Add([]byte("ffffffffffffffff ffffffffffffffff x\n0 ffffffffffffffff y"), uint64(1))
	f.Add([]byte("1000 40 py::work:/srv/app.py\n1000 40 JS:*get x /srv/a b.js:10:5\n1001 8 x[Optimized]\n"), uint64(0x1000))
	f.Add([]byte("1000 40 Script:~ :99999999999:1\n1001 40 JS:~\x00\xff a:1\n"), uint64(0x1000))
	f.Fuzz(func(t *testing.T, data []byte, pc uint64) {
		bounded.Run(t, 512, func() {
			frames := New(Options{}).perfMap(bytes.NewReader(data), []uint64{pc, pc + 1, 0, 1<<64 - 1, pc})
			if len(frames) != 5 || frames[0] != frames[4] {
				t.Errorf("%v", frames)
			}
			for _, frame := range frames {
				for _, name := range []string{frame.Function, frame.SystemName, frame.File} {
					if !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\n\r") {
						t.Errorf("%q", name)
					}
				}
				if (frame.Function == "") != (frame == Frame{}) || frame.Line < 0 || frame.Line != frame.StartLine {
					t.Errorf("%+v", frame)
				}
			}
		})
	})
}

func FuzzXZ(f *testing.F) {
	e, err := debugelf.Open(filepath.Join("testdata", "minidebug"))
	if err != nil {
		f.Fatal(err)
	}
	defer e.Close()
	data, err := e.Section(".gnu_debugdata").Data()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded.Run(t, 512, func() {
			if out, err := unxz(data, 1<<20, nil); err == nil && len(out) > 1<<20 {
				t.Errorf("%d bytes", len(out))
			}
		})
	})
}

func FuzzDemangle(f *testing.F) {
	for _, s := range []string{
		"_ZN8outer_ns4workERKSt6vectorINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESaIS6_EE",
		"_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "_RNvCs1234_7mycrate3foo", "_ZNSt17_Function_handlerIFiiEZ4mainEUliE_E9_M_invokeERKSt9_Any_dataOi",
		"_RNvMs_NtCs1_3std4pathNtB4_4Path3new", "_GLOBAL__sub_I__ZN1aC2Ev",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		bounded.Run(t, 512, func() { New(Options{}).intern(New(Options{}).demangle(s)) })
	})
}

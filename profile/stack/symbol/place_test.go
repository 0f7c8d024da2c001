package symbol

import (
	"debug/elf"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"sysprof/syscalltab/needs"
)

// functionSymbols returns the functions of a file's .symtab.
func functionSymbols(t *testing.T, name string) []elf.Symbol {
	t.Helper()
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(syms, func(s elf.Symbol) bool {
		return elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF || s.Size == 0
	})
}

// TestStrippedFunctionsAreNamedByWhereTheyBegin: all addresses of a function have one name, and no two functions the
// same.
func TestStrippedFunctionsAreNamedByWhereTheyBegin(t *testing.T) {
	noTable := []string{"-O2", "-Wl,--no-eh-frame-hdr"}
	for name, flags := range map[string][]string{
		"table": {"-O2"}, "no table": noTable, "fixed address": {"-O2", "-no-pie"}, "static": {"-O2", "-static"},
		// What the C library brings along has .eh_frame.
		"debugger's table": {"-O2", "-gdwarf-4", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"},
	} {
		t.Run(name, func(t *testing.T) {
			whole := buildC(t, "gcc", flags...)
			stripped := filepath.Join(t.TempDir(), "stripped")
			run(t, "", "strip", "--keep-section=.debug_frame", "-o", stripped, whole)
			e, err := elf.Open(stripped)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			checked := 0
			for _, s := range functionSymbols(t, whole) {
				if elf.ST_BIND(s.Info) == elf.STB_GLOBAL && s.Name != "main" && s.Name != "_start" && name != "static" ||
					s.Section >= elf.SectionIndex(len(e.Sections)) || e.Sections[s.Section].Name != ".text" {
					continue // or it has a name in .dynsym, or was made by hand
				}
				addrs := []uint64{s.Value, s.Value + s.Size/2, s.Value + s.Size - 1}
				got, o := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(stripped), addrs)
				want := Place(stripped, s.Value-e.Sections[s.Section].Addr+e.Sections[s.Section].Offset)
				if s.Name == "_start" {
					want = "_start"
				}
				if len(got[0]) == 0 && len(got[1]) == 0 { // no unwind information: made by hand
					continue
				}
				for i := range got {
					if len(got[i]) != 1 || got[i][0].Function != want {
						// Few functions made by hand consist of several parts.
						if name != "static" {
							t.Errorf("%s: %#x is called %v, want %s", s.Name, addrs[i], got[i], want)
						}
						checked--
						break
					}
				}
				checked++
				if o.Has().Functions {
					t.Fatalf("Has() = %+v, and nothing has a name", o.Has())
				}
				if checked > 300 {
					break
				}
			}
			if least := map[bool]int{true: 280, false: 2}[name == "static"]; checked < least {
				t.Errorf("%d functions checked", checked)
			}
		})
	}
}

// TestALabelOfAStrippedProgramEndsWhereAFunctionBegins: where most names are gone, a label without a size is not that of
// the functions behind it.
func TestALabelOfAStrippedProgramEndsWhereAFunctionBegins(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is in amd64's assembly")
	}
	dir := t.TempDir()
	src, whole, stripped := filepath.Join(dir, "a.c"), filepath.Join(dir, "whole"), filepath.Join(dir, "stripped")
	if err := os.WriteFile(src, []byte(`
__asm__(".globl label\n label: mov $110, %eax\n syscall\n ret\n"
	".type handmade, @function\n handmade: mov $110, %eax\n syscall\n ret\n"); // nothing says that label ends before it
__attribute__((noinline)) static int hidden(int x) { __asm__ volatile(""); return x * 3; }
void label(void);
int main(int c, char **v) { label(); return hidden(c); }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", needs.C(t), "-O2", "-fno-toplevel-reorder", "-rdynamic", "-o", whole, src)
	run(t, "", "strip", "-o", stripped, whole)
	opt := Options{DebugDirs: []string{}}
	f, err := elf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, s := range syms {
		want, ok := map[string]string{"label": "label", "hidden": Place(stripped, s.Value), "handmade": ""}[s.Name]
		if !ok {
			continue
		}
		seen++
		got, _ := resolveFile(t, opt, fileSource(stripped), []uint64{s.Value + 2})
		if want == "" && len(got[0]) > 0 || want != "" && (len(got[0]) != 1 || got[0][0].Function != want) {
			t.Errorf("%s is called %v, want %q", s.Name, got[0], want)
		}
		got, _ = resolveFile(t, opt, fileSource(whole), []uint64{s.Value + 2})
		if len(got[0]) != 1 || got[0][0].Function != s.Name {
			t.Errorf("%s is called %v before it is stripped", s.Name, got[0])
		}
	}
	if seen != 3 {
		t.Errorf("the program has %d of the three functions", seen)
	}
}

// TestTheFirstCodeOfAStrippedProgramHasAName: also where no unwind information says how long it is.
func TestTheFirstCodeOfAStrippedProgramHasAName(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is in amd64's assembly")
	}
	dir := t.TempDir()
	src, program := filepath.Join(dir, "a.S"), filepath.Join(dir, "program")
	if err := os.WriteFile(src, []byte(`
	.globl _start
_start:	xor %ebp, %ebp
	call 1f
	hlt
1:	ret
`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", needs.C(t), "-nostdlib", "-static", "-s", "-o", program, src)
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(program), []uint64{f.Entry, f.Entry + 6, f.Entry + 8})
	for i, want := range []string{"_start", "_start", ""} {
		if want == "" && len(got[i]) > 0 || want != "" && (len(got[i]) != 1 || got[i][0].Function != want) {
			t.Errorf("%d is called %v, want %q", i, got[i], want)
		}
	}
}

package symbol

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCalledFunctionsAreNamedByWhereTheyBegin: where there is no unwind information, either, what a frame has called has one name.
func TestCalledFunctionsAreNamedByWhereTheyBegin(t *testing.T) {
	c, whole := filepath.Join(t.TempDir(), "prog.c"), filepath.Join(t.TempDir(), "prog")
	const text = `
		__attribute__((noipa, noinline)) static int leaf(int n) { return n + 1; }
		__attribute__((noipa, noinline)) static int twice(int n) { return n ? leaf(n) * 3 + leaf(n + 2) : 7; }
		__attribute__((noipa, noinline)) static int thrice(int n) { return leaf(n) * 5 + leaf(n * 2) + leaf(n + 9); }
		int _start(void) { return twice(1) + thrice(2) * 3; }`
	if err := os.WriteFile(c, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", "gcc", "-O2", "-nostdlib", "-static", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-o", whole, c)
	stripped := whole + ".stripped"
	run(t, "", "strip", "-o", stripped, whole)
	e, err := elf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	section := e.Section(".text")
	code, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	var addrs []uint64 // where calls end
	for i, b := range code {
		if b == 0xe8 && i+4 < len(code) {
			addrs = append(addrs, section.Addr+uint64(i)+4)
		}
	}
	got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(stripped), addrs)
	checked := map[string]int{}
	for _, s := range functionSymbols(t, whole) {
		want := Place(stripped, s.Value-section.Addr+section.Offset)
		if s.Name == startName {
			want = startName
		}
		for i, a := range addrs {
			if a-s.Value >= s.Size {
				continue
			}
			checked[s.Name]++
			if len(got[i]) != 1 || got[i][0].Function != want {
				t.Errorf("%s: %#x is called %v, want %s", s.Name, a, got[i], want)
			}
		}
	}
	if checked["twice"] != 2 || checked["thrice"] != 3 || !slices.IsSorted(addrs) {
		t.Fatalf("%d calls were checked, %v", len(addrs), checked)
	}
}

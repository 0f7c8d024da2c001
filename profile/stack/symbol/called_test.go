package symbol

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFunctionsAreNamedByTheirCode: where there is no unwind information, either, all that is in a function has the name of where it
// begins, whether it is called, or its address taken, and what is not known for sure has none.
func TestFunctionsAreNamedByTheirCode(t *testing.T) {
	c, whole := filepath.Join(t.TempDir(), "prog.c"), filepath.Join(t.TempDir(), "prog")
	const text = `
		#define FUNCTION __attribute__((noipa, noinline)) static int
		FUNCTION leaf(int n) { return n + 1; }
		FUNCTION twice(int n) { return n ? leaf(n) * 3 + leaf(n + 2) : 7; }
		FUNCTION thrice(int n) { return leaf(n) * 5 + leaf(n * 2) + leaf(n + 9); }
		FUNCTION goesOn(int n);
		FUNCTION before(int n) { if (n < 7) return leaf(n) * 2 + leaf(n + 8); return goesOn(n); }
		FUNCTION goesOn(int n) { return leaf(n) * 3 + leaf(n + 2) - leaf(n + 3); }
		FUNCTION chosen(int n) { return leaf(n) * 2 + leaf(n + 1); }
		FUNCTION listed(int n) { return leaf(n) * 4 + leaf(n + 1); }
		FUNCTION another(int n) { return leaf(n) * 8 + leaf(n + 1); }
		FUNCTION cases(int n) {
			switch (n) {
			case 0: return leaf(3) * 3;
			case 1: return leaf(7) * 5;
			case 2: return leaf(1) * 7;
			case 3: return leaf(8) * 9;
			case 4: return leaf(2) * 11;
			case 5: return leaf(4) * 13;
			}
			return leaf(5);
		}
		static int (*const list[])(int) = {listed, another};
		int (*volatile choice)(int);
		int _start(void) {
			choice = chosen;
			return twice(1) + thrice(2) * 3 + choice(3) + list[choice == 0](4) + before(5) + cases(6);
		}`
	if err := os.WriteFile(c, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string][]string{
		"at one place": {"-static", "-no-pie", "-fno-pie"},
		"at any place": {"-static-pie", "-fpie"},
		"small":        {"-static", "-Os"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"gcc", "-O2", "-nostdlib", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-toplevel-reorder", "-o", whole, c}
			run(t, "", append(args, flags...)...)
			sure := []string{"twice", "thrice", "before", "chosen", "cases"}
			if name != "at any place" { // where a table has nothing but relocations
				sure = append(sure, "listed", "another")
			}
			namesOfCalls(t, whole, sure...)
		})
	}
}

// namesOfCalls checks the names that the calls in a program's functions have when it is stripped: no other function's, and in those
// that are sure all that of where it begins.
func namesOfCalls(t *testing.T, whole string, sure ...string) {
	t.Helper()
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
	for _, s := range functionSymbols(t, whole) {
		begin := Place(stripped, s.Value-section.Addr+section.Offset)
		if s.Name == startName {
			begin = startName
		}
		named, unnamed := 0, 0
		for i, a := range addrs {
			switch {
			case a-s.Value >= s.Size:
			case len(got[i]) == 0:
				unnamed++
			case len(got[i]) == 1 && got[i][0].Function == begin:
				named++
			default:
				t.Errorf("%s: %#x is called %v, not %s", s.Name, a, got[i], begin)
			}
		}
		if slices.Contains(sure, s.Name) && (named < 2 || unnamed > 0) {
			t.Errorf("%s: %d calls are named and %d are not", s.Name, named, unnamed)
		}
	}
}

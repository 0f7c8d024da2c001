package rust

import (
	_ "embed"
	"strings"
	"testing"
	"unicode/utf8"
)

//go:embed testdata/names.tsv
var names string

// TestNames compares with what rustc's demangler says.
func TestNames(t *testing.T) {
	v0, legacy := 0, 0
	for line := range strings.Lines(names) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 3 {
			t.Fatalf("%q", line)
		}
		mangled, theirs, want := cells[0], cells[1], cells[2]
		if got, ok := Name(mangled); !ok || got != want {
			t.Errorf("%s is %q, %t, want %q: rustc says %s", mangled, got, ok, want, theirs)
		}
		if strings.HasPrefix(mangled, "_R") {
			v0++
		} else {
			legacy++
		}
	}
	if v0 < 200 || legacy < 20 {
		t.Errorf("%d names of today and %d older ones", v0, legacy)
	}
}

// TestRareNames have what rustc writes only where something unstable is asked for, or long ago. Those of patterns are as the
// book of rustc has them.
func TestRareNames(t *testing.T) {
	for mangled, want := range map[string]string{
		"_RNvC6_123foo3bar": "123foo::bar",
		"_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y": "utf8_idents::საჭმელად_გემრიელი_სადილი",
		"_RNvMC0WmRm1_m9_1f":                 "<u32 is 1..=9>::f",
		"_RNvMC0WmORm1_m2_Rm5_m6_E1f":        "<u32 is 1..=2 | 5..=6>::f",
		"_RNvMC0WPmN1f":                      "<*const u32 is !null>::f",
		"_RNvMC0Aoff00ff00ff00ff00ff_1f":     "",
		"_RNvMC0Ahoff00ff00ff00ff00ff_1f":    "<[u8; 0xff00ff00ff00ff00ff]>::f",
		"_RNvMC0AhARe61_QTh1_EE1f":           `<[u8; ["a", &mut (1,)]]>::f`,
		"_RNvMC0Ahe270a22_1f":                `<[u8; *"'\n\""]>::f`,
		"_RNvMC0Ahc27_1f":                    `<[u8; '\'']>::f`,
		"_RNvMC0Ahcd800_1f":                  "", // no character
		"_RNvMC0DG_NvC1c1TL1_L0_1f":          "",
		"_RNvMC0DG_NvC1c1TEL_1f":             "<dyn for<'a> c::T>::f",
		"_RNvMC0FG_RL0_hEu1f":                "<for<'a> fn(&'a u8)>::f",
		"_RNvMC0FRL0_hEu1f":                  "", // a lifetime that nothing binds
		"_RNvC1a3foo.llvm.9D1C9369":          "a::foo",
		"_RNvC1a3foo.cold.1":                 "a::foo",
		"_RNvC1a3foo?":                       "",
		"_R1NvC1a3foo":                       "", // another encoding
		"_RC0":                               "",
		"_RC4_options":                       "", // of C
		"_R":                                 "",
		"_RNvC1a00":                          "",
		"_RNCNvC1a1f0":                       "a::f::{closure#0}",
		"_RNSNvC1a1fs_6vtable":               "a::f::{shim:vtable#1}",
		"_RNvC1au2a_":                        "",
		"_RB_":                               "",
		"_RNvB0_1f":                          "",
		"_RNvC1a99999999999999999999f":       "",
		"_RNvCsZZZZZZZZZZZZZZZZZZZZ_1a1f":    "",
		"_ZN1a1f17h0123456789abcdefE.llvm.1": "a::f",
		"_ZN1a1f17h0123456789abcdefEv":       "", // of C++
		"_ZN1a1f17h0000000000000001E":        "",
		"_ZN17h0123456789abcdefE":            "",
		"_ZN99999a17h0123456789abcdefE":      "",
		"_ZN7$u41$$x1f17h0123456789abcdefE":  "A$x::f",
		"_ZN6$u00$b1f17h0123456789abcdefE":   "$u00$b::f",
		"main":                               "",
	} {
		if got, ok := Name(mangled); ok != (want != "") || ok && got != want {
			t.Errorf("%s is %q, %t, want %q", mangled, got, ok, want)
		}
	}
}

// TestHostileNames ends soon: the parts of a name may stand for each other, be within each other and be numerous.
func TestHostileNames(t *testing.T) {
	twice := "_RNvMC0" + "TuuE"
	for at := 5; len(twice) < 2<<10; { // each tuple has two of the one before
		ref := "B" + base62(at) + "_"
		at = len(twice) - len("_R")
		twice += "T" + ref + ref + "E"
	}
	for name, s := range map[string]string{
		"growing":  twice,
		"deep":     "_RNvM" + strings.Repeat("R", 8000) + "u1f",
		"cyclic":   "_RNvMC0B3_1f",
		"binders":  "_RNvMC0" + strings.Repeat("FGzz_", 1000),
		"numbered": "_RNvCs" + strings.Repeat("Z", 8000),
		"punycode": "_RNvCu7999_" + strings.Repeat("9", 7999) + "1f",
	} {
		if got, ok := Name(s); ok {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

// base62 writes a number as references do, but for the end.
func base62(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if n--; n < len(digits) {
		return digits[n : n+1]
	}
	return digits[n/len(digits):n/len(digits)+1] + digits[n%len(digits):n%len(digits)+1]
}

// FuzzName looks for what panics, and what is no text.
func FuzzName(f *testing.F) {
	for line := range strings.Lines(names) {
		mangled, _, _ := strings.Cut(line, "\t")
		f.Add(mangled)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := Name(s)
		if !ok {
			return
		}
		if got == "" || len(got) > maxLen+len(s) || strings.HasPrefix(s, "_R") && !utf8.ValidString(got) {
			t.Errorf("%q is %q", s, got)
		}
	})
}

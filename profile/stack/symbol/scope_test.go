package symbol

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// scopesProgram builds testdata/src/scopes.cc, with all functions inlined or none.
func scopesProgram(t *testing.T, compiler string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "prog")
	run(t, "", slices.Concat([]string{compiler, "-std=c++17", "-o", out, source(t, "scopes.cc")}, flags)...)
	return out
}

// numbered are what demanglers call lambdas: of which parameters, and which of several. Debug information does not say
// so.
var numbered = regexp.MustCompile(`\{lambda\([^{}]*\)#[0-9]+\}|\$_[0-9]+`)

// TestInlinedFunctionsHaveTheirScope: an inlined function is called what it is called where it is not inlined.
func TestInlinedFunctionsHaveTheirScope(t *testing.T) {
	const least = 24 // functions of the program that are inlined
	for _, compiler := range []string{"g++", "clang++"} {
		whole := scopesProgram(t, compiler, "-g", "-O0", "-DINLINE_LAMBDA=")
		outOfLine := map[string]bool{}
		demangler := New(Options{})
		for _, s := range functionSymbols(t, whole) {
			outOfLine[numbered.ReplaceAllString(demangler.demangle(s.Name), "{lambda}")] = true
		}
		for _, flags := range [][]string{
			{"-gdwarf-5"}, {"-gdwarf-4"}, {"-gdwarf-5", "-gdwarf64"}, {"-gdwarf-5", "-fdebug-types-section"},
			{"-gdwarf-4", "-fdebug-types-section"}, {"-gdwarf-5", "-flto"},
		} {
			if compiler == "clang++" && slices.Contains(flags, "-flto") {
				continue // it takes a plugin of the linker
			}
			t.Run(compiler+strings.Join(flags, ""), func(t *testing.T) {
				prog := scopesProgram(t, compiler, slices.Concat(flags, []string{"-O2", "-DINLINED",
					"-DINLINE_LAMBDA=__attribute__((always_inline))"})...)
				addrs := codeAddresses(t, prog, 1, 1<<20)
				got, _ := resolveFile(t, Options{DebugDirs: []string{}}, fileSource(prog), addrs)
				names := map[string]bool{}
				for _, frames := range got {
					for _, f := range frames {
						if strings.HasSuffix(f.File, "scopes.cc") && f.Inlined {
							names[numbered.ReplaceAllString(f.Function, "{lambda}")] = true
						}
					}
				}
				for name := range names {
					if !outOfLine[name] {
						t.Errorf("%s is inlined, and no function", name)
					}
				}
				if len(names) < least {
					t.Errorf("%d functions are inlined", len(names))
				}
			})
		}
	}
}

// TestSimpleNames are those of functions without linkage name, as a demangler would say them.
func TestSimpleNames(t *testing.T) {
	for name, want := range map[string]string{
		"f": "f", "f<int>": "f", "f<g<int> >": "f", "operator<": "operator<", "operator<<": "operator<<",
		"operator<< <int>": "operator<<", "operator<=><int>": "operator<=>", "operator()<int (*)(int)>": "operator()", "operator->": "operator->", "operator->*<int>": "operator->*",
		"operator>>=": "operator>>=", "operator+=<int>": "operator+=", "operator bool": "operator bool",
		"operator std::vector<int, std::allocator<int> >": "operator std::vector", "operator new": "operator new",
		"operator\"\" _x": "operator\"\" _x", "operator[]": "operator[]", "operatornot<int>": "operatornot",
		"<lambda(int)>": "<lambda(int)>", "": "", "operator": "operator", "f>": "f>", "operator==<int>": "operator==",
	} {
		if got := simple(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// TestRustNames are told from those of C++; package rust has the rest.
func TestRustNames(t *testing.T) {
	s := New(Options{})
	for name, want := range map[string]string{
		"_ZN3std3sys9backtrace28__rust_begin_short_backtrace17hb849887d5a1e0326E":       "std::sys::backtrace::__rust_begin_short_backtrace",
		"_ZN3std2io5stdio6_print17hb849887d5a1e0326E":                                   "std::io::stdio::_print",
		"_ZN1r4main28_$u7b$$u7b$closure$u7d$$u7d$17h4cec91a3fd61022dE":                  "r::main::{{closure}}",
		"_ZN49_$LT$r..one..S$LT$T$GT$$u20$as$u20$r..one..Go$GT$2go17hd68347352beb0012E": "<r::one::S<T> as r::one::Go>::go",
		"_ZN3std2io5Write9write_fmt17h2fa3da267a836826E.llvm.2772374014914306043":       "std::io::Write::write_fmt",
		"_RC0":                      "_RC0", // a crate without a name
		"_RNvCs6GmmlP4bgsG_1r4main": "r::main",
		"_RINvCs6GmmlP4bgsG_1r6napplyNCNvB2_4mains_0EB2_":       "r::napply",
		"_RNvMNtCs6GmmlP4bgsG_1r3oneINtB2_1SlE3outB4_":          "<r::one::S>::out",
		"_RNvXs_NtCs6GmmlP4bgsG_1r3oneINtB4_1SlENtB4_2Go2goB6_": "<r::one::S as r::one::Go>::go",
		"_RNvNtNtCsjrHSEGnQ3l9_3std3sys9backtrace10__print_fmt": "std::sys::backtrace::_print_fmt",
		// Of C++.
		"_ZN1a3_bc17h0123456789abcdefEv": "a::_bc::h0123456789abcdef",
		"_ZN3foo4_barEv":                 "foo::_bar",
	} {
		if got := s.demangle(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

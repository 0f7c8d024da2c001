package symbol

import (
	"strings"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"

	"sysprof/profile/stack/symbol/rust"
)

// Bounds for demangling: hostile names may grow exponentially, and what is longer than 8 KB no one reads.
const (
	maxMangled   = 8 << 10
	maxDemangled = 13 // log2
)

// demangle returns the C++ or Rust name as pprof shows it, without parameters and template arguments, or the name
// itself.
func (s *Symbolizer) demangle(name string) string {
	if !mangled(name) || len(name) > maxMangled {
		return name
	}
	if p, ok := s.plain[name]; ok {
		return p
	}
	p, ok := rust.Name(name)
	if !ok && strings.HasPrefix(name, "_R") {
		p = name
	} else if !ok {
		p = demangle.Filter(name, demangle.NoParams, demangle.NoEnclosingParams, demangle.NoTemplateParams, demangle.NoRust,
			demangle.MaxLength(maxDemangled))
	}
	s.plain[name] = p
	return p
}

// mangled reports whether a name looks like one of C++ or Rust.
func mangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R") || strings.HasPrefix(name, "_GLOBAL_")
}

// intern makes a name valid UTF-8 without control characters and returns one copy of it for all frames.
func (s *Symbolizer) intern(name string) string {
	if t, ok := s.strs[name]; ok {
		return t
	}
	t := strings.Clone(clean(name))
	s.strs[strings.Clone(name)] = t
	return t
}

// clean replaces what would break a table or a protocol buffer.
func clean(name string) string {
	if len(name) > maxName {
		name = name[:maxName]
	}
	ok := utf8.ValidString(name)
	for i := 0; ok && i < len(name); i++ {
		ok = name[i] >= ' ' && name[i] != 0x7f
	}
	if ok {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(name, "�"))
}

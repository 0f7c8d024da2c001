package symbol

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ianlancetaylor/demangle"
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
	p := demangle.Filter(keepUnderscores(name), demangle.NoParams, demangle.NoEnclosingParams, demangle.NoTemplateParams,
		demangle.MaxLength(maxDemangled))
	if strings.HasPrefix(name, "_R") {
		// What is left of generic arguments that are not told: <a::S<>>::f::<>. Nothing else is written like that.
		p = strings.ReplaceAll(strings.ReplaceAll(p, "::<>", ""), "<>", "")
	}
	if p == "" { // a crate may be mangled that has no name
		p = name
	}
	s.plain[name] = p
	return p
}

// keepUnderscores prepares a Rust name of the older kind for the demangler, which takes an underscore behind the
// length of an identifier for a separator: there is none, but before $, where an underscore is not told.
func keepUnderscores(name string) string {
	rest, ok := strings.CutPrefix(name, "_ZN")
	if !ok || !strings.Contains(rest, "17h") || !strings.Contains(rest, "_") {
		return name
	}
	var b strings.Builder
	b.WriteString("_ZN")
	for rest != "" && rest[0] >= '1' && rest[0] <= '9' {
		digits := 1
		for digits < len(rest) && digits < 5 && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > len(rest)-digits {
			return name
		}
		id := rest[digits : digits+n]
		rest = rest[digits+n:]
		if strings.HasPrefix(id, "_") && !strings.HasPrefix(id, "_$") {
			id = "_" + id
		}
		fmt.Fprintf(&b, "%d%s", len(id), id)
		if rest == "" || rest[0] == 'E' {
			if len(id) != 17 || id[0] != 'h' || rest != "E" && !strings.HasPrefix(rest, "E.") {
				return name // it is one of C++
			}
			return b.String() + rest
		}
	}
	return name
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

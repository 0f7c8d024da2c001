package symbol

import (
	"cmp"
	"slices"
	"strings"
)

// Compilers leave out the linkage name of functions of internal linkage, and of those that were inlined
// everywhere. Such a function is called as its mangled name would read, so that it is one with what was
// not inlined: the entries that it is declared in are its scope, and arguments of templates are not told.

// entryAt is an entry of the debug information of a file.
type entryAt struct {
	d   *dwarfFile
	off uint64
}

// hasScopes reports whether a language has functions without linkage name that are in scopes (DWARF 5, table 7.17, and
// dwarfstd.org for what came later). Rust's compiler leaves out only those that are not mangled.
func hasScopes(language uint64) bool {
	switch language {
	case 0x04, 0x19, 0x1a, 0x21, 0x2a, 0x2b: // C++
		return true
	case 0x11: // Objective C++
		return true
	}
	return false
}

// isScope reports whether what an entry holds is named by it. Blocks are not.
func isScope(tag uint16) bool {
	switch tag {
	case tagNamespace, tagModule, tagClass, tagStructure, tagUnion, tagInterface, tagEnumeration, tagSubprogram, tagInlined:
		return true
	}
	return false
}

const (
	// maxScopeRounds bounds how often it is asked for what scopes are in: once for each time that a scope is
	// declared elsewhere than it is defined.
	maxScopeRounds = 8
	// maxScopeDepth bounds the scopes around a function.
	maxScopeDepth = 64
)

// A scoper puts scopes before the names of a unit's functions.
type scoper struct {
	r        *root
	demangle func(string) string
	names    map[scopeKey]string // whole names of scopes
	wanted   map[entryAt]bool    // entries whose scopes are not known yet
}

// scopeKey is a scope, and whether its member is what a lambda is called by: its own name depends on that if it has
// none.
type scopeKey struct {
	entryAt
	call bool
}

// qualify gives the functions of these entries of the unit r their scopes, where they have no linkage name.
func (d *dwarfFile) qualify(r *root, offs []uint64, demangle func(string) string) map[uint64]string {
	s := &scoper{r: r, demangle: demangle, names: map[scopeKey]string{}}
	var list []uint64
	for _, off := range offs {
		if f := d.nameOf(r, off, 0); f.name != "" && f.linkage == "" && s.scoped(f.declared) {
			list = append(list, off)
		}
	}
	out := make(map[uint64]string, len(list))
	for range maxScopeRounds {
		s.wanted = map[entryAt]bool{}
		for _, off := range list {
			f := d.nameOf(r, off, 0)
			if prefix, ok := s.around(f.declared, f.name, 0); ok {
				if n := int64(len(prefix) + len(f.name)); d.b.hold(n) {
					d.nameMem += n
					out[off] = prefix + simple(f.name)
				}
			}
		}
		if len(s.wanted) == 0 {
			break
		}
		s.find()
	}
	return out
}

// scoped reports whether the language that the entry is written in has scopes.
func (s *scoper) scoped(e entryAt) bool {
	language := uint64(0)
	if r := e.d.unitAt(e.off); r != nil {
		language = r.language
	}
	return hasScopes(cmp.Or(language, s.r.language)) // a unit of shared entries may not say it
}

// around returns what stands before the name of an entry: its scopes, each with its separator.
func (s *scoper) around(e entryAt, name string, depth int) (string, bool) {
	if e.d == nil || depth > maxScopeDepth || !e.d.b.spend(16) {
		return "", true
	}
	parent, ok := e.d.parents[e.off]
	if !ok {
		s.wanted[e] = true
		return "", false
	}
	if parent == 0 {
		return "", true
	}
	key := scopeKey{entryAt{e.d, parent}, strings.HasPrefix(name, "operator()")}
	if known, ok := s.names[key]; ok {
		return known, true
	}
	own, ok := s.name(key, depth)
	if ok && e.d.b.hold(int64(len(own))+64) {
		s.names[key] = own
	}
	return own, ok
}

// How demanglers call what has no name. They also say which of several it is, which debug information does not.
const (
	unnamedNamespace = "(anonymous namespace)"
	unnamedType      = "{unnamed type}"
	lambdaType       = "{lambda}"
)

// name returns the whole name of a scope, with a separator; of one that is too long, nothing.
func (s *scoper) name(key scopeKey, depth int) (string, bool) {
	e := key.entryAt
	r := e.d.unitAt(e.off)
	if r == nil {
		return "", true
	}
	f := e.d.nameOf(r, e.off, 0)
	own := simple(f.name)
	switch {
	case f.tag == tagSubprogram || f.tag == tagInlined:
		if mangled(f.linkage) {
			return s.demangle(f.linkage) + "()::", true
		}
		if own != "main" {
			own += "()"
		}
	case own != "":
	case f.tag == tagNamespace:
		own = unnamedNamespace
	case key.call:
		own = lambdaType
	default:
		own = unnamedType
	}
	prefix, ok := s.around(f.declared, own, depth+1)
	if len(prefix)+len(own) > maxName {
		return "", ok
	}
	return prefix + own + "::", ok
}

// find finds what the wanted entries are in.
func (s *scoper) find() {
	byUnit := map[*dwarfFile]map[uint64][]uint64{}
	for e := range s.wanted {
		r := e.d.unitAt(e.off)
		if r == nil {
			e.d.setParent(e.off, 0)
			continue
		}
		if byUnit[e.d] == nil {
			byUnit[e.d] = map[uint64][]uint64{}
		}
		byUnit[e.d][r.off] = append(byUnit[e.d][r.off], e.off)
	}
	for d, units := range byUnit {
		for off, entries := range units {
			slices.Sort(entries)
			d.findParents(d.unitAt(off), entries)
			for _, e := range entries {
				if _, ok := d.parents[e]; !ok {
					d.setParent(e, 0) // it is not there
				}
			}
		}
	}
}

// setParent notes which entry another one is in; 0: the unit's root.
func (d *dwarfFile) setParent(off, parent uint64) {
	if d.b.hold(48) {
		d.parents[off] = parent
	}
}

// findParents passes over a unit up to the last of the entries, which are sorted, and notes the scopes that they, and
// these scopes, are in.
func (d *dwarfFile) findParents(r *root, entries []uint64) {
	unit := d.unitBytes
	if d.loaded == nil || d.loaded.off != r.off {
		var err error
		if unit, err = d.info.load(r.off, r.end-r.off, d.otherBytes); err != nil {
			return
		}
		d.otherBytes = unit
	} else if !d.b.spend(len(unit) / 4) {
		return
	}
	type open struct {
		depth int
		off   uint64
	}
	var scopes []open
	table := d.abbrevs(r.abbrevOff, r.format)
	c := &buf{b: unit, pos: int(r.header)}
	depth := 0
	for c.pos < len(c.b) && !c.bad {
		start := r.off + uint64(c.pos)
		for len(entries) > 0 && entries[0] < start {
			entries = entries[1:] // no entry begins there
		}
		if len(entries) == 0 {
			return
		}
		code := c.uleb()
		if code == 0 {
			depth--
			for len(scopes) > 0 && scopes[len(scopes)-1].depth >= depth {
				scopes = scopes[:len(scopes)-1]
			}
			if depth <= 0 {
				return
			}
			continue
		}
		a := table.get(code)
		if a == nil {
			return
		}
		if entries[0] == start {
			at := start
			for i := len(scopes) - 1; i >= 0; i-- {
				d.setParent(at, scopes[i].off)
				at = scopes[i].off
			}
			d.setParent(at, 0)
		}
		if !a.children {
			r.skipAttrs(c, a)
			continue
		}
		if !d.b.spend(8 + len(a.attrs)/2) {
			return
		}
		var next value
		for _, spec := range a.attrs {
			if v := r.read(c, spec); spec.attr == attrSibling {
				next = v
			}
		}
		if to := unitRef(next); int(to) > c.pos && to < uint64(len(c.b)) && r.off+to <= entries[0] {
			c.pos = int(to)
			continue
		}
		if isScope(a.tag) {
			if len(scopes) >= maxScopes {
				return
			}
			scopes = append(scopes, open{depth, start})
		}
		depth++
	}
}

// operators are the operators whose names could be taken for the beginning of template arguments, or for a call.
var operators = []string{"()", "[]", "->*", "->", "<=>", "<<=", ">>=", "<<", ">>", "<=", ">=", "<", ">"}

// simple cuts the template arguments off a name that debug information gives without linkage name.
func simple(name string) string {
	if op, ok := strings.CutPrefix(name, "operator"); ok && op != "" && !identifierByte(op[0]) {
		if op[0] == ' ' { // a conversion, new or delete
			return "operator" + withoutArguments(op)
		}
		for _, o := range operators {
			if rest, ok := strings.CutPrefix(op, o); ok {
				if rest = strings.TrimLeft(rest, " "); rest == "" || rest[0] == '<' {
					return "operator" + o
				}
			}
		}
		if i := strings.IndexByte(op, '<'); i > 0 {
			op = strings.TrimRight(op[:i], " ")
		}
		return "operator" + op
	}
	if i := strings.IndexByte(name, '<'); i > 0 && strings.HasSuffix(name, ">") {
		return strings.TrimRight(name[:i], " ")
	}
	return name
}

// withoutArguments cuts all template arguments out of the name of a type.
func withoutArguments(name string) string {
	var b strings.Builder
	depth := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '<':
			depth++
		case c == '>' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func identifierByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

package symbol

import (
	"cmp"
	"math"
	"slices"
)

// A node is a function, or a function inlined into its parent node.
type node struct {
	parent   int32 // -1: a function of its own
	off      uint64
	callFile uint64
	callLine int
}

// A hit is the innermost node found for an address.
type hit struct {
	node   int32 // -1: none yet
	length uint64
}

// maxNodes bounds the nodes kept of one unit: functions that hold a wanted address, with all that is inlined
// in them.
const maxNodes = 1 << 20

// maxInlined bounds the frames of one address.
const maxInlined = 128

// resolveUnit finds the frames of a sorted list of addresses in one unit.
func (d *dwarfFile) resolveUnit(u unit, addrs []uint64) [][]Frame {
	r := d.rootOf(u)
	lines := d.readLines(r, addrs)
	if d.split != nil {
		if frames, ok := d.split.resolve(r, addrs, lines); ok {
			return frames
		}
	}
	return d.functions(r, addrs, lines)
}

// functions finds the functions of a sorted list of addresses in one unit, and makes frames of them with what the line
// table has.
func (d *dwarfFile) functions(r *root, addrs []uint64, lines *lineTable) [][]Frame {
	out := make([][]Frame, len(addrs))
	d.loaded = nil
	bytes, err := d.info.load(r.off, r.end-r.off, d.unitBytes)
	if err != nil {
		return out
	}
	d.unitBytes = bytes
	d.loaded = r
	s := scan{d: d, r: r, addrs: addrs, hits: make([]hit, len(addrs))}
	for i := range s.hits {
		s.hits[i].node = -1
	}
	s.run(bytes, false)
	if slices.ContainsFunc(s.hits, func(h hit) bool { return h.node < 0 }) && d.b.spend(len(bytes)) {
		// Not where functions belong: look inside of types and of other functions as well.
		s.run(bytes, true)
	}
	scoped := d.qualify(r, s.named(), d.demangle)
	for i := range addrs {
		out[i] = s.frames(s.hits[i].node, lines.row[i], lines, scoped)
	}
	return out
}

// named returns the entries of all functions around the addresses.
func (s *scan) named() (offs []uint64) {
	seen := make([]bool, len(s.nodes))
	for _, h := range s.hits {
		for n := h.node; n >= 0 && !seen[n]; n = s.nodes[n].parent {
			seen[n] = true
			offs = append(offs, s.nodes[n].off)
		}
	}
	return offs
}

// frames makes the frames of one address: from the innermost function, where the line table says, outwards to where
// each was called. scoped are names with scopes.
func (s *scan) frames(n int32, at lineRow, lines *lineTable, scoped map[uint64]string) []Frame {
	file, line := lines.file(at.file), at.line
	if n < 0 {
		if !at.found {
			return nil
		}
		return []Frame{{File: file, Line: line}}
	}
	var out []Frame
	for n >= 0 && len(out) < maxInlined {
		f := &s.nodes[n]
		name := s.d.nameOf(s.r, f.off, 0)
		frame := Frame{
			Function: cmp.Or(name.name, name.linkage), SystemName: name.linkage, File: file, Line: line,
			StartLine: name.line, Inlined: f.parent >= 0,
		}
		if whole, ok := scoped[f.off]; ok {
			frame.Function, frame.SystemName = whole, name.name
		}
		out = append(out, frame)
		if f.parent >= 0 {
			file, line = lines.file(f.callFile), f.callLine
		}
		n = f.parent
	}
	return out
}

// A scan is a pass over the entries of a unit in search of the functions around addresses.
type scan struct {
	d     *dwarfFile
	r     *root
	addrs []uint64
	nodes []node
	hits  []hit
}

// scope is an open entry that other functions may be nested in.
type scope struct {
	depth int
	node  int32 // -1: a function that no wanted address is in
}

// maxScopes bounds the functions that an entry may be nested in.
const maxScopes = 1 << 14

// run passes over the unit. Unless it is thorough it jumps over what does not hold code of a wanted
// address, where the compiler left a pointer to the next sibling.
func (s *scan) run(unit []byte, thorough bool) {
	d, r := s.d, s.r
	table := d.abbrevs(r.abbrevOff, r.format)
	c := &buf{b: unit, pos: int(r.header)}
	var scopes []scope
	depth := 0
	for c.pos < len(c.b) && !c.bad {
		start := c.pos
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
		if a.fixed < 0 && !d.b.spend(len(a.attrs)/4) {
			return
		}
		switch {
		case a.tag == tagSubprogram, a.tag == tagInlined && len(scopes) > 0 && scopes[len(scopes)-1].node >= 0:
			parent := int32(-1)
			if a.tag == tagInlined {
				parent = scopes[len(scopes)-1].node
			}
			if !d.b.spend(16 + len(a.attrs)) {
				return
			}
			n, next := s.function(c, a, r.off+uint64(start), parent)
			if n < 0 && !thorough && int(next) > c.pos && next < uint64(len(c.b)) {
				c.pos = int(next)
				continue
			}
			if a.children {
				if len(scopes) >= maxScopes {
					return
				}
				scopes = append(scopes, scope{depth, n})
			}
		case a.children && a.sibling && !thorough && a.typeOnly():
			if !d.b.spend(len(a.attrs)) {
				return
			}
			if next := s.sibling(c, a); int(next) > c.pos && next < uint64(len(c.b)) {
				c.pos = int(next)
				continue
			}
		default:
			r.skipAttrs(c, a)
		}
		if a.children {
			depth++
		} else if depth == 0 {
			return // a unit is one tree
		}
	}
}

// typeOnly reports whether an entry's children are normally parts of a type.
func (a *abbrev) typeOnly() bool {
	switch a.tag {
	case tagArray, tagClass, tagEnumeration, tagStructure, tagSubroutine, tagUnion, tagInterface:
		return true
	}
	return false
}

// sibling moves past an entry's attributes and returns where its next sibling stands, or 0.
func (s *scan) sibling(c *buf, a *abbrev) uint64 {
	var next uint64
	for _, spec := range a.attrs {
		v := s.r.read(c, spec)
		if spec.attr == attrSibling {
			next = unitRef(v)
		}
	}
	return next
}

// unitRef is a reference within the unit, as an index into its bytes; 0 for other references.
func unitRef(v value) uint64 {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		return v.u
	}
	return 0
}

// function reads a function's or inlined function's attributes. It returns its node, or -1 if no wanted
// address is in it and it is not inlined in one that has, and its next sibling if that is known.
func (s *scan) function(c *buf, a *abbrev, off uint64, parent int32) (int32, uint64) {
	n := node{parent: parent, off: off}
	var low, high, list value
	var next uint64
	for _, spec := range a.attrs {
		v := s.r.read(c, spec)
		switch spec.attr {
		case attrSibling:
			next = unitRef(v)
		case attrLowPC:
			low = v
		case attrHighPC:
			high = v
		case attrRanges:
			list = v
		case attrCallFile:
			n.callFile = v.u
		case attrCallLine:
			n.callLine = lineNumber(v.u)
		}
	}
	if c.bad || len(s.nodes) >= maxNodes {
		return -1, 0
	}
	index := int32(len(s.nodes))
	kept := false
	if parent >= 0 {
		// Kept even where its ranges leave the address out: what is inlined in it may have it.
		s.nodes, kept = append(s.nodes, n), true
	}
	base, hasLow := s.d.address(s.r, low)
	s.d.rangesOf(s.r, base, hasLow, high, list, func(lo, hi uint64) bool {
		i, _ := slices.BinarySearch(s.addrs, lo)
		for ; i < len(s.addrs) && s.addrs[i] < hi; i++ {
			if !kept {
				s.nodes, kept = append(s.nodes, n), true
			}
			s.hit(i, index, hi-lo)
			if !s.d.b.spend(1) {
				return false
			}
		}
		return s.d.b.spend(1)
	})
	if !kept {
		return -1, next
	}
	return index, next
}

// hit records that node n covers address i with a range of that length: the innermost wins, and of unrelated ones
// that with the shortest range.
func (s *scan) hit(i int, n int32, length uint64) {
	h := &s.hits[i]
	if h.node == n {
		h.length = min(h.length, length)
		return
	}
	inner := h.node < 0
	for p, steps := s.nodes[n].parent, 0; p >= 0 && !inner && steps < maxInlined; p, steps = s.nodes[p].parent, steps+1 {
		inner = p == h.node
		if p < h.node {
			break // parents come before their children
		}
	}
	if inner || length < h.length {
		*h = hit{n, length}
	}
}

func lineNumber(u uint64) int {
	if u > math.MaxInt32 {
		return 0
	}
	return int(u)
}

// funcName is what a function, or a scope, is called, and the line that it is declared in.
type funcName struct {
	name, linkage string
	line          int
	tag           uint16
	declared      entryAt // where it is declared: what that is in is its scope
}

// maxRefs bounds a chain of references from an inlined function to its declaration: compilers make two.
const maxRefs = 16

// nameOf finds the name of the function at an offset of .debug_info, which may stand in an entry that it refers to.
func (d *dwarfFile) nameOf(r *root, off uint64, depth int) funcName {
	if f, ok := d.names[off]; ok {
		return f
	}
	if depth > maxRefs || !d.b.spend(64) {
		return funcName{}
	}
	c, a := d.entry(r, off)
	if a == nil {
		return funcName{}
	}
	f := funcName{tag: a.tag, declared: entryAt{d, off}}
	var origin, spec value
	attrs := make([]value, 0, 8) // strings are read last: they use up the bytes of the entry
	kinds := make([]uint16, 0, 8)
	for _, s := range a.attrs {
		v := r.read(c, s)
		switch s.attr {
		case attrName, attrLinkageName, attrMIPSLinkage:
			attrs, kinds = append(attrs, v), append(kinds, s.attr)
			if v.form == formString {
				attrs[len(attrs)-1].b = slices.Clone(v.b)
			}
		case attrDeclLine:
			f.line = lineNumber(v.u)
		case attrOrigin:
			origin = v
		case attrSpecification:
			spec = v
		}
	}
	for i, v := range attrs {
		if kinds[i] == attrName {
			f.name = d.string(r, v)
		} else {
			f.linkage = d.string(r, v)
		}
	}
	for _, ref := range []value{origin, spec} {
		if ref.form == 0 || (f.linkage != "" && f.name != "" && f.line != 0) {
			continue
		}
		g := d.follow(r, ref, depth+1)
		if g.declared.d != nil {
			f.declared = g.declared
		}
		if f.name == "" {
			f.name = g.name
		}
		if f.linkage == "" {
			f.linkage = g.linkage
		}
		if f.line == 0 {
			f.line = g.line
		}
	}
	if n := int64(len(f.name) + len(f.linkage)); d.b.hold(n) {
		d.nameMem += n
	} else {
		f.name, f.linkage = "", ""
	}
	if len(d.names) < 1<<17 {
		d.names[off] = f
	}
	return f
}

// follow finds the name of the function that an attribute refers to.
func (d *dwarfFile) follow(r *root, v value, depth int) funcName {
	switch v.form {
	case formRef1, formRef2, formRef4, formRef8, formRefUdata:
		if v.u < r.end-r.off {
			return d.nameOf(r, r.off+v.u, depth)
		}
	case formRefAddr:
		if to := d.unitAt(v.u); to != nil {
			return d.nameOf(to, v.u, depth)
		}
	case formGNURefAlt, formRefSup4, formRefSup8:
		if d.alt != nil {
			if to := d.alt.unitAt(v.u); to != nil {
				return d.alt.nameOf(to, v.u, depth)
			}
		}
	}
	return funcName{}
}

// maxEntry bounds an entry that is read alone, out of a unit that is not in memory.
const maxEntry = 2048

// entry returns the bytes of the attributes of the entry at an offset, and its abbreviation, or nil.
func (d *dwarfFile) entry(r *root, off uint64) (*buf, *abbrev) {
	if off < r.off+uint64(r.header) || off >= r.end {
		return nil, nil
	}
	var c *buf
	if d.loaded != nil && d.loaded.off == r.off {
		c = &buf{b: d.unitBytes, pos: int(off - r.off)}
	} else {
		c = &buf{b: d.info.at(off, int(min(r.end-off, maxEntry)))}
	}
	code := c.uleb()
	if code == 0 || c.bad {
		return nil, nil
	}
	a := d.abbrevs(r.abbrevOff, r.format).get(code)
	if a == nil || !d.b.spend(len(a.attrs)) {
		return nil, nil
	}
	return c, a
}

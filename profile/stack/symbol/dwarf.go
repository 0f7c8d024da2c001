package symbol

import (
	"cmp"
	"context"
	"path"
	"slices"
)

// A dwarfFile reads the debug information of one file. Only what the wanted addresses need is read:
// resolve goes over the headers and root entries of all units, then into the units that hold an address.
type dwarfFile struct {
	e   *elfFile
	b   *budget
	alt *dwarfFile // the file of shared entries that dwz makes, or nil

	split *splitFiles // finds the entries of skeleton units; nil: nobody does

	info, abbrev, str, lineStr, line   *view
	ranges, rnglists, addr, strOffsets *view

	units       []unit
	abbrevCache map[abbrevKey]*abbrevTable
	abbrevMem   int64
	rootAbbrev  abbrev // of rootKey, the one used last
	rootKey     abbrevKey
	rootCode    uint64
	names       map[uint64]funcName
	parents     map[uint64]uint64 // of entries: the scope that each is in; 0: none
	roots       map[uint64]*root
	demangle    func(string) string
	nameMem     int64 // of names, which are kept

	loaded     *root  // the unit that unitBytes holds
	unitBytes  []byte // from its header on
	otherBytes []byte // of a unit that a reference leads to
	lineBytes  []byte
}

// A unit is the header of one unit of .debug_info.
type unit struct {
	off, end  uint64 // of the header, in the section
	abbrevOff uint64
	dwoID     uint64 // what a skeleton and what was split off have in common; 0: it is neither
	format
	header uint8 // size of the header
	kind   uint8
}

// Kinds of units in DWARF 5.
const (
	unitType      = 0x02
	unitSkeleton  = 0x04
	unitSplit     = 0x05
	unitSplitType = 0x06
)

// maxUnits bounds the units of a file.
const maxUnits = 1 << 20

// A root is what a unit's root entry says.
type root struct {
	unit
	low                                uint64
	ranges                             value // of its code; form 0 if it has none
	high                               value
	strOffBase, addrBase, rnglistsBase uint64
	stmtList, language                 uint64
	hasLow, hasStmtList                bool
	compDir, dwoName                   value

	rangesBase      uint64 // of the lists that its entries have in .debug_ranges
	splitRangesBase uint64 // that of what was split off it
}

// openDwarf returns the debug information of a file, or nil if it has none.
func openDwarf(e *elfFile, demangle func(string) string) *dwarfFile {
	if e == nil {
		return nil
	}
	d := newDwarf(e, demangle)
	d.info, d.abbrev = e.data(".debug_info"), e.data(".debug_abbrev")
	if d.info == nil || d.abbrev == nil {
		return nil
	}
	d.str, d.lineStr, d.line = e.data(".debug_str"), e.data(".debug_line_str"), e.data(".debug_line")
	d.ranges, d.rnglists = e.data(".debug_ranges"), e.data(".debug_rnglists")
	d.addr, d.strOffsets = e.data(".debug_addr"), e.data(".debug_str_offsets")
	return d
}

func newDwarf(e *elfFile, demangle func(string) string) *dwarfFile {
	return &dwarfFile{e: e, b: e.b, abbrevCache: map[abbrevKey]*abbrevTable{}, names: map[uint64]funcName{},
		parents: map[uint64]uint64{}, roots: map[uint64]*root{}, demangle: demangle}
}

// readUnits reads all unit headers.
func (d *dwarfFile) readUnits() {
	if d.units != nil {
		return
	}
	for off := uint64(0); off < d.info.size && len(d.units) < maxUnits; {
		u, ok := d.readUnit(off)
		if !ok || !d.b.spend(16) || !d.b.hold(48) {
			return
		}
		if u.abbrevOff != 0 || u.version != 0 {
			d.units = append(d.units, u)
		}
		off = u.end
	}
}

// readUnit reads the header at off. A unit of an unknown version has version 0.
func (d *dwarfFile) readUnit(off uint64) (unit, bool) {
	c := &buf{b: d.info.at(off, 40)}
	u := unit{off: off}
	u.offset = 4
	n := uint64(c.u32())
	if n == 0xffffffff {
		u.offset = 8
		n = c.u64()
	}
	if c.bad || n == 0 || n > d.info.size-off-uint64(c.pos) {
		return u, false
	}
	u.end = off + uint64(c.pos) + n
	version := c.u16()
	if version < 2 || version > 5 {
		return u, true
	}
	u.version = uint8(version)
	if version >= 5 {
		u.kind = c.u8()
		u.addr = c.u8()
		u.abbrevOff = c.word(int(u.offset))
		switch u.kind {
		case unitSkeleton, unitSplit:
			u.dwoID = c.u64()
		case unitType, unitSplitType:
			c.skip(8 + uint64(u.offset))
		}
	} else {
		u.abbrevOff = c.word(int(u.offset))
		u.addr = c.u8()
	}
	u.header = uint8(c.pos)
	if c.bad || off+uint64(u.header) > u.end || (u.addr != 8 && u.addr != 4) {
		u.version, u.abbrevOff = 0, 0
	}
	return u, true
}

// readRoot reads the attributes of a unit's root entry.
func (d *dwarfFile) readRoot(u unit) (*root, bool) {
	r := &root{unit: u}
	n := min(u.end-u.off-uint64(u.header), 1024)
	c := &buf{b: d.info.at(u.off+uint64(u.header), int(n))}
	code := c.uleb()
	key := abbrevKey{u.abbrevOff, u.format}
	if d.rootKey != key || d.rootCode != code || d.rootCode == 0 {
		a := d.readAbbrevs(u.abbrevOff, u.format, code).get(code)
		if a == nil || code == 0 {
			return nil, false
		}
		d.rootAbbrev, d.rootKey, d.rootCode = *a, key, code
	}
	a := &d.rootAbbrev
	if a.tag != tagCompileUnit && a.tag != tagPartialUnit && a.tag != tagSkeleton {
		return nil, false
	}
	if !d.b.spend(len(a.attrs)) {
		return nil, false
	}
	if u.version >= 5 { // what it is without the attribute: behind the header of the section
		r.strOffBase, r.addrBase, r.rnglistsBase = uint64(u.offset)*2, uint64(u.offset)*2, 12
		if u.offset == 8 {
			r.rnglistsBase = 20
		}
	}
	var low value
	for _, s := range a.attrs {
		v := u.read(c, s)
		switch s.attr {
		case attrLowPC:
			low = v
		case attrHighPC:
			r.high = v
		case attrRanges:
			r.ranges = v
		case attrStmtList:
			r.stmtList, r.hasStmtList = v.u, true
		case attrLanguage:
			r.language = v.u
		case attrCompDir:
			r.compDir = v
			r.compDir.b = slices.Clone(v.b)
		case attrDwoName, attrGNUDwoName:
			r.dwoName = v
			r.dwoName.b = slices.Clone(v.b)
		case attrGNUDwoID:
			r.dwoID = v.u
		case attrGNURangesBase:
			r.splitRangesBase = v.u
		case attrStrOffBase:
			r.strOffBase = v.u
		case attrAddrBase, attrGNUAddrBase:
			r.addrBase = v.u
		case attrRnglistsBase:
			r.rnglistsBase = v.u
		}
		if c.bad {
			break
		}
	}
	r.low, r.hasLow = d.address(r, low)
	return r, true
}

// address is the value of an attribute that holds an address.
func (d *dwarfFile) address(r *root, v value) (uint64, bool) {
	switch v.form {
	case formAddr:
		return v.u, true
	case formAddrx, formAddrx1, formAddrx2, formAddrx3, formAddrx4, formGNUAddr:
		return d.addrIndex(r, v.u)
	}
	return 0, false
}

func (d *dwarfFile) addrIndex(r *root, i uint64) (uint64, bool) {
	if i > 1<<40 {
		return 0, false
	}
	c := &buf{b: d.addr.at(r.addrBase+i*uint64(r.addr), int(r.addr))}
	a := c.word(int(r.addr))
	return a, !c.bad
}

// string is the value of an attribute that holds a string.
func (d *dwarfFile) string(r *root, v value) string {
	switch v.form {
	case formString:
		return string(v.b[:min(len(v.b), maxName)])
	case formStrp:
		return d.str.str(v.u)
	case formLineStrp:
		return d.lineStr.str(v.u)
	case formGNUStrAlt, formStrpSup:
		if d.alt != nil {
			return d.alt.str.str(v.u)
		}
	case formStrx, formStrx1, formStrx2, formStrx3, formStrx4, formGNUStr:
		if v.u > 1<<40 {
			return ""
		}
		c := &buf{b: d.strOffsets.at(r.strOffBase+v.u*uint64(r.offset), int(r.offset))}
		if off := c.word(int(r.offset)); !c.bad {
			return d.str.str(off)
		}
	}
	return ""
}

// unitAt returns the unit that an offset into .debug_info is in.
func (d *dwarfFile) unitAt(off uint64) *root {
	d.readUnits()
	i, ok := slices.BinarySearchFunc(d.units, off, func(u unit, off uint64) int { return cmp.Compare(u.off, off) })
	if !ok {
		i--
	}
	if i < 0 || off >= d.units[i].end {
		return nil
	}
	return d.rootOf(d.units[i])
}

// rootOf is readRoot with a cache for the units that references lead to.
func (d *dwarfFile) rootOf(u unit) *root {
	if r, ok := d.roots[u.off]; ok {
		return r
	}
	r, ok := d.readRoot(u)
	if !ok {
		// A type unit, say: no string or address is found through it.
		r = &root{unit: u}
	}
	if len(d.roots) > 4096 {
		clear(d.roots)
	}
	d.roots[u.off] = r
	return r
}

// maxCandidates bounds the units that are searched for one address: in sound files it is one.
const maxCandidates = 4

// resolve finds file, line and inlined frames of a sorted list of addresses, innermost frame first. Where it
// finds nothing there is no frame.
func (d *dwarfFile) resolve(ctx context.Context, addrs []uint64) [][]Frame {
	out := make([][]Frame, len(addrs))
	if len(addrs) == 0 {
		return out
	}
	// Which unit each address is in.
	type candidate struct{ unit, addr int }
	var found []candidate
	count := make([]uint8, len(addrs))
	seen := make([]int, len(addrs)) // the last unit that covers the address, plus 1
	d.readUnits()
	for i, u := range d.units {
		if u.kind == unitType || u.kind == unitSplitType {
			continue
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return out
		}
		r, ok := d.readRoot(u)
		if !ok {
			continue
		}
		d.rangesOf(r, r.low, r.hasLow, r.high, r.ranges, func(lo, hi uint64) bool {
			j, _ := slices.BinarySearch(addrs, lo)
			for ; j < len(addrs) && addrs[j] < hi; j++ {
				if count[j] < maxCandidates && seen[j] != i+1 {
					count[j]++
					seen[j] = i + 1
					found = append(found, candidate{i, j})
				}
				if !d.b.spend(1) {
					return false
				}
			}
			return true
		})
	}
	for len(found) > 0 {
		u := found[0].unit
		n := 1
		for n < len(found) && found[n].unit == u {
			n++
		}
		var want []uint64
		var index []int
		group := found[:n]
		slices.SortFunc(group, func(a, b candidate) int { return a.addr - b.addr })
		for _, c := range group {
			// An earlier candidate may have named it already.
			if f := out[c.addr]; len(f) == 0 || f[0].Function == "" || f[0].File == "" {
				want, index = append(want, addrs[c.addr]), append(index, c.addr)
			}
		}
		found = found[n:]
		if len(want) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return out
		}
		for i, f := range d.resolveUnit(d.units[u], want) {
			if old := out[index[i]]; len(f) > 0 && (len(old) == 0 || (old[0].Function == "" && f[0].Function != "")) {
				out[index[i]] = f
			}
		}
	}
	return out
}

// rangesOf visits the code ranges of an entry: a list, or from low to high.
func (d *dwarfFile) rangesOf(r *root, low uint64, hasLow bool, high, list value, visit func(lo, hi uint64) bool) {
	valid := func(lo, hi uint64) bool {
		// Code that the linker dropped was put at 0, or at the last address.
		if hi <= lo || !d.e.text(lo) {
			return d.b.spend(1)
		}
		return visit(lo, hi)
	}
	switch {
	case list.form != 0:
		d.rangeList(r, list, valid)
	case hasLow && high.form != 0:
		if a, ok := d.address(r, high); ok {
			valid(low, a)
		} else {
			valid(low, low+high.u)
		}
	}
}

// filePath puts a path together the way compilers took it apart.
func filePath(compDir, dir, name string) string {
	if name == "" {
		return ""
	}
	if !path.IsAbs(name) && dir != "" {
		name = dir + "/" + name
	}
	if !path.IsAbs(name) && compDir != "" {
		name = compDir + "/" + name
	}
	return path.Clean(name)
}

package symbol

// A dwoPackage is a file of many split-off units. Of each section, every unit has a part, and an index says which.
type dwoPackage struct {
	e       *elfFile
	index   *view
	columns []uint32 // which section each column of the index is about
	rows    uint64
	slots   uint64
	hashes  uint64 // where in the index the hash table stands, …
	places  uint64 // … the rows that it leads to, …
	offsets uint64 // … and the offsets and sizes of the parts
	sizes   uint64
	version uint32
}

// maxColumns bounds the sections that an index is about; there are eight kinds.
const maxColumns = 16

// maxIndex bounds the rows and slots of an index.
const maxIndex = 1 << 24

// Numbers of sections in an index (DWARF 5, table 7.1, and GNU's in version 2, where they differ).
const (
	partInfo       = 1
	partAbbrev     = 3
	partStrOffsets = 6
	partRnglists   = 8
)

// openPackage reads the head of a package's index, or returns nil.
func openPackage(e *elfFile) *dwoPackage {
	p := &dwoPackage{e: e, index: e.data(".debug_cu_index")}
	c := &buf{b: p.index.at(0, 16)}
	// A word in version 2, and in version 5 half of one with nothing behind.
	p.version = c.u32()
	columns := uint64(c.u32())
	p.rows, p.slots = uint64(c.u32()), uint64(c.u32())
	if c.bad || p.version != 2 && p.version != 5 || columns == 0 || columns > maxColumns || p.rows > maxIndex ||
		p.slots > maxIndex || p.slots == 0 || p.slots&(p.slots-1) != 0 {
		return nil
	}
	p.hashes = 16
	p.places = p.hashes + 8*p.slots
	heads := p.places + 4*p.slots
	p.offsets = heads + 4*columns
	p.sizes = p.offsets + 4*columns*p.rows
	h := &buf{b: p.index.at(heads, int(4*columns))}
	for range columns {
		p.columns = append(p.columns, h.u32())
	}
	if h.bad {
		return nil
	}
	return p
}

// row returns the row of a unit, from 1 on, or 0 (DWARF 5, section 7.3.5.3).
func (p *dwoPackage) row(id uint64) uint64 {
	mask := p.slots - 1
	step := id>>32&mask | 1
	for slot, n := id&mask, uint64(0); n < p.slots; slot, n = (slot+step)&mask, n+1 {
		at := &buf{b: p.index.at(p.places+4*slot, 4)}
		row := uint64(at.u32())
		hash := &buf{b: p.index.at(p.hashes+8*slot, 8)}
		found := hash.u64()
		switch {
		case at.bad || hash.bad || row == 0 || row > p.rows || !p.e.b.spend(4):
			return 0
		case found == id:
			return row
		}
	}
	return 0
}

// unit returns a reader of the parts of one unit, or nil if the package does not have it.
func (p *dwoPackage) unit(skeletons *dwarfFile, id uint64) *dwarfFile {
	row := p.row(id)
	if row == 0 {
		return nil
	}
	at := 4 * uint64(len(p.columns)) * (row - 1)
	offsets := append([]byte(nil), p.index.at(p.offsets+at, 4*len(p.columns))...)
	o, n := &buf{b: offsets}, &buf{b: p.index.at(p.sizes+at, 4*len(p.columns))}
	parts := map[uint32][2]uint64{}
	for _, section := range p.columns {
		parts[section] = [2]uint64{uint64(o.u32()), uint64(n.u32())}
	}
	if o.bad || n.bad {
		return nil
	}
	return newSplit(p.e, skeletons, func(name string) *view {
		v := p.e.data(name)
		var part uint32
		switch name {
		case ".debug_info.dwo":
			part = partInfo
		case ".debug_abbrev.dwo":
			part = partAbbrev
		case ".debug_str_offsets.dwo":
			part = partStrOffsets
		case ".debug_rnglists.dwo":
			if part = partRnglists; p.version < 5 {
				return nil // 8 is another section there
			}
		default:
			return v // all units have the strings together
		}
		where, ok := parts[part]
		if !ok {
			return nil
		}
		return v.part(where[0], where[1])
	})
}

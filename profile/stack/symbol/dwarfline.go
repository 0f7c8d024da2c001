package symbol

import "slices"

// A lineRow is what the line table says of one wanted address.
type lineRow struct {
	file  uint64
	line  int
	found bool
}

// A lineTable is the result of running a unit's line program for the wanted addresses, with the names of files,
// which call sites refer to as well.
type lineTable struct {
	d       *dwarfFile
	r       *root
	row     []lineRow
	version uint8
	dirs    []lineName
	files   []lineName
	paths   map[uint64]string
}

// lineName is a file or directory as it stands in the table.
type lineName struct {
	name value
	dir  uint64
}

// lineHeader is the part of a line program's header that running it needs.
type lineHeader struct {
	minInst    uint64
	lineBase   int8
	lineRange  uint8
	opcodeBase uint8
	opLengths  []byte
}

// maxLineProgram bounds the line program of one unit.
const maxLineProgram = 256 << 20

// readLines runs the unit's line program. What can't be read gives no rows.
func (d *dwarfFile) readLines(r *root, addrs []uint64) *lineTable {
	t := &lineTable{d: d, r: r, row: make([]lineRow, len(addrs)), paths: map[uint64]string{}}
	if !r.hasStmtList || d.line == nil {
		return t
	}
	c := &buf{b: d.line.at(r.stmtList, 12)}
	f := format{addr: r.addr, offset: 4}
	n := uint64(c.u32())
	if n == 0xffffffff {
		n, f.offset = c.u64(), 8
	}
	if c.bad || n > maxLineProgram {
		return t
	}
	bytes, err := d.line.load(r.stmtList+uint64(c.pos), n, d.lineBytes)
	if err != nil {
		return t
	}
	d.lineBytes = bytes
	c = &buf{b: bytes}
	version := c.u16()
	if version < 2 || version > 5 {
		return t
	}
	t.version, f.version = uint8(version), uint8(version)
	if version >= 5 {
		f.addr = c.u8()
		c.u8()
	}
	length := c.word(int(f.offset))
	program := uint64(c.pos) + length
	if c.bad || length > uint64(len(bytes)) || program > uint64(len(bytes)) {
		return t
	}
	var h lineHeader
	h.minInst = uint64(c.u8())
	if version >= 4 {
		c.u8() // instructions in a word: 1 on all machines that are read here
	}
	c.u8()
	h.lineBase = int8(c.u8())
	h.lineRange = c.u8()
	h.opcodeBase = c.u8()
	h.opLengths = c.take(max(int(h.opcodeBase)-1, 0))
	names := &buf{b: bytes[:program], pos: c.pos}
	if version >= 5 {
		t.dirs = t.readNames(names, f)
		t.files = t.readNames(names, f)
	} else {
		t.readOldNames(names)
	}
	if h.lineRange == 0 || h.opcodeBase == 0 || c.bad {
		return t
	}
	t.run(&buf{b: bytes, pos: int(program)}, f, h, addrs)
	return t
}

// maxLineNames bounds the files of one unit.
const maxLineNames = 1 << 17

// readOldNames reads the names of versions 2 to 4: directories, then files.
func (t *lineTable) readOldNames(c *buf) {
	for {
		s := c.cstr()
		if len(s) == 0 {
			break
		}
		if len(t.dirs) >= maxLineNames {
			return
		}
		t.dirs = append(t.dirs, lineName{name: value{form: formString, b: s}})
	}
	for !c.bad {
		s := c.cstr()
		if len(s) == 0 {
			return
		}
		dir := c.uleb()
		c.uleb()
		c.uleb()
		t.files = append(t.files, lineName{name: value{form: formString, b: s}, dir: dir})
		if !t.d.b.spend(8) || len(t.files) >= maxLineNames {
			return
		}
	}
}

// Kinds of content in the file table of version 5.
const (
	lnctPath = 1
	lnctDir  = 2
)

// readNames reads a list of files or directories of version 5.
func (t *lineTable) readNames(c *buf, f format) []lineName {
	var specs []attrSpec
	for range c.u8() {
		kind := c.uleb()
		specs = append(specs, attrSpec{attr: uint16(min(kind, 0xffff)), form: uint16(min(c.uleb(), 0xffff))})
	}
	n := c.uleb()
	var out []lineName
	for i := uint64(0); i < n; i++ {
		start := c.pos
		var l lineName
		for _, s := range specs {
			v := f.read(c, s)
			switch s.attr {
			case lnctPath:
				l.name = v
			case lnctDir:
				l.dir = v.u
			}
		}
		if c.bad || c.pos == start || !t.d.b.spend(8+len(specs)) || len(out) >= maxLineNames {
			break
		}
		out = append(out, l)
	}
	return out
}

// file returns the path of the file with that number.
func (t *lineTable) file(i uint64) string {
	if p, ok := t.paths[i]; ok {
		return p
	}
	p := t.filePath(i)
	if !t.d.b.hold(int64(len(p))) {
		p = ""
	}
	t.paths[i] = p
	return p
}

func (t *lineTable) filePath(i uint64) string {
	if t.version < 5 {
		i-- // files count from 1
	}
	if i >= uint64(len(t.files)) {
		return ""
	}
	l := t.files[i]
	name := t.d.string(t.r, l.name)
	dir, compDir := "", t.d.string(t.r, t.r.compDir)
	if t.version < 5 {
		if l.dir-1 < uint64(len(t.dirs)) {
			dir = t.d.string(t.r, t.dirs[l.dir-1].name)
		}
	} else if l.dir < uint64(len(t.dirs)) {
		dir = t.d.string(t.r, t.dirs[l.dir].name)
	}
	if dir == compDir {
		dir = "" // directory 0, which may be a relative path
	}
	return filePath(compDir, dir, name)
}

// Opcodes of line programs (DWARF 5, section 6.2.5).
const (
	lnsCopy         = 1
	lnsAdvancePC    = 2
	lnsAdvanceLine  = 3
	lnsSetFile      = 4
	lnsConstAddPC   = 8
	lnsFixedAdvance = 9
	lneEndSequence  = 1
	lneSetAddress   = 2
)

// run runs the program. Each pair of neighbouring rows is matched against the wanted addresses; of rows at the
// same address the last one counts.
func (t *lineTable) run(c *buf, f format, h lineHeader, addrs []uint64) {
	var addr uint64
	file, line := uint64(1), int64(1)
	var prev struct {
		addr uint64
		lineRow
	}
	live := false // prev is a row of this sequence
	dead := false // the sequence is of code that the linker dropped
	left := len(addrs)
	row := func() bool {
		if live && prev.addr < addr && !dead && prev.addr <= addrs[len(addrs)-1] && addr > addrs[0] {
			i, _ := slices.BinarySearch(addrs, prev.addr)
			for ; i < len(addrs) && addrs[i] < addr; i++ {
				if !t.row[i].found {
					t.row[i] = prev.lineRow
					t.row[i].found = true
					left--
				}
				if !t.d.b.spend(1) {
					return false
				}
			}
		}
		if !live {
			dead = !t.d.e.text(addr)
		}
		prev.addr, prev.file, prev.line, live = addr, file, lineNumber(uint64(line)), true
		return left > 0
	}
	constAdd := h.minInst * uint64((255-h.opcodeBase)/h.lineRange)
	for c.pos < len(c.b) && !c.bad {
		op := c.u8()
		if op >= h.opcodeBase {
			op -= h.opcodeBase
			addr += h.minInst * uint64(op/h.lineRange)
			line += int64(h.lineBase) + int64(op%h.lineRange)
			if !row() {
				return
			}
			continue
		}
		switch op {
		case 0:
			n := c.uleb()
			if n == 0 || n > uint64(len(c.b)-c.pos) {
				return
			}
			end := c.pos + int(n)
			switch c.u8() {
			case lneEndSequence:
				if !row() {
					return
				}
				addr, file, line, live = 0, 1, 1, false
			case lneSetAddress:
				addr = c.word(int(n) - 1)
			}
			c.pos = end
		case lnsCopy:
			if !row() {
				return
			}
		case lnsAdvancePC:
			addr += h.minInst * c.uleb()
		case lnsAdvanceLine:
			line += c.sleb()
		case lnsSetFile:
			file = c.uleb()
		case lnsConstAddPC:
			addr += constAdd
		case lnsFixedAdvance:
			addr += uint64(c.u16())
		default:
			if int(op)-1 >= len(h.opLengths) {
				return
			}
			for range h.opLengths[op-1] {
				c.uleb()
			}
		}
	}
}

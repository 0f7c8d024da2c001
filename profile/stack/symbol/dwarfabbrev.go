package symbol

// Tags, attributes and forms of DWARF that are used here (DWARF 5, section 7.5, and GNU's extensions).
const (
	tagInlined     = 0x1d
	tagCompileUnit = 0x11
	tagSubprogram  = 0x2e
	tagPartialUnit = 0x3c
	tagSkeleton    = 0x4a

	tagArray       = 0x01
	tagClass       = 0x02
	tagEnumeration = 0x04
	tagStructure   = 0x13
	tagSubroutine  = 0x15
	tagUnion       = 0x17
	tagInterface   = 0x38
	tagModule      = 0x1e
	tagNamespace   = 0x39

	attrSibling       = 0x01
	attrName          = 0x03
	attrStmtList      = 0x10
	attrLowPC         = 0x11
	attrHighPC        = 0x12
	attrLanguage      = 0x13
	attrCompDir       = 0x1b
	attrOrigin        = 0x31
	attrDeclLine      = 0x3b
	attrSpecification = 0x47
	attrRanges        = 0x55
	attrCallFile      = 0x58
	attrCallLine      = 0x59
	attrLinkageName   = 0x6e
	attrStrOffBase    = 0x72
	attrAddrBase      = 0x73
	attrRnglistsBase  = 0x74
	attrDwoName       = 0x76
	attrMIPSLinkage   = 0x2007
	attrGNUDwoName    = 0x2130
	attrGNUDwoID      = 0x2131
	attrGNURangesBase = 0x2132
	attrGNUAddrBase   = 0x2133

	formAddr      = 0x01
	formBlock2    = 0x03
	formBlock4    = 0x04
	formData2     = 0x05
	formData4     = 0x06
	formData8     = 0x07
	formString    = 0x08
	formBlock     = 0x09
	formBlock1    = 0x0a
	formData1     = 0x0b
	formFlag      = 0x0c
	formSdata     = 0x0d
	formStrp      = 0x0e
	formUdata     = 0x0f
	formRefAddr   = 0x10
	formRef1      = 0x11
	formRef2      = 0x12
	formRef4      = 0x13
	formRef8      = 0x14
	formRefUdata  = 0x15
	formIndirect  = 0x16
	formSecOffset = 0x17
	formExprloc   = 0x18
	formPresent   = 0x19
	formStrx      = 0x1a
	formAddrx     = 0x1b
	formRefSup4   = 0x1c
	formStrpSup   = 0x1d
	formData16    = 0x1e
	formLineStrp  = 0x1f
	formRefSig8   = 0x20
	formImplicit  = 0x21
	formLoclistx  = 0x22
	formRnglistx  = 0x23
	formRefSup8   = 0x24
	formStrx1     = 0x25
	formStrx2     = 0x26
	formStrx3     = 0x27
	formStrx4     = 0x28
	formAddrx1    = 0x29
	formAddrx2    = 0x2a
	formAddrx3    = 0x2b
	formAddrx4    = 0x2c
	formGNUAddr   = 0x1f01
	formGNUStr    = 0x1f02
	formGNURefAlt = 0x1f20
	formGNUStrAlt = 0x1f21
)

// attrSpec is how one attribute of an abbreviation is stored.
type attrSpec struct {
	attr, form uint16
	implicit   int64
}

// An abbrev is one kind of entry: its tag, and which attributes follow.
type abbrev struct {
	tag      uint16
	children bool
	sibling  bool // one of the attributes says where the next sibling stands
	// fixed is the size of all attributes if that does not depend on the entry, else -1.
	fixed int
	attrs []attrSpec
}

// An abbrevTable is the abbreviations of a unit. Codes count from 1 in all tables but hand-made ones.
type abbrevTable struct {
	dense []abbrev // by code−1
	other map[uint64]*abbrev
}

func (t *abbrevTable) get(code uint64) *abbrev {
	if code-1 < uint64(len(t.dense)) {
		return &t.dense[code-1]
	}
	return t.other[code]
}

// abbrevKey names a table, together with what decides the sizes of its forms.
type abbrevKey struct {
	off uint64
	format
}

// maxAttrs bounds the attributes of a table.
const maxAttrs = 1 << 20

// abbrevs returns the table at the offset. The last few are kept: neighbouring units often share one.
func (d *dwarfFile) abbrevs(off uint64, f format) *abbrevTable {
	key := abbrevKey{off, f}
	if t, ok := d.abbrevCache[key]; ok {
		return t
	}
	if len(d.abbrevCache) >= 64 {
		clear(d.abbrevCache)
		d.b.release(d.abbrevMem)
		d.abbrevMem = 0
	}
	t := d.readAbbrevs(off, f, 0)
	d.abbrevCache[key] = t
	return t
}

// readAbbrevs parses a table, or, if code is not 0, only as far as that code.
func (d *dwarfFile) readAbbrevs(off uint64, f format, code uint64) *abbrevTable {
	t := &abbrevTable{}
	total := 0
	const piece = 4096
	c := &buf{b: d.abbrev.at(off, piece)}
	for {
		// Have the whole of an entry in view, however long it is.
		start := c.pos
		got, a, ok := readAbbrev(c, f)
		if c.bad && len(c.b) >= piece && (start > 0 || len(c.b) < 1<<20) {
			off += uint64(start)
			n := piece
			if start == 0 {
				n = len(c.b) * 4
			}
			next := d.abbrev.at(off, n)
			if start == 0 && len(next) <= len(c.b) {
				return t
			}
			c = &buf{b: next}
			continue
		}
		total += len(a.attrs) + 1
		if !ok || c.bad || total > maxAttrs || !d.b.spend(4*len(a.attrs)+4) {
			return t
		}
		if code == 0 {
			held := int64(16*cap(a.attrs) + 128)
			if !d.b.hold(held) {
				return t
			}
			d.abbrevMem += held
		}
		switch {
		case code != 0 && got != code:
		case got == uint64(len(t.dense))+1:
			t.dense = append(t.dense, a)
		default:
			if t.other == nil {
				t.other = map[uint64]*abbrev{}
			}
			if t.get(got) == nil {
				t.other[got] = &a
			}
		}
		if code != 0 && got == code {
			return t
		}
	}
}

// readAbbrev parses one abbreviation. It is not ok at the end of the table.
func readAbbrev(c *buf, f format) (code uint64, a abbrev, ok bool) {
	code = c.uleb()
	if code == 0 || c.bad {
		return 0, a, false
	}
	a.tag = uint16(min(c.uleb(), 0xffff))
	a.children = c.u8() != 0
	for {
		attr, form := c.uleb(), c.uleb()
		if c.bad {
			return 0, a, false
		}
		s := attrSpec{attr: uint16(min(attr, 0xffff)), form: uint16(min(form, 0xffff))}
		if form == formImplicit {
			s.implicit = c.sleb()
		}
		if attr == 0 && form == 0 {
			return code, a, true
		}
		if n := f.size(s.form); n < 0 || a.fixed < 0 {
			a.fixed = -1
		} else {
			a.fixed += n
		}
		a.attrs = append(a.attrs, s)
		a.sibling = a.sibling || attr == attrSibling
	}
}

// format is what the sizes of forms depend on.
type format struct {
	addr    uint8 // size of an address
	offset  uint8 // size of an offset into a section: 4, or 8 in 64-bit DWARF
	version uint8
}

// size is the size of a form, or -1 if it varies.
func (f format) size(form uint16) int {
	switch form {
	case formPresent, formImplicit:
		return 0
	case formData1, formFlag, formRef1, formStrx1, formAddrx1:
		return 1
	case formData2, formRef2, formStrx2, formAddrx2:
		return 2
	case formStrx3, formAddrx3:
		return 3
	case formData4, formRef4, formStrx4, formAddrx4, formRefSup4:
		return 4
	case formData8, formRef8, formRefSig8, formRefSup8:
		return 8
	case formData16:
		return 16
	case formAddr:
		return int(f.addr)
	case formStrp, formSecOffset, formStrpSup, formLineStrp, formGNURefAlt, formGNUStrAlt:
		return int(f.offset)
	case formRefAddr:
		if f.version <= 2 {
			return int(f.addr)
		}
		return int(f.offset)
	}
	return -1
}

// value is one attribute as it is stored: a number (an address, an offset, an index, a constant) or bytes.
type value struct {
	form uint16
	u    uint64
	b    []byte
}

// read reads an attribute's value.
func (f format) read(c *buf, s attrSpec) value {
	form := s.form
	for form == formIndirect {
		// Each turn eats a byte.
		form = uint16(min(c.uleb(), 0xffff))
		if c.bad || form == formImplicit {
			c.bad = true
			return value{}
		}
	}
	v := value{form: form}
	switch form {
	case formPresent:
		v.u = 1
	case formImplicit:
		v.u = uint64(s.implicit)
	case formStrx3, formAddrx3:
		v.u = uint64(c.u24())
	case formSdata:
		v.u = uint64(c.sleb())
	case formUdata, formRefUdata, formStrx, formAddrx, formLoclistx, formRnglistx, formGNUAddr, formGNUStr:
		v.u = c.uleb()
	case formString:
		v.b = c.cstr()
	case formBlock1:
		c.skip(uint64(c.u8()))
	case formBlock2:
		c.skip(uint64(c.u16()))
	case formBlock4:
		c.skip(uint64(c.u32()))
	case formBlock, formExprloc:
		c.skip(c.uleb())
	case formData16:
		c.skip(16)
	default:
		n := f.size(form)
		if n < 0 {
			c.bad = true // an unknown form: nothing behind it can be found
			return v
		}
		v.u = c.word(n)
	}
	return v
}

// skipAttrs moves past the attributes of an entry.
func (f format) skipAttrs(c *buf, a *abbrev) {
	if a.fixed >= 0 {
		c.skip(uint64(a.fixed))
		return
	}
	for i := range a.attrs {
		if n := f.size(a.attrs[i].form); n >= 0 {
			c.skip(uint64(n))
		} else {
			f.read(c, a.attrs[i])
		}
	}
}

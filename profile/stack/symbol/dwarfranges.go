package symbol

// Entries of .debug_rnglists (DWARF 5, section 7.25).
const (
	rleEnd          = 0
	rleBaseAddrx    = 1
	rleStartxEndx   = 2
	rleStartxLength = 3
	rleOffsetPair   = 4
	rleBaseAddress  = 5
	rleStartEnd     = 6
	rleStartLength  = 7
)

// rangeList visits the ranges of a list until visit returns false.
func (d *dwarfFile) rangeList(r *root, v value, visit func(lo, hi uint64) bool) {
	if r.version < 5 {
		d.oldRanges(r, r.rangesBase+v.u, visit)
		return
	}
	off := v.u
	if v.form == formRnglistx {
		if v.u > 1<<40 {
			return
		}
		c := &buf{b: d.rnglists.at(r.rnglistsBase+v.u*uint64(r.offset), int(r.offset))}
		off = r.rnglistsBase + c.word(int(r.offset))
		if c.bad {
			return
		}
	}
	d.newRanges(r, off, visit)
}

// rangePiece is how much of a list is read at once.
const rangePiece = 512

// oldRanges reads a list in .debug_ranges: pairs of addresses, relative to a base.
func (d *dwarfFile) oldRanges(r *root, off uint64, visit func(lo, hi uint64) bool) {
	w := int(r.addr)
	base, top := r.low, ^uint64(0)
	if w == 4 {
		top = 1<<32 - 1
	}
	for {
		c := &buf{b: d.ranges.at(off, rangePiece)}
		if len(c.b) < 2*w {
			return
		}
		for len(c.b)-c.pos >= 2*w {
			lo, hi := c.word(w), c.word(w)
			switch {
			case lo == 0 && hi == 0:
				return
			case lo == top:
				base = hi
			case !visit((base+lo)&top, (base+hi)&top):
				return
			}
		}
		off += uint64(c.pos)
	}
}

// newRanges reads a list in .debug_rnglists.
func (d *dwarfFile) newRanges(r *root, off uint64, visit func(lo, hi uint64) bool) {
	w := int(r.addr)
	base := r.low
	for {
		c := &buf{b: d.rnglists.at(off, rangePiece)}
		if len(c.b) == 0 {
			return
		}
		full := len(c.b) == rangePiece
		done := 0 // what was used of this piece
		// The longest entry is a byte and two numbers of up to ten.
		for !full && c.pos < len(c.b) || full && len(c.b)-c.pos >= 1+2*10 {
			var lo, hi uint64
			var ok = true
			kind := c.u8()
			switch kind {
			case rleEnd:
				return
			case rleBaseAddrx:
				base, ok = d.addrIndex(r, c.uleb())
			case rleBaseAddress:
				base = c.word(w)
			case rleStartxEndx:
				a, b := c.uleb(), c.uleb()
				var ok2 bool
				lo, ok = d.addrIndex(r, a)
				hi, ok2 = d.addrIndex(r, b)
				ok = ok && ok2
			case rleStartxLength:
				lo, ok = d.addrIndex(r, c.uleb())
				hi = lo + c.uleb()
			case rleOffsetPair:
				lo = base + c.uleb()
				hi = base + c.uleb()
			case rleStartEnd:
				lo, hi = c.word(w), c.word(w)
			case rleStartLength:
				lo = c.word(w)
				hi = lo + c.uleb()
			default:
				return
			}
			if c.bad {
				return
			}
			done = c.pos
			if ok && hi > lo && !visit(lo, hi) {
				return
			}
			if !d.b.spend(4) {
				return
			}
		}
		if done == 0 || !full {
			return
		}
		off += uint64(done)
	}
}

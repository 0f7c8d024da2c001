package stack

import (
	"encoding/binary"
	"errors"
	"sort"

	"sysprof/profile/stack/elf"
)

// Pointer encodings (LSB Core, 10.5.1): a format in the low half, what the value is
// relative to above it.
const (
	encAbsptr   = 0x00
	encUleb128  = 0x01
	encUdata2   = 0x02
	encUdata4   = 0x03
	encUdata8   = 0x04
	encSigned   = 0x08
	encSleb128  = 0x09
	encSdata2   = 0x0a
	encSdata4   = 0x0b
	encSdata8   = 0x0c
	encFormat   = 0x0f
	encPcrel    = 0x10
	encDatarel  = 0x30
	encRelation = 0x70
	encIndirect = 0x80
	encOmit     = 0xff
)

const (
	// maxEntry caps the length of one CIE or FDE. The longest found on a Debian system
	// (libLLVM) has 5 KB.
	maxEntry = 64 << 10
	// maxAugmentation caps the string of letters in a CIE. Seven are known, and a CIE may be read for each of its functions.
	maxAugmentation = 32
	// maxLinear caps the index that is made where there is no search table, and
	// maxLinearSize what is read for it.
	maxLinear     = 1 << 18
	maxLinearSize = 32 << 20
	// The sorted table of .eh_frame_hdr, in the one encoding that linkers write:
	// DW_EH_PE_datarel|DW_EH_PE_sdata4 (LSB Core, 10.6.2).
	hdrTableEnc   = encDatarel | encSdata4
	hdrEntrySize  = 8
	hdrHeaderSize = 4
)

var (
	errFormat = errors.New("malformed unwind entry")
)

// An ehFrame finds the unwind entry for an address in one file.
type ehFrame struct {
	f *elf.File
	// The search table, if there is one in the usual encoding.
	hdrAddr  uint64
	tableOff uint64
	count    int
	// Else an index made by one pass over .eh_frame.
	linear []fdeRef
	debug  *debugSection // this is .debug_frame: addresses of entries are distances in it
}

type fdeRef struct {
	lo   uint64 // first address
	addr uint64 // of the entry
}

// A cie holds what the entries of functions with the same conventions share
// (DWARF 5, 6.4.1, with the extensions of LSB Core, 10.6.1).
type cie struct {
	codeAlign uint64
	dataAlign int64
	ra        uint64
	instr     []byte
	instrAddr uint64
	owner     *ehFrame // and addr: which one it is; nil: none
	addr      uint64
	fdeEnc    byte
	augmented bool // "z": entries have a length of augmentation data
	signal    bool // "S": what it describes was not called but interrupted
}

// An fde describes the frames of one function.
type fde struct {
	lo, hi    uint64
	cieAddr   uint64
	instr     []byte
	instrAddr uint64
}

// newEhFrame finds the unwind tables of f; nil if it has none.
func newEhFrame(f *elf.File) *ehFrame {
	e := &ehFrame{f: f}
	seg, ok := f.Segment(elf.PT_GNU_EH_FRAME)
	if ok && e.openTable(seg.Vaddr) {
		return e
	}
	if s, found := f.Section(".eh_frame"); found && s.Type != elf.SHT_NOBITS {
		e.index(s.Addr, s.Size)
	}
	if len(e.linear) == 0 {
		return nil
	}
	return e
}

// openTable reads the header at addr: version 1, three encodings, the address
// of .eh_frame, the number of entries.
func (e *ehFrame) openTable(addr uint64) bool {
	off, left, ok := e.f.Offset(addr)
	if !ok {
		return false
	}
	var scratch [32]byte
	h := e.f.Bytes(off, int(min(left, uint64(len(scratch)))), scratch[:])
	if len(h) < hdrHeaderSize || h[0] != 1 || h[3] != hdrTableEnc {
		return false
	}
	p := hdrHeaderSize
	for _, enc := range []byte{e.sized(h[1]), e.sized(h[2])} {
		v, n, ok := decodePointer(enc, h[p:], addr+uint64(p), addr)
		if !ok {
			return false
		}
		p += n
		e.count = int(v)
	}
	if h[2] == encOmit || e.count <= 0 || uint64(e.count) > (left-uint64(p))/hdrEntrySize {
		return false
	}
	e.hdrAddr, e.tableOff = addr, off+uint64(p)
	return true
}

// index lists the entries of the section at addr.
func (e *ehFrame) index(addr, size uint64) {
	end := addr + min(size, e.left(addr), maxLinearSize)
	defer e.f.Drop()
	var s ehScratch
	var c cie
	for addr < end && len(e.linear) < maxLinear {
		body, bodyAddr, next, id, err := e.entry(addr, s.fde[:])
		if err != nil {
			if next <= addr {
				break
			}
		} else if id != 0 {
			if e.use(&c, bodyAddr-id, &s) == nil {
				if d, err := e.parseFDE(body, bodyAddr, id, &c); err == nil && d.hi > d.lo {
					e.linear = append(e.linear, fdeRef{d.lo, addr})
				}
			}
		}
		addr = next
	}
	sort.Slice(e.linear, func(i, j int) bool { return e.linear[i].lo < e.linear[j].lo })
}

// ehScratch holds entries that straddle two blocks of their file.
type ehScratch struct {
	fde, cie [maxEntry]byte
}

// find returns the address of the entry whose function may hold pc.
func (e *ehFrame) find(pc uint64) (uint64, bool) {
	if e.linear != nil {
		i := sort.Search(len(e.linear), func(i int) bool { return e.linear[i].lo > pc })
		if i == 0 {
			return 0, false
		}
		return e.linear[i-1].addr, true
	}
	rel := int64(pc - e.hdrAddr)
	lo, hi := 0, e.count
	for lo < hi {
		if hi-lo <= maxSlice {
			off := e.tableOff + uint64(lo)*hdrEntrySize
			if b := e.f.Bytes(off, (hi-lo)*hdrEntrySize, nil); b != nil {
				lo += searchTable(b, rel)
				break
			}
		}
		mid := int(uint(lo+hi) / 2)
		v, ok := e.f.Uint32(e.tableOff + uint64(mid)*hdrEntrySize)
		if !ok {
			return 0, false
		}
		if int64(int32(v)) <= rel {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0, false
	}
	v, ok := e.f.Uint32(e.tableOff + uint64(lo-1)*hdrEntrySize + 4)
	return e.hdrAddr + uint64(int64(int32(v))), ok
}

// maxSlice is the number of entries from which on a part of the table may lie in one
// block, and is then searched without going through the file for each probe.
const maxSlice = 512

// searchTable returns how many entries of the sorted table b are at or below rel.
func searchTable(b []byte, rel int64) int {
	lo, hi := 0, len(b)/hdrEntrySize
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if int64(int32(binary.LittleEndian.Uint32(b[mid*hdrEntrySize:]))) <= rel {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// left is how many bytes follow from an address on.
func (e *ehFrame) left(addr uint64) uint64 {
	if e.debug != nil {
		return e.debug.size - min(addr, e.debug.size)
	}
	_, left, _ := e.f.Offset(addr)
	return left
}

// bytes returns the n bytes at an address, or nil.
func (e *ehFrame) bytes(addr uint64, n int, scratch []byte) []byte {
	if e.debug != nil {
		return e.debug.bytes(e.f, addr, n, scratch)
	}
	off, left, ok := e.f.Offset(addr)
	if !ok || uint64(n) > left {
		return nil
	}
	return e.f.Bytes(off, n, scratch)
}

// entry reads the frame of the entry at addr: what follows its id, the address of
// the id itself, where the next entry is, and the id.
func (e *ehFrame) entry(addr uint64, scratch []byte) (body []byte, idAddr, next, id uint64, err error) {
	var word [8]byte
	left := e.left(addr)
	b := e.bytes(addr, 4, word[:])
	if b == nil || left < 8 {
		return nil, 0, 0, 0, errFormat
	}
	length32 := binary.LittleEndian.Uint32(b)
	if length32 == 0 {
		return nil, 0, 0, 0, errFormat
	}
	length, head := uint64(length32), uint64(4)
	wide := length32 == 0xffffffff // 64-bit length; the id keeps its 4 bytes in .eh_frame
	if wide {
		if b = e.bytes(addr+4, 8, word[:]); b == nil {
			return nil, 0, 0, 0, errFormat
		}
		length, head = binary.LittleEndian.Uint64(b), 12
	}
	if left < head || length > left-head || length < 4 {
		return nil, 0, 0, 0, errFormat
	}
	next = addr + head + length
	if length > maxEntry {
		return nil, 0, next, 0, errFormat
	}
	if b = e.bytes(addr+head, int(length), scratch); b == nil {
		return nil, 0, next, 0, errFormat
	}
	if e.debug != nil {
		return debugEntry(b, addr+head, next, wide)
	}
	return b[4:], addr + head, next, uint64(binary.LittleEndian.Uint32(b)), nil
}

// fdeAt reads the entry at addr into d and the CIE that it refers to into c, unless
// that is in c already: most functions of a file share one.
func (e *ehFrame) fdeAt(addr uint64, s *ehScratch, d *fde, c *cie) error {
	body, idAddr, _, id, err := e.entry(addr, s.fde[:])
	if err != nil {
		return err
	}
	if id == 0 || id > idAddr {
		return errFormat
	}
	if err := e.use(c, idAddr-id, s); err != nil {
		return err
	}
	*d, err = e.parseFDE(body, idAddr, id, c)
	return err
}

// use makes c the CIE at addr, unless it is that already.
func (e *ehFrame) use(c *cie, addr uint64, s *ehScratch) (err error) {
	if c.owner == e && c.addr == addr {
		return nil
	}
	if *c, err = e.cie(addr, s.cie[:]); err != nil {
		return err
	}
	c.owner, c.addr = e, addr
	return nil
}

func (e *ehFrame) parseFDE(body []byte, idAddr, id uint64, c *cie) (fde, error) {
	d := fde{cieAddr: idAddr - id}
	at := idAddr + 4
	var n int
	var ok bool
	if d.lo, n, ok = decodePointer(c.fdeEnc, body, at, 0); !ok {
		return d, errFormat
	}
	body, at = body[n:], at+uint64(n)
	size, n, ok := decodePointer(c.fdeEnc&encFormat, body, at, 0)
	if !ok {
		return d, errFormat
	}
	if !e.f.Is64 { // as the sum of two addresses of 32 bits
		d.lo &= 1<<32 - 1
	}
	d.hi = d.lo + size
	body, at = body[n:], at+uint64(n)
	if c.augmented {
		l, n := uleb(body)
		if n == 0 || l > uint64(len(body)-n) {
			return d, errFormat
		}
		body, at = body[n+int(l):], at+uint64(n)+l
	}
	d.instr, d.instrAddr = body, at
	return d, nil
}

// cie reads the common information entry at addr.
func (e *ehFrame) cie(addr uint64, scratch []byte) (c cie, err error) {
	b, idAddr, _, id, err := e.entry(addr, scratch)
	if err != nil || id != 0 || len(b) < 2 {
		return c, errFormat
	}
	size := len(b)
	version := b[0]
	if version != 1 && version != 3 && version != 4 {
		return c, errFormat
	}
	b = b[1:]
	end := 0
	for end < len(b) && end < maxAugmentation && b[end] != 0 {
		end++
	}
	if end == len(b) || b[end] != 0 {
		return c, errFormat
	}
	aug := b[:end]
	b = b[end+1:]
	if version == 4 { // address size, segment selector size
		if len(b) < 2 || b[0] != 8 && e.f.Is64 || b[0] != 4 && !e.f.Is64 || b[1] != 0 {
			return c, errFormat
		}
		b = b[2:]
	}
	if len(aug) >= 2 && aug[0] == 'e' && aug[1] == 'h' { // GCC 2's pointer
		size := 8
		if !e.f.Is64 {
			size = 4
		}
		if len(b) < size {
			return c, errFormat
		}
		aug, b = aug[2:], b[size:]
	}
	var n1, n2, n3 int
	c.codeAlign, n1 = uleb(b)
	c.dataAlign, n2 = sleb(b[n1:])
	if n1 == 0 || n2 == 0 || n1+n2 >= len(b) {
		return c, errFormat
	}
	if b = b[n1+n2:]; version == 1 {
		c.ra, n3 = uint64(b[0]), 1
	} else if c.ra, n3 = uleb(b); n3 == 0 {
		return c, errFormat
	}
	b = b[n3:]
	if b, err = e.augmentation(&c, aug, b, idAddr+4+uint64(size-len(b))); err != nil {
		return c, err
	}
	c.fdeEnc = e.sized(c.fdeEnc)
	c.instr, c.instrAddr = b, idAddr+4+uint64(size-len(b))
	return c, nil
}

// augmentation reads the data that the letters of aug announce and returns what
// follows it.
func (e *ehFrame) augmentation(c *cie, aug, b []byte, at uint64) ([]byte, error) {
	rest := b
	for i, letter := range aug {
		if i == 0 && letter != 'z' {
			return nil, errFormat // data of unknown length
		}
		switch letter {
		case 'z':
			l, n := uleb(b)
			if n == 0 || l > uint64(len(b)-n) {
				return nil, errFormat
			}
			rest = b[n+int(l):]
			b, at = b[n:n+int(l)], at+uint64(n)
			c.augmented = true
		case 'R':
			if len(b) < 1 {
				return nil, errFormat
			}
			c.fdeEnc, b, at = b[0], b[1:], at+1
		case 'L':
			if len(b) < 1 {
				return nil, errFormat
			}
			b, at = b[1:], at+1
		case 'P':
			if len(b) < 1 {
				return nil, errFormat
			}
			_, n, ok := decodePointer(e.sized(b[0]&^encIndirect), b[1:], at+1, 0)
			if !ok {
				return nil, errFormat
			}
			b, at = b[1+n:], at+1+uint64(n)
		case 'S':
			c.signal = true
		case 'B', 'G': // arm64: which key signs, tagged stack. No data.
		default:
			return rest, nil // the length says where it ends
		}
	}
	return rest, nil
}

// sized returns the encoding with its size said: that of an address depends on the file.
func (e *ehFrame) sized(enc byte) byte {
	if e.f.Is64 || enc == encOmit {
		return enc
	}
	switch enc & encFormat {
	case encAbsptr:
		return enc | encUdata4
	case encSigned:
		return enc | encSdata4
	}
	return enc
}

// decodePointer reads a pointer of the given encoding at the start of b; b is at
// address at, and data is what "relative to the data" means.
func decodePointer(enc byte, b []byte, at, data uint64) (v uint64, n int, ok bool) {
	if enc == encOmit {
		return 0, 0, true
	}
	le := binary.LittleEndian
	switch enc & encFormat {
	case encUleb128:
		v, n = uleb(b)
	case encSleb128:
		var s int64
		s, n = sleb(b)
		v = uint64(s)
	case encUdata2, encSdata2:
		n = 2
	case encUdata4, encSdata4:
		n = 4
	case encAbsptr, encSigned, encUdata8, encSdata8:
		n = 8
	default:
		return 0, 0, false
	}
	if n == 0 || n > len(b) {
		return 0, 0, false
	}
	switch enc & encFormat {
	case encUdata2:
		v = uint64(le.Uint16(b))
	case encSdata2:
		v = uint64(int16(le.Uint16(b)))
	case encUdata4:
		v = uint64(le.Uint32(b))
	case encSdata4:
		v = uint64(int32(le.Uint32(b)))
	case encAbsptr, encSigned, encUdata8, encSdata8:
		v = le.Uint64(b)
	}
	switch enc & encRelation {
	case 0:
	case encPcrel:
		v += at
	case encDatarel:
		v += data
	default:
		return 0, 0, false
	}
	return v, n, enc&encIndirect == 0
}

package pclntab

import (
	"encoding/binary"
	"sort"
)

// Flags of a function (internal/abi/symtab.go, FuncFlag).
const (
	// TopFrame functions begin a stack: goexit, mstart, rt0_go.
	TopFrame = 1 << 0
	// SPWrite functions set the stack pointer to what the table does not say.
	SPWrite = 1 << 1
	// Asm functions are written in assembly.
	Asm = 1 << 2
)

// ftabEntry is the size of an entry of the sorted table: an offset from
// runtime.text and an offset into the function records (runtime/symtab.go,
// functab). One more entry ends it.
const ftabEntry = 8

// A function record (runtime/runtime2.go, _func). Go 1.20 put startLine before
// funcID.
const (
	fnEntryoff  = 0
	fnNameoff   = 4
	fnPcsp      = 16
	fnPcfile    = 20
	fnPcln      = 24
	fnNpcdata   = 28
	fnCuOffset  = 32
	fnStartLine = 36
	fnSize118   = 40
	fnSize120   = 44
)

// Indexes of per-function tables (internal/abi/symtab.go).
const (
	pcdataInlTreeIndex = 2
	funcdataInlTree    = 3
	noFuncdata         = 0xffffffff
)

// An entry of an inline tree (runtime/symtabinl.go, inlinedCall). Go 1.20 dropped
// the parent, file and line.
const (
	inlSize118      = 20
	inlName118      = 12
	inlParentPC118  = 16
	inlSize120      = 16
	inlName120      = 4
	inlParentPC120  = 8
	inlStartLine120 = 12
)

// A Func is a function. All addresses are as linked.
type Func struct {
	Entry     uint64
	End       uint64 // where the next function begins
	StartLine int32  // line of the func keyword; 0 before Go 1.20
	ID        uint8  // abi.FuncID: the numbers differ between releases; 0 is "not special"
	Flags     uint8

	t         *Table
	nameOff   uint32
	pcsp      uint32
	pcfile    uint32
	pcline    uint32
	cuOffset  uint32
	npcdata   uint32
	nfuncdata uint8
	data      uint64 // file offset of the pcdata and funcdata offsets
}

// An InlinedFrame is one source-level function at an address.
type InlinedFrame struct {
	Name      string
	File      string
	Line      int
	StartLine int
}

// Func returns the function whose code holds pc.
func (t *Table) Func(pc uint64) (Func, bool) {
	if pc < t.minpc || pc >= t.maxpc {
		return Func{}, false
	}
	target := uint32(pc - t.text)
	if uint64(target) != pc-t.text {
		return Func{}, false
	}
	// The first entry that begins after pc, which can't be the first of all.
	i := sort.Search(int(t.nfunc), func(i int) bool {
		entry, ok := t.f.Uint32(t.pcln + uint64(i+1)*ftabEntry)
		return !ok || entry > target
	})
	if uint64(i) >= t.nfunc {
		return Func{}, false
	}
	return t.readFunc(uint64(i), target)
}

func (t *Table) readFunc(i uint64, target uint32) (Func, bool) {
	var scratch [ftabEntry + 4]byte
	e := t.f.Bytes(t.pcln+i*ftabEntry, len(scratch), scratch[:])
	if e == nil {
		return Func{}, false
	}
	le := binary.LittleEndian
	entry, rec, end := le.Uint32(e), uint64(le.Uint32(e[4:])), le.Uint32(e[8:])
	size := fnSize120
	if t.old {
		size = fnSize118
	}
	var record [fnSize120]byte
	r := t.f.Bytes(t.pcln+rec, size, record[:])
	if r == nil || t.pcln+rec-t.off > t.size || le.Uint32(r[fnEntryoff:]) != entry || target < entry || target >= end {
		return Func{}, false
	}
	fn := Func{
		Entry: t.text + uint64(entry), End: t.text + uint64(end),
		ID: r[size-4], Flags: r[size-3], nfuncdata: r[size-1],
		t: t, data: t.pcln + rec + uint64(size),
		nameOff: le.Uint32(r[fnNameoff:]), pcsp: le.Uint32(r[fnPcsp:]),
		pcfile: le.Uint32(r[fnPcfile:]), pcline: le.Uint32(r[fnPcln:]),
		npcdata: le.Uint32(r[fnNpcdata:]), cuOffset: le.Uint32(r[fnCuOffset:]),
	}
	if !t.old {
		fn.StartLine = int32(le.Uint32(r[fnStartLine:]))
	}
	return fn, true
}

// Name returns the function's name as the linker wrote it.
func (f *Func) Name() string { return f.t.name(f.nameOff) }

func (t *Table) name(off uint32) string {
	s, _ := t.f.String(t.funcname+uint64(off), maxNameLen)
	return s
}

// SPDelta returns how far the stack pointer is, at pc, below where it was when
// the function was entered.
func (f *Func) SPDelta(pc uint64) (int32, bool) {
	return f.value(f.pcsp, pc, maxSPSteps)
}

// FileLine returns the source position of the instruction at pc. In inlined code
// that is a position in the inlined function.
func (f *Func) FileLine(pc uint64) (file string, line int, ok bool) {
	n, ok1 := f.value(f.pcfile, pc, maxPCSteps)
	l, ok2 := f.value(f.pcline, pc, maxPCSteps)
	if !ok1 || !ok2 || n < 0 || l < 0 {
		return "", 0, false
	}
	fileOff, ok := f.t.f.Uint32(f.t.cutab + 4*(uint64(f.cuOffset)+uint64(n)))
	if !ok || fileOff == 0xffffffff {
		return "", 0, false
	}
	file, ok = f.t.f.String(f.t.filetab+uint64(fileOff), maxFileLen)
	return file, int(l), ok
}

// Inlined appends to frames the source-level functions at the instruction at
// pc, innermost first; the last is f itself.
func (f *Func) Inlined(pc uint64, frames []InlinedFrame) []InlinedFrame {
	tree, hasTree := f.inlineTree()
	for range maxInlined {
		file, line, _ := f.FileLine(pc)
		index := int32(-1)
		if hasTree {
			index = f.pcdata(pcdataInlTreeIndex, pc)
		}
		if index < 0 {
			return append(frames, InlinedFrame{f.Name(), file, line, int(f.StartLine)})
		}
		name, startLine, parent, ok := f.t.inlinedCall(tree, uint64(index))
		if !ok {
			return append(frames, InlinedFrame{f.Name(), file, line, int(f.StartLine)})
		}
		frames = append(frames, InlinedFrame{f.t.name(name), file, line, int(startLine)})
		pc = f.Entry + uint64(parent)
	}
	return frames
}

// inlineTree returns the file offset of the function's inline tree.
func (f *Func) inlineTree() (off uint64, ok bool) {
	if f.t.gofunc == 0 || f.nfuncdata <= funcdataInlTree {
		return 0, false
	}
	rel, ok := f.t.f.Uint32(f.data + 4*uint64(f.npcdata) + 4*funcdataInlTree)
	if !ok || rel == noFuncdata {
		return 0, false
	}
	off, _, ok = f.t.f.Offset(f.t.gofunc + uint64(rel))
	return off, ok
}

func (t *Table) inlinedCall(tree, index uint64) (name uint32, startLine int32, parent uint32, ok bool) {
	var scratch [inlSize118]byte
	le := binary.LittleEndian
	if t.old {
		b := t.f.Bytes(tree+index*inlSize118, inlSize118, scratch[:])
		if b == nil {
			return 0, 0, 0, false
		}
		return le.Uint32(b[inlName118:]), 0, le.Uint32(b[inlParentPC118:]), true
	}
	b := t.f.Bytes(tree+index*inlSize120, inlSize120, scratch[:])
	if b == nil {
		return 0, 0, 0, false
	}
	return le.Uint32(b[inlName120:]), int32(le.Uint32(b[inlStartLine120:])), le.Uint32(b[inlParentPC120:]), true
}

// pcdata returns the value at pc of one of the function's numbered tables, or −1.
func (f *Func) pcdata(table uint32, pc uint64) int32 {
	if table >= f.npcdata {
		return -1
	}
	off, ok := f.t.f.Uint32(f.data + 4*uint64(table))
	if !ok {
		return -1
	}
	v, ok := f.value(off, pc, maxPCSteps)
	if !ok {
		return -1
	}
	return v
}

// value decodes a pc-value table (runtime/symtab.go, pcvalue and step): pairs of
// a zigzag value delta and a pc delta, from the function's entry on; the value
// before the first pair is −1, and a zero value delta ends the table, but not at
// the first pair.
func (f *Func) value(table uint32, pc uint64, maxSteps int) (int32, bool) {
	if table == 0 || pc < f.Entry {
		return -1, false
	}
	c := cursor{t: f.t, off: f.t.pctab + uint64(table)}
	val := int32(-1)
	at := f.Entry
	for step := range maxSteps {
		uv, ok := c.uvarint()
		if !ok || uv == 0 && step > 0 {
			return -1, false
		}
		delta, ok := c.uvarint()
		if !ok {
			return -1, false
		}
		val += int32(-(uv & 1) ^ (uv >> 1))
		at += uint64(delta) * uint64(f.t.quantum)
		if pc < at {
			return val, true
		}
	}
	return -1, false
}

// A cursor reads bytes across the blocks of a file.
type cursor struct {
	t   *Table
	off uint64
	buf []byte
}

func (c *cursor) uvarint() (uint32, bool) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if len(c.buf) == 0 {
			c.buf = c.t.f.Rest(c.off)
			if c.buf == nil {
				return 0, false
			}
			c.off += uint64(len(c.buf))
		}
		b := c.buf[0]
		c.buf = c.buf[1:]
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v, true
		}
	}
	return 0, false
}

// Package pclntab reads the function table that every Go program carries, in
// the formats of Go 1.18 to 1.26.
//
// The table (section .gopclntab, runtime/symtab.go) survives strip and
// -ldflags=-s: the runtime needs it. For an address it gives the function, the
// size of its frame at that address, file and line, and the functions inlined
// there. Everything is read where it lies, on demand: opening a table costs a
// few reads, whatever its size, and every method allocates only what it returns.
//
// It does not read the tables of Go 1.17 and before (their magic is refused),
// of 32-bit programs, or of programs with more than one text section (ppc64, and
// arm64 above 128 MB).
//
// A table may be hostile: each offset is checked, each loop is capped, and
// what makes no sense reads as "unknown".
package pclntab

import (
	"encoding/binary"
	"errors"

	"sysprof/profile/stack/elf"
)

// Magic numbers of the header (internal/abi/symtab.go).
const (
	magic118 = 0xfffffff0 // Go 1.18 and 1.19
	magic120 = 0xfffffff1 // Go 1.20 and later
)

// The header (runtime/symtab.go, pcHeader): magic, two zeros, the instruction
// quantum and the pointer size, then words.
const (
	headerSize      = 8 + 8*wordSize
	wordSize        = 8
	headerNfunc     = 8 + 0*wordSize
	headerTextStart = 8 + 2*wordSize // 0 since Go 1.26, and in the files of PIEs
	headerFuncname  = 8 + 3*wordSize
	headerCutab     = 8 + 4*wordSize
	headerFiletab   = 8 + 5*wordSize
	headerPctab     = 8 + 6*wordSize
	headerPcln      = 8 + 7*wordSize
)

// Caps on what one query may cost. The longest line tables belong to generated
// initializers of some 100,000 lines; stack sizes change a few times a function.
const (
	maxFuncs   = 1 << 26
	maxNameLen = 1 << 12
	maxFileLen = 1 << 12
	maxPCSteps = 1 << 20
	maxSPSteps = 1 << 16
	maxInlined = 256
)

// ErrNoTable says that a file has no Go function table.
var ErrNoTable = errors.New("no Go function table")

// A Table is the function table of one Go program or shared library. It may be
// used by any number of goroutines.
type Table struct {
	f        *elf.File
	off      uint64 // of the header, in the file
	addr     uint64 // of the header, as linked
	size     uint64 // what may belong to the table
	old      bool   // Go 1.18 or 1.19
	quantum  uint32 // pc deltas are in units of this
	nfunc    uint64
	funcname uint64 // these five: offsets in the file
	cutab    uint64
	filetab  uint64
	pctab    uint64
	pcln     uint64
	text     uint64 // runtime.text, as linked
	gofunc   uint64 // go:func.*, as linked; 0: not found, so nothing inlined
	minpc    uint64
	maxpc    uint64
}

// Open finds the table of f. Where no section names it the file is searched, as far as the allowance goes.
func Open(f *elf.File, a *Allowance) (*Table, error) {
	if !f.Is64 {
		return nil, ErrNoTable
	}
	s, ok := f.Section(".gopclntab", ".data.rel.ro.gopclntab")
	if ok {
		if t := parse(f, s.Off, s.Addr, s.Size, a); t != nil {
			return t, nil
		}
	}
	if f.HasSections() && !ok && !markedGo(f) {
		return nil, ErrNoTable
	}
	if t := scan(f, a); t != nil {
		return t, nil
	}
	return nil, ErrNoTable
}

// parse reads the header at off. It returns nil if that is no header, or if the
// code that the table is about cannot be found.
func parse(f *elf.File, off, addr, size uint64, a *Allowance) *Table {
	var scratch [headerSize]byte
	h := f.Bytes(off, headerSize, scratch[:])
	if h == nil || size < headerSize || !headerLike(h) {
		return nil
	}
	le := binary.LittleEndian
	t := &Table{
		f: f, off: off, addr: addr, size: size,
		old:     le.Uint32(h) == magic118,
		quantum: uint32(h[6]),
		nfunc:   le.Uint64(h[headerNfunc:]),
	}
	for _, part := range []struct {
		at  int
		dst *uint64
	}{
		{headerFuncname, &t.funcname}, {headerCutab, &t.cutab}, {headerFiletab, &t.filetab},
		{headerPctab, &t.pctab}, {headerPcln, &t.pcln},
	} {
		rel := le.Uint64(h[part.at:])
		if rel >= size {
			return nil
		}
		*part.dst = off + rel
	}
	if t.nfunc == 0 || t.nfunc > maxFuncs || t.pcln-off+t.nfunc*ftabEntry > size {
		return nil
	}
	first, ok1 := f.Uint32(t.pcln)
	last, ok2 := f.Uint32(t.pcln + t.nfunc*ftabEntry)
	if !ok1 || !ok2 || last < first {
		return nil
	}
	if !t.findText(le.Uint64(h[headerTextStart:]), uint64(first), uint64(last), a) {
		return nil
	}
	return t
}

// headerLike checks the bytes of a header that are the same in all programs.
func headerLike(h []byte) bool {
	m := binary.LittleEndian.Uint32(h)
	return (m == magic118 || m == magic120) && h[4] == 0 && h[5] == 0 &&
		(h[6] == 1 || h[6] == 4) && h[7] == wordSize
}

// Range returns the addresses, as linked, between which the table's functions
// lie. C code that is linked into the program lies outside, or in gaps.
func (t *Table) Range() (lo, hi uint64) { return t.minpc, t.maxpc }

// findText sets the address that the table's offsets count from: from the
// runtime's module data, else from the header as Go up to 1.25 wrote it, else
// the start of section .text, which is the same in programs without cgo.
func (t *Table) findText(header, first, last uint64, a *Allowance) bool {
	text, gofunc, ok := t.moduledata(a)
	if ok {
		t.gofunc = gofunc
	} else if header != 0 {
		text = header
	} else if s, found := t.f.Section(".text"); found {
		text = s.Addr
	} else {
		return false
	}
	t.text, t.minpc, t.maxpc = text, text+first, text+last
	return t.minpc <= t.maxpc && t.minpc >= text && t.f.Executable(t.minpc)
}

// noteTypeGo is the type of the note that holds Go's build id
// (cmd/link/internal/ld/elf.go, ELF_NOTE_GOBUILDID_TAG).
const noteTypeGo = 4

// markedGo reports whether the file says of itself that Go built it.
func markedGo(f *elf.File) bool {
	if _, ok := f.Section(".go.buildinfo", ".note.go.buildid", ".go.module"); ok {
		return true
	}
	marked := false
	f.Notes(func(name []byte, typ uint32, _ []byte) bool {
		marked = typ == noteTypeGo && string(name) == "Go\x00\x00"
		return !marked
	})
	return marked
}

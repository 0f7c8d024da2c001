package elf

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// maxSectionName cuts the names of sections. No section that is asked for has a longer one.
	maxSectionName = 64
	// maxSectionNames bounds the table of section names.
	maxSectionNames = 1 << 20
)

// errTooMany is the error for a section table that no linker makes.
var errTooMany = errors.New("too many sections")

// A Section is a section header. Its contents are cut at the end of the file.
type Section struct {
	Name       string
	Type       SectionType
	Flags      SectionFlag
	Addr       uint64
	Off, Size  uint64
	Link, Info uint32
	Entsize    uint64
}

// HasSections reports whether the file has a section table, which loading does
// not need: a stripped file may come without.
func (f *File) HasSections() bool { return f.shnum > 0 && f.shstrndx != 0 }

// Section returns the first section of one of the given names, in the order of
// the names. It reads no more than the names of the others.
func (f *File) Section(names ...string) (Section, bool) {
	table, ok := f.sectionNames()
	if !ok {
		return Section{}, false
	}
	best := len(names)
	var found Section
	for i := range min(f.shnum, maxSections) {
		var scratch [4]byte
		b := f.Bytes(f.shoff+i*f.shentsize, 4, scratch[:])
		if b == nil {
			break
		}
		nameOff := uint64(binary.LittleEndian.Uint32(b))
		for j := range best {
			if !f.nameIs(&table, nameOff, names[j]) {
				continue
			}
			if s, ok := f.sectionAt(i); ok {
				best, found = j, s
				found.Name = names[j]
			}
			break
		}
	}
	return found, best < len(names)
}

// Sections returns the section table, up to the first entry that the file does not have.
func (f *File) Sections() ([]Section, error) {
	if f.shnum > maxSections {
		return nil, fmt.Errorf("%w: %d", errTooMany, f.shnum)
	}
	table, named := f.sectionNames()
	// The table cannot be longer than the file.
	list := make([]Section, 0, min(f.shnum, f.size/shdrSize32))
	for i := range f.shnum {
		s, ok := f.sectionAt(i)
		if !ok {
			break
		}
		if nameOff, ok := f.Uint32(f.shoff + i*f.shentsize); ok && named && uint64(nameOff) < table.Size {
			s.Name, _ = f.String(table.Off+uint64(nameOff), maxSectionName)
		}
		list = append(list, s)
	}
	return list, nil
}

// sectionNames returns the section that holds the names of all.
func (f *File) sectionNames() (Section, bool) {
	table, ok := f.sectionAt(f.shstrndx)
	if !ok || table.Type == elf.SHT_NOBITS {
		return Section{}, false
	}
	table.Size = min(table.Size, maxSectionNames)
	return table, true
}

// nameIs reports whether the zero-terminated string at off in a table of names is s.
func (f *File) nameIs(table *Section, off uint64, s string) bool {
	var scratch [maxSectionName]byte
	if len(s) >= maxSectionName || off >= table.Size {
		return false
	}
	b := f.Bytes(table.Off+off, len(s)+1, scratch[:])
	return b != nil && b[len(s)] == 0 && string(b[:len(s)]) == s
}

func (f *File) shdrSize() int {
	if f.Is64 {
		return shdrSize64
	}
	return shdrSize32
}

// sectionAt reads section header i, without the name. What sticks out of the file is cut off.
func (f *File) sectionAt(i uint64) (Section, bool) {
	// An index has at most 32 bits and a size 16, so only the sum can overflow.
	at := f.shoff + i*f.shentsize
	if i >= f.shnum || at < f.shoff {
		return Section{}, false
	}
	s, ok := f.readSection(at)
	if s.Type != elf.SHT_NOBITS {
		s.Off = min(s.Off, f.size)
		s.Size = min(s.Size, f.size-s.Off)
	}
	return s, ok
}

// readSection reads the section header at off as it stands there.
func (f *File) readSection(off uint64) (Section, bool) {
	var scratch [shdrSize64]byte
	b := f.Bytes(off, f.shdrSize(), scratch[:])
	if b == nil {
		return Section{}, false
	}
	return f.decodeSection(b), true
}

func (f *File) decodeSection(b []byte) Section {
	le := binary.LittleEndian
	if f.Is64 {
		return Section{
			Type:    SectionType(le.Uint32(b[4:])),
			Flags:   SectionFlag(le.Uint64(b[8:])),
			Addr:    le.Uint64(b[16:]),
			Off:     le.Uint64(b[24:]),
			Size:    le.Uint64(b[32:]),
			Link:    le.Uint32(b[40:]),
			Info:    le.Uint32(b[44:]),
			Entsize: le.Uint64(b[56:]),
		}
	}
	return Section{
		Type:    SectionType(le.Uint32(b[4:])),
		Flags:   SectionFlag(le.Uint32(b[8:])),
		Addr:    uint64(le.Uint32(b[12:])),
		Off:     uint64(le.Uint32(b[16:])),
		Size:    uint64(le.Uint32(b[20:])),
		Link:    le.Uint32(b[24:]),
		Info:    le.Uint32(b[28:]),
		Entsize: uint64(le.Uint32(b[36:])),
	}
}

package elf

import (
	"debug/elf"
	"encoding/binary"
)

// A Segment is a program header.
type Segment struct {
	Type   ProgType
	Flags  ProgFlag
	Off    uint64
	Vaddr  uint64
	Filesz uint64
	Memsz  uint64
}

// contains reports whether the segment's memory covers vaddr.
func (s *Segment) contains(vaddr uint64) bool { return vaddr >= s.Vaddr && vaddr-s.Vaddr < s.Memsz }

// loadable reports whether a program loader would accept a PT_LOAD segment.
func (s *Segment) loadable() bool { return s.Vaddr+s.Memsz >= s.Vaddr && s.Filesz <= s.Memsz }

func (f *File) phdrSize() int {
	if f.Is64 {
		return phdrSize64
	}
	return phdrSize32
}

// readSegments reads n program headers of entsize bytes each. PT_LOAD segments that no loader accepts are left
// out.
func (f *File) readSegments(off, entsize, n uint64) {
	for i := range min(n, maxSegments) {
		at := off + i*entsize
		if at < off {
			return
		}
		var scratch [phdrSize64]byte
		p := f.Bytes(at, f.phdrSize(), scratch[:])
		if p == nil {
			return
		}
		if s := f.decodeSegment(p); s.Type != elf.PT_LOAD || s.loadable() {
			f.Segments = append(f.Segments, s)
		}
	}
}

func (f *File) decodeSegment(p []byte) Segment {
	le := binary.LittleEndian
	if f.Is64 {
		return Segment{
			Type:   ProgType(le.Uint32(p)),
			Flags:  ProgFlag(le.Uint32(p[4:])),
			Off:    le.Uint64(p[8:]),
			Vaddr:  le.Uint64(p[16:]),
			Filesz: le.Uint64(p[32:]),
			Memsz:  le.Uint64(p[40:]),
		}
	}
	return Segment{
		Type:   ProgType(le.Uint32(p)),
		Flags:  ProgFlag(le.Uint32(p[24:])),
		Off:    uint64(le.Uint32(p[4:])),
		Vaddr:  uint64(le.Uint32(p[8:])),
		Filesz: uint64(le.Uint32(p[16:])),
		Memsz:  uint64(le.Uint32(p[20:])),
	}
}

// Segment returns the first program header of the given type.
func (f *File) Segment(t ProgType) (Segment, bool) {
	for _, s := range f.Segments {
		if s.Type == t {
			return s, true
		}
	}
	return Segment{}, false
}

// Offset returns where in the file the byte at address vaddr is, and how many
// bytes of its segment follow in the file from there.
func (f *File) Offset(vaddr uint64) (off, left uint64, ok bool) {
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Type == elf.PT_LOAD && vaddr-s.Vaddr < s.Filesz && vaddr >= s.Vaddr {
			d := vaddr - s.Vaddr
			if s.Off+d < s.Off {
				return 0, 0, false
			}
			return s.Off + d, s.Filesz - d, true
		}
	}
	return 0, 0, false
}

// Vaddr returns the address, as linked, of the byte at off in the file. An executable segment is preferred
// where two have it.
func (f *File) Vaddr(off uint64) (vaddr uint64, ok bool) {
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Type != elf.PT_LOAD || off < s.Off || off-s.Off >= s.Filesz {
			continue
		}
		if s.Flags&elf.PF_X != 0 {
			return off - s.Off + s.Vaddr, true
		}
		if !ok {
			vaddr, ok = off-s.Off+s.Vaddr, true
		}
	}
	return vaddr, ok
}

// Executable reports whether vaddr lies in a loaded executable segment.
func (f *File) Executable(vaddr uint64) bool {
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 && s.contains(vaddr) {
			return true
		}
	}
	return false
}

// PageMask rounds to the unit in which files are mapped. Both architectures map
// in multiples of 4 KB, whatever their page size.
const PageMask = 4096 - 1

// Bias returns what to subtract from an address inside a mapping of this file to
// get the address as linked; start and off are the mapping's first address
// and its offset in the file. It comes from the program headers, because
// the segments of a file need not have the same distance in memory as in
// the file. An executable segment is preferred where two share the page.
func (f *File) Bias(start, off uint64) (bias uint64, ok bool) {
	for i := range f.Segments {
		s := &f.Segments[i]
		first := s.Off &^ PageMask
		if s.Type != elf.PT_LOAD || off < first || off >= s.Off+s.Filesz {
			continue
		}
		if s.Flags&elf.PF_X != 0 || !ok {
			bias, ok = start-off+s.Off-s.Vaddr, true
		}
		if s.Flags&elf.PF_X != 0 {
			break
		}
	}
	return bias, ok
}

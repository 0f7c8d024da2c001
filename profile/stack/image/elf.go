package image

import (
	"debug/elf"
	"encoding/binary"
)

// Sizes and limits of the ELF-64 structures (System V gABI, chapters 4 and 5).
const (
	ehdrSize    = 64
	phdrSize    = 56
	shdrSize    = 64
	maxSegments = 256
	maxSections = 1 << 16
	maxNameLen  = 256
)

// A Segment is a program header.
type Segment struct {
	Type   elf.ProgType
	Flags  elf.ProgFlag
	Off    uint64
	Vaddr  uint64
	Filesz uint64
	Memsz  uint64
}

// A Section is a section header without its links.
type Section struct {
	Type elf.SectionType
	Addr uint64
	Off  uint64
	Size uint64
}

func (f *File) parseHeader() error {
	var scratch [ehdrSize]byte
	h := f.Bytes(0, ehdrSize, scratch[:])
	if h == nil || string(h[:4]) != elf.ELFMAG ||
		h[elf.EI_CLASS] != byte(elf.ELFCLASS64) || h[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return ErrFormat
	}
	le := binary.LittleEndian
	f.Machine = le.Uint16(h[18:])
	phoff := le.Uint64(h[32:])
	f.shoff = le.Uint64(h[40:])
	phentsize, phnum := le.Uint16(h[54:]), int(le.Uint16(h[56:]))
	if le.Uint16(h[58:]) == shdrSize {
		f.shnum = int(le.Uint16(h[60:]))
		f.shstrx = int(le.Uint16(h[62:]))
	}
	if phnum > 0 && phentsize != phdrSize {
		return ErrFormat
	}
	for i := range min(phnum, maxSegments) {
		p := f.Bytes(phoff+uint64(i)*phdrSize, phdrSize, scratch[:])
		if p == nil {
			break
		}
		f.Segments = append(f.Segments, Segment{
			Type:   elf.ProgType(le.Uint32(p)),
			Flags:  elf.ProgFlag(le.Uint32(p[4:])),
			Off:    le.Uint64(p[8:]),
			Vaddr:  le.Uint64(p[16:]),
			Filesz: le.Uint64(p[32:]),
			Memsz:  le.Uint64(p[40:]),
		})
	}
	return nil
}

// HasSections reports whether the file has a section table, which loading does
// not need: a stripped file may come without.
func (f *File) HasSections() bool { return f.shnum > 0 && f.shstrx != 0 }

// Section returns the first section of one of the given names, in the order of
// the names.
func (f *File) Section(names ...string) (Section, bool) {
	strtab, ok := f.section(f.shstrx)
	if !ok {
		return Section{}, false
	}
	best := len(names)
	var found Section
	for i := range min(f.shnum, maxSections) {
		var scratch [4]byte
		b := f.Bytes(f.shoff+uint64(i)*shdrSize, 4, scratch[:])
		if b == nil {
			break
		}
		nameOff := uint64(binary.LittleEndian.Uint32(b))
		for j := range best {
			if !f.equal(strtab.Off+nameOff, names[j]) {
				continue
			}
			if s, ok := f.section(i); ok {
				best, found = j, s
			}
			break
		}
	}
	return found, best < len(names)
}

// equal reports whether the NUL-terminated string at off is s.
func (f *File) equal(off uint64, s string) bool {
	var scratch [maxNameLen]byte
	if len(s) >= maxNameLen {
		return false
	}
	b := f.Bytes(off, len(s)+1, scratch[:])
	return b != nil && b[len(s)] == 0 && string(b[:len(s)]) == s
}

func (f *File) section(i int) (Section, bool) {
	if i < 0 || i >= f.shnum {
		return Section{}, false
	}
	var scratch [shdrSize]byte
	b := f.Bytes(f.shoff+uint64(i)*shdrSize, shdrSize, scratch[:])
	if b == nil {
		return Section{}, false
	}
	le := binary.LittleEndian
	return Section{
		Type: elf.SectionType(le.Uint32(b[4:])),
		Addr: le.Uint64(b[16:]),
		Off:  le.Uint64(b[24:]),
		Size: le.Uint64(b[32:]),
	}, true
}

// Segment returns the first program header of the given type.
func (f *File) Segment(t elf.ProgType) (Segment, bool) {
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

// Executable reports whether vaddr lies in a loaded executable segment.
func (f *File) Executable(vaddr uint64) bool {
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 && vaddr >= s.Vaddr && vaddr-s.Vaddr < s.Memsz {
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

// Relocations that loading a file applies (DT_RELA; System V gABI, chapter 5).
const (
	relaSize   = 24
	dynSize    = 16
	maxDynamic = 1 << 12
	// maxRela bounds what is read of them; Chrome has 10 MB.
	maxRela = 64 << 20
)

// Rela calls visit with the place and the value of each load-relative
// relocation of the file until visit returns false. The value is an address as
// linked, which the file's own bytes at that place do not have to hold.
func (f *File) Rela(visit func(place, value uint64) bool) {
	dyn, ok := f.Segment(elf.PT_DYNAMIC)
	if !ok {
		return
	}
	var addr, size uint64
	for i := range uint64(maxDynamic) {
		tag, ok1 := f.Uint64(dyn.Off + i*dynSize)
		val, ok2 := f.Uint64(dyn.Off + i*dynSize + 8)
		if !ok1 || !ok2 || elf.DynTag(tag) == elf.DT_NULL {
			break
		}
		switch elf.DynTag(tag) {
		case elf.DT_RELA:
			addr = val
		case elf.DT_RELASZ:
			size = val
		}
	}
	off, left, ok := f.Offset(addr)
	if !ok {
		return
	}
	relative := uint32(elf.R_X86_64_RELATIVE)
	if f.Machine == uint16(elf.EM_AARCH64) {
		relative = uint32(elf.R_AARCH64_RELATIVE)
	}
	end := off + min(size, left, maxRela)
	buf := make([]byte, 4096*relaSize)
	for off+relaSize <= end {
		b := f.Uncached(off, buf[:min(end-off, uint64(len(buf)))])
		if len(b) == 0 {
			return
		}
		off += uint64(len(b))
		for ; len(b) >= relaSize; b = b[relaSize:] {
			le := binary.LittleEndian
			if le.Uint32(b[8:]) == relative && !visit(le.Uint64(b), le.Uint64(b[16:])) {
				return
			}
		}
		if len(b) > 0 {
			return
		}
	}
}

package elf

import (
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
)

// Bounds on the notes that are read of one file.
const (
	maxNotePlaces = 64 // sections, and as many segments
	maxNoteBytes  = 64 << 10
)

// noteBuildID (NT_GNU_BUILD_ID) is the type of the note of name GNU that holds the build-id.
const noteBuildID = 3

// BuildID returns the build-id in lower-case hex, or "" if the file has none.
func (f *File) BuildID() string {
	id := ""
	f.Notes(func(name []byte, typ uint32, desc []byte) bool {
		if typ == noteBuildID && string(name) == "GNU\x00" && len(desc) > 1 && len(desc) <= 64 {
			id = hex.EncodeToString(desc)
		}
		return id == ""
	})
	return id
}

// Notes calls visit with the name, which ends in a zero, the type and the contents of each note, until visit
// returns false. Sections come first: the note segments of a separate debug file point nowhere.
func (f *File) Notes(visit func(name []byte, typ uint32, desc []byte) bool) {
	found := 0
	for i := uint64(0); i < min(f.shnum, maxSections) && found < maxNotePlaces; i++ {
		s, ok := f.sectionAt(i)
		if !ok {
			break
		}
		if s.Type == elf.SHT_NOTE {
			found++
			if !f.notesAt(s.Off, s.Size, visit) {
				return
			}
		}
	}
	found = 0
	for i := range f.Segments {
		if s := &f.Segments[i]; s.Type == elf.PT_NOTE && found < maxNotePlaces {
			found++
			if !f.notesAt(s.Off, s.Filesz, visit) {
				return
			}
		}
	}
}

// notesAt visits the notes in size bytes at off, as long as they are whole. It reports whether visit wants more.
func (f *File) notesAt(off, size uint64, visit func(name []byte, typ uint32, desc []byte) bool) bool {
	if off >= f.size {
		return true
	}
	n := int(min(size, maxNoteBytes, f.size-off))
	var scratch []byte
	if off%blockSize+uint64(n) > blockSize {
		scratch = make([]byte, n)
	}
	b := f.Bytes(off, n, scratch)
	for len(b) >= 12 {
		le := binary.LittleEndian
		nameSize, descSize, typ := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), le.Uint32(b[8:])
		b = b[12:]
		descOff := (nameSize + 3) &^ 3
		if descOff+descSize > uint64(len(b)) {
			return true
		}
		if !visit(b[:nameSize], typ, b[descOff:descOff+descSize]) {
			return false
		}
		b = b[min((descOff+descSize+3)&^3, uint64(len(b))):]
	}
	return true
}

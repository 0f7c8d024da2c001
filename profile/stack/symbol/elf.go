package symbol

import (
	"bytes"
	"io"
	"strings"

	"sysprof/profile/stack/elf"
)

// File is an opened object file.
type File interface {
	io.ReaderAt
	io.Closer
	// Size is the length in bytes. Nothing beyond it is read.
	Size() int64
}

// memFile is a File of bytes in memory.
type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }

// Bytes makes a File of bytes in memory, such as the image of the vdso.
func Bytes(b []byte) File { return memFile{bytes.NewReader(b)} }

// An elfFile is an ELF file that names are read from, with what reading it may still cost.
type elfFile struct {
	*elf.File
	b        *budget
	sections []elf.Section
	buildID  string
	path     string    // that it was opened by; "" if it is not known
	ours     bool      // a file of this machine, which the traced program did not choose
	code     *elf.File // says what is code: the file itself, or that which a debug file belongs to
	views    map[string]*view
}

// openELF reads the headers and the build-id of a file.
func openELF(f File, b *budget) (*elfFile, error) {
	file, err := elf.Open(f, f.Size(), nil)
	if err != nil {
		return nil, err
	}
	sections, err := file.Sections()
	if err != nil {
		return nil, err
	}
	if !b.spend(64 * len(sections)) {
		return nil, errBudget
	}
	return &elfFile{File: file, b: b, sections: sections, buildID: file.BuildID(), code: file, views: map[string]*view{}}, nil
}

// text reports whether code can stand at the address.
func (e *elfFile) text(addr uint64) bool { return e.code.Executable(addr) }

// section returns the section of that name which has contents, or nil.
func (e *elfFile) section(name string) *elf.Section {
	for i := range e.sections {
		if s := &e.sections[i]; s.Name == name && s.Type != elf.SHT_NOBITS && s.Size > 0 {
			return s
		}
	}
	return nil
}

// sectionAt returns the loaded section that covers the address, or nil.
func (e *elfFile) sectionAt(addr uint64) *elf.Section {
	for i := range e.sections {
		s := &e.sections[i]
		if s.Flags&elf.SHF_ALLOC != 0 && addr >= s.Addr && addr-s.Addr < s.Size {
			return s
		}
	}
	return nil
}

// raw is a view of a section as it stands in the file.
func (e *elfFile) raw(s *elf.Section) *view {
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil
	}
	return &view{f: e.File, base: s.Off, size: s.Size, b: e.b}
}

// data returns the contents of the debug section of that name, decompressed if need be, or nil. A section
// of the old kind, .zdebug_info for .debug_info, is found too.
func (e *elfFile) data(name string) *view {
	if v, ok := e.views[name]; ok {
		return v
	}
	s := e.section(name)
	if s == nil && strings.HasPrefix(name, ".debug_") {
		s = e.section(".z" + name[1:])
	}
	v := e.raw(s)
	if s != nil && s.IsCompressed() {
		v = e.decompress(s)
	}
	e.views[name] = v
	return v
}

// decompress returns the contents of a compressed section in memory, or nil if they are broken or larger than what
// is left of the budget.
func (e *elfFile) decompress(s *elf.Section) *view {
	c, err := e.Compressed(s)
	if err != nil || c.Size > uint64(e.b.mem) || !e.b.spend(int(c.Packed)) || !e.b.hold(int64(c.Size)) {
		return nil
	}
	out, err := c.Data(e.b.goOn)
	if err != nil || !e.b.spend(len(out)) {
		e.b.release(int64(c.Size))
		return nil
	}
	return &view{mem: out, size: uint64(len(out)), b: e.b}
}

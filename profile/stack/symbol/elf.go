package symbol

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
)

// File is an opened object file.
type File interface {
	io.ReaderAt
	io.Closer
	// Size is the length in bytes. Nothing beyond it is read.
	Size() int64
}

// errNotELF is the error for a file that is no little-endian ELF file.
var errNotELF = errors.New("not a little-endian ELF file")

// Numbers of the ELF specification that are used here.
const (
	elfMachineARM     = 40
	elfMachine386     = 3
	elfMachineAMD64   = 62
	elfMachineAArch64 = 183
	elfMachineRISCV   = 243

	progLoad = 1
	progNote = 4
	progExec = 1 // flag

	sectSymtab  = 2
	sectRela    = 4
	sectNote    = 7
	sectNobits  = 8
	sectRel     = 9
	sectDynsym  = 11
	sectExec    = 4       // flag SHF_EXECINSTR
	sectCompr   = 1 << 11 // flag SHF_COMPRESSED
	sectAlloc   = 2       // flag SHF_ALLOC
	noteBuildID = 3
)

// Bounds on what one file may claim.
const (
	maxSections = 1 << 14
	maxSegments = 128
	maxNames    = 1 << 20 // bytes of section names
	maxNote     = 64 << 10
)

// Segment is one PT_LOAD entry: how a part of the file comes to stand at link-time addresses.
type Segment struct {
	Offset, Vaddr uint64
	Filesz, Memsz uint64
	Executable    bool
}

// contains reports whether the segment's memory covers the address.
func (s *Segment) contains(addr uint64) bool { return addr-s.Vaddr < s.Memsz && addr >= s.Vaddr }

type section struct {
	name       string
	typ        uint32
	flags      uint64
	addr       uint64
	off, size  uint64
	link, info uint32
	entsize    uint64
}

// elfFile is the skeleton of an ELF file: everything but section contents.
type elfFile struct {
	f        File
	b        *budget
	is64     bool
	machine  uint16
	sections []section
	loads    []Segment
	notes    [][2]uint64 // offset and size of PT_NOTE segments
	buildID  string
	views    map[string]*view
}

// Info is what the headers of an object file say.
type Info struct {
	BuildID  string // lower-case hex, empty if it has none
	Segments []Segment
}

// Inspect reads the headers of an object file. It reads a few pages, whatever the file claims.
func Inspect(f File) (Info, error) {
	e, err := parseELF(f, &budget{work: 64 << 20, mem: 16 << 20})
	if err != nil {
		return Info{}, err
	}
	return Info{BuildID: e.buildID, Segments: e.loads}, nil
}

// Vaddr translates a file offset to the link-time address that it is loaded at. Executable segments win
// where two segments share a page of the file.
func (i *Info) Vaddr(off uint64) (uint64, bool) { return vaddrOf(i.Segments, off) }

func vaddrOf(segs []Segment, off uint64) (uint64, bool) {
	var addr uint64
	var ok bool
	for _, s := range segs {
		if off < s.Offset || off-s.Offset >= s.Filesz {
			continue
		}
		if s.Executable {
			return off - s.Offset + s.Vaddr, true
		}
		if !ok {
			addr, ok = off-s.Offset+s.Vaddr, true
		}
	}
	return addr, ok
}

// parseELF reads the headers and the build-id note of f.
func parseELF(f File, b *budget) (*elfFile, error) {
	size := f.Size()
	if size < 52 {
		return nil, errNotELF
	}
	whole := &view{r: f, size: uint64(size), b: b}
	h := append([]byte(nil), whole.at(0, 64)...)
	if len(h) < 52 || string(h[:4]) != "\x7fELF" || h[5] != 1 || (h[4] != 1 && h[4] != 2) {
		return nil, errNotELF
	}
	e := &elfFile{f: f, b: b, is64: h[4] == 2, views: map[string]*view{}}
	c := &buf{b: h, pos: 16}
	c.u16()
	e.machine = c.u16()
	c.u32()
	w := e.word()
	c.word(w)
	phoff, shoff := c.word(w), c.word(w)
	c.u32()
	c.u16()
	phsize, phnum, shsize, shnum, shstr := uint64(c.u16()), uint64(c.u16()), uint64(c.u16()), uint64(c.u16()), uint64(c.u16())
	if c.bad {
		return nil, errNotELF
	}
	if least := uint64(shdrSize(w)); shoff != 0 && shsize >= least {
		// More sections than 16 bits can say: the first section's header has the numbers.
		if first, ok := e.readSection(&buf{b: whole.at(shoff, int(least))}, w); ok {
			if shnum == 0 {
				shnum = first.size
			}
			if shstr == 0xffff {
				shstr = uint64(first.link)
			}
			if phnum == 0xffff {
				phnum = uint64(first.info)
			}
		}
		if err := e.readSections(whole, shoff, shsize, shnum, shstr); err != nil {
			return nil, err
		}
	}
	if phoff != 0 {
		e.readSegments(whole, phoff, phsize, phnum)
	}
	e.findBuildID(whole)
	return e, nil
}

// word is the size of an address in the file.
func (e *elfFile) word() int {
	if e.is64 {
		return 8
	}
	return 4
}

func shdrSize(word int) int {
	if word == 8 {
		return 64
	}
	return 40
}

func (e *elfFile) readSection(c *buf, w int) (section, bool) {
	var s section
	c.u32() // name, read by the caller
	s.typ = c.u32()
	s.flags = c.word(w)
	s.addr = c.word(w)
	s.off = c.word(w)
	s.size = c.word(w)
	s.link = c.u32()
	s.info = c.u32()
	c.word(w)
	s.entsize = c.word(w)
	return s, !c.bad
}

// readSections reads the section table and names. Sections that stick out of the file are cut.
func (e *elfFile) readSections(whole *view, off, entsize, n, strIndex uint64) error {
	if n > maxSections {
		return fmt.Errorf("symbol: file claims %d sections", n)
	}
	w := e.word()
	names := make([]uint32, 0, n)
	for i := range n {
		b := whole.at(off+i*entsize, shdrSize(w))
		s, ok := e.readSection(&buf{b: b}, w)
		if !ok || off+i*entsize < off {
			break
		}
		if s.typ != sectNobits {
			if s.off > whole.size {
				s.off, s.size = whole.size, 0
			}
			s.size = min(s.size, whole.size-s.off)
		}
		names = append(names, (&buf{b: b}).u32())
		e.sections = append(e.sections, s)
	}
	if strIndex >= uint64(len(e.sections)) || e.sections[strIndex].typ == sectNobits {
		return nil
	}
	t := e.sections[strIndex]
	v := &view{r: e.f, base: int64(t.off), size: min(t.size, maxNames), b: e.b}
	for i := range e.sections {
		b := v.at(uint64(names[i]), 64) // no section used here has a longer name
		for j, c := range b {
			if c == 0 {
				e.sections[i].name = string(b[:j])
				break
			}
		}
	}
	return nil
}

func (e *elfFile) readSegments(whole *view, off, entsize, n uint64) {
	n = min(n, maxSegments)
	size := 32
	if e.is64 {
		size = 56
	}
	for i := range n {
		at := off + i*entsize
		if at < off {
			return
		}
		c := &buf{b: whole.at(at, size)}
		var typ, flags uint32
		var s Segment
		typ = c.u32()
		w := e.word()
		if e.is64 {
			flags = c.u32()
		}
		s.Offset = c.word(w)
		s.Vaddr = c.word(w)
		c.word(w)
		s.Filesz = c.word(w)
		s.Memsz = c.word(w)
		if !e.is64 {
			flags = c.u32()
		}
		if c.bad {
			return
		}
		s.Executable = flags&progExec != 0
		switch {
		case typ == progLoad && s.Vaddr+s.Memsz >= s.Vaddr && s.Memsz >= s.Filesz:
			e.loads = append(e.loads, s)
		case typ == progNote && len(e.notes) < 64:
			e.notes = append(e.notes, [2]uint64{s.Offset, s.Filesz})
		}
	}
}

// findBuildID looks through the note sections first: the note segments of a separate debug file point nowhere.
func (e *elfFile) findBuildID(whole *view) {
	var places [][2]uint64
	for _, s := range e.sections {
		if s.typ == sectNote && len(places) < 64 {
			places = append(places, [2]uint64{s.off, s.size})
		}
	}
	for _, p := range append(places, e.notes...) {
		if e.buildID = buildIDIn(whole.at(p[0], int(min(p[1], maxNote)))); e.buildID != "" {
			return
		}
	}
}

// buildIDIn returns the build-id among ELF notes, in lower-case hex.
func buildIDIn(notes []byte) string {
	for c := (&buf{b: notes}); c.pos < len(notes); {
		nameLen, descLen, typ := c.u32(), c.u32(), c.u32()
		name := c.take(int(min(uint64(nameLen), math.MaxInt32)))
		c.skip(uint64(-c.pos & 3))
		desc := c.take(int(min(uint64(descLen), math.MaxInt32)))
		if c.bad {
			return ""
		}
		c.pos = min(c.pos+(-c.pos&3), len(notes))
		if typ == noteBuildID && string(name) == "GNU\x00" && len(desc) > 1 && len(desc) <= 64 {
			return hex.EncodeToString(desc)
		}
	}
	return ""
}

// section returns the section of that name which has contents, or nil.
func (e *elfFile) section(name string) *section {
	for i := range e.sections {
		if s := &e.sections[i]; s.name == name && s.typ != sectNobits && s.size > 0 {
			return s
		}
	}
	return nil
}

// raw is a view of a section as it stands in the file.
func (e *elfFile) raw(s *section) *view {
	if s == nil || s.typ == sectNobits {
		return nil
	}
	return &view{r: e.f, base: int64(s.off), size: s.size, b: e.b}
}

// text reports whether code can stand at the address.
func (e *elfFile) text(addr uint64) bool {
	for i := range e.loads {
		if e.loads[i].Executable && e.loads[i].contains(addr) {
			return true
		}
	}
	return false
}

// sectionAt returns the loaded section that covers the address, or nil.
func (e *elfFile) sectionAt(addr uint64) *section {
	for i := range e.sections {
		s := &e.sections[i]
		if s.flags&sectAlloc != 0 && addr >= s.addr && addr-s.addr < s.size {
			return s
		}
	}
	return nil
}

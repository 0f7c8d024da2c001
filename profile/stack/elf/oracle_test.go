package elf

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// part is a section of a file that build makes.
type part struct {
	name     string
	typ      elf.SectionType
	flags    elf.SectionFlag
	link     uint32
	contents []byte
}

// build makes an ELF file: a loaded segment of all of it, a note segment, and the sections.
func build(t testing.TB, class elf.Class, parts []part) []byte {
	t.Helper()
	var out bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	names := "\x00"
	parts = append([]part{{}}, append(slices.Clone(parts), part{name: ".shstrtab", typ: elf.SHT_STRTAB})...)
	nameOff := make([]uint32, len(parts))
	for i, p := range parts {
		nameOff[i] = uint32(len(names))
		names += p.name + "\x00"
	}
	parts[len(parts)-1].contents = []byte(names)
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), 1}
	head := ehdrSize32 + 2*phdrSize32
	if class == elf.ELFCLASS64 {
		head = ehdrSize64 + 2*phdrSize64
	}
	offs, end := make([]int, len(parts)), head
	var note elf.Prog64
	for i, p := range parts {
		offs[i] = end
		if p.typ == elf.SHT_NOTE {
			note = elf.Prog64{Type: uint32(elf.PT_NOTE), Off: uint64(end), Filesz: uint64(len(p.contents))}
		}
		end += (len(p.contents) + 7) &^ 7
	}
	load := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: 0x10000, Filesz: uint64(end), Memsz: uint64(end) + 99}
	n, shstr := uint16(len(parts)), uint16(len(parts)-1)
	if class == elf.ELFCLASS64 {
		put(elf.Header64{Ident: ident, Type: 2, Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: ehdrSize64, Shoff: uint64(end),
			Ehsize: ehdrSize64, Phentsize: phdrSize64, Phnum: 2, Shentsize: shdrSize64, Shnum: n, Shstrndx: shstr})
		put(load)
		put(note)
	} else {
		put(elf.Header32{Ident: ident, Type: 2, Machine: uint16(elf.EM_ARM), Version: 1, Phoff: ehdrSize32, Shoff: uint32(end),
			Ehsize: ehdrSize32, Phentsize: phdrSize32, Phnum: 2, Shentsize: shdrSize32, Shnum: n, Shstrndx: shstr})
		for _, p := range []elf.Prog64{load, note} {
			put(elf.Prog32{Type: p.Type, Off: uint32(p.Off), Vaddr: uint32(p.Vaddr), Filesz: uint32(p.Filesz), Memsz: uint32(p.Memsz), Flags: p.Flags})
		}
	}
	for _, p := range parts {
		put(p.contents)
		put(make([]byte, -len(p.contents)&7))
	}
	for i, p := range parts {
		size := uint64(len(p.contents))
		addr := 0x10000 + uint64(offs[i])
		if class == elf.ELFCLASS64 {
			put(elf.Section64{Name: nameOff[i], Type: uint32(p.typ), Flags: uint64(p.flags), Addr: addr, Off: uint64(offs[i]),
				Size: size, Link: p.link, Info: 1, Entsize: 24})
		} else {
			put(elf.Section32{Name: nameOff[i], Type: uint32(p.typ), Flags: uint32(p.flags), Addr: uint32(addr), Off: uint32(offs[i]),
				Size: uint32(size), Link: p.link, Info: 1, Entsize: 16})
		}
	}
	return out.Bytes()
}

// encode writes a structure in the byte order of the files.
func encode(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// sample is a file of the class with all that this package reads.
func sample(t testing.TB, class elf.Class) []byte {
	text := []byte(strings.Repeat("debug information ", 100))
	packed := deflate(text)
	var syms, header, rela []byte
	if class == elf.ELFCLASS64 {
		syms = append(encode(t, elf.Sym64{}), encode(t, elf.Sym64{Name: 1, Info: 0x12, Shndx: 2, Value: 0x10040, Size: 7})...)
		header = encode(t, elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: uint64(len(text)), Addralign: 1})
		rela = encode(t, elf.Rela64{Off: 0x10080, Info: elf.R_INFO(1, uint32(elf.R_X86_64_JMP_SLOT)), Addend: 5})
	} else {
		syms = append(encode(t, elf.Sym32{}), encode(t, elf.Sym32{Name: 1, Info: 0x12, Shndx: 2, Value: 0x10040, Size: 7})...)
		header = encode(t, elf.Chdr32{Type: uint32(elf.COMPRESS_ZLIB), Size: uint32(len(text)), Addralign: 1})
		rela = encode(t, elf.Rel32{Off: 0x10080, Info: elf.R_INFO32(1, uint32(elf.R_ARM_JUMP_SLOT))})
	}
	old := append(binary.BigEndian.AppendUint64([]byte("ZLIB"), uint64(len(text))), packed...)
	return build(t, class, []part{
		{name: ".note.gnu.build-id", typ: elf.SHT_NOTE, contents: []byte("\x04\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd\xef\x01")},
		{name: ".text", typ: elf.SHT_PROGBITS, flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, contents: make([]byte, 20)},
		{name: ".symtab", typ: elf.SHT_SYMTAB, link: 4, contents: syms},
		{name: ".strtab", typ: elf.SHT_STRTAB, contents: []byte("\x00main\x00")},
		{name: ".debug_info", typ: elf.SHT_PROGBITS, flags: elf.SHF_COMPRESSED, contents: append(header, packed...)},
		{name: ".zdebug_line", typ: elf.SHT_PROGBITS, contents: old},
		{name: ".rel.plt", typ: elf.SHT_REL, contents: rela},
	})
}

func openData(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Headers, names and contents are what debug/elf finds.
func TestAgainstDebugELF(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"32 bits": sample(t, elf.ELFCLASS32), "64 bits": sample(t, elf.ELFCLASS64), "this test": self,
	} {
		t.Run(name, func(t *testing.T) { against(t, data) })
	}
}

func against(t *testing.T, data []byte) {
	want, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	f := openData(t, data)
	if f.Machine != want.Machine || f.Is64 != (want.Class == elf.ELFCLASS64) {
		t.Errorf("machine %v, 64 bits: %v", f.Machine, f.Is64)
	}
	var segments []Segment
	for _, p := range want.Progs {
		segments = append(segments, Segment{p.Type, p.Flags, p.Off, p.Vaddr, p.Filesz, p.Memsz})
	}
	if !slices.Equal(f.Segments, segments) {
		t.Errorf("segments %+v, want %+v", f.Segments, segments)
	}
	got, err := f.Sections()
	if err != nil || len(got) != len(want.Sections) {
		t.Fatalf("%d sections, %v; want %d", len(got), err, len(want.Sections))
	}
	for i, w := range want.Sections {
		s := got[i]
		if s.Name != w.Name || s.Type != w.Type || s.Flags != w.Flags || s.Addr != w.Addr || s.Off != w.Offset ||
			s.Size != w.FileSize || s.Link != w.Link || s.Info != w.Info || s.Entsize != w.Entsize {
			t.Errorf("section %+v, want %+v", s, w.SectionHeader)
		}
		if found, ok := f.Section("no such", w.Name); w.Name != "" && (!ok || found != s) {
			t.Errorf("section %q is %+v, %v", w.Name, found, ok)
		}
		if !s.IsCompressed() {
			continue
		}
		contents, err := w.Data()
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Compressed(&s)
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		out, err := c.Data(nil)
		if err != nil || !bytes.Equal(out, contents) || c.Size != uint64(len(out)) {
			t.Errorf("%s: %d bytes, %v; want %d", s.Name, len(out), err, len(contents))
		}
	}
}

func TestSymbolsAndRelocations(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		data := sample(t, class)
		f := openData(t, data)
		s, _ := f.Section(".symtab")
		b := data[s.Off:][:s.Size]
		want := Symbol{Name: 1, Info: 0x12, Shndx: 2, Value: 0x10040, Size: 7}
		if n := f.SymbolSize(); len(b) != 2*n || f.DecodeSymbol(b[n:]) != want {
			t.Errorf("%v: size %d, %+v", class, n, f.DecodeSymbol(b[n:]))
		}
		s, _ = f.Section(".rel.plt")
		typ := elf.SHT_REL
		if class == elf.ELFCLASS64 {
			typ = elf.SHT_RELA
		}
		place, symbol := f.DecodeRelocation(data[s.Off:])
		if n := f.RelocationSize(typ); uint64(n) != s.Size || place != 0x10080 || symbol != 1 {
			t.Errorf("%v: size %d, place %#x, symbol %d", class, n, place, symbol)
		}
	}
}

func TestBuildID(t *testing.T) {
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		data := sample(t, class)
		if id := openData(t, data).BuildID(); id != "abcdef01" {
			t.Errorf("%v: build-id %q", class, id)
		}
		// Without a section table it is found through the note segment.
		f := openData(t, data)
		f.shnum = 0
		if id := f.BuildID(); id != "abcdef01" {
			t.Errorf("%v: build-id %q by segment", class, id)
		}
	}
}

// ReadAt ends where the file ended when it was opened.
func TestReadAt(t *testing.T) {
	data := sample(t, elf.ELFCLASS64)
	f, err := Open(bytes.NewReader(append(slices.Clone(data), "later"...)), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if n, err := f.ReadAt(p, int64(len(data))-4); n != 4 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
	for _, off := range []int64{int64(len(data)), -1, 1 << 62} {
		if n, err := f.ReadAt(p, off); n != 0 || err != io.EOF {
			t.Errorf("at %d: %d bytes, %v", off, n, err)
		}
	}
}

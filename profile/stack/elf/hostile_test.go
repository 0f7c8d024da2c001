package elf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"sysprof/profile/stack/internal/bounded"
)

// Offsets of fields in the 64-bit header and in section headers.
const (
	atShoff     = 40
	atPhentsize = 54
	atPhnum     = 56
	atShentsize = 58
	atShnum     = 60
	atShstrndx  = 62

	inType = 4
	inOff  = 24
	inSize = 32
	inLink = 40
	inInfo = 44
)

// A file with more sections or segments than 16 bits can say has the numbers in its first section header.
func TestLargeCounts(t *testing.T) {
	data := sample(t, elf.ELFCLASS64)
	want := openData(t, data)
	sections, err := want.Sections()
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	first := data[le.Uint64(data[atShoff:]):]
	le.PutUint64(first[inSize:], uint64(le.Uint16(data[atShnum:])))
	le.PutUint32(first[inLink:], uint32(le.Uint16(data[atShstrndx:])))
	le.PutUint32(first[inInfo:], uint32(le.Uint16(data[atPhnum:])))
	le.PutUint16(data[atShnum:], 0)
	le.PutUint16(data[atShstrndx:], 0xffff)
	le.PutUint16(data[atPhnum:], 0xffff)
	f := openData(t, data)
	got, err := f.Sections()
	if err != nil || !slices.Equal(got[1:], sections[1:]) || !slices.Equal(f.Segments, want.Segments) {
		t.Errorf("%+v, %+v, %v", got, f.Segments, err)
	}
}

func TestLyingHeaders(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		change func(header, sections []byte)
		err    error // of Open or Sections
		found  bool  // .text is still found
	}{
		{"no lie", func(h, s []byte) {}, nil, true},
		{"65,535 sections", func(h, s []byte) { le.PutUint16(h[atShnum:], 0xffff) }, nil, true},
		{"four thousand million sections", func(h, s []byte) {
			le.PutUint16(h[atShnum:], 0)
			le.PutUint64(s[inSize:], 1<<32-1)
		}, errTooMany, true},
		{"2⁶⁴ sections", func(h, s []byte) {
			le.PutUint16(h[atShnum:], 0)
			le.PutUint64(s[inSize:], 1<<64-1)
		}, errTooMany, true},
		{"sections of no size", func(h, s []byte) { le.PutUint16(h[atShentsize:], 0) }, nil, false},
		{"section table at the end of the address space", func(h, s []byte) { le.PutUint64(h[atShoff:], 1<<64-16) }, nil, false},
		{"names outside of the table", func(h, s []byte) {
			for i := 0; i < len(s); i += shdrSize64 {
				le.PutUint32(s[i:], 1<<31)
			}
		}, nil, false},
		{"names in a section that is not there", func(h, s []byte) { le.PutUint16(h[atShstrndx:], 1000) }, nil, false},
		{"names in a section without contents", func(h, s []byte) {
			le.PutUint32(s[len(s)-shdrSize64+inType:], uint32(elf.SHT_NOBITS))
		}, nil, false},
		{"names of 2⁶⁴ bytes", func(h, s []byte) { le.PutUint64(s[len(s)-shdrSize64+inSize:], 1<<64-1) }, nil, true},
		{"segments of no size", func(h, s []byte) { le.PutUint16(h[atPhentsize:], 0) }, ErrFormat, false},
		{"65,535 segments", func(h, s []byte) {
			le.PutUint16(h[atPhnum:], 0xffff)
			le.PutUint32(s[inInfo:], 1<<32-1)
		}, nil, true},
		{"a segment around the end of the address space", func(h, s []byte) { le.PutUint64(h[ehdrSize64+40:], 1<<64-1) }, nil, true},
		{"a segment with more bytes in the file", func(h, s []byte) { le.PutUint64(h[ehdrSize64+40:], 0) }, nil, true},
		{"contents outside of the file", func(h, s []byte) {
			le.PutUint64(s[2*shdrSize64+inOff:], 1<<64-8)
			le.PutUint64(s[2*shdrSize64+inSize:], 1<<63)
		}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := sample(t, elf.ELFCLASS64)
			c.change(data, data[le.Uint64(data[atShoff:]):])
			err := use(t, data)
			if !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			f, err := Open(bytes.NewReader(data), int64(len(data)), nil)
			if err != nil {
				return
			}
			if s, ok := f.Section(".text"); ok != c.found || s.Off > f.Size() || s.Size > f.Size()-s.Off {
				t.Errorf(".text: %+v, %v", s, ok)
			}
			if len(f.Segments) > maxSegments {
				t.Errorf("%d segments", len(f.Segments))
			}
			for _, s := range f.Segments {
				if s.Type == elf.PT_LOAD && !s.loadable() {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// A section that claims more than its bytes can hold is refused before any memory is taken.
func TestCompressionLies(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name   string
		change func(contents []byte)
	}{
		{"2⁶⁰ bytes", func(b []byte) { le.PutUint64(b[8:], 1<<60) }},
		{"one byte more", func(b []byte) { le.PutUint64(b[8:], le.Uint64(b[8:])+1) }},
		{"no such kind", func(b []byte) { le.PutUint32(b, 99) }},
		{"broken stream", func(b []byte) { clear(b[24:]) }},
	} {
		data := sample(t, elf.ELFCLASS64)
		s, ok := openData(t, data).Section(".debug_info")
		if !ok {
			t.Fatal("no section")
		}
		c.change(data[s.Off:][:s.Size])
		f := openData(t, data)
		p, err := f.Compressed(&s)
		if err == nil {
			_, err = p.Data(nil)
		}
		if err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

// use reads all that there is in a file, and returns the error of Open or Sections.
func use(t *testing.T, data []byte) error {
	f, err := Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		return err
	}
	f.BuildID()
	f.Section(".a", ".text", ".symtab")
	for _, s := range f.Segments {
		f.Offset(s.Vaddr)
		f.Vaddr(s.Off)
		f.Executable(s.Vaddr + 1)
		f.Bias(0x7f0000000000, s.Off)
	}
	f.Rela(func(place, value uint64) bool { return place != value })
	sections, err := f.Sections()
	for i := range sections {
		s := &sections[i]
		if s.Type != elf.SHT_NOBITS && (s.Off > f.Size() || s.Size > f.Size()-s.Off) {
			t.Errorf("section outside of the file: %+v", s)
		}
		if len(s.Name) > maxSectionName {
			t.Errorf("name of %d bytes", len(s.Name))
		}
		if !s.IsCompressed() {
			continue
		}
		if c, err := f.Compressed(s); err == nil && c.Size < 1<<24 {
			if out, err := c.Data(nil); err == nil && uint64(len(out)) != c.Size {
				t.Errorf("%d bytes out of %d", len(out), c.Size)
			}
		}
	}
	f.Close()
	return err
}

func FuzzFile(f *testing.F) {
	f.Add(sample(f, elf.ELFCLASS64))
	f.Add(sample(f, elf.ELFCLASS32))
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded.Run(t, 512, func() { use(t, data) })
	})
}

package elf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
)

// header returns an ELF file of the given size whose segments are as given.
func header(size int, segments ...Segment) []byte {
	b := make([]byte, size)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint64(b[32:], ehdrSize64)
	le.PutUint16(b[54:], phdrSize64)
	le.PutUint16(b[56:], uint16(len(segments)))
	for i, s := range segments {
		p := b[ehdrSize64+i*phdrSize64:]
		le.PutUint32(p, uint32(s.Type))
		le.PutUint32(p[4:], uint32(s.Flags))
		le.PutUint64(p[8:], s.Off)
		le.PutUint64(p[16:], s.Vaddr)
		le.PutUint64(p[32:], s.Filesz)
		le.PutUint64(p[40:], s.Memsz)
	}
	return b
}

func open(t *testing.T, r io.ReaderAt, size int) (*File, *atomic.Int64) {
	t.Helper()
	var resident atomic.Int64
	f, err := Open(r, int64(size), &resident)
	if err != nil {
		t.Fatal(err)
	}
	return f, &resident
}

func TestBytesAcrossBlocks(t *testing.T) {
	data := header(3*blockSize + 100)
	for i := 100; i < len(data); i++ {
		data[i] = byte(i % 251)
	}
	f, resident := open(t, bytes.NewReader(data), len(data))
	scratch := make([]byte, 2*blockSize+2)
	for _, c := range []struct{ off, n int }{
		{0, 4}, {blockSize - 1, 2}, {blockSize - 1, 2*blockSize + 2}, {3 * blockSize, 100}, {len(data), 0},
	} {
		if got := f.Bytes(uint64(c.off), c.n, scratch); !bytes.Equal(got, data[c.off:c.off+c.n]) {
			t.Errorf("%d bytes at %d: got %d others", c.n, c.off, len(got))
		}
	}
	for _, c := range []struct {
		off uint64
		n   int
	}{{uint64(len(data)), 1}, {0, -1}, {1 << 63, 8}, {^uint64(0), 2}, {blockSize - 1, 2*blockSize + 3}} {
		if got := f.Bytes(c.off, c.n, scratch); got != nil {
			t.Errorf("%d bytes at %d: got %d", c.n, c.off, len(got))
		}
	}
	if got := resident.Load(); got != 4*blockSize {
		t.Errorf("%d bytes resident", got)
	}
	f.Drop()
	if got := resident.Load(); got != 0 {
		t.Errorf("%d bytes resident after Drop", got)
	}
}

func TestStrings(t *testing.T) {
	data := header(2*blockSize + 10)
	copy(data[blockSize-3:], "abcdef\x00")
	copy(data[2*blockSize:], "no end at ")
	f, _ := open(t, bytes.NewReader(data), len(data))
	if s, ok := f.String(blockSize-3, 100); !ok || s != "abcdef" {
		t.Errorf("%q %v", s, ok)
	}
	if s, ok := f.String(blockSize-3, 4); !ok || s != "abcd" {
		t.Errorf("%q %v", s, ok)
	}
	if s, ok := f.String(2*blockSize, 100); ok {
		t.Errorf("%q without an end", s)
	}
}

// A file that was cut short after it was opened gives nothing, and no panic.
type shrunk struct{ *strings.Reader }

func (s shrunk) ReadAt(p []byte, off int64) (int, error) {
	if off >= blockSize {
		return 0, errors.New("gone")
	}
	return s.Reader.ReadAt(p, off)
}

func TestShrunkFile(t *testing.T) {
	data := header(3 * blockSize)
	f, _ := open(t, shrunk{strings.NewReader(string(data))}, len(data))
	if b := f.Bytes(2*blockSize, 4, nil); b != nil {
		t.Errorf("got %v", b)
	}
	if b := f.Rest(blockSize); b != nil {
		t.Errorf("got %d bytes", len(b))
	}
}

func TestNotELF(t *testing.T) {
	rest := strings.Repeat("\x00", 100)
	for _, text := range []string{
		"", "#!/bin/sh\n", strings.Repeat("x", 100),
		"\x7fELF\x02\x02\x01" + rest,      // big-endian
		"\x7fELF\x03\x01\x01" + rest,      // neither 32 nor 64 bits
		"\x7fELF\x02\x01\x01" + rest[:50], // no room for a 64-bit header
	} {
		if _, err := Open(strings.NewReader(text), int64(len(text)), nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%.8q: %v", text, err)
		}
	}
}

// Segments need not be as far apart in memory as in the file, and two may share a page
// of the file.
func TestBias(t *testing.T) {
	data := header(0x9000,
		Segment{Type: elf.PT_LOAD, Flags: elf.PF_R, Off: 0, Vaddr: 0x400000, Filesz: 0x1234, Memsz: 0x1234},
		Segment{Type: elf.PT_LOAD, Flags: elf.PF_R | elf.PF_X, Off: 0x1234, Vaddr: 0x700234, Filesz: 0x3000, Memsz: 0x3000},
	)
	f, _ := open(t, bytes.NewReader(data), len(data))
	for _, c := range []struct{ start, off, want uint64 }{
		{0x7f0000001000, 0x1000, 0x7f0000001000 - 0x700000},
		{0x7f0000003000, 0x3000, 0x7f0000003000 - 0x702000}, // part of a segment
		{0x500000, 0, 0x100000},
	} {
		if got, ok := f.Bias(c.start, c.off); !ok || got != c.want {
			t.Errorf("mapping of %#x at %#x: %#x, %v; want %#x", c.off, c.start, got, ok, c.want)
		}
	}
	if bias, ok := f.Bias(0x1000, 0x8000); ok {
		t.Errorf("outside all segments: %#x", bias)
	}
	if off, left, ok := f.Offset(0x700235); !ok || off != 0x1235 || left != 0x2fff {
		t.Errorf("%#x %#x %v", off, left, ok)
	}
	if f.Executable(0x400000) || !f.Executable(0x703233) || f.Executable(0x703234) {
		t.Error("executable")
	}
}

package elf

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// ErrCompression says that a section is compressed in an unknown way, or is broken.
var ErrCompression = errors.New("unknown or broken compression")

const (
	// zlib cannot do better than 1:1032. zstd can, on input that no compiler makes.
	maxRatio = 1100
	// maxWindow bounds the memory of the zstd decoder.
	maxWindow = 64 << 20
)

// A Compressed is the contents of a compressed section.
type Compressed struct {
	Size   uint64 // decompressed, as the file says
	Packed uint64 // in the file

	f    *File
	off  uint64
	kind elf.CompressionType
}

// IsCompressed reports whether a section is compressed: by its flag, or, as debug sections used to be, by a name
// such as .zdebug_info.
func (s *Section) IsCompressed() bool {
	return s.Flags&elf.SHF_COMPRESSED != 0 || strings.HasPrefix(s.Name, ".zdebug_")
}

// Compressed reads the header of a compressed section.
func (f *File) Compressed(s *Section) (*Compressed, error) {
	old := s.Flags&elf.SHF_COMPRESSED == 0
	size := uint64(24)
	if old || !f.Is64 {
		size = 12
	}
	if s.Type == elf.SHT_NOBITS || s.Size < size {
		return nil, ErrCompression
	}
	var scratch [24]byte
	h := f.Bytes(s.Off, int(size), scratch[:])
	if h == nil {
		return nil, io.ErrUnexpectedEOF
	}
	c := &Compressed{f: f, off: s.Off + size, Packed: s.Size - size}
	le := binary.LittleEndian
	switch {
	case old:
		if string(h[:4]) != "ZLIB" {
			return nil, ErrCompression
		}
		c.kind, c.Size = elf.COMPRESS_ZLIB, binary.BigEndian.Uint64(h[4:])
	case f.Is64:
		c.kind, c.Size = elf.CompressionType(le.Uint32(h)), le.Uint64(h[8:])
	default:
		c.kind, c.Size = elf.CompressionType(le.Uint32(h)), uint64(le.Uint32(h[4:]))
	}
	if c.Size > c.Packed*maxRatio {
		return nil, ErrCompression
	}
	return c, nil
}

// Data decompresses the section. It takes memory for what really comes out, so that a wrong size costs nothing.
func (c *Compressed) Data() ([]byte, error) {
	src := io.NewSectionReader(c.f, int64(c.off), int64(c.Packed))
	var r io.Reader
	switch c.kind {
	case elf.COMPRESS_ZLIB:
		z, err := zlib.NewReader(src)
		if err != nil {
			return nil, err
		}
		r = z
	case elf.COMPRESS_ZSTD:
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, ErrCompression
	}
	var out bytes.Buffer
	// What is said to have shrunk to less than a sixteenth must prove it: the buffer doubles as it fills.
	out.Grow(int(min(c.Size, 16*c.Packed+1<<16)) + bytes.MinRead)
	n, err := io.Copy(&out, io.LimitReader(r, int64(c.Size)))
	if uint64(n) < c.Size {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return out.Bytes(), nil
}

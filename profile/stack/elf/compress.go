package elf

import (
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

// Data decompresses the section. It takes memory for what really comes out, so that a wrong size costs little, and
// half as much again while it grows. goOn is asked now and then whether to go on; nil: always.
func (c *Compressed) Data(goOn func() bool) ([]byte, error) {
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
	return ReadGrowing(r, int(c.Size), int(min(c.Size, 16*c.Packed+1<<16)), goOn)
}

// errStopped says that decompressing was not to go on.
var errStopped = errors.New("stopped")

// ReadGrowing reads size bytes into memory that has room for first, and doubles as it fills: a size that comes from a
// file has to prove itself. goOn is asked now and then whether to go on; nil: always.
func ReadGrowing(r io.Reader, size, first int, goOn func() bool) ([]byte, error) {
	const piece = 256 << 10
	out := make([]byte, 0, max(1, min(first, size)))
	for len(out) < size {
		if len(out) == cap(out) {
			more := make([]byte, len(out), min(size, 2*cap(out)))
			copy(more, out)
			out = more
		}
		if goOn != nil && !goOn() {
			return nil, errStopped
		}
		n, err := io.ReadFull(r, out[len(out):min(cap(out), len(out)+piece)])
		out = out[:len(out)+n]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

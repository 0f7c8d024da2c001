package symbol

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Kinds of compression in the header of a compressed section.
const (
	comprZlib = 1
	comprZstd = 2
)

var errCompression = errors.New("symbol: unknown or broken compression")

// data returns the contents of the debug section of that name, decompressed if need be, or nil. A section
// of the old kind, .zdebug_info for .debug_info, is found too.
func (e *elfFile) data(name string) *view {
	if v, ok := e.views[name]; ok {
		return v
	}
	v := e.open(name)
	e.views[name] = v
	return v
}

func (e *elfFile) open(name string) *view {
	s := e.section(name)
	if s == nil {
		if len(name) > len(".debug_") && name[:len(".debug_")] == ".debug_" {
			if z := e.section(".z" + name[1:]); z != nil {
				return e.openZdebug(e.raw(z))
			}
		}
		return nil
	}
	v := e.raw(s)
	if s.flags&sectCompr == 0 {
		return v
	}
	w := e.word()
	c := &buf{b: v.at(0, 24)}
	kind := c.u32()
	if e.is64 {
		c.u32()
	}
	size := c.word(w)
	c.word(w)
	if c.bad {
		return nil
	}
	return e.inflate(v, uint64(c.pos), size, kind)
}

// openZdebug opens a .zdebug section: "ZLIB", the size in big-endian order, a zlib stream.
func (e *elfFile) openZdebug(v *view) *view {
	h := v.at(0, 12)
	if len(h) < 12 || string(h[:4]) != "ZLIB" {
		return nil
	}
	return e.inflate(v, 12, binary.BigEndian.Uint64(h[4:]), comprZlib)
}

// inflate decompresses what follows the first skip bytes into memory. The memory grows with what really
// comes out, so a wrong size costs nothing.
func (e *elfFile) inflate(v *view, skip, size uint64, kind uint32) *view {
	// zlib cannot do better than 1:1032. zstd can, on input that no compiler makes.
	if size > (v.size-min(skip, v.size))*1100 || size > uint64(e.b.mem) {
		return nil
	}
	if !e.b.spend(int(v.size)) || !e.b.hold(int64(size)) {
		return nil
	}
	src := io.NewSectionReader(v.r, v.base+int64(skip), int64(v.size-skip))
	out, err := decompress(src, size, v.size, kind)
	if err != nil || !e.b.spend(len(out)) {
		e.b.release(int64(size))
		return nil
	}
	return &view{mem: out, size: uint64(len(out)), b: e.b}
}

// decompress reads size bytes out of a stream of packed bytes.
func decompress(src io.Reader, size, packed uint64, kind uint32) ([]byte, error) {
	var r io.Reader
	switch kind {
	case comprZlib:
		z, err := zlib.NewReader(src)
		if err != nil {
			return nil, err
		}
		r = z
	case comprZstd:
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, errCompression
	}
	var out bytes.Buffer
	// What is said to have shrunk to less than a sixteenth must prove it: the buffer doubles as it fills.
	out.Grow(int(min(size, 16*packed+1<<16)) + bytes.MinRead)
	n, err := io.Copy(&out, io.LimitReader(r, int64(size)))
	if err != nil && uint64(n) < size {
		return nil, err
	}
	if uint64(n) < size {
		return nil, io.ErrUnexpectedEOF
	}
	return out.Bytes(), nil
}

// memFile is a File of bytes in memory.
type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }

// Bytes makes a File of bytes in memory, such as the image of the vdso.
func Bytes(b []byte) File { return memFile{bytes.NewReader(b)} }

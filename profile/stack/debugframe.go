package stack

import (
	"encoding/binary"
	"sync/atomic"

	"sysprof/profile/stack/elf"
)

// .debug_frame is what compilers write of a program that is built with debug information but without .eh_frame. It
// differs in few things (DWARF 5, 6.4.1): an entry names its CIE by the distance from the beginning of the section, a CIE
// has the largest number as its id, and addresses are plain ones. Debuggers alone read it, so it is not loaded, and
// may be compressed.

// debugSection is the contents of .debug_frame.
type debugSection struct {
	off, size uint64
	data      []byte // decompressed; nil: as it is in the file, at off
}

func (d *debugSection) bytes(f *elf.File, at uint64, n int, scratch []byte) []byte {
	if at > d.size || uint64(n) > d.size-at {
		return nil
	}
	if d.data != nil {
		return d.data[at : at+uint64(n)]
	}
	return f.Bytes(d.off+at, n, scratch)
}

// maxUnpacked bounds what is kept in memory of such sections, of all files.
const maxUnpacked = 32 << 20

// newDebugFrame reads the section of f; nil if it has none. What is decompressed is added to unpacked.
func newDebugFrame(f *elf.File, unpacked *atomic.Int64) *ehFrame {
	s, ok := debugFrameOf(f)
	if !ok {
		return nil
	}
	d := &debugSection{off: s.Off, size: s.Size}
	if s.IsCompressed() {
		if d = loadDebugFrame(f, &s, unpacked); d == nil {
			return nil
		}
	}
	return d.index(f)
}

func debugFrameOf(f *elf.File) (elf.Section, bool) {
	s, ok := f.Section(".debug_frame", ".zdebug_frame")
	return s, ok && s.Type != elf.SHT_NOBITS
}

// loadDebugFrame reads the section into memory, decompressed, and adds its size to unpacked; nil if it is broken, or there is no
// room for it.
func loadDebugFrame(f *elf.File, s *elf.Section, unpacked *atomic.Int64) *debugSection {
	size := s.Size
	read := func() ([]byte, error) {
		data := make([]byte, size)
		_, err := f.ReadAt(data, int64(s.Off))
		return data, err
	}
	if s.IsCompressed() {
		c, err := f.Compressed(s)
		if err != nil {
			return nil
		}
		size, read = c.Size, func() ([]byte, error) { return c.Data(nil) }
	}
	if size > maxUnpacked {
		return nil
	}
	var data []byte
	var err error
	if unpacked.Add(int64(size)) <= maxUnpacked {
		data, err = read()
	}
	if data == nil || err != nil {
		unpacked.Add(-int64(size))
		return nil
	}
	return &debugSection{size: size, data: data}
}

// index makes a table of the section, which is that of f; nil if it describes nothing.
func (d *debugSection) index(f *elf.File) *ehFrame {
	e := &ehFrame{f: f, debug: d}
	if e.index(0, d.size); len(e.linear) == 0 {
		return nil
	}
	return e
}

// debugEntry splits an entry, whose first field, the id, is at idAt. What it returns as the id is as .eh_frame has it: the
// distance back to the CIE, and 0 for a CIE.
func debugEntry(b []byte, idAt, next uint64, wide bool) (body []byte, idAddr, after, id uint64, err error) {
	size, isCIE := 4, uint64(0xffffffff)
	if wide {
		size, isCIE = 8, ^uint64(0)
	}
	if len(b) < size {
		return nil, 0, next, 0, errFormat
	}
	if id = uint64(binary.LittleEndian.Uint32(b)); wide {
		id = binary.LittleEndian.Uint64(b)
	}
	switch {
	case id == isCIE:
		id = 0
	case id >= idAt:
		return nil, 0, next, 0, errFormat // no compiler writes it so
	default:
		id = idAt - id
	}
	return b[size:], idAt, next, id, nil
}

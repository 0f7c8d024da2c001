// Package image reads ELF files a block at a time.
//
// A profiler touches a few kilobytes of each library that a program has
// mapped: a search table, a few unwind entries, a function's line table. So a
// File keeps only the blocks that were asked for, in a table that any number of
// goroutines may use at once, and gives out slices of them without copying.
//
// Nothing that a file says is believed: every offset is checked against the
// file's size, every count has a cap, and a file that was cut short since it was
// opened gives errors, not a signal. That is why files are read and not mapped:
// touching a mapped page that someone truncated away would kill the tracer.
//
// It is not a general ELF package: 64-bit little-endian files only, no symbols,
// no relocation but the one kind that Go's own tables need.
package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

const (
	blockSize = 8 << 10
	// fanout is the number of blocks under one entry of a File's top table.
	fanout = 256
	// maxSize is how much of a file is looked at. The unwind tables of programs
	// larger than this stand before their debug information.
	maxSize = 16 << 30
)

type block [blockSize]byte

type chunk [fanout]atomic.Pointer[block]

// A File is an ELF file or ELF image. All methods are safe for concurrent use.
type File struct {
	r        io.ReaderAt
	size     uint64
	top      []atomic.Pointer[chunk]
	resident *atomic.Int64
	closed   atomic.Bool

	Machine  uint16 // e_machine: EM_X86_64, EM_AARCH64
	Segments []Segment

	shoff  uint64
	shnum  int
	shstrx int
}

// ErrFormat says that a file is no ELF file of the kind this package reads.
var ErrFormat = errors.New("not a 64-bit little-endian ELF file")

// Open reads the program headers of the ELF file of the given size behind r.
// Bytes held in memory are added to resident, if it is not nil.
func Open(r io.ReaderAt, size int64, resident *atomic.Int64) (*File, error) {
	if size < ehdrSize {
		return nil, ErrFormat
	}
	if size > maxSize {
		size = maxSize
	}
	if resident == nil {
		resident = new(atomic.Int64)
	}
	const perChunk = blockSize * fanout
	f := &File{
		r:        r,
		size:     uint64(size),
		top:      make([]atomic.Pointer[chunk], (size+perChunk-1)/perChunk),
		resident: resident,
	}
	if err := f.parseHeader(); err != nil {
		return nil, err
	}
	return f, nil
}

// Size is the number of bytes that can be read.
func (f *File) Size() uint64 { return f.size }

// Bytes returns the n bytes at off, or nil if the file does not have them.
// The result is a slice of the file's own cache where they lie in one block,
// and of scratch (which must then have room) where they do not; it must not be
// written to.
func (f *File) Bytes(off uint64, n int, scratch []byte) []byte {
	if n < 0 || uint64(n) > f.size || off > f.size-uint64(n) {
		return nil
	}
	i := int(off % blockSize)
	if i+n <= blockSize {
		if b := f.block(off / blockSize); b != nil {
			return b[i : i+n : i+n]
		}
		return nil
	}
	if n > len(scratch) {
		return nil
	}
	return f.gather(off, scratch[:n])
}

// gather copies the bytes at off into p, from as many blocks as it takes.
func (f *File) gather(off uint64, p []byte) []byte {
	for done := 0; done < len(p); {
		b := f.block(off / blockSize)
		if b == nil {
			return nil
		}
		n := copy(p[done:], b[off%blockSize:])
		done += n
		off += uint64(n)
	}
	return p
}

// Rest returns the bytes from off to the end of their block: at least one, or
// nil at the end of the file. It is for data that says itself where it ends.
func (f *File) Rest(off uint64) []byte {
	if off >= f.size {
		return nil
	}
	b := f.block(off / blockSize)
	if b == nil {
		return nil
	}
	end := min(f.size-off/blockSize*blockSize, blockSize)
	return b[off%blockSize : end]
}

// Uint32 reads a little-endian word.
func (f *File) Uint32(off uint64) (uint32, bool) {
	var scratch [4]byte
	b := f.Bytes(off, 4, scratch[:])
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}

// Uint64 reads a little-endian double word.
func (f *File) Uint64(off uint64) (uint64, bool) {
	var scratch [8]byte
	b := f.Bytes(off, 8, scratch[:])
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// String returns the bytes at off up to a NUL, and at most limit of them.
func (f *File) String(off uint64, limit int) (string, bool) {
	var s []byte
	for len(s) < limit {
		b := f.Rest(off)
		if b == nil {
			return "", false
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			if s == nil && i <= limit {
				return string(b[:i]), true
			}
			s = append(s, b[:i]...)
			break
		}
		s = append(s, b...)
		off += uint64(len(b))
	}
	return string(s[:min(len(s), limit)]), true
}

// Drop forgets all blocks. They are read again when they are asked for.
func (f *File) Drop() {
	for i := range f.top {
		c := f.top[i].Swap(nil)
		if c == nil {
			continue
		}
		for j := range c {
			if c[j].Swap(nil) != nil {
				f.resident.Add(-blockSize)
			}
		}
	}
}

// Close forgets all blocks for good. What is still being read is not kept.
func (f *File) Close() {
	f.closed.Store(true)
	f.Drop()
}

func (f *File) block(i uint64) *block {
	c := f.top[i/fanout].Load()
	if c != nil {
		if b := c[i%fanout].Load(); b != nil {
			return b
		}
	}
	return f.load(i)
}

// load reads block i. Of two goroutines that load the same block, one wins.
func (f *File) load(i uint64) *block {
	b := new(block)
	off := i * blockSize
	want := min(f.size-off, blockSize)
	if n, _ := f.r.ReadAt(b[:want], int64(off)); uint64(n) < want {
		return nil
	}
	c := f.top[i/fanout].Load()
	for c == nil {
		fresh := new(chunk)
		if f.top[i/fanout].CompareAndSwap(nil, fresh) {
			c = fresh
		} else {
			c = f.top[i/fanout].Load()
		}
	}
	if slot := &c[i%fanout]; slot.CompareAndSwap(nil, b) {
		f.resident.Add(blockSize)
		// Drop may have taken the chunk away, and passed this block before it was there.
		if f.top[i/fanout].Load() != c && slot.Swap(nil) != nil {
			f.resident.Add(-blockSize)
		}
	}
	if f.closed.Load() { // perhaps after Close had passed this block
		f.Drop()
	}
	return b
}

// Uncached reads the bytes at off into p, past the cache, and returns what it
// could read. It is for one pass over a large part of a file.
func (f *File) Uncached(off uint64, p []byte) []byte {
	if off >= f.size {
		return nil
	}
	n, _ := f.r.ReadAt(p[:min(uint64(len(p)), f.size-off)], int64(off))
	return p[:max(n, 0)]
}

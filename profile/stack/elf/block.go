package elf

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync/atomic"
)

const (
	blockSize = 8 << 10
	// fanout is the number of blocks under one entry of a File's top table.
	fanout = 256
	// maxSize is how much of a file is looked at. Larger ones are sparse or have gigabytes of debug
	// information, which stands behind the unwind tables.
	maxSize = 16 << 30
)

type block [blockSize]byte

type chunk [fanout]atomic.Pointer[block]

// blocks reads a file a block at a time and keeps the blocks.
type blocks struct {
	r        io.ReaderAt
	size     uint64
	top      []atomic.Pointer[chunk]
	resident *atomic.Int64
	closed   atomic.Bool

	later  atomic.Bool   // what cannot be read without waiting is missed
	missed atomic.Uint64 // how often that was …
	last   atomic.Uint64 // … and which block it was last
}

// unreadable stands for blocks that cannot be read, so that nobody waits for them again.
var unreadable = new(block)

// nowReader is an io.ReaderAt that knows what it can read without waiting.
type nowReader interface {
	// ReadNowAt reads len(p) bytes, or reports false.
	ReadNowAt(p []byte, off int64) bool
}

// ReadLater makes the methods that return bytes give up on those that would have to be waited for.
func (f *blocks) ReadLater() { f.later.Store(true) }

// Missed tells how often bytes were given up on.
func (f *blocks) Missed() uint64 { return f.missed.Load() }

// Fetch reads what was missed last, however long that takes.
func (f *blocks) Fetch() { f.load(f.last.Load()) }

func (f *blocks) init(r io.ReaderAt, size int64, resident *atomic.Int64) {
	if resident == nil {
		resident = new(atomic.Int64)
	}
	size = min(size, maxSize)
	const perChunk = blockSize * fanout
	f.r, f.size, f.resident = r, uint64(size), resident
	f.top = make([]atomic.Pointer[chunk], (size+perChunk-1)/perChunk)
}

// Size is the number of bytes that can be read.
func (f *blocks) Size() uint64 { return f.size }

// Bytes returns the n bytes at off, or nil if the file does not have them.
// The result is a slice of the file's own cache where they lie in one block,
// and of scratch (which must then have room) where they do not; it must not be
// written to.
func (f *blocks) Bytes(off uint64, n int, scratch []byte) []byte {
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
func (f *blocks) gather(off uint64, p []byte) []byte {
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
func (f *blocks) Rest(off uint64) []byte {
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
func (f *blocks) Uint32(off uint64) (uint32, bool) {
	var scratch [4]byte
	b := f.Bytes(off, 4, scratch[:])
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}

// Uint64 reads a little-endian double word.
func (f *blocks) Uint64(off uint64) (uint64, bool) {
	var scratch [8]byte
	b := f.Bytes(off, 8, scratch[:])
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// String returns the bytes at off up to a NUL, and at most limit of them.
func (f *blocks) String(off uint64, limit int) (string, bool) {
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

// Drop frees all blocks. They are read again when they are asked for.
func (f *blocks) Drop() {
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

// Close frees all blocks and keeps none from then on, not even those that are being read.
func (f *blocks) Close() {
	f.closed.Store(true)
	f.Drop()
}

func (f *blocks) block(i uint64) *block {
	c := f.top[i/fanout].Load()
	if c != nil {
		if b := c[i%fanout].Load(); b == unreadable {
			return nil
		} else if b != nil {
			return b
		}
	}
	if f.later.Load() {
		return f.loadNow(i)
	}
	return f.load(i)
}

// loadNow reads block i if that takes no waiting.
func (f *blocks) loadNow(i uint64) *block {
	if r, ok := f.r.(nowReader); ok {
		b := new(block)
		off := i * blockSize
		if r.ReadNowAt(b[:min(f.size-off, blockSize)], int64(off)) {
			f.keep(i, b)
			return b
		}
	}
	f.last.Store(i)
	f.missed.Add(1)
	return nil
}

// load reads block i.
func (f *blocks) load(i uint64) *block {
	b := new(block)
	off := i * blockSize
	want := min(f.size-off, blockSize)
	if n, _ := f.r.ReadAt(b[:want], int64(off)); uint64(n) < want {
		if f.later.Load() {
			f.keep(i, unreadable)
		}
		return nil
	}
	f.keep(i, b)
	return b
}

// keep keeps block i. Of two goroutines that read the same block, one wins.
func (f *blocks) keep(i uint64, b *block) {
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
}

// ReadAt reads past the cache. It is for one pass over a large part of a file.
func (f *blocks) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || uint64(off) >= f.size {
		return 0, io.EOF
	}
	if left := f.size - uint64(off); uint64(len(p)) > left {
		n, err := f.r.ReadAt(p[:left], off)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return f.r.ReadAt(p, off)
}

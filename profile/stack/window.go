package stack

import "encoding/binary"

// Memory reads a process's memory.
type Memory interface {
	// ReadMemory reads into p from addr and returns how many bytes it could read:
	// fewer than len(p) where the memory ends.
	ReadMemory(p []byte, addr uint64) int
}

const (
	// moreSize is read at once when a frame lies outside the window.
	moreSize = 8 << 10
	// maxMore caps such reads for one stack: one each for MaxDepth frames that are wider,
	// and a few for the Go runtime's own structures.
	maxMore = 160
)

// A Window is a piece of a stopped thread's stack that was read in one go, and a
// way to get at the rest.
type Window struct {
	base uint64
	data []byte
	mem  Memory
	high uint64 // the bits of a word that are no part of it, in 32-bit programs

	moreBase uint64
	more     []byte // what was read last outside the window
	fetches  int
	buf      [moreSize]byte
}

// Reset makes w show data, which was read at address base, and what mem can read;
// mem may be nil. It must be called for each stop: memory changes.
func (w *Window) Reset(mem Memory, base uint64, data []byte) {
	w.base, w.data, w.mem = base, data, mem
	w.more, w.fetches = nil, 0
}

// Again makes w ready for unwinding the same stack once more.
func (w *Window) Again() { w.fetches = 0 }

// spent reports whether there have been as many reads outside the window as may be.
func (w *Window) spent() bool { return w.fetches >= maxMore }

// narrow says whether words have 4 bytes, instead of 8.
func (w *Window) narrow(is bool) {
	if w.high = 0; is {
		w.high = 0xffffffff_00000000
	}
}

// word reads the word at addr.
func (w *Window) word(addr uint64) (uint64, bool) {
	if off := addr - w.base; off < uint64(len(w.data)) && uint64(len(w.data))-off >= 8 {
		return binary.LittleEndian.Uint64(w.data[off:]) &^ w.high, true
	}
	return w.distantWord(addr)
}

func (w *Window) distantWord(addr uint64) (uint64, bool) {
	if off := addr - w.moreBase; off < uint64(len(w.more)) && uint64(len(w.more))-off >= 8 {
		return binary.LittleEndian.Uint64(w.more[off:]) &^ w.high, true
	}
	if w.mem == nil || w.fetches >= maxMore {
		return 0, false
	}
	w.fetches++
	n := w.mem.ReadMemory(w.buf[:], addr)
	w.moreBase, w.more = addr, w.buf[:max(0, min(n, len(w.buf)))]
	if len(w.more) >= 8 {
		return binary.LittleEndian.Uint64(w.more) &^ w.high, true
	}
	if w.high != 0 && len(w.more) >= 4 { // the memory ends behind it
		return uint64(binary.LittleEndian.Uint32(w.more)), true
	}
	return 0, false
}

// bytesAt reads n ≤ 8 bytes at addr as a little-endian number.
func (w *Window) bytesAt(addr uint64, n uint8) (uint64, bool) {
	v, ok := w.word(addr)
	if !ok {
		// The last bytes of a page may not be followed by a whole word.
		v, ok = w.word(addr - uint64(8-n))
		v >>= 8 * (8 - n)
	}
	if n < 8 {
		v &= 1<<(8*n) - 1
	}
	return v, ok
}

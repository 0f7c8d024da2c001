package symbol

import (
	"encoding/binary"
	"errors"
	"io"

	"sysprof/profile/stack/elf"
)

// errBudget says that an object file asked for more work or memory than one file gets.
var errBudget = errors.New("symbol: file needs more than its share of work or memory")

// budget is what reading one object file may still cost. Work is counted in bytes read and entries looked at;
// one unit takes a nanosecond or two.
type budget struct {
	work int64
	mem  int64
	stop <-chan struct{} // closed: nothing is left; nil: never
	next int             // calls until that is looked at
}

// spend takes n units of work and reports whether there was as much left.
func (b *budget) spend(n int) bool {
	b.work -= int64(n)
	if b.next--; b.next < 0 {
		b.next = spendsPerLook
		select {
		case <-b.stop:
			b.work = min(b.work, -1)
		default:
		}
	}
	return b.work >= 0
}

// spendsPerLook is how often work is taken before it is seen that there is to be no more: some 10 µs.
const spendsPerLook = 1 << 12

// goOn reports whether there is to be more work.
func (b *budget) goOn() bool {
	b.next = 0
	return b.spend(0)
}

// hold reserves n bytes of memory. What is held is given back with the whole budget, at the end of the object.
func (b *budget) hold(n int64) bool {
	if n < 0 || n > b.mem {
		return false
	}
	b.mem -= n
	return true
}

// release gives memory back.
func (b *budget) release(n int64) { b.mem += n }

// A view is the contents of one section: a part of a file, or bytes in memory once decompressed. Reads outside
// of it come back short. It keeps the piece read last, so neighbouring reads cost no system call.
type view struct {
	f    *elf.File
	base uint64 // of the section, in f
	size uint64
	mem  []byte // nil: f has the bytes
	b    *budget

	win    []byte
	winOff uint64
}

// winSize is the piece that a view reads ahead: a page, since most strings and range lists are alone.
const winSize = 4096

// at returns up to n bytes at off, fewer at the end of the section and nil where nothing can be read. They are
// valid until the next call.
func (v *view) at(off uint64, n int) []byte {
	if v == nil || off >= v.size || n <= 0 {
		return nil
	}
	if rest := v.size - off; uint64(n) > rest {
		n = int(rest)
	}
	if v.mem != nil {
		if !v.b.spend(n/16 + 1) {
			return nil
		}
		return v.mem[off : off+uint64(n) : off+uint64(n)]
	}
	if off >= v.winOff && off+uint64(n) <= v.winOff+uint64(len(v.win)) {
		if !v.b.spend(n/16 + 1) {
			return nil
		}
		i := off - v.winOff
		return v.win[i : i+uint64(n) : i+uint64(n)]
	}
	want := max(n, winSize)
	if rest := v.size - off; uint64(want) > rest {
		want = int(rest)
	}
	if !v.b.spend(want) {
		return nil
	}
	if cap(v.win) < want {
		if want > winSize && !v.b.hold(int64(want-cap(v.win))) {
			return nil
		}
		v.win = make([]byte, want)
	}
	v.win = v.win[:want]
	got, _ := v.f.ReadAt(v.win, int64(v.base+off))
	v.win, v.winOff = v.win[:got], off
	return v.win[:min(n, got)]
}

// part returns a view of n bytes at off, or nil if they are not there.
func (v *view) part(off, n uint64) *view {
	if v == nil || off > v.size || n > v.size-off || n == 0 {
		return nil
	}
	if v.mem != nil {
		return &view{mem: v.mem[off : off+n : off+n], size: n, b: v.b}
	}
	return &view{f: v.f, base: v.base + off, size: n, b: v.b}
}

// load returns n bytes at off in memory of its own, in buf if that is large enough. It fails when there are
// fewer. Growth of buf is charged to the budget.
func (v *view) load(off, n uint64, buf []byte) ([]byte, error) {
	if v == nil || off > v.size || n > v.size-off {
		return nil, io.ErrUnexpectedEOF
	}
	if !v.b.spend(int(n)) {
		return nil, errBudget
	}
	if v.mem != nil {
		return v.mem[off : off+n : off+n], nil
	}
	if uint64(cap(buf)) < n {
		v.b.release(int64(cap(buf)))
		if !v.b.hold(int64(n)) {
			return nil, errBudget
		}
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if got, err := v.f.ReadAt(buf, int64(v.base+off)); got < len(buf) {
		return nil, err
	}
	return buf, nil
}

// maxName bounds a name or a path: longer ones are cut.
const maxName = 16 << 10

// str returns the zero-terminated string at off, cut at maxName.
func (v *view) str(off uint64) string {
	for n := 128; ; n *= 8 {
		n = min(n, maxName)
		b := v.at(off, n)
		for i, c := range b {
			if c == 0 {
				return string(b[:i])
			}
		}
		if len(b) < n || n == maxName {
			return string(b)
		}
	}
}

// A buf is a cursor over little-endian bytes. Reading past the end sets bad and gives zeros.
type buf struct {
	b   []byte
	pos int
	bad bool
}

func (b *buf) take(n int) []byte {
	if n < 0 || n > len(b.b)-b.pos {
		b.bad, b.pos = true, len(b.b)
		return nil
	}
	p := b.b[b.pos : b.pos+n]
	b.pos += n
	return p
}

func (b *buf) skip(n uint64) {
	if n > uint64(len(b.b)-b.pos) {
		b.bad, b.pos = true, len(b.b)
		return
	}
	b.pos += int(n)
}

func (b *buf) u8() uint8 {
	if b.pos >= len(b.b) {
		b.bad = true
		return 0
	}
	c := b.b[b.pos]
	b.pos++
	return c
}

func (b *buf) u16() uint16 {
	if p := b.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (b *buf) u24() uint32 {
	if p := b.take(3); p != nil {
		return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
	}
	return 0
}

func (b *buf) u32() uint32 {
	if p := b.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (b *buf) u64() uint64 {
	if p := b.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// word reads an offset or an address of 8 or 4 bytes (also 2 and 1: DWARF allows such address sizes).
func (b *buf) word(size int) uint64 {
	switch size {
	case 8:
		return b.u64()
	case 4:
		return uint64(b.u32())
	case 2:
		return uint64(b.u16())
	case 1:
		return uint64(b.u8())
	}
	b.bad = true
	return 0
}

func (b *buf) uleb() uint64 {
	var x uint64
	for s := uint(0); b.pos < len(b.b); s += 7 {
		c := b.b[b.pos]
		b.pos++
		if s < 64 {
			x |= uint64(c&0x7f) << s
		}
		if c < 0x80 {
			return x
		}
	}
	b.bad = true
	return x
}

func (b *buf) sleb() int64 {
	var x int64
	for s := uint(0); b.pos < len(b.b); {
		c := b.b[b.pos]
		b.pos++
		if s < 64 {
			x |= int64(c&0x7f) << s
		}
		s += 7
		if c < 0x80 {
			if c&0x40 != 0 && s < 64 {
				x |= -1 << s
			}
			return x
		}
	}
	b.bad = true
	return x
}

// cstr reads a zero-terminated string without copying it.
func (b *buf) cstr() []byte {
	for i := b.pos; i < len(b.b); i++ {
		if b.b[i] == 0 {
			p := b.b[b.pos:i]
			b.pos = i + 1
			return p
		}
	}
	b.bad, b.pos = true, len(b.b)
	return nil
}

package symbol

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// errXZ says that an xz stream is broken or of a kind that .gnu_debugdata never has.
var errXZ = errors.New("symbol: broken xz stream")

// unxz decompresses an xz stream of LZMA2 blocks, as .gnu_debugdata is written, to at most limit bytes.
//
// The usual Go module for xz allocates the dictionary that the stream asks for, up to 4 GB, and takes no limit.
// Here the output is the dictionary, so memory is what came out.
func unxz(in []byte, limit int) ([]byte, error) {
	if len(in) < 12 || string(in[:6]) != "\xfd7zXZ\x00" || in[6] != 0 {
		return nil, errXZ
	}
	if crc32.ChecksumIEEE(in[6:8]) != binary.LittleEndian.Uint32(in[8:]) {
		return nil, errXZ
	}
	check := [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[in[7]&15]
	d := &lzma2{limit: limit}
	c := &buf{b: in, pos: 12}
	for {
		start := c.pos
		size := c.u8()
		if c.bad {
			return nil, errXZ
		}
		if size == 0 { // the index: no more blocks
			return d.out, nil
		}
		c.pos = start
		h := &buf{b: c.take(int(size)*4 + 4)}
		h.u8()
		flags := h.u8()
		if flags&0x40 != 0 {
			h.uleb()
		}
		if flags&0x80 != 0 {
			h.uleb()
		}
		// One filter, LZMA2, with one byte of properties.
		if flags&3 != 0 || h.uleb() != 0x21 || h.uleb() != 1 || h.bad {
			return nil, errXZ
		}
		data := c.pos
		if err := d.block(c); err != nil {
			return nil, err
		}
		c.skip(uint64(-(c.pos - data) & 3))
		c.skip(uint64(check))
	}
}

// lzma2 decodes LZMA2 chunks. Its output is also the dictionary.
type lzma2 struct {
	out   []byte
	base  int // where the dictionary starts: distances do not reach before it
	limit int

	lc, lp, pb uint
	state      int
	rep        [4]uint32
	rc         rangeDecoder
	literal    []uint16
	match      [12 << 4]uint16
	isRep      [12]uint16
	repG0      [12]uint16
	repG1      [12]uint16
	repG2      [12]uint16
	rep0Long   [12 << 4]uint16
	slot       [4][64]uint16
	special    [128]uint16
	align      [16]uint16
	matchLen   lenDecoder
	repLen     lenDecoder
}

type lenDecoder struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

// block decodes the chunks of one block, up to and including the end mark.
func (d *lzma2) block(c *buf) error {
	props := false
	d.base = len(d.out)
	for {
		ctl := c.u8()
		switch {
		case c.bad:
			return errXZ
		case ctl == 0:
			return nil
		case ctl <= 2: // stored
			if ctl == 1 {
				d.base = len(d.out)
			}
			n := c.take(2)
			if n == nil {
				return errXZ
			}
			p := c.take(int(n[0])<<8 + int(n[1]) + 1)
			if p == nil || len(d.out)+len(p) > d.limit {
				return errXZ
			}
			d.out = append(d.out, p...)
			continue
		case ctl < 0x80:
			return errXZ
		}
		h := c.take(4)
		if h == nil {
			return errXZ
		}
		unpacked := int(ctl&0x1f)<<16 + int(h[0])<<8 + int(h[1]) + 1
		packed := int(h[2])<<8 + int(h[3]) + 1
		if ctl >= 0xe0 {
			d.base = len(d.out)
		}
		if ctl >= 0xc0 {
			p := c.u8()
			if p >= 9*5*5 {
				return errXZ
			}
			d.lc, d.lp, d.pb = uint(p%9), uint(p/9%5), uint(p/45)
			if d.lc+d.lp > 4 {
				return errXZ
			}
			props = true
		}
		if !props {
			return errXZ
		}
		if ctl >= 0xa0 {
			d.reset()
		}
		chunk := c.take(packed)
		if c.bad || len(d.out)+unpacked > d.limit || !d.rc.init(chunk) {
			return errXZ
		}
		if err := d.decode(len(d.out) + unpacked); err != nil {
			return err
		}
	}
}

func (d *lzma2) reset() {
	d.state, d.rep = 0, [4]uint32{}
	d.literal = make([]uint16, 0x300<<(d.lc+d.lp))
	for _, p := range [][]uint16{d.literal, d.match[:], d.isRep[:], d.repG0[:], d.repG1[:], d.repG2[:], d.rep0Long[:],
		d.slot[0][:], d.slot[1][:], d.slot[2][:], d.slot[3][:], d.special[:], d.align[:]} {
		even(p)
	}
	d.matchLen.reset()
	d.repLen.reset()
}

// even gives both outcomes of each bit the same probability.
func even(p []uint16) {
	for i := range p {
		p[i] = 1 << 10
	}
}

func (l *lenDecoder) reset() {
	l.choice, l.choice2 = 1<<10, 1<<10
	for i := range l.low {
		even(l.low[i][:])
		even(l.mid[i][:])
	}
	even(l.high[:])
}

func (l *lenDecoder) decode(rc *rangeDecoder, pos int) int {
	if rc.bit(&l.choice) == 0 {
		return int(rc.tree(l.low[pos][:], 3))
	}
	if rc.bit(&l.choice2) == 0 {
		return 8 + int(rc.tree(l.mid[pos][:], 3))
	}
	return 16 + int(rc.tree(l.high[:], 8))
}

// decode runs the range decoder until the output is end bytes long.
func (d *lzma2) decode(end int) error {
	if len(d.literal) != 0x300<<(d.lc+d.lp) {
		return errXZ // properties changed without a reset
	}
	rc := &d.rc
	for len(d.out) < end {
		if rc.bad {
			return errXZ
		}
		pos := (len(d.out) - d.base) & (1<<d.pb - 1)
		if rc.bit(&d.match[d.state<<4+pos]) == 0 {
			d.decodeLiteral()
			continue
		}
		n := 0
		if rc.bit(&d.isRep[d.state]) == 0 {
			d.rep[3], d.rep[2], d.rep[1] = d.rep[2], d.rep[1], d.rep[0]
			n = d.matchLen.decode(rc, pos)
			d.state = next(d.state, 7, 10)
			d.rep[0] = d.distance(n)
		} else {
			if rc.bit(&d.repG0[d.state]) == 0 {
				if rc.bit(&d.rep0Long[d.state<<4+pos]) == 0 {
					d.state = next(d.state, 9, 11)
					if !d.copy(1) {
						return errXZ
					}
					continue
				}
			} else {
				d.swapRep()
			}
			n = d.repLen.decode(rc, pos)
			d.state = next(d.state, 8, 11)
		}
		if n += 2; n > end-len(d.out) || !d.copy(n) {
			return errXZ
		}
	}
	if rc.bad {
		return errXZ
	}
	return nil
}

// next is the state after a match: one number if a literal came before it, another if not.
func next(state, afterLiteral, afterMatch int) int {
	if state < 7 {
		return afterLiteral
	}
	return afterMatch
}

func (d *lzma2) swapRep() {
	rc := &d.rc
	i := 1
	if rc.bit(&d.repG1[d.state]) != 0 {
		i = 2
		if rc.bit(&d.repG2[d.state]) != 0 {
			i = 3
		}
	}
	r := d.rep[i]
	copy(d.rep[1:i+1], d.rep[:i])
	d.rep[0] = r
}

// copy repeats n bytes from the distance used last.
func (d *lzma2) copy(n int) bool {
	dist := int(d.rep[0]) + 1
	if dist > len(d.out)-d.base {
		return false
	}
	for range n {
		d.out = append(d.out, d.out[len(d.out)-dist])
	}
	return true
}

func (d *lzma2) decodeLiteral() {
	prev := byte(0)
	if len(d.out) > d.base {
		prev = d.out[len(d.out)-1]
	}
	at := uint(len(d.out)-d.base) & (1<<d.lp - 1)
	probs := d.literal[0x300*(at<<d.lc+uint(prev)>>(8-d.lc)):][:0x300]
	sym := uint32(1)
	if d.state >= 7 {
		var m uint32
		if dist := int(d.rep[0]) + 1; dist <= len(d.out)-d.base {
			m = uint32(d.out[len(d.out)-dist])
		}
		for sym < 0x100 {
			mbit := m >> 7 & 1
			m <<= 1
			bit := d.rc.bit(&probs[(1+mbit)<<8+sym])
			sym = sym<<1 | bit
			if mbit != bit {
				break
			}
		}
	}
	for sym < 0x100 {
		sym = sym<<1 | d.rc.bit(&probs[sym])
	}
	d.out = append(d.out, byte(sym))
	switch {
	case d.state < 4:
		d.state = 0
	case d.state < 10:
		d.state -= 3
	default:
		d.state -= 6
	}
}

func (d *lzma2) distance(n int) uint32 {
	rc := &d.rc
	slot := rc.tree(d.slot[min(n, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := slot>>1 - 1
	dist := (2 | slot&1) << bits
	if slot < 14 {
		return dist + rc.reverse(d.special[dist-slot:], bits)
	}
	return dist + rc.direct(bits-4)<<4 + rc.reverse(d.align[:], 4)
}

// rangeDecoder is LZMA's arithmetic decoder.
type rangeDecoder struct {
	in   []byte
	rng  uint32
	code uint32
	bad  bool
}

func (r *rangeDecoder) init(in []byte) bool {
	if len(in) < 5 || in[0] != 0 {
		return false
	}
	*r = rangeDecoder{in: in[5:], rng: 1<<32 - 1, code: binary.BigEndian.Uint32(in[1:])}
	return true
}

func (r *rangeDecoder) normalize() {
	if r.rng >= 1<<24 {
		return
	}
	r.rng <<= 8
	r.code <<= 8
	if len(r.in) == 0 {
		r.bad = true
		return
	}
	r.code |= uint32(r.in[0])
	r.in = r.in[1:]
}

func (r *rangeDecoder) bit(p *uint16) uint32 {
	r.normalize()
	bound := r.rng >> 11 * uint32(*p)
	if r.code < bound {
		r.rng = bound
		*p += (1<<11 - *p) >> 5
		return 0
	}
	r.rng -= bound
	r.code -= bound
	*p -= *p >> 5
	return 1
}

// tree decodes n bits, the highest first, each with a probability of its own.
func (r *rangeDecoder) tree(p []uint16, n uint) uint32 {
	sym := uint32(1)
	for range n {
		sym = sym<<1 | r.bit(&p[sym])
	}
	return sym - 1<<n
}

// reverse decodes n bits, the lowest first.
func (r *rangeDecoder) reverse(p []uint16, n uint32) uint32 {
	sym, out := uint32(1), uint32(0)
	for i := range n {
		b := r.bit(&p[sym])
		sym = sym<<1 | b
		out |= b << i
	}
	return out
}

// direct decodes n bits without probabilities.
func (r *rangeDecoder) direct(n uint32) uint32 {
	var out uint32
	for range n {
		r.normalize()
		r.rng >>= 1
		b := uint32(0)
		if r.code >= r.rng {
			r.code -= r.rng
			b = 1
		}
		out = out<<1 | b
	}
	return out
}

package symbol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/ulikunitz/xz/lzma"

	"sysprof/profile/stack/elf"
)

// errXZ says that an xz stream is broken or of a kind that .gnu_debugdata never has.
var errXZ = errors.New("symbol: broken xz stream")

// maxChunks bounds the LZMA2 chunks of a stream. A chunk costs the decoder up to 40 KB of new memory, however little it
// holds. xz fills them up to 64 KB packed or 2 MB unpacked, so that the largest stream that is read here has 1,024.
const maxChunks = 4096

// unxz decompresses an xz stream of LZMA2 blocks, as .gnu_debugdata is written, to at most limit bytes. Beside the
// result it takes as much memory again, for the dictionary. goOn is asked now and then whether to go on; nil: always.
//
// The container is read here: the xz package allocates the dictionary that the stream asks for, up to 4 GB for each
// block. The sizes in the chunk headers say how large the result is, and no dictionary needs to be larger. All
// blocks are decompressed as one sequence of chunks, so that a stream of many blocks takes one dictionary.
func unxz(in []byte, limit int, goOn func() bool) ([]byte, error) {
	s, err := readXZ(in, limit)
	if err != nil {
		return nil, err
	}
	conf := lzma.Reader2Config{DictCap: int(max(lzma.MinDictCap, min(s.dict, int64(s.size))))}
	r, err := conf.NewReader2(bytes.NewReader(s.chunks))
	if err != nil {
		return nil, err
	}
	out, err := elf.ReadGrowing(r, s.size, 16*len(in), goOn)
	if err != nil {
		return nil, err
	}
	for _, span := range s.x86 {
		unfilterX86(out[span.start:min(span.end, len(out))])
	}
	return out, nil
}

// xzStream is what the container of an xz stream holds.
type xzStream struct {
	chunks []byte // of all blocks, and an end mark
	size   int    // decompressed
	dict   int64  // the largest dictionary that a block asks for
	n      int    // number of chunks
	x86    []span // blocks that went through the filter for x86 code, in what is decompressed
}

type span struct{ start, end int }

// readXZ reads the container. Checksums of the contents are not verified.
func readXZ(in []byte, limit int) (*xzStream, error) {
	if len(in) < 12 || string(in[:6]) != "\xfd7zXZ\x00" || in[6] != 0 {
		return nil, errXZ
	}
	if crc32.ChecksumIEEE(in[6:8]) != binary.LittleEndian.Uint32(in[8:]) {
		return nil, errXZ
	}
	check := [16]int{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[in[7]&15]
	s := &xzStream{chunks: make([]byte, 0, len(in))}
	c := &buf{b: in, pos: 12}
	for {
		start := c.pos
		size := c.u8()
		if c.bad {
			return nil, errXZ
		}
		if size == 0 { // the index: no more blocks
			s.chunks = append(s.chunks, 0)
			return s, nil
		}
		c.pos = start
		dict, filtered, err := blockHeader(c.take(int(size)*4 + 4))
		if err != nil {
			return nil, err
		}
		s.dict = max(s.dict, dict)
		data, before := c.pos, s.size
		if !s.passChunks(c) || s.size > limit {
			return nil, errXZ
		}
		s.chunks = append(s.chunks, in[data:c.pos-1]...)
		if filtered {
			s.x86 = append(s.x86, span{before, s.size})
		}
		c.skip(uint64(-(c.pos - data) & 3))
		c.skip(uint64(check))
	}
}

// blockHeader returns the size of the dictionary that a block asks for, and whether it is filtered as x86 code.
func blockHeader(b []byte) (dict int64, filtered bool, err error) {
	h := &buf{b: b}
	h.u8() // the size of the header
	flags := h.u8()
	if flags&0x40 != 0 {
		h.uleb()
	}
	if flags&0x80 != 0 {
		h.uleb()
	}
	filtered = flags&3 == 1
	if flags&3 > 1 || filtered && (h.uleb() != 0x04 || h.uleb() != 0) { // that for x86, from the beginning
		return 0, false, errXZ
	}
	// LZMA2, with one byte of properties.
	if h.uleb() != 0x21 || h.uleb() != 1 {
		return 0, false, errXZ
	}
	props := h.u8()
	if h.bad {
		return 0, false, errXZ
	}
	dict, err = lzma.DecodeDictCap(props)
	return dict, filtered, err
}

// passChunks passes over the LZMA2 chunks of a block and its end mark, and adds up their number and what they hold.
// It reports whether they make sense.
func (s *xzStream) passChunks(c *buf) bool {
	for first := true; ; first = false {
		ctl := c.u8()
		switch {
		case c.bad:
			return false
		case ctl == 0:
			return true
		case first && ctl != 1 && ctl < 0xe0: // it would go on with the dictionary of the block before
			return false
		case ctl > 2 && ctl < 0x80: // there is no such chunk
			return false
		}
		// Sizes are in big-endian order, and one less than they mean.
		n := 2
		if ctl >= 0x80 {
			n = 4
		}
		h := c.take(n)
		if h == nil {
			return false
		}
		size := int(binary.BigEndian.Uint16(h)) + 1
		packed := size
		if ctl >= 0x80 {
			size += int(ctl&0x1f) << 16
			packed = int(binary.BigEndian.Uint16(h[2:])) + 1
		}
		if ctl >= 0xc0 {
			packed++ // the properties
		}
		c.skip(uint64(packed))
		s.size += size
		if s.n++; s.n > maxChunks {
			return false
		}
	}
}

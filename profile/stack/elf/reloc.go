package elf

import (
	"debug/elf"
	"encoding/binary"
)

// Sizes of the 64-bit structures (System V gABI, chapter 5), and limits.
const (
	relaSize   = 24
	dynSize    = 16
	maxDynamic = 1 << 12
	// maxRela bounds the bytes of relocations that are read; Chrome has 10 MB.
	maxRela = 64 << 20
)

// rela returns where in the file the load-relative relocations of a 64-bit file are.
func (f *File) rela() (off, end uint64) {
	if !f.Is64 {
		return 0, 0
	}
	dyn, ok := f.Segment(elf.PT_DYNAMIC)
	if !ok {
		return 0, 0
	}
	var addr, size uint64
	for i := range uint64(maxDynamic) {
		tag, ok1 := f.Uint64(dyn.Off + i*dynSize)
		val, ok2 := f.Uint64(dyn.Off + i*dynSize + 8)
		if !ok1 || !ok2 || elf.DynTag(tag) == elf.DT_NULL {
			break
		}
		switch elf.DynTag(tag) {
		case elf.DT_RELA:
			addr = val
		case elf.DT_RELASZ:
			size = val
		}
	}
	off, left, ok := f.Offset(addr)
	if !ok {
		return 0, 0
	}
	return off, off + min(size, left, maxRela)
}

// RelaBytes is how many bytes Rela reads at most.
func (f *File) RelaBytes() uint64 {
	off, end := f.rela()
	return end - off
}

// Rela calls visit with the place and the value of each load-relative
// relocation of a 64-bit file until visit returns false. The value is an address as
// linked, which the file's own bytes at that place do not have to hold.
func (f *File) Rela(visit func(place, value uint64) bool) {
	off, end := f.rela()
	relative := uint32(elf.R_X86_64_RELATIVE)
	if f.Machine == elf.EM_AARCH64 {
		relative = uint32(elf.R_AARCH64_RELATIVE)
	}
	buf := make([]byte, 4096*relaSize)
	for off+relaSize <= end {
		n, _ := f.ReadAt(buf[:min(end-off, uint64(len(buf)))], int64(off))
		if n == 0 {
			return
		}
		b := buf[:n]
		off += uint64(len(b))
		for ; len(b) >= relaSize; b = b[relaSize:] {
			le := binary.LittleEndian
			if le.Uint32(b[8:]) == relative && !visit(le.Uint64(b), le.Uint64(b[16:])) {
				return
			}
		}
		if len(b) > 0 {
			return
		}
	}
}

// RelocationSize is the size of an entry of a section of type SHT_RELA or SHT_REL.
func (f *File) RelocationSize(t SectionType) int {
	switch {
	case f.Is64 && t == elf.SHT_RELA:
		return relaSize
	case f.Is64:
		return 16
	case t == elf.SHT_RELA:
		return 12
	}
	return 8
}

// DecodeRelocation decodes the first RelocationSize bytes of b: the address that is filled in, and the symbol whose
// value goes there.
func (f *File) DecodeRelocation(b []byte) (place uint64, symbol uint32) {
	le := binary.LittleEndian
	if f.Is64 {
		return le.Uint64(b), uint32(le.Uint64(b[8:]) >> 32)
	}
	return uint64(le.Uint32(b)), le.Uint32(b[4:]) >> 8
}

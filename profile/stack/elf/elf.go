// Package elf reads ELF files of traced programs: for the unwinder while the program runs, and for the
// symbolizer at the end of a run.
//
// A profiler touches a few kilobytes of each library that a program has mapped: a search table, a few unwind
// entries, a function's line table. So a File keeps only the blocks that were asked for, in a table that any
// number of goroutines may use at once, and gives out slices of them without copying. Sections that are passed
// over once, such as symbol tables and debug information, are read with ReadAt, which keeps nothing.
//
// Nothing that a file says is believed. Every offset is checked against the file's size, every count has a
// cap, and a file that was cut short since it was opened gives errors, not a signal. That is why files are read
// and not mapped: touching a mapped page that someone truncated away would kill the tracer.
//
// Little-endian files of 32 and 64 bits can be read. It is not a general ELF package: symbols are looked up by
// package symbol, and the only relocations are those that Go's own tables need. debug/elf gives the
// numbers of the specification, but its reader keeps whole sections in memory.
package elf

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

// Sizes and limits of the ELF structures (System V gABI, chapters 4 and 5).
const (
	ehdrSize64  = 64
	ehdrSize32  = 52
	phdrSize64  = 56
	phdrSize32  = 32
	shdrSize64  = 64
	shdrSize32  = 40
	maxSegments = 256
	maxSections = 1 << 16
	// phnumInFirstSection (PN_XNUM) says that the first section header has the number of segments.
	phnumInFirstSection = 0xffff
)

// ErrFormat says that a file is no ELF file of the kind this package reads.
var ErrFormat = errors.New("not a little-endian ELF file")

// A File is an ELF file or ELF image. All methods are safe for concurrent use.
type File struct {
	blocks

	Is64     bool
	Machine  Machine
	Entry    uint64 // the address, as linked, that the program starts at; 0: none
	Segments []Segment

	shoff     uint64
	shentsize uint64
	shnum     uint64
	shstrndx  uint64
}

// Open reads the program headers of the ELF file of the given size behind r.
// Bytes held in memory are added to resident, if it is not nil.
func Open(r io.ReaderAt, size int64, resident *atomic.Int64) (*File, error) {
	if size < ehdrSize32 {
		return nil, ErrFormat
	}
	f := &File{}
	f.blocks.init(r, size, resident)
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) readHeader() error {
	var scratch [ehdrSize64]byte
	h := f.Bytes(0, ehdrSize32, scratch[:])
	if h == nil || string(h[:4]) != elf.ELFMAG || h[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return ErrFormat
	}
	le := binary.LittleEndian
	f.Machine = Machine(le.Uint16(h[18:]))
	var phoff uint64
	var counts []byte // from e_phentsize to e_shstrndx
	switch elf.Class(h[elf.EI_CLASS]) {
	case elf.ELFCLASS32:
		f.Entry, phoff, f.shoff = uint64(le.Uint32(h[24:])), uint64(le.Uint32(h[28:])), uint64(le.Uint32(h[32:]))
		counts = h[42:]
	case elf.ELFCLASS64:
		if h = f.Bytes(0, ehdrSize64, scratch[:]); h == nil {
			return ErrFormat
		}
		f.Is64 = true
		f.Entry, phoff, f.shoff = le.Uint64(h[24:]), le.Uint64(h[32:]), le.Uint64(h[40:])
		counts = h[54:]
	default:
		return ErrFormat
	}
	phentsize, phnum := uint64(le.Uint16(counts)), uint64(le.Uint16(counts[2:]))
	f.shentsize = uint64(le.Uint16(counts[4:]))
	if f.shoff != 0 && f.shentsize >= uint64(f.shdrSize()) {
		f.shnum, f.shstrndx = uint64(le.Uint16(counts[6:])), uint64(le.Uint16(counts[8:]))
		phnum = f.readLargeCounts(phnum)
	}
	if phoff == 0 || phnum == 0 {
		return nil
	}
	if phentsize < uint64(f.phdrSize()) {
		return ErrFormat
	}
	f.readSegments(phoff, phentsize, phnum)
	return nil
}

// readLargeCounts reads the counts that 16 bits cannot say, which stand in the first section header, and
// returns the number of segments.
func (f *File) readLargeCounts(phnum uint64) uint64 {
	if f.shnum != 0 && f.shstrndx != uint64(elf.SHN_XINDEX) && phnum != phnumInFirstSection {
		return phnum
	}
	first, ok := f.readSection(f.shoff)
	if !ok {
		return phnum
	}
	if f.shnum == 0 {
		f.shnum = first.Size
	}
	if f.shstrndx == uint64(elf.SHN_XINDEX) {
		f.shstrndx = uint64(first.Link)
	}
	if phnum == phnumInFirstSection {
		phnum = uint64(first.Info)
	}
	return phnum
}

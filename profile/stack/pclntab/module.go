package pclntab

import (
	"encoding/binary"
	"sync/atomic"

	"sysprof/profile/stack/elf"
)

// The runtime's description of a program (runtime/symtab.go, moduledata) holds
// what the table itself does not: where the code begins and where the inline
// trees are. It has no symbol in stripped programs, but its first word is the
// address of the table, and the next ones point into the table.
//
// Offsets of the fields used. They are the same in Go 1.18 to 1.26, but that
// 1.20 put two words before gofunc (covctrs, ecovctrs).
const (
	mdFuncnametab = 8   // []byte
	mdPclntable   = 104 // []byte
	mdText        = 176
	mdGofunc118   = 304
	mdGofunc120   = 320
	mdSize        = 328
)

// One pass reads at most this much of a file, in steps of the alignment that the
// linker gives both the table and the module data.
const (
	maxScan   = 256 << 20
	alignment = 8
	// maxHeaders and maxPlaces cap how many candidates are looked at closely: each may
	// cost another pass.
	maxHeaders = 8
	maxPlaces  = 4
)

// An Allowance is how many bytes may be searched. It is safe for concurrent use. A nil one allows all.
type Allowance struct{ left atomic.Int64 }

// Add allows n bytes more.
func (a *Allowance) Add(n int64) { a.left.Add(n) }

func (a *Allowance) take(n uint64) bool { return a == nil || a.left.Add(-int64(n)) >= 0 }

// moduledata returns the address of the first code and of the inline trees.
// The values stand in the file itself, or, if the file is relocated when it is
// loaded, perhaps only in the relocations.
func (t *Table) moduledata(a *Allowance) (text, gofunc uint64, ok bool) {
	if text, gofunc, ok = t.moduledataInPlace(a); ok {
		return text, gofunc, true
	}
	return t.moduledataRelocated(a)
}

func (t *Table) moduledataInPlace(a *Allowance) (text, gofunc uint64, ok bool) {
	check := func(off uint64) bool {
		text, gofunc, ok = t.readModuledata(func(field uint64) uint64 {
			v, _ := t.f.Uint64(off + field)
			return v
		})
		return ok
	}
	if s, found := t.f.Section(".go.module"); found && check(s.Off) {
		return text, gofunc, true
	}
	var want [8]byte
	binary.LittleEndian.PutUint64(want[:], t.addr)
	scanAligned(t.f, a, elf.PF_W, want[:], check)
	return text, gofunc, ok
}

func (t *Table) moduledataRelocated(a *Allowance) (text, gofunc uint64, ok bool) {
	var places []uint64
	if !a.take(t.f.RelaBytes()) {
		return 0, 0, false
	}
	t.f.Rela(func(place, value uint64) bool {
		if value == t.addr {
			places = append(places, place)
		}
		return len(places) < maxPlaces
	})
	for _, start := range places {
		if !a.take(t.f.RelaBytes()) {
			return 0, 0, false
		}
		words := map[uint64]uint64{}
		t.f.Rela(func(place, value uint64) bool {
			if place-start < mdSize {
				words[place-start] = value
			}
			return true
		})
		if text, gofunc, ok = t.readModuledata(func(field uint64) uint64 { return words[field] }); ok {
			return text, gofunc, true
		}
	}
	return 0, 0, false
}

// readModuledata checks the pointers into the table before it believes the rest.
func (t *Table) readModuledata(word func(uint64) uint64) (text, gofunc uint64, ok bool) {
	if word(0) != t.addr ||
		word(mdFuncnametab) != t.addr+t.funcname-t.off ||
		word(mdPclntable) != t.addr+t.pcln-t.off {
		return 0, 0, false
	}
	text, gofunc = word(mdText), word(mdGofunc120)
	if t.old {
		gofunc = word(mdGofunc118)
	}
	if _, _, mapped := t.f.Offset(gofunc); !mapped {
		gofunc = 0
	}
	return text, gofunc, t.f.Executable(text)
}

// scan looks for a header where no section says that there is one: first in what
// the program cannot write, then in the rest (PIEs of Go up to 1.25 that the
// system linker made keep the table among the relocated data).
func scan(f *elf.File, a *Allowance) *Table {
	tried := 0
	for _, flag := range []elf.ProgFlag{0, elf.PF_W} {
		for _, magic := range []uint32{magic120, magic118} {
			var want [4]byte
			binary.LittleEndian.PutUint32(want[:], magic)
			var found *Table
			scanAligned(f, a, flag, want[:], func(off uint64) bool {
				var scratch [8]byte
				if h := f.Bytes(off, len(scratch), scratch[:]); h == nil || !headerLike(h) {
					return false
				}
				tried++
				for _, s := range f.Segments {
					if s.Type == elf.PT_LOAD && off >= s.Off && off-s.Off < s.Filesz {
						found = parse(f, off, s.Vaddr+off-s.Off, s.Filesz-(off-s.Off), a)
						break
					}
				}
				return found != nil || tried >= maxHeaders
			})
			if found != nil || tried >= maxHeaders {
				return found
			}
		}
	}
	return nil
}

// scanAligned calls hit with the file offset of each aligned occurrence of want
// in the loaded segments that have (or have not) flag PF_W, until hit returns
// true. It reads past the file's block cache.
func scanAligned(f *elf.File, a *Allowance, writable elf.ProgFlag, want []byte, hit func(off uint64) bool) {
	budget := uint64(maxScan)
	buf := make([]byte, 64<<10)
	for _, s := range f.Segments {
		if s.Type != elf.PT_LOAD || s.Flags&elf.PF_W != writable {
			continue
		}
		// File offsets and addresses agree modulo the page, so in the alignment.
		off := (s.Off + alignment - 1) &^ (alignment - 1)
		end := s.Off + min(s.Filesz, f.Size())
		for off < end && budget > 0 {
			n := min(end-off, uint64(len(buf)), budget)
			if !a.take(n) {
				return
			}
			got, _ := f.ReadAt(buf[:n], int64(off))
			if got == 0 {
				break
			}
			b := buf[:got]
			for i := 0; i+len(want) <= len(b); i += alignment {
				if string(b[i:i+len(want)]) == string(want) && hit(off+uint64(i)) {
					return
				}
			}
			off += n
			budget -= n
		}
	}
}

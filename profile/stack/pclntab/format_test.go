package pclntab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/internal/bounded"
)

// A writer lays out a little-endian file.
type writer struct{ bytes.Buffer }

func (w *writer) u8(v ...byte)    { w.Write(v) }
func (w *writer) u16(v uint16)    { binary.Write(w, binary.LittleEndian, v) }
func (w *writer) u32(v ...uint32) { binary.Write(w, binary.LittleEndian, v) }
func (w *writer) u64(v ...uint64) { binary.Write(w, binary.LittleEndian, v) }
func (w *writer) pad(to int)      { w.Write(make([]byte, to-w.Len())) }

// Where small puts things; file offsets are addresses.
const (
	smallText   = 0x400
	smallTable  = 0x600
	smallModule = 0xa00
	smallEnd    = 0xc00
)

// small writes a program with two functions and one inlined call by hand, in the format of
// Go 1.18 (old) or Go 1.20: no release that old can be run here.
//
//	main.f [0x400,0x440): frame of 24 bytes from 0x404 on; at 0x410 main.g is inlined
//	main.h [0x440,0x450): assembly, no frame
func small(old bool) []byte {
	var w writer
	w.u8(0x7f, 'E', 'L', 'F', 2, 1, 1)
	w.pad(16)
	w.u16(2)  // ET_EXEC
	w.u16(62) // EM_X86_64
	w.u32(1)
	w.u64(smallText, 64, 0)
	w.u32(0)
	w.u16(64)
	w.u16(56)
	w.u16(3)
	w.pad(64)
	for _, s := range [][3]uint64{{5, 0, smallTable}, {4, smallTable, smallModule}, {6, smallModule, smallEnd}} {
		w.u32(1, uint32(s[0]))
		w.u64(s[1], s[1], s[1], s[2]-s[1], s[2]-s[1], 8)
	}
	w.pad(smallTable)

	const (
		names  = 0x80
		cutab  = 0xa0
		files  = 0xb0
		pctab  = 0xd0
		pcln   = 0x100
		gofunc = 0x200
	)
	at := func(off int) { w.pad(smallTable + off) }
	magic := uint32(magic120)
	if old {
		magic = magic118
	}
	w.u32(magic)
	w.u8(0, 0, 1, 8)
	w.u64(2, 2, 0, names, cutab, files, pctab, pcln)
	at(names)
	w.WriteString("\x00main.f\x00main.g\x00main.h\x00")
	at(cutab)
	w.u32(0, 6)
	at(files)
	w.WriteString("/f.go\x00/g.go\x00")
	at(pctab)
	w.u8(0)
	// Pairs of zigzag value deltas from −1 and pc deltas: 0 for 4 bytes, 24 for the rest.
	w.u8(2, 4, 48, 60, 0)        // at 1: stack
	w.u8(2, 16, 2, 8, 1, 40, 0)  // at 6: file 0, at +16 file 1, at +24 file 0
	w.u8(22, 16, 20, 8, 1, 0, 0) // at 13: line 10, at +16 line 20 …
	at(pctab + 20)
	w.u8(22, 16, 20, 8, 15, 40, 0) // at 20: line 10, 20, 12
	w.u8(0, 16, 2, 8, 1, 40, 0)    // at 27: inline index −1, 0, −1
	w.u8(2, 16, 0)                 // at 34: no frame
	at(pcln)
	record := 3 * ftabEntry
	size := fnSize120
	if old {
		size = fnSize118
	}
	second := record + size + 4*3 + 4*4
	w.u32(0, uint32(record), 0x40, uint32(second), 0x50, 0)
	fn := func(entry, name, pcsp, pcfile, pcline, npcdata, start uint32, flags, nfuncdata byte) {
		w.u32(entry, name, 0, 0, pcsp, pcfile, pcline, npcdata, 0)
		if !old {
			w.u32(start)
		}
		w.u8(0, flags, 0, nfuncdata)
	}
	fn(0, 1, 1, 6, 20, 3, 9, 0, 4)
	w.u32(0, 0, 27)                                         // pcdata
	w.u32(noFuncdata, noFuncdata, noFuncdata, 0x200-gofunc) // funcdata
	fn(0x40, 15, 34, 0, 0, 0, 0, Asm, 0)
	at(gofunc)
	if old {
		w.u32(0x0000ffff, 0, 11, 8, 0x14-0xc) // parent −1, file, line, name, parent pc
	} else {
		w.u32(0, 8, 8, 19) // id, name, parent pc, start line
	}
	w.pad(smallModule + 0x20) // not at the beginning: it is searched for
	md := make([]byte, mdSize)
	for off, v := range map[int]uint64{
		0: smallTable, mdFuncnametab: smallTable + names, mdPclntable: smallTable + pcln, mdText: smallText,
	} {
		binary.LittleEndian.PutUint64(md[off:], v)
	}
	gofuncAt := mdGofunc120
	if old {
		gofuncAt = mdGofunc118
	}
	binary.LittleEndian.PutUint64(md[gofuncAt:], smallTable+gofunc)
	w.Write(md)
	w.pad(smallEnd)
	return w.Bytes()
}

func openBytes(t testing.TB, data []byte) *Table {
	t.Helper()
	f, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Open(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestFormats(t *testing.T) {
	for name, old := range map[string]bool{"1.18": true, "1.20": false} {
		t.Run(name, func(t *testing.T) {
			table := openBytes(t, small(old))
			f, ok := table.Func(smallText + 0x12)
			if !ok || f.Name() != "main.f" || f.Entry != smallText || f.End != smallText+0x40 {
				t.Fatalf("got %q %#x %#x %v", f.Name(), f.Entry, f.End, ok)
			}
			for pc, want := range map[uint64]int32{0: 0, 3: 0, 4: 24, 0x3f: 24} {
				if got, ok := f.SPDelta(smallText + pc); !ok || got != want {
					t.Errorf("frame at +%#x is %d (%v), want %d", pc, got, ok, want)
				}
			}
			start := func(line int) int {
				if old {
					return 0
				}
				return line
			}
			want := []InlinedFrame{{"main.g", "/g.go", 20, start(19)}, {"main.f", "/f.go", 10, start(9)}}
			if got := f.Inlined(smallText+0x12, nil); !reflect.DeepEqual(got, want) {
				t.Errorf("inlined: got %v, want %v", got, want)
			}
			want = []InlinedFrame{{"main.f", "/f.go", 12, start(9)}}
			if got := f.Inlined(smallText+0x30, nil); !reflect.DeepEqual(got, want) {
				t.Errorf("not inlined: got %v, want %v", got, want)
			}
			h, ok := table.Func(smallText + 0x4f)
			if !ok || h.Name() != "main.h" || h.Flags != Asm {
				t.Errorf("got %q flags %d (%v)", h.Name(), h.Flags, ok)
			}
			if delta, ok := h.SPDelta(smallText + 0x44); !ok || delta != 0 {
				t.Errorf("frame of h: %d, %v", delta, ok)
			}
			for _, pc := range []uint64{smallText - 1, smallText + 0x50, 0, 1 << 63} {
				if f, ok := table.Func(pc); ok {
					t.Errorf("%#x is in %q", pc, f.Name())
				}
			}
		})
	}
}

// The tables of 32-bit programs have other sizes.
func TestNarrowFile(t *testing.T) {
	data := small(false)
	f, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Is64 = false
	if _, err := Open(f, nil); !errors.Is(err, ErrNoTable) {
		t.Errorf("got %v", err)
	}
}

func FuzzPclntab(f *testing.F) {
	f.Add(small(true), uint64(smallText+0x12))
	f.Add(small(false), uint64(smallText+0x12))
	f.Fuzz(func(t *testing.T, data []byte, pc uint64) {
		bounded.Run(t, 512, func() {
			file, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
			if err != nil {
				return
			}
			table, err := Open(file, nil)
			if err != nil {
				return
			}
			lo, hi := table.Range()
			for _, pc := range []uint64{pc, lo, (lo + hi) / 2, hi - 1} {
				fn, ok := table.Func(pc)
				if !ok {
					continue
				}
				if pc < fn.Entry || pc >= fn.End {
					t.Fatalf("%#x is not in [%#x,%#x)", pc, fn.Entry, fn.End)
				}
				fn.Name()
				fn.SPDelta(pc)
				if frames := fn.Inlined(pc, nil); len(frames) > maxInlined {
					t.Fatalf("%d frames", len(frames))
				}
			}
		})
	})
}

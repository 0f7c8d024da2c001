package stack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/internal/bounded"
)

// memFile is a file in memory.
type memFile struct {
	*bytes.Reader
	fs.FileInfo
}

func (f memFile) Close() error               { return nil }
func (f memFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f memFile) Size() int64                { return f.Reader.Size() }
func (f memFile) Mode() fs.FileMode          { return 0 }

// vdso returns this process's: a small ELF file with unwind tables of all kinds.
func vdso(t testing.TB) []byte {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	maps, err := parseMaps(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range maps {
		if m.IsVDSO() {
			data := make([]byte, m.End-m.Start)
			if _, err := mem.ReadAt(data, int64(m.Start)); err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	t.Fatal("no vdso")
	return nil
}

// vdsoTables returns this process's architecture and the unwind tables of its vdso. Without them a test is skipped.
func vdsoTables(t *testing.T, f *elf.File) (*arch, *ehFrame) {
	t.Helper()
	i := slices.IndexFunc(archs[:], func(a arch) bool { return a.machine == f.Machine })
	if i < 0 {
		t.Skip("there are no stacks on this architecture")
	}
	e := newEhFrame(f)
	switch {
	case e != nil:
	case Arch(i) == ARM64:
		t.Skip("this kernel's vdso has no unwind tables") // many versions are made without
	default:
		t.Fatal("no unwind tables")
	}
	return &archs[i], e
}

// Every function of the vdso has an entry that can be decoded. Before a function's first instruction there is nothing
// of its own on the stack: the frame is as the call has left it.
func TestVDSO(t *testing.T) {
	data := vdso(t)
	f, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, e := vdsoTables(t, f)
	atCall := int64(8) // from the stack pointer to the frame: the return address
	if a.link {
		atCall = 0
	}
	var functions []uint64
	for i := range e.count {
		rel, _ := f.Uint32(e.tableOff + uint64(i)*hdrEntrySize)
		functions = append(functions, e.hdrAddr+uint64(int64(int32(rel))))
	}
	for _, entry := range e.linear {
		functions = append(functions, entry.lo)
	}
	if len(functions) < 3 {
		t.Fatalf("%d functions", len(functions))
	}
	u := NewUnwinder()
	for _, pc := range functions {
		addr, ok := e.find(pc)
		if !ok {
			t.Fatalf("%#x: no entry", pc)
		}
		if err := e.fdeAt(addr, &u.s, &u.d, &u.c); err != nil {
			t.Fatalf("%#x: %v", pc, err)
		}
		err := u.m.run(&u.c, &u.d, a.nregs, pc)
		if u.c.signal && err == nil { // it is never called
			continue
		}
		if cfa := u.m.cfa; err != nil || cfa.kind != ruleCFA || cfa.reg != a.sp || cfa.off != atCall {
			t.Errorf("%#x: %v, CFA %+v", pc, err, cfa)
		}
	}
}

// A 32-bit program of a 64-bit machine (x32) is not unwound: its tables have other sizes.
func TestNarrowFile(t *testing.T) {
	data := vdso(t)
	f, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil {
		t.Fatal(err)
	}
	vdsoTables(t, f)
	o := NewObjects(nil, 0, 0)
	if load(bytes.NewReader(data), int64(len(data)), o).eh == nil {
		t.Fatal("the vdso has nothing to unwind with")
	}
	// The same with headers of the 32-bit class, which are shorter.
	le := binary.LittleEndian
	data[4] = 1
	for i, n := range map[int]uint32{28: 52, 32: 0} { // where segments and sections are
		le.PutUint32(data[i:], n)
	}
	for i, n := range []int{52, 32, len(f.Segments), 0, 0, 0} { // sizes and numbers
		le.PutUint16(data[40+2*i:], uint16(n))
	}
	for i, s := range f.Segments {
		for j, v := range []uint64{uint64(s.Type), s.Off, s.Vaddr, s.Vaddr, s.Filesz, s.Memsz, uint64(s.Flags), 4096} {
			le.PutUint32(data[52+32*i+4*j:], uint32(v))
		}
	}
	narrow, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
	if err != nil || newEhFrame(narrow) == nil {
		t.Fatalf("%v: the file is not what it should be", err)
	}
	if load(bytes.NewReader(data), int64(len(data)), o).image != nil {
		t.Error("loaded")
	}
}

func FuzzEhFrame(f *testing.F) {
	f.Add(vdso(f), uint64(0x700), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, pc uint64, a uint8) {
		file, err := elf.Open(bytes.NewReader(data), int64(len(data)), nil)
		if err != nil {
			return
		}
		e := newEhFrame(file)
		if e == nil {
			return
		}
		u := fuzzCache.Unwinder
		for i := range uint64(8) {
			var r row
			u.cfiRow(&r, e, Arch(a%uint8(numArchs)), pc+i*i*16)
		}
	})
}

// Cleared memory of this size for each input would be most of the work.
var fuzzCache = NewCache(NewUnwinder(), nil)

// FuzzUnwind unwinds through a file and a stack that may hold anything.
func FuzzUnwind(f *testing.F) {
	stack := make([]byte, 512)
	for i := 0; i < len(stack); i += 8 {
		binary.LittleEndian.PutUint64(stack[i:], 0x10000+uint64(i)*13)
	}
	f.Add(vdso(f), stack, uint64(0x700), uint64(16), uint8(0))
	f.Fuzz(func(t *testing.T, data, stack []byte, ip, bp uint64, a uint8) {
		const base, sp = 0x10000, 0x7f0000
		open := func(m *Mapping) (File, error) {
			if m.Inode == 2 {
				return nil, errors.New("gone")
			}
			return memFile{Reader: bytes.NewReader(data)}, nil
		}
		objects := NewObjects(open, 0, 0)
		space := NewSpace(objects, []Mapping{
			{Start: base, End: base + uint64(len(data)), Inode: 1, Exec: true, Path: "/file"},
			{Start: 0x200000, End: 0x201000, Exec: true},
			{Start: 0x300000, End: 0x301000, Inode: 2, Exec: true, Path: "/gone"},
		})
		regs := &Regs{Arch: Arch(a % uint8(numArchs)), IP: base + ip, AfterCall: a&2 != 0}
		for i := range regs.R {
			regs.R[i] = sp + bp*uint64(i)
		}
		regs.R[archs[regs.Arch].sp] = sp
		regs.R[archs[regs.Arch].fp] = sp + bp
		mem := &recording{sp: sp, stack: stack, vaddr: base, vdso: data}
		var win Window
		u := fuzzCache.Unwinder
		var frames [40]uint64
		bounded.Run(t, 512, func() {
			for _, mode := range []Mode{Full, FramePointers} {
				u.Mode = mode
				win.Reset(mem, sp, stack[:len(stack)/2])
				n, end := u.Unwind(space, regs, &win, frames[:])
				if n < 1 || n > len(frames) || end == stepped || frames[0] != regs.IP {
					t.Fatalf("%d frames, %v", n, end)
				}
				if end == Truncated && n != len(frames) {
					t.Fatalf("truncated at %d", n)
				}
			}
			// The same again must come from the cache, and be the same.
			u.Mode = Full
			c := fuzzCache
			c.Stacks = NewStacks(0)
			var ids [2]StackID
			for i := range ids {
				win.Reset(mem, sp, stack)
				ids[i] = c.Stack(space, regs, &win)
			}
			if ids[0] != ids[1] {
				t.Fatalf("stacks %v", ids)
			}
		})
	})
}

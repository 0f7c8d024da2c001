package stack

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"sysprof/profile/stack/elf"
	"sysprof/profile/stack/flow"
	"sysprof/syscalltab/needs"
)

// wholeFile shows a file's code at the addresses as linked.
func wholeFile(t *testing.T, path string) (*code, *Space, []fdeRef) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	o := NewObjects(nil, 0, 0)
	tables := load(f, st.Size(), o)
	if tables.image == nil || tables.eh == nil {
		t.Fatalf("%s: no tables", path)
	}
	c := &code{obj: &object{id: lastObject.Add(1), clock: &o.clock}, t: tables}
	c.obj.tables.Store(tables)
	var maps []Mapping
	for _, s := range tables.image.Segments {
		if s.Type == elf.PT_LOAD && s.Flags&elf.PF_X != 0 {
			maps = append(maps, Mapping{Start: s.Vaddr, End: s.Vaddr + s.Filesz, Exec: true, Offset: s.Off, Inode: 1, Path: path})
		}
	}
	space := NewSpace(o, maps)
	for i := range space.ranges {
		space.ranges[i].code.Store(c)
	}
	e := &ehFrame{f: tables.image}
	section, ok := tables.image.Section(".eh_frame")
	if !ok {
		t.Fatalf("%s: no .eh_frame", path)
	}
	e.index(section.Addr, section.Size)
	return c, space, e.linear
}

// compareWithTables follows the code from the return address of each direct call of a function, and compares what it finds
// with what the file's tables say of it. The code must have been made by a compiler, whose tables are right at calls.
func compareWithTables(t *testing.T, path string, every int) {
	t.Helper()
	c, space, functions := wholeFile(t, path)
	starts := map[uint64]bool{}
	for _, fn := range functions {
		starts[fn.lo] = true
	}
	u := NewUnwinder()
	a := &archs[c.t.arch]
	arch := flow.Arch(c.t.arch)
	u.code.begin(space, nil)
	equal, unsure, other, wrong, from, seen := 0, 0, 0, 0, 0, 0
	for _, fn := range functions {
		var d fde
		var ci cie
		if c.t.eh.fdeAt(fn.addr, &u.s, &d, &ci) != nil || ci.signal {
			continue
		}
		// The unlikely part of a function has its own entry, which begins in the middle of the frame.
		var first row
		if u.cfiRow(&first, c.t.eh, c.t.arch, d.lo); first.cfaReg != a.sp || int64(first.cfaOff) > 8 {
			continue
		}
		step := uint64(1)
		if a.link {
			step = 4
		}
		for pc := d.lo + 8; pc < d.hi; pc += step {
			b, ok := u.code.view.At(pc - flow.LongestCall)
			if !ok || len(b) < flow.LongestCall || !starts[directCall(arch, b, pc)] {
				continue
			}
			if seen++; seen%every != 0 {
				continue
			}
			want := row{object: c.obj.id, vaddr: pc - 1}
			u.cfiRow(&want, c.t.eh, c.t.arch, pc-1)
			frame, v := u.code.flow.Forward(&u.code.view, arch, pc, false)
			if v != flow.Found {
				frame, v = u.code.flow.From(&u.code.view, arch, d.lo, pc, nearInsns)
				from++
			}
			if v != flow.Found {
				unsure++
				if testing.Verbose() && unsure < 40 {
					t.Logf("%#x: %v", pc, v)
				}
				continue
			}
			var got row
			got.fill(&frame, a)
			if want.kind != rowOffsets || got.kind != rowOffsets {
				other++
				continue
			}
			// Where the two start from different registers, these cannot be compared, but all that is found by the CFA.
			if want.cfaReg == got.cfaReg && got.cfaOff != want.cfaOff || got.raOff != want.raOff || !sameSaved(&got, &want, a) {
				if wrong++; wrong < 10 {
					t.Errorf("%#x: %+v, the table has %+v", pc, got, want)
				}
				continue
			}
			equal++
		}
	}
	t.Logf("%s: %d equal, %d not sure, %d of another kind, %d wrong; %d from the function's beginning", filepath.Base(path), equal, unsure, other, wrong, from)
	if equal < (equal+unsure+wrong)*9/10 {
		t.Errorf("%s: %d of %d found", path, equal, equal+unsure+wrong)
	}
}

// sameSaved reports whether two rows find the caller's registers in the same places. Following knows nothing of
// registers that a function saves and does not load again.
func sameSaved(got, want *row, a *arch) bool {
	for i := range got.n {
		j := slices.Index(want.regs[:want.n], got.regs[i])
		if j < 0 || want.offs[j] != got.offs[i] {
			return false
		}
	}
	for j := range want.n {
		if r := want.regs[j]; r != a.ra && slices.Index(got.regs[:got.n], r) < 0 && got.lost>>r&1 == 0 {
			return false
		}
	}
	return true
}

// directCall is what the call in front of pc calls, of which b is the last bytes, or nothing.
func directCall(arch flow.Arch, b []byte, pc uint64) uint64 {
	if arch == flow.ARM64 {
		if x := binary.LittleEndian.Uint32(b[4:]); x>>26 == 0x25 {
			return pc - 4 + uint64(int64(int32(x<<6))>>4)
		}
		return 0
	}
	if b[3] != 0xe8 {
		return 0
	}
	return pc + uint64(int64(int32(binary.LittleEndian.Uint32(b[4:]))))
}

// TestFollowingAgreesWithTables follows code that has tables, too.
func TestFollowingAgreesWithTables(t *testing.T) {
	if libc, err := filepath.Glob("/lib/x86_64-linux-gnu/libc.so.6"); err == nil && len(libc) > 0 {
		compareWithTables(t, libc[0], 10)
	}
	t.Run("arm64", func(t *testing.T) {
		clang := needs.Program(t, "clang", "clang")
		lld := needs.Program(t, "ld.lld", "lld")
		for _, flags := range [][]string{{"-O2"}, {"-O0"}, {"-Os", "-fomit-frame-pointer"}, {"-O2", "-mbranch-protection=pac-ret"}} {
			dir := t.TempDir()
			object, out := filepath.Join(dir, "a.o"), filepath.Join(dir, "a.out")
			args := append([]string{"--target=aarch64-linux-gnu", "-ffreestanding", "-fasynchronous-unwind-tables", "-w", "-c", "testdata/follow.c", "-o", object}, flags...)
			if msg, err := exec.Command(clang, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", flags, err, msg)
			}
			if msg, err := exec.Command(lld, "-o", out, "--eh-frame-hdr", "-e", "functions", object).CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", flags, err, msg)
			}
			compareWithTables(t, out, 1)
		}
	})
}

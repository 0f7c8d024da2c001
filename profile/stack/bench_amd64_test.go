package stack

import (
	"os"
	"syscall"
	"testing"
)

// record runs a target up to a mark.
func record(t testing.TB, path string, mark int) *recording {
	t.Helper()
	var rec *recording
	tr := trace(t, path)
	tr.calls(func(tid int, regs *syscall.PtraceRegs) {
		if regs.Orig_rax != syscall.SYS_GETPGID || int(regs.Rdi) != magic+mark {
			return
		}
		rec = &recording{regs: *convertRegs(regs), maps: tr.maps(), sp: regs.Rsp}
		rec.stack = make([]byte, 1<<20)
		rec.stack = rec.stack[:tr.mem.ReadMemory(rec.stack, rec.sp)]
		for _, m := range rec.maps {
			if m.IsVDSO() {
				rec.vaddr, rec.vdso = m.Start, make([]byte, m.End-m.Start)
				tr.mem.ReadMemory(rec.vdso, m.Start)
			}
		}
	})
	if rec == nil {
		t.Fatalf("mark %d not reached", mark)
	}
	return rec
}

const framesMark, framesAtMark = 12, 24

func benchTarget(b testing.TB) (*recording, *Space, *Unwinder) {
	path := compile(b, "testdata/marks.c", "-O2")
	rec := record(b, path, framesMark)
	objects := NewObjects(openMapping, 0, 0)
	b.Cleanup(objects.Close)
	return rec, NewSpace(objects, rec.maps), NewUnwinder()
}

func TestNoAllocationInSteadyState(t *testing.T) {
	rec, space, u := benchTarget(t)
	var win Window
	frames := make([]uint64, MaxDepth)
	if n := testing.AllocsPerRun(100, func() {
		rec.window(&win)
		if n, end := u.Unwind(space, &rec.regs, &win, frames); n != framesAtMark || end != Bottom {
			t.Fatalf("%d frames, %v", n, end)
		}
	}); n != 0 {
		t.Errorf("Unwind: %v allocations", n)
	}
	c := NewCache(u, NewStacks(0))
	if n := testing.AllocsPerRun(100, func() {
		rec.window(&win)
		c.Stack(space, &rec.regs, &win)
	}); n != 0 {
		t.Errorf("Cache.Stack: %v allocations", n)
	}
}

func BenchmarkUnwind24Frames(b *testing.B) {
	rec, space, u := benchTarget(b)
	var win Window
	frames := make([]uint64, MaxDepth)
	b.ReportAllocs()
	for b.Loop() {
		rec.window(&win)
		if n, _ := u.Unwind(space, &rec.regs, &win, frames); n != framesAtMark {
			b.Fatal(n)
		}
	}
}

func BenchmarkCacheHit24Frames(b *testing.B) {
	rec, space, u := benchTarget(b)
	var win Window
	c := NewCache(u, NewStacks(0))
	b.ReportAllocs()
	for b.Loop() {
		rec.window(&win)
		c.Stack(space, &rec.regs, &win)
	}
	if hits, misses := c.Stats(); misses != 1 {
		b.Fatal(hits, misses)
	}
}

// Parsing, without reading, the mappings of this program.
func BenchmarkParseMaps(b *testing.B) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	maps, err := parseMaps(f)
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if maps, err = AppendMaps(maps[:0], text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkColdPC decodes an address that no row is kept for.
func BenchmarkColdPC(b *testing.B) {
	for _, lib := range []string{"/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1"} {
		b.Run(lib[len("/lib/"):], func(b *testing.B) {
			obj := openObject(b, lib)
			u := NewUnwinder()
			lo, hi := textRange(b, obj)
			b.ReportAllocs()
			pc := lo
			for b.Loop() {
				u.row(obj, pc)
				// A program's cold addresses are near each other more often than not.
				if pc += 1013; pc >= hi {
					pc = lo + pc%7
				}
			}
		})
	}
}

func openObject(t testing.TB, path string) *code {
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
	if tables.eh == nil && tables.golang == nil {
		t.Fatalf("%s: nothing to unwind with", path)
	}
	return &code{obj: &object{id: 1, clock: &o.clock}, t: tables}
}

func textRange(t testing.TB, obj *code) (lo, hi uint64) {
	t.Helper()
	for _, s := range obj.t.image.Segments {
		if s.Type == 1 && s.Flags&1 != 0 {
			return s.Vaddr, s.Vaddr + s.Filesz
		}
	}
	t.Fatal("no code")
	return 0, 0
}

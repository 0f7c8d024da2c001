package stack

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestCacheVerifies(t *testing.T) {
	rec, space, u := benchTarget(t)
	var win Window
	stacks := NewStacks(0)
	c := NewCache(u, stacks)
	stack := func(regs *Regs) StackID {
		rec.window(&win)
		return c.Stack(space, regs, &win)
	}
	id := stack(&rec.regs)
	if got, ok := stacks.At(id); !ok || len(got.Frames) != framesAtMark || got.End != Bottom || got.Space != space.ID() {
		t.Fatalf("%+v %v", got, ok)
	}
	if again := stack(&rec.regs); again != id {
		t.Errorf("again: %d, not %d", again, id)
	}
	if hits, misses := c.Stats(); hits != 1 || misses != 1 {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
	reach := c.Reach(space, &rec.regs)
	if reach < framesAtMark*8 || reach > windowSize {
		t.Errorf("reach %d", reach)
	}
	// Registers that the stack does not depend on may change; those it does may not.
	other := rec.regs
	other.R[AMD64Rax] = 99
	if got := stack(&other); got != id {
		t.Errorf("with another rax: %d", got)
	}
	if hits, _ := c.Stats(); hits != 2 {
		t.Errorf("%d hits", hits)
	}
	// Any word of memory that it does depend on.
	e := c.find(space.id, rec.regs.IP|1<<63, rec.regs.SP())
	changed := 0
	for _, d := range slices.Clone(c.deps[e.first : e.first+uint32(e.n)]) {
		if d.addr < maxRegs {
			continue
		}
		word := rec.stack[d.addr-rec.sp:]
		binary.LittleEndian.PutUint64(word, d.val+1)
		_, before := c.Stats()
		stack(&rec.regs)
		if _, after := c.Stats(); after == before {
			t.Errorf("a change at sp+%d was not noticed", d.addr-rec.sp)
		}
		binary.LittleEndian.PutUint64(word, d.val)
		if got := stack(&rec.regs); got != id {
			t.Errorf("after a change at sp+%d: %d", d.addr-rec.sp, got)
		}
		changed++
	}
	if changed < framesAtMark-1 {
		t.Errorf("the stack depends on %d words only", changed)
	}
}

func TestCacheStartsAnewWhenFull(t *testing.T) {
	rec, space, u := benchTarget(t)
	var win Window
	c := NewCache(u, NewStacks(0))
	regs := rec.regs
	for i := range 20000 {
		regs.R[AMD64Rsp] = rec.regs.SP() - uint64(i)*8
		rec.window(&win)
		c.Stack(space, &regs, &win)
		if len(c.deps) > cacheDeps {
			t.Fatal(len(c.deps))
		}
	}
}

func TestStacksAreBounded(t *testing.T) {
	s := NewStacks(10)
	for i := range uint64(20) {
		id := s.Intern(1, []uint64{i, 2, 3}, Bottom)
		if again := s.Intern(1, []uint64{i, 2, 3}, Bottom); again != id {
			t.Errorf("%d: %d and %d", i, id, again)
		}
		if want := i >= 10; want != (id == NoStack) {
			t.Errorf("%d: id %d", i, id)
		}
	}
	if n, lost := s.Len(); n != 10 || lost != 20 {
		t.Errorf("%d kept, %d lost", n, lost)
	}
	if s.Intern(2, []uint64{0, 2, 3}, Bottom) != NoStack || s.Intern(1, []uint64{0, 2, 3}, Truncated) != NoStack {
		t.Error("another space or end is another stack")
	}
	if _, ok := s.At(NoStack); ok {
		t.Error("NoStack is a stack")
	}
}

// Files are closed to make room, and opened again; goroutines share all but the
// Unwinder.
func TestObjectsAreBoundedAndShared(t *testing.T) {
	rec := record(t, compile(t, "testdata/marks.c", "-O2"), framesMark)
	var mu sync.Mutex
	opened := 0
	objects := NewObjects(func(m *Mapping) (File, error) {
		mu.Lock()
		opened++
		mu.Unlock()
		return openMapping(m)
	}, 2, 16<<10)
	defer objects.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			space := NewSpace(objects, rec.maps)
			var win Window
			var frames [MaxDepth]uint64
			for range 20 {
				u := NewUnwinder()
				rec.window(&win)
				if n, _ := u.Unwind(space, &rec.regs, &win, frames[:]); n < 1 {
					t.Error(n)
				}
			}
		}()
	}
	wg.Wait()
	before := opened
	for inode := range uint64(2) {
		objects.object(fileKey{inode: 1<<40 + inode})
	}
	var win Window
	var frames [MaxDepth]uint64
	rec.window(&win)
	NewUnwinder().Unwind(NewSpace(objects, rec.maps), &rec.regs, &win, frames[:])
	if opened == before || len(objects.byFile) > 2 {
		t.Errorf("opened %d times, and %d before, %d open", opened, before, len(objects.byFile))
	}
	if r := objects.Resident(); r > 1<<20 {
		t.Errorf("%d bytes resident", r)
	}
	objects.Close()
	if r := objects.Resident(); r != 0 {
		t.Errorf("%d bytes resident after Close", r)
	}
}

// A file that can't be opened is asked for once.
func TestUnreadableFile(t *testing.T) {
	rec := record(t, compile(t, "testdata/marks.c", "-O2"), framesMark)
	opened := map[string]int{}
	objects := NewObjects(func(m *Mapping) (File, error) {
		opened[m.Path]++
		return nil, errors.New("no")
	}, 0, 0)
	space := NewSpace(objects, rec.maps)
	u := NewUnwinder()
	var win Window
	var frames [MaxDepth]uint64
	for range 3 {
		rec.window(&win)
		if n, end := u.Unwind(space, &rec.regs, &win, frames[:]); n < 1 || end == Bottom && n > 1 {
			t.Errorf("%d frames, %v", n, end)
		}
	}
	for path, n := range opened {
		if n != 1 {
			t.Errorf("%s opened %d times", path, n)
		}
	}
}
